"""Metrics against hand-computed tables, scikit-learn and simulated truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from fourfold.features.inputs import Floats
from fourfold.training.metrics import (
    Bootstrap,
    auc,
    auc_draws,
    calibration_curve,
    calibration_error,
    interval,
    member_auc,
    member_auc_draws,
    normalised_entropy,
    paired,
)


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


judged = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.2, 0.5, 0.9]), st.integers(0, 3)), min_size=1, max_size=40
)


def split(rows: list[tuple[int, float, int]]) -> tuple[Floats, Floats, np.ndarray]:
    label, score = floats(*(row[0] for row in rows)), floats(*(row[1] for row in rows))
    return label, score, np.array([row[2] for row in rows])


@given(judged)
def test_areas_equal_those_of_scikit_learn(rows: list[tuple[int, float, int]]) -> None:
    label, score, member = split(rows)
    assert auc(label, score) == (roc_auc_score(label, score) if len(set(label)) == 2 else None)
    groups = [np.flatnonzero(member == one) for one in np.unique(member)]
    both = [group for group in groups if len(set(label[group])) == 2]
    inside = [float(roc_auc_score(label[group], score[group])) for group in both]
    expected = np.average(inside, weights=[len(group) for group in both]) if both else None
    assert member_auc(label, score, member) == (None if expected is None else pytest.approx(expected))


@given(judged, st.integers(0, 5))
def test_draws_equal_those_computed_on_repeated_rows(rows: list[tuple[int, float, int]], seed: int) -> None:
    label, score, member = split(rows)
    bootstrap = Bootstrap.over(member, draws=3, seed=seed)
    assert bootstrap.weights.sum(axis=1).tolist() == [len(set(member))] * 3
    areas, inside = auc_draws(label, score, bootstrap), member_auc_draws(label, score, bootstrap)
    for draw, weight in enumerate(bootstrap.weights):
        index = np.repeat(np.arange(len(rows)), weight[bootstrap.code])
        copies = np.concatenate([np.arange(count) for count in weight[bootstrap.code]]) * 10
        expected = auc(label[index], score[index]), member_auc(label[index], score[index], member[index] + copies)
        for found, wanted in zip((areas[draw], inside[draw]), expected, strict=True):
            assert found == pytest.approx(np.nan if wanted is None else wanted, nan_ok=True)


@given(judged, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows: list[tuple[int, float, int]], random: object) -> None:
    label, score, member = split(rows)
    order = np.random.default_rng(random.randrange(99)).permutation(len(rows))  # type: ignore[attr-defined]  # a Random
    for metric in (auc_draws, member_auc_draws):
        one, other = (
            metric(label[index], score[index], Bootstrap.over(member[index], draws=5)) for index in (slice(None), order)
        )
        np.testing.assert_array_equal(one, other)


def test_areas_by_hand() -> None:
    label, score = floats(0, 1, 0, 1), floats(0.1, 0.3, 0.3, 0.9)
    assert auc(label, score) == pytest.approx(3.5 / 4)  # one tie counts half
    # Member 0 orders both pairs right, member 1 its only pair wrong; the weights are their three and two impressions.
    member = np.array([0, 0, 0, 1, 1])
    found = member_auc(floats(0, 1, 1, 1, 0), floats(0.1, 0.2, 0.3, 0.1, 0.9), member)
    assert found == pytest.approx((3 * 1.0 + 2 * 0.0) / 5)
    assert member_auc(floats(1, 0), floats(0.5, 0.5), np.array([0, 1])) is None


def test_nothing_to_judge() -> None:
    none, nobody = floats(), np.zeros(0, np.int64)
    assert (auc(none, none), member_auc(none, none, nobody), normalised_entropy(none, none)) == (None, None, None)
    assert (calibration_error(none, none), calibration_curve(none, none)) == (0.0, [])
    bootstrap = Bootstrap.over(nobody)
    assert interval(auc_draws(none, none, bootstrap)) is None
    assert interval(member_auc_draws(none, none, bootstrap)) is None
    assert paired(none, none, none, nobody).auc is None


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


def test_calibration_by_hand() -> None:
    # Two bins of two: predicted 0.15 and 0.85, observed 0.5 and 1.
    label, probability = floats(1, 0, 1, 1), floats(0.8, 0.1, 0.2, 0.9)
    assert calibration_error(label, probability, bins=2) == pytest.approx((2 * 0.35 + 2 * 0.15) / 4)
    assert calibration_error(label, probability, bins=1) == pytest.approx(0.25)
    assert calibration_error(floats(1), floats(0.25)) == pytest.approx(0.75)
    curve = calibration_curve(label, probability, bins=2)
    assert [(one.count, one.observed) for one in curve] == [(2, 0.5), (2, 1.0)]
    assert [one.predicted for one in curve] == pytest.approx([0.15, 0.85])
    assert sum(one.count for one in calibration_curve(label, probability)) == 4


def test_an_interval_is_deterministic_and_holds_the_truth() -> None:
    """Scores are the label plus normal noise, so the true area is Phi(1 / sqrt(2)); members shift both alike."""
    truth, held, inside = 0.7602, 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        member = np.repeat(np.arange(80), 5)
        label = rng.integers(0, 2, len(member)).astype(np.float32)
        score = (label + rng.normal(size=len(label))).astype(np.float32)
        bootstrap = Bootstrap.over(member, seed=1)
        found, of_members = interval(auc_draws(label, score, bootstrap)), interval(member_auc_draws(label, score, bootstrap))
        assert found == interval(auc_draws(label, score, Bootstrap.over(member, seed=1)))
        assert found is not None
        assert of_members is not None
        assert found[0] < found[1]
        held += found[0] <= truth <= found[1]
        inside += of_members[0] <= truth <= of_members[1]
    assert held >= 17
    assert inside >= 17


def test_the_interval_draws_members_and_not_rows() -> None:
    """A hundred copies of each impression tell nothing new."""
    rng = np.random.default_rng(0)
    member, label = np.arange(40), rng.integers(0, 2, 40).astype(np.float32)
    score = rng.normal(size=40).astype(np.float32)
    few, many = (
        interval(auc_draws(np.repeat(label, n), np.repeat(score, n), Bootstrap.over(np.repeat(member, n)))) for n in (1, 100)
    )
    assert few == pytest.approx(many)
    assert interval(auc_draws(np.ones(3, np.float32), score[:3], Bootstrap.over(member[:3]))) is None


def test_the_same_members_are_drawn_for_some_of_the_rows() -> None:
    member, chosen = np.array([0, 0, 1, 2, 2]), np.array([True, False, False, True, True])
    whole = Bootstrap.over(member, draws=4)
    part = whole.rows(chosen)
    np.testing.assert_array_equal(part.weights[:, part.code], whole.weights[:, whole.code][:, chosen])


def compared(noise: float) -> tuple[Floats, Floats, Floats, np.ndarray]:
    rng = np.random.default_rng(7)
    member = np.repeat(np.arange(300), 6)
    shift = np.repeat(rng.normal(size=300), 6)
    label = (rng.random(1800) < 1 / (1 + np.exp(-shift))).astype(np.float32)
    good = (label + shift + rng.normal(size=1800)).astype(np.float32)
    return label, good, (good + noise * rng.normal(size=1800)).astype(np.float32), member


def test_paired_differences_are_narrower_than_the_intervals_of_either() -> None:
    label, good, poor, member = compared(1.0)
    found = paired(label, good, poor, member).auc
    alone = interval(auc_draws(label, good, Bootstrap.over(member)))
    assert found is not None
    assert alone is not None
    assert found.difference == pytest.approx((auc(label, good) or 0) - (auc(label, poor) or 0))
    assert 0 < found.low < found.difference < found.high
    assert found.high - found.low < 0.8 * (alone[1] - alone[0])
    assert found.above > 0.99
    other = paired(label, poor, good, member).auc
    assert other is not None
    assert (other.low, other.high, other.above) == pytest.approx((-found.high, -found.low, 1 - found.above))


def test_paired_differences_inside_members() -> None:
    label, good, poor, member = compared(2.0)
    found = paired(label, good, poor, member).member_auc
    assert found is not None
    assert found.difference == pytest.approx((member_auc(label, good, member) or 0) - (member_auc(label, poor, member) or 0))
    assert found.above == 1.0
    # What a member does in general tells nothing about the order of its own items.
    mean = np.bincount(member, label, minlength=300)[member].astype(np.float32)
    blind = paired(label, mean, np.zeros_like(mean), member)
    assert blind.member_auc is not None
    assert blind.auc is not None
    assert (blind.member_auc.difference, blind.member_auc.above) == (0.0, 0.0)
    assert blind.auc.low > 0.1


def test_a_model_against_itself_and_unknown_outcomes() -> None:
    label, good, poor, member = compared(1.0)
    itself = paired(label, good, good, member).auc
    assert itself is not None
    assert (itself.difference, itself.low, itself.high, itself.above) == (0.0, 0.0, 0.0, 0.0)
    unknown = np.append(label, np.float32(np.nan)), np.append(good, np.float32(9)), np.append(poor, np.float32(0))
    assert paired(*unknown, np.append(member, 999)) == paired(label, good, poor, member)
    assert paired(np.ones_like(label), good, poor, member).auc is None
