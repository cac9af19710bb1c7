"""Calibration makes probabilities come true without changing their order, and is checked on what it did not see."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition.models import FeedSR
from fourfold.features.inputs import Floats
from fourfold.models.calibration import KNOTS
from fourfold.models.io import build_ranker
from fourfold.models.ranker import Ranker
from fourfold.training.calibration import ISOTONIC_LEAST, PLATT_LEAST, Curve, calibrate, fit_curve
from fourfold.training.examples import Examples
from fourfold.training.manifest import CalibrationReport
from fourfold.training.prediction import predict_logits
from tests.contract.ranker_contract import SCHEMA, sequences_of


def drawn(logits: np.ndarray, truth: np.ndarray, seed: int = 0) -> Floats:
    """Outcomes whose log odds are `truth`."""
    return np.asarray(np.random.default_rng(seed).random(len(logits)) < 1 / (1 + np.exp(-truth)), np.float32)


def scores(count: int) -> Floats:
    return np.random.default_rng(1).normal(-1, 2, count).astype(np.float32)


def bent(curve: Curve, logits: np.ndarray) -> np.ndarray:
    return np.asarray(np.interp(logits, curve.knots, curve.values))


def test_platt_finds_the_line_of_an_overconfident_model() -> None:
    logits = scores(1_500)
    curve = fit_curve(logits, drawn(logits, 0.5 * logits - 1))
    assert curve.method == "platt"
    slope, at_zero = bent(curve, np.array([1.0])) - bent(curve, np.array([0.0])), bent(curve, np.array([0.0]))
    assert slope[0] == pytest.approx(0.5, abs=0.1)
    assert at_zero[0] == pytest.approx(-1, abs=0.2)


def test_isotonic_finds_a_bend_that_no_line_has() -> None:
    logits = scores(40_000)
    truth = np.where(logits < 0, 0.3 * logits, 1.5 * logits)
    curve = fit_curve(logits, drawn(logits, truth))
    assert curve.method == "isotonic"
    for low, high, slope in ((-4, -1, 0.3), (0.5, 2.5, 1.5)):
        found = bent(curve, np.array([low, high], float))
        assert (found[1] - found[0]) / (high - low) == pytest.approx(slope, abs=0.15)


@pytest.mark.parametrize("flip", [False, True])
def test_how_many_outcomes_decide_the_method(flip: bool) -> None:
    def method(rarer: int) -> str:
        labels = (np.arange(5_000) % 5_000 < rarer).astype(np.float32)
        return fit_curve(scores(5_000), 1 - labels if flip else labels).method

    found = [method(n) for n in (0, PLATT_LEAST - 1, PLATT_LEAST, ISOTONIC_LEAST - 1, ISOTONIC_LEAST)]
    assert found == ["none", "none", "platt", "platt", "isotonic"]


def test_unknown_outcomes_count_for_nothing() -> None:
    logits = scores(2_000)
    labels = drawn(logits, logits)
    unknown = np.full(500, np.nan, np.float32)
    curve, other = fit_curve(logits, labels), fit_curve(np.append(logits, scores(500)), np.append(labels, unknown))
    np.testing.assert_array_equal(curve.values, other.values)


@given(
    st.integers(0, 1 << 32),
    st.sampled_from([200, 6_000]),
    st.floats(-3, 3),
    st.sampled_from([0, 1, 20]),
)
def test_every_curve_rises(seed: int, count: int, slope: float, distinct: int) -> None:
    """Also of a model that is worse than chance, or says the same of everything."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, count).astype(np.float32)
    if distinct:
        logits = np.round(logits * distinct / 20).astype(np.float32)
    curve = fit_curve(logits, drawn(logits, slope * logits, seed))
    assert curve.knots.shape == curve.values.shape == (KNOTS,)
    assert np.isfinite(curve.values).all()
    for table in (curve.knots, curve.values):
        assert (np.diff(table.astype(np.float32)) > 0).all()
    if curve.method == "isotonic":
        assert np.diff(curve.knots).min() > 0.099


