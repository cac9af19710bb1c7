"""Intervals by hand, and what they promise, counted over many simulated experiments."""

from math import log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare

from fourfold.lab.sequential import (
    FEWEST,
    TUNED_AT,
    Estimate,
    Part,
    Values,
    difference,
    estimate,
    mean_of,
    mismatch,
    ratio_of,
    safe_factor,
    viewers_needed,
)

Mask = NDArray[np.bool_]


def test_a_mean_and_a_ratio_by_hand() -> None:
    mean = mean_of(np.array([1.0, 2.0, 6.0]))
    assert (mean.mean, mean.viewers) == (3.0, 3)
    assert mean.variance == pytest.approx(7 / 3)
    # 9 actions of 6 impressions: influences (v - 1.5 p) / 2 are -0.25, -0.5 and 0.75.
    ratio = ratio_of(np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert (ratio.mean, ratio.viewers) == (1.5, 3)
    assert ratio.variance == pytest.approx((0.25**2 + 0.5**2 + 0.75**2) / 2 / 3)


def test_figures_of_nobody_are_finite() -> None:
    nobody = np.zeros(0)
    assert mean_of(nobody) == Part(0.0, 0.0, 0)
    assert ratio_of(nobody, nobody) == Part(0.0, 0.0, 0)
    assert mean_of(np.ones(1)).variance == 0.0
    assert np.isfinite(difference(mean_of(nobody), mean_of(nobody), 0.05).safe_high)


def test_the_delta_method_agrees_with_the_spread_over_samples() -> None:
    rng = np.random.default_rng(3)
    shown = rng.poisson(rng.gamma(2, 5, (2_000, 300))).astype(float)
    acted = rng.binomial(shown.astype(int), rng.beta(2, 8, shown.shape)).astype(float)
    ratios = acted.sum(axis=1) / shown.sum(axis=1)
    said = [sqrt(ratio_of(one, per).variance) for one, per in zip(acted[:200], shown[:200], strict=True)]
    assert np.mean(said) == pytest.approx(ratios.std(), rel=0.06)


def test_the_sequence_by_hand() -> None:
    rho2 = (2 * log(20) + log(2 * log(20) + 1)) / TUNED_AT
    margin = sqrt(2 * (500 * rho2 + 1) / (500**2 * rho2) * log(sqrt(500 * rho2 + 1) / 0.05))
    found = estimate(1.0, 1 / sqrt(500), 500, 0.05)
    assert (found.safe_low, found.safe_high) == pytest.approx((1 - margin, 1 + margin))
    assert (found.low, found.high) == pytest.approx((1 - 1.959964 / sqrt(500), 1 + 1.959964 / sqrt(500)))


def test_it_is_tightest_where_it_is_tuned_and_never_tighter_than_a_single_look() -> None:
    counts = np.array([10.0, 500.0, TUNED_AT, 8_000.0, 1e6])
    factors = safe_factor(counts, 0.05)
    # Against tuning at each count itself: the factor depends on the count through its ratio to TUNED_AT alone.
    assert factors.argmin() == 2
    assert (factors > 1.96).all()
    assert (safe_factor(counts, 0.01) > factors).all()


def peeked(outcome: Values, treated: Mask, level: float) -> tuple[Values, Values]:
    """The largest standardised difference of each world, over its sequence and over a single look's interval.

    Worlds are rows, viewers in order of entry are columns; everybody looks after each viewer.
    """
    counts = [mask.cumsum(axis=1) for mask in (treated, ~treated)]
    enough = np.minimum(*counts) >= FEWEST
    parts = []
    for mask, count in zip((treated, ~treated), counts, strict=True):
        total = np.maximum(count, 2)
        mean = (outcome * mask).cumsum(axis=1) / total
        parts.append((mean, ((outcome**2 * mask).cumsum(axis=1) - total * mean**2) / (total - 1) / total))
    (ours, first), (theirs, second) = parts
    spread = np.where(enough, np.sqrt(first + second), np.inf)
    standardised = np.abs(ours - theirs) / spread
    safe = safe_factor(counts[0] + counts[1] + 0.0, level)
    return (standardised / safe).max(axis=1), (standardised / 1.96).max(axis=1)


@pytest.mark.parametrize(("share", "seed"), [(0.5, 11), (0.2, 12)])
def test_with_no_difference_continuous_peeking_errs_as_rarely_as_stated(share: float, seed: int) -> None:
    """Skewed counts, 400 experiments, a look after every viewer; intervals for a single look err many times as often."""
    rng = np.random.default_rng(seed)
    outcome = rng.poisson(rng.gamma(0.5, 2.0, (400, 4_000))).astype(float)
    safe, once = peeked(outcome, rng.random(outcome.shape) < share, 0.05)
    assert (safe > 1).mean() <= 0.05
    assert (once > 1).mean() > 0.15


def test_viewers_who_go_on_acting_while_one_looks_do_no_harm() -> None:
    """All viewers are there from the beginning, and their counts grow between looks."""
    rng = np.random.default_rng(5)
    worlds, viewers = 300, 800
    liking = rng.gamma(2.0, 0.05, (worlds, viewers))
    treated = rng.permuted(np.arange(worlds * viewers).reshape(worlds, viewers) % 2 == 0, axis=1)
    acted, wrong = np.zeros((worlds, viewers)), np.zeros(worlds, bool)
    for _ in range(40):
        acted += rng.poisson(liking)
        sides = [acted[mask].reshape(worlds, -1) for mask in (treated, ~treated)]
        value = sides[0].mean(axis=1) - sides[1].mean(axis=1)
        error = np.sqrt(sum(side.var(axis=1) / side.shape[1] for side in sides))
        wrong |= np.abs(value) > safe_factor(np.array([float(viewers)]), 0.05) * error
    assert wrong.mean() <= 0.05


def test_a_difference_that_is_there_is_found_about_when_it_was_said() -> None:
    rng = np.random.default_rng(6)
    effect = 0.3
    pilot = difference(mean_of(rng.normal(0, 1, 400)), mean_of(rng.normal(0, 1, 400)), 0.05)
    needed = viewers_needed(pilot, effect, 0.05)
    assert needed is not None
    outcome = rng.normal(0, 1, (400, needed))
    treated = rng.random(outcome.shape) < 0.5
    safe, _ = peeked(outcome + effect * treated, treated, 0.05)
    # Earlier looks find some of the others too.
    assert 0.75 < (safe > 1).mean() < 0.97


def test_how_many_viewers_it_takes() -> None:
    found = estimate(0.0, 0.1, 1_000, 0.05)
    needed = [viewers_needed(found, effect, 0.05) or 0 for effect in (0.4, 0.2, 0.1)]
    assert needed == sorted(needed)
    assert needed[0] > 0
    assert viewers_needed(found, -0.2, 0.05) == needed[1]
    assert viewers_needed(found, 0.0, 0.05) is None
    nothing = Estimate(value=0, low=0, high=0, safe_low=0, safe_high=0, error=0, viewers=9)
    assert viewers_needed(nothing, 0.1, 0.05) is None
    assert viewers_needed(found, 1e-9, 0.05) is None


def test_a_split_by_the_declared_shares() -> None:
    assert mismatch([520, 480], [0.5, 0.5]) == pytest.approx(chisquare([520, 480]).pvalue)
    assert mismatch([900, 100], [0.45, 0.05]) == 1.0
    assert mismatch([5_300, 4_700], [0.5, 0.5]) < 1e-8
    assert mismatch([0, 0], [0.5, 0.5]) == 1.0
    assert mismatch([600, 0, 300], [0.5, 0.25, 0.25]) < 1e-20
