"""Metrics against hand-computed tables, scikit-learn and simulated truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from fourfold.definition import DCNv2
from fourfold.events.types import Action, Event, Impression
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats
from fourfold.models.io import build_ranker
from fourfold.training.evaluation import (
    _weighted_auc,
    auc,
    auc_interval,
    calibration_error,
    evaluate_ranker,
    member_auc,
    metrics,
    normalised_entropy,
    predict,
)
from fourfold.training.examples import examples
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


judged = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.2, 0.5, 0.9]), st.integers(0, 3), st.integers(0, 4)),
    min_size=1,
    max_size=40,
)


@given(judged)
def test_areas_equal_those_of_scikit_learn(rows: list[tuple[int, float, int, int]]) -> None:
    label, score = floats(*(row[0] for row in rows)), floats(*(row[1] for row in rows))
    member, weight = np.array([row[2] for row in rows]), np.array([row[3] for row in rows], float)
    assert auc(label, score) == (roc_auc_score(label, score) if len(set(label)) == 2 else None)
    order = np.argsort(score, kind="stable")
    weighted = _weighted_auc(label[order], weight[order], np.searchsorted(np.unique(score), score[order]))
    if weight @ label and weight @ (1 - label):
        assert weighted == pytest.approx(roc_auc_score(label, score, sample_weight=weight))
    else:
        assert np.isnan(weighted)
    groups = [np.flatnonzero(member == one) for one in np.unique(member)]
    both = [group for group in groups if len(set(label[group])) == 2]
    inside = [float(roc_auc_score(label[group], score[group])) for group in both]
    expected = np.average(inside, weights=[len(group) for group in both]) if both else None
    assert member_auc(label, score, member) == (None if expected is None else pytest.approx(expected))


def test_areas_by_hand() -> None:
    label, score = floats(0, 1, 0, 1), floats(0.1, 0.3, 0.3, 0.9)
    assert auc(label, score) == pytest.approx(3.5 / 4)  # one tie counts half
    # Member 0 orders both pairs right, member 1 its only pair wrong; the weights are their three and two impressions.
    member = np.array([0, 0, 0, 1, 1])
    found = member_auc(floats(0, 1, 1, 1, 0), floats(0.1, 0.2, 0.3, 0.1, 0.9), member)
    assert found == pytest.approx((3 * 1.0 + 2 * 0.0) / 5)
    assert member_auc(floats(1, 0), floats(0.5, 0.5), np.array([0, 1])) is None


def test_normalised_entropy() -> None:
    label = floats(1, 0, 0, 0)
    assert normalised_entropy(label, np.full(4, 0.25, np.float32)) == pytest.approx(1.0)
    probability = floats(0.7, 0.2, 0.1, 0.4)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert normalised_entropy(label, probability) == pytest.approx(log_loss(label, probability) / entropy, rel=1e-5)
    assert normalised_entropy(label, floats(1, 0, 0, 0)) == pytest.approx(0.0, abs=1e-5)
    assert normalised_entropy(floats(1, 1), floats(0.5, 0.5)) is None
    confident_and_wrong = normalised_entropy(label, floats(0, 1, 1, 1))
    assert confident_and_wrong is not None
    assert np.isfinite(confident_and_wrong)


def test_calibration_error_by_hand() -> None:
    # Two bins of two: predicted 0.15 and 0.85, observed 0.5 and 1.
    label, probability = floats(0, 1, 1, 1), floats(0.1, 0.2, 0.8, 0.9)
    assert calibration_error(label, probability, bins=2) == pytest.approx((2 * 0.35 + 2 * 0.15) / 4)
    assert calibration_error(label, probability, bins=1) == pytest.approx(0.25)
    assert calibration_error(floats(1), floats(0.25)) == pytest.approx(0.75)


def test_an_interval_is_deterministic_and_holds_the_truth() -> None:
    """Scores are the label plus normal noise, so the true area is Phi(1 / sqrt(2)); members shift both alike."""
    truth, held = 0.7602, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        member = np.repeat(np.arange(80), 5)
        label = rng.integers(0, 2, len(member)).astype(np.float32)
        score = (label + rng.normal(size=len(label))).astype(np.float32)
        found = auc_interval(label, score, member, seed=1)
        assert found == auc_interval(label, score, member, seed=1)
        assert found is not None
        low, high = found
        assert low < high
        held += low <= truth <= high
    assert held >= 17


def test_the_interval_draws_members_and_not_rows() -> None:
    """A hundred copies of each impression tell nothing new."""
    rng = np.random.default_rng(0)
    member = np.arange(40)
    label = rng.integers(0, 2, 40).astype(np.float32)
    score = rng.normal(size=40).astype(np.float32)
    few, many = (auc_interval(np.repeat(label, n), np.repeat(score, n), np.repeat(member, n)) for n in (1, 100))
    assert few == pytest.approx(many)
    assert auc_interval(np.ones(3, np.float32), score[:3], member[:3]) is None


def test_metrics_of_one_outcome_are_undefined_where_they_must_be() -> None:
    found = metrics(floats(1, 1), floats(0.5, 0.75), np.array([0, 1]), floats(0.1, 0.2))
    assert (found.impressions, found.positives) == (2, 2)
    assert (found.auc, found.auc_ci, found.member_auc, found.ne, found.popularity_auc) == (None,) * 5
    assert found.ece == pytest.approx(0.375)


def slates() -> list[Event]:
    """Eight requests an hour apart for two members: p0 is always clicked, p1 never."""
    events: list[Event] = []
    for n in range(8):
        time, viewer = START + n * HOUR, f"m{n % 2}"
        for item in ("p0", "p1"):
            events.append(Impression(id=f"i{n}{item}", time=time, viewer=viewer, item=item, surface="feed", request=f"r{n}"))
        events.append(Action(id=f"a{n}", time=time + 1, viewer=viewer, item="p0", surface="feed", name="click"))
    return events


def test_a_ranker_is_judged_on_the_period_and_popularity_on_what_came_before() -> None:
    view, encoder = state_of(slates()).view(), Encoder(TINY)
    model = build_ranker(DCNv2(width=8), encoder.schema)
    model.fit_inputs(examples(view, encoder, 0, view.newest_time + 1).sequences)
    split = START + 6 * HOUR
    found = evaluate_ranker(model, view, encoder, split, view.newest_time + 1)
    assert set(found) == {"click", "like", "hide"}
    assert (found["click"].impressions, found["click"].positives) == (4, 2)
    assert found["click"].popularity_auc == 1.0
    assert found["like"].auc is None
    # Before anything happened, every item is as popular as any other.
    assert evaluate_ranker(model, view, encoder, 0, split)["click"].popularity_auc == 0.5
    assert evaluate_ranker(model, view, encoder, split, split) == {}


def test_predictions_do_not_depend_on_batches() -> None:
    view, encoder = state_of(slates()).view(), Encoder(TINY)
    found = examples(view, encoder, 0, view.newest_time + 1)
    model = build_ranker(DCNv2(width=8), encoder.schema).train()
    model.fit_inputs(found.sequences)
    whole = predict(model, found)
    assert not model.training
    assert whole.shape == (16, 3)
    assert ((whole > 0) & (whole < 1)).all()
    np.testing.assert_allclose(predict(model, found, batch_entries=3), whole, atol=1e-6)
