"""Statements about experiments that hold however often one looks: confidence sequences over viewers, in order of entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.stats import chi2

Values = NDArray[np.float64]

TUNED_AT = 2_000
"""At how many viewers the sequence is tightest. It is fixed before any experiment, as it must not depend on what came out; at a
hundred thousand viewers the sequence is 14 % wider than one made for so many."""

FEWEST = 100
"""Viewers of each variant before anything is concluded: below, the normal approximation is not to be trusted."""

MISMATCH = 0.001
"""Below this probability a split of viewers is not believed to be chance."""

POWER = 0.8
"""The chance with which `viewers_needed` lets an effect be found."""

MOST = 10**10


class Estimate(Struct, frozen=True, kw_only=True):
    """A figure with what it may be in truth.

    Parameters
    ----------
    value : float
        The estimate.
    low, high : float
        Its interval at this one look: right in 1 - level of all cases, if one looks once.
    safe_low, safe_high : float
        Its confidence sequence: in 1 - level of all cases the truth never leaves it, however often one looks.
    error : float
        The standard error.
    viewers : int
        How many viewers it rests on.
    """

    value: float
    low: float
    high: float
    safe_low: float
    safe_high: float
    error: float
    viewers: int


@dataclass(frozen=True)
class Part:
    """The mean of something over N viewers, and its variance (that of the mean)."""

    mean: float
    variance: float
    viewers: int


def mean_of(values: Values) -> Part:
    """The mean over viewers, array of shape (N,)."""
    count = len(values)
    if count < 2:
        return Part(float(values.sum()), 0.0, count)
    return Part(float(values.mean()), float(values.var(ddof=1)) / count, count)


def ratio_of(values: Values, per: Values) -> Part:
    """``sum(values) / sum(per)`` over viewers, arrays of shape (N,), its variance by the delta method.

    The influence of a viewer is ``(value - ratio * per) / mean(per)`` (Deng, Knoblich and Lu, KDD 2018).
    """
    if not per.any():
        return Part(0.0, 0.0, len(per))
    ratio = float(values.sum() / per.sum())
    spread = mean_of((values - ratio * per) / per.mean())
    return Part(ratio, spread.variance, len(per))


def difference(treatment: Part, control: Part, level: float) -> Estimate:
    """How much more the one is than the other; both are means over viewers who were assigned at random."""
    error = sqrt(treatment.variance + control.variance)
    return estimate(treatment.mean - control.mean, error, treatment.viewers + control.viewers, level)


def estimate(value: float, error: float, viewers: int, level: float) -> Estimate:
    """A figure with its standard error, and both of its intervals."""
    once = NormalDist().inv_cdf(1 - level / 2) * error
    always = float(safe_factor(np.array([max(viewers, 1)], np.float64), level)[0]) * error
    return Estimate(
        value=value,
        low=value - once,
        high=value + once,
        safe_low=value - always,
        safe_high=value + always,
        error=error,
        viewers=viewers,
    )


def safe_factor(viewers: Values, level: float) -> Values:
    """Half the width of the confidence sequence after so many viewers, in standard errors; array of any shape.

    With ``t`` viewers, ``sqrt(2 (t r + 1) / (t r) * log(sqrt(t r + 1) / level))``: the asymptotic confidence sequence of
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Time-uniform central limit theory and asymptotic confidence sequences,
    Annals of Statistics 2024, theorem 2.2), which rests on the normal mixture of Robbins (1970); `r` is what they call rho
    squared, near its best at `TUNED_AT`.
    """
    wide = -2 * log(level)
    spent = viewers * (wide + log(wide + 1)) / TUNED_AT
    factor: Values = np.sqrt(2 * (spent + 1) / spent * np.log(np.sqrt(spent + 1) / level))
    return factor


def viewers_needed(found: Estimate, effect: float, level: float) -> int | None:
    """How many viewers in all it takes to find an effect of a size in `POWER` of all cases; None where there is no telling.

    Parameters
    ----------
    found : Estimate
        Whose spread and split of viewers is taken as it is.
    effect : float
        In the estimate's unit.
    level : float
        Of the confidence sequence.
    """
    if not effect or not found.error:
        return None
    spread = found.error * sqrt(max(found.viewers, 1))
    counts = np.unique(np.geomspace(2, MOST, 4_000).astype(np.int64)).astype(np.float64)
    error = spread / np.sqrt(counts)
    enough = (safe_factor(counts, level) + NormalDist().inv_cdf(POWER)) * error <= abs(effect)
    return int(counts[np.argmax(enough)]) if enough.any() else None


def mismatch(observed: Sequence[int], shares: Sequence[float]) -> float:
    """The probability of a split at least as far from the declared shares, by Pearson's chi-squared test; 1 without viewers.

    Assignments that are broken, or exposures that one variant loses, make it tiny (Fabijan et al., Diagnosing sample ratio
    mismatch in online controlled experiments, KDD 2019).
    """
    counts = np.array(observed, np.float64)
    expected = counts.sum() * np.array(shares) / sum(shares)
    if not counts.any():
        return 1.0
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))