def test_outcomes_that_logits_separate_stay_finite() -> None:
    logits = np.concatenate([np.full(100, -1), np.full(100, 1)]).astype(np.float32)
    curve = fit_curve(logits, (logits > 0).astype(np.float32))
    # Platt's targets: (100 + 1) / (100 + 2) and 1 / 102.
    assert 1 / (1 + np.exp(-bent(curve, np.array([-1.0, 1.0])))) == pytest.approx([1 / 102, 101 / 102], abs=1e-4)


RANKER = FeedSR(width=8, heads=2, layers=1)


def held_out(late_rate: float = 0.5) -> tuple[Ranker, Examples]:
    """A ranker that is overconfident of `click` and has seen few likes, and rows of 400 requests in random order of time."""
    rng = np.random.default_rng(3)
    ranker = build_ranker(RANKER, SCHEMA)
    sequences = sequences_of(rng, [[1] * 5] * 400, SCHEMA)
    sequences.weight[:] = 1
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.mul_(2.0)
    request = rng.permutation(len(sequences)) * 1_000
    logits = predict_logits(ranker, sequences)
    labels = np.full(logits.shape, np.nan, np.float32)
    late = request >= np.quantile(request, 0.5)
    labels[:, 0] = drawn(logits[:, 0], 0.3 * logits[:, 0] + np.where(late, np.log(late_rate / (1 - late_rate)), 0))
    labels[:, 2] = request < 5_000
    return ranker, Examples(sequences=replace(sequences, labels=labels), viewer=request * 0, item=request * 0, request=request)


def calibrated(ranker: Ranker, rows: Examples) -> CalibrationReport:
    found = calibrate(ranker, rows)
    assert found is not None
    return found


def test_the_earlier_half_is_fitted_and_the_later_half_checked() -> None:
    ranker, rows = held_out()
    report = calibrated(ranker, rows)
    assert (report.first, report.last, report.checked_until) == (0, 1_000_000, 1_999_001)
    assert {name: action.method for name, action in report.actions.items()} == {
        "click": "platt",
        "long_view": "none",
        "like": "none",
    }
    click, unknown, like = report.actions.values()
    assert click.impressions == 1_000
    assert click.ece_before is not None
    assert click.ece_after is not None
    assert click.ece_after < click.ece_before
    assert (unknown.impressions, unknown.positives, unknown.ece_before, unknown.ece_after) == (0, 0, None, None)
    assert (like.impressions, like.positives) == (1_000, 5)
    assert like.ece_before == like.ece_after


def test_what_comes_later_changes_the_check_and_not_the_fit() -> None:
    (ranker, rows), (other, shifted) = held_out(), held_out(late_rate=0.9)
    report, moved = calibrated(ranker, rows), calibrated(other, shifted)
    assert torch.equal(ranker.calibration.values_AK, other.calibration.values_AK)
    before, after = report.actions["click"].ece_after, moved.actions["click"].ece_after
    assert before is not None
    assert after is not None
    assert after > before + 0.05


def test_a_second_calibration_starts_from_the_uncalibrated_logits() -> None:
    ranker, rows = held_out()
    first = calibrated(ranker, rows)
    values = ranker.calibration.values_AK.clone()
    assert calibrated(ranker, rows) == first
    assert torch.equal(ranker.calibration.values_AK, values)


def test_history_without_weight_is_not_calibrated_on() -> None:
    ranker, rows = held_out()
    rows.sequences.weight[rows.request < 600_000] = 0
    assert calibrated(ranker, rows).first == 600_000


def test_too_little_is_no_calibration() -> None:
    ranker, rows = held_out()
    rows.sequences.labels[:, 0] = 0
    assert calibrate(ranker, rows) is None
    rows.sequences.weight[:] = 0
    assert calibrate(ranker, rows) is None
    assert torch.equal(ranker.calibration.knots_AK, ranker.calibration.values_AK)
