"""Rankers judged: on the right impressions, beside popularity, and never on what nobody knows."""

import numpy as np
import pytest

from fourfold.definition import DCNv2
from fourfold.events.types import Action, Event, Impression
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats
from fourfold.models.io import build_ranker
from fourfold.training.evaluation import Judged, action_metrics, evaluate_ranker, item_rates, metrics, predict
from fourfold.training.examples import examples
from fourfold.training.metrics import Bootstrap
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


def test_metrics_of_one_outcome_are_undefined_where_they_must_be() -> None:
    member = np.array([0, 1])
    found = metrics(floats(1, 1), floats(0.5, 0.75), member, floats(0.1, 0.2), Bootstrap.over(member))
    assert (found.impressions, found.positives) == (2, 2)
    assert (found.auc, found.auc_ci, found.member_auc, found.member_auc_ci, found.ne, found.popularity_auc) == (None,) * 6
    assert found.ece == pytest.approx(0.375)
    assert [one.count for one in found.calibration] == [1, 1]


def test_what_nobody_knows_is_not_judged() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (40, 3)).astype(np.float32)
    probabilities, popularity = rng.random((40, 3), np.float32), rng.random((40, 3), np.float32)
    rows = np.arange(40)
    known = Judged(rows % 7, rows, rows, labels, probabilities, popularity)
    hidden = labels.copy()
    hidden[5:, 1] = np.nan
    found = action_metrics(TINY, Judged(rows % 7, rows, rows, hidden, probabilities, popularity))
    whole = action_metrics(TINY, known)
    assert (found["click"], found["hide"]) == (whole["click"], whole["hide"])
    assert found["like"].impressions == 5
    assert found["like"].positives == labels[:5, 1].sum()
    assert action_metrics(TINY, Judged(rows[:0], rows[:0], rows[:0], labels[:0], probabilities[:0], popularity[:0])) == {}


def test_popularity_counts_only_what_is_known() -> None:
    shown = [Impression(id=f"i{n}", time=START + n, viewer=f"m{n % 3}", item="p0", surface="feed") for n in range(3)]
    told = [Impression(id=f"k{n}", time=START + n, viewer="m0", item="p1", surface="feed", known=["like"]) for n in range(5)]
    done = [Action(id="a", time=START + 1, viewer="m0", item="p0", surface="feed", name="click")]
    view = state_of([*shown, *told, *done]).view()
    found = item_rates(view, START + HOUR)
    clicks = {name: found[view.rows("post", [name])[0], 0] for name in ("p0", "p1")}
    # One click in three impressions whose clicks are known; of p1 nothing is known, so it stands at the mean.
    assert clicks == {"p0": pytest.approx((1 + 10 / 3) / 13), "p1": pytest.approx(1 / 3)}


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
