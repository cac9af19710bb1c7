"""Off-policy estimates: what another policy would have earned, from a log whose policy drew at random and kept the odds.

A log tells only of what was shown, so each reward is weighted by how much likelier the other policy would have shown it. The
estimates differ in how they pay for rare, heavy weights; all say how heavy they were.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Values = NDArray[np.float64]

_TWO_SIDED = NormalDist().inv_cdf(0.975)


class OffPolicyError(ValueError):
    """Logged decisions from which nothing can be estimated; the message names the array and says what to give."""


class Estimate(Struct, frozen=True, kw_only=True):
    """The value of a policy, in mean reward per decision.

    Parameters
    ----------
    value, low, high : float
        The estimate and its 95 % interval (normal, from the spread over members). Clipping biases the value towards the
        policy that logged, and the interval does not show it.
    effective : float
        Effective number of decisions, ``(sum w)**2 / sum w**2``: with few of them the interval cannot be trusted either.
    largest : float
        The largest weight that was used.
    clipped : float
        The share of decisions whose weight was cut to the clip.
    """

    value: float
    low: float
    high: float
    effective: float
    largest: float
    clipped: float


@dataclass(frozen=True)
class Decisions:
    """N logged decisions.

    Parameters
    ----------
    reward : array, shape (N,)
        What came of each.
    propensity : array, shape (N,)
        The probability with which the logging policy showed what it showed: above 0, at most 1.
    target : array, shape (N,)
        The probability with which the policy that is asked about would have shown the same: 0 to 1.
    member : array of int, shape (N,), optional
        Whose each is: decisions about one member are not independent. Without it each stands alone.

    Raises
    ------
    OffPolicyError
        If the arrays are empty, differ in length or hold what is no probability.
    """

    reward: Values
    propensity: Values
    target: Values
    member: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        _check(self)


def ips(decisions: Decisions, clip: float | None = None) -> Estimate:
    """Inverse propensity scoring, ``mean(w r)`` (Horvitz and Thompson, 1952): unbiased, and noisy where weights are heavy."""
    weight, clipped = _weights(decisions, clip)
    value = float((weight * decisions.reward).mean())
    return _estimate(decisions, weight, clipped, value, weight * decisions.reward - value)


def self_normalised(decisions: Decisions, clip: float | None = None) -> Estimate:
    """``sum(w r) / sum(w)`` (Swaminathan and Joachims, 2015): a little biased in small logs, and far less noisy.

    Raises
    ------
    OffPolicyError
        If the other policy would have shown nothing of what was logged.
    """
    weight, clipped = _weights(decisions, clip)
    if not weight.any():
        raise OffPolicyError("target is 0 everywhere; the log tells nothing of a policy that shows none of what was shown")
    value = float((weight * decisions.reward).sum() / weight.sum())
    return _estimate(decisions, weight, clipped, value, weight * (decisions.reward - value) / weight.mean())


def doubly_robust(decisions: Decisions, predicted: Values, expected: Values, clip: float | None = None) -> Estimate:
    """``mean(expected + w (r - predicted))`` (Dudik et al., 2011): a model of rewards, corrected where the log knows better.

    It is right if either the propensities or the model are.

    Parameters
    ----------
    decisions : Decisions
        What was logged.
    predicted : array, shape (N,)
        The model's reward of what was shown.
    expected : array, shape (N,)
        The model's mean reward under the policy that is asked about: summed over all it could have shown, times how likely.
    clip : float, optional
        The heaviest weight to use.
    """
    for name, values in (("predicted", predicted), ("expected", expected)):
        if values.shape != decisions.reward.shape or not np.isfinite(values).all():
            raise OffPolicyError(f"{name} must hold a finite number for each of the {len(decisions.reward)} decisions")
    weight, clipped = _weights(decisions, clip)
    terms = expected + weight * (decisions.reward - predicted)
    value = float(terms.mean())
    return _estimate(decisions, weight, clipped, value, terms - value)


def _weights(decisions: Decisions, clip: float | None) -> tuple[Values, float]:
    """The importance weights, and the share of them that was clipped."""
    if clip is not None and not clip > 0:
        raise OffPolicyError(f"clip is {clip}; write the heaviest weight to use, such as 100, or leave it out")
    weight: Values = decisions.target / decisions.propensity
    if clip is None:
        return weight, 0.0
    return np.minimum(weight, clip), float((weight > clip).mean())


def _estimate(decisions: Decisions, weight: Values, clipped: float, value: float, influence: Values) -> Estimate:
    """The interval from the influence of each member on the value: the sum of that of its decisions."""
    member = np.arange(len(influence)) if decisions.member is None else np.unique(decisions.member, return_inverse=True)[1]
    by_member = np.bincount(member, influence)
    count = len(by_member)
    margin = _TWO_SIDED * float(np.sqrt((by_member**2).sum() * count / max(count - 1, 1))) / len(influence)
    return Estimate(
        value=value,
        low=value - margin,
        high=value + margin,
        effective=float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0,
        largest=float(weight.max()),
        clipped=clipped,
    )


def _check(decisions: Decisions) -> None:
    count = len(decisions.reward)
    if not count:
        raise OffPolicyError("reward is empty; give at least one logged decision")
    for name in ("reward", "propensity", "target", "member"):
        values = getattr(decisions, name)
        if values is not None and values.shape != (count,):
            raise OffPolicyError(f"{name} has shape {values.shape}; give one number for each of the {count} decisions")
    if not np.isfinite(decisions.reward).all():
        raise OffPolicyError("reward holds NaN or infinity; leave out decisions whose reward is unknown")
    if not ((decisions.propensity > 0) & (decisions.propensity <= 1)).all():
        raise OffPolicyError("propensity must lie above 0 and at most at 1: what cannot be shown is not in a log")
    if not ((decisions.target >= 0) & (decisions.target <= 1)).all():
        raise OffPolicyError("target must lie between 0 and 1: it is a probability")
