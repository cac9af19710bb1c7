"""Metrics of predictions: areas under curves, entropy, calibration, and intervals from a bootstrap over members.

Plain arrays in, plain numbers out. One member's impressions are not independent, so members are drawn and not rows; and two
models are compared on the same draws, because their difference varies far less than either of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from fourfold.features.inputs import Floats
from fourfold.features.table import Int

DRAWS = 200
"""How often members are drawn."""

LEVEL = (0.025, 0.975)
"""The quantiles of the draws that make an interval."""

Values = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Bootstrap:
    """Members drawn with replacement: `weights` (draws, members) says how often each was, `code` (N,) whose each row is."""

    code: Int
    weights: NDArray[np.int32]

    @classmethod
    def over(cls, member: Int, draws: int = DRAWS, seed: int = 0) -> "Bootstrap":
        """Draws of the members of some rows; seed and rows alone decide them."""
        names, code = np.unique(member, return_inverse=True)
        count, random = len(names), np.random.default_rng(seed)
        drawn = [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(draws if count else 0)]
        return cls(code, np.array(drawn, np.int32).reshape(len(drawn), count))

    def rows(self, chosen: NDArray[np.bool_]) -> "Bootstrap":
        """The same draws for some of the rows."""
        return replace(self, code=self.code[chosen])


class Bin(Struct, frozen=True, kw_only=True):
    """Rows of similar probability: their number, the mean that was predicted and the mean that was observed."""

    count: int
    predicted: float
    observed: float


class Difference(Struct, frozen=True, kw_only=True):
    """A metric of one model less that of another on the same rows: 95 % interval, and the share of draws that lie above 0."""

    difference: float
    low: float
    high: float
    above: float


class Paired(Struct, frozen=True, kw_only=True):
    """Two models compared; None where the area is undefined, as it is if only one outcome occurs."""

    auc: Difference | None
    member_auc: Difference | None


def auc(label: Floats, score: Floats) -> float | None:
    """Area under the ROC curve, ties counted half; None if all labels are equal."""
    return float(roc_auc_score(label, score)) if 0 < label.sum() < len(label) else None


def auc_draws(label: Floats, score: Floats, bootstrap: Bootstrap) -> Values:
    """The AUC of each draw, shape (draws,); NaN where a draw has one outcome only.

    Rows are sorted once: for each positive, how many distinct negatives stand below it and how many beside. A draw then adds
    up whole numbers, so that it does not depend on the order of rows.
    """
    order = np.argsort(score, kind="stable")
    good, code, ordered = label[order] > 0, bootstrap.code[order], score[order]
    first, last = (np.searchsorted(ordered, ordered[good], side=side) for side in ("left", "right"))
    bad = np.flatnonzero(~good)
    below, upto = np.searchsorted(bad, first), np.searchsorted(bad, last)
    areas, of_good, of_bad = np.full(len(bootstrap.weights), np.nan), code[good], code[bad]
    reached = np.zeros(len(bad) + 1, np.int64)
    for draw, weight in enumerate(bootstrap.weights):
        np.cumsum(weight[of_bad], out=reached[1:])
        positives = weight[of_good].astype(np.int64)
        pairs = int(positives.sum()) * int(reached[-1])
        if pairs:
            areas[draw] = int((positives * (reached[below] + reached[upto])).sum()) / (2 * pairs)
    return areas


def member_auc(label: Floats, score: Floats, member: Int) -> float | None:
    """Mean AUC inside members who have both outcomes, each weighted by its impressions; None if nobody has."""
    _, code = np.unique(member, return_inverse=True)
    _, area, size = _areas(label, score, code)
    return float(np.average(area, weights=size)) if len(area) else None


def member_auc_draws(label: Floats, score: Floats, bootstrap: Bootstrap) -> Values:
    """`member_auc` of each draw, shape (draws,); NaN where no drawn member has both outcomes."""
    member, area, size = _areas(label, score, bootstrap.code)
    weight = bootstrap.weights[:, member] * size
    total = weight.sum(axis=1)
    means = np.full(len(total), np.nan)
    np.divide((weight * area).sum(axis=1), total, out=means, where=total > 0)
    return means


def interval(draws: Values) -> Interval | None:
    """The 95 % interval of a bootstrap; None if no draw is defined."""
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, LEVEL)
    return float(low), float(high)


def paired(label: Floats, first: Floats, second: Floats, member: Int, draws: int = DRAWS * 5, seed: int = 0) -> Paired:
    """How much better the scores `first` order than `second`, by a paired bootstrap over members.

    Parameters
    ----------
    label : Floats
        Shape (N,), 0 or 1; rows with NaN, an unknown outcome, are left out.
    first, second : Floats
        Shape (N,), what two models say of the same rows.
    member : Int
        Shape (N,), whose impression each row is.
    draws, seed : int
        Of the bootstrap.

    Examples
    --------
    >>> label, member = np.array([0, 1, 0, 1], np.float32), np.array([0, 0, 1, 1])
    >>> good, poor = np.array([0.1, 0.9, 0.2, 0.8], np.float32), np.array([0.9, 0.1, 0.2, 0.8], np.float32)
    >>> paired(label, good, poor, member).member_auc.difference
    0.5
    """
    known = ~np.isnan(label)
    bootstrap = Bootstrap.over(member[known], draws, seed)
    label, first, second, member = label[known], first[known], second[known], member[known]
    return Paired(
        auc=_difference(auc(label, first), auc(label, second), lambda score: auc_draws(label, score, bootstrap), first, second),
        member_auc=_difference(
            member_auc(label, first, member),
            member_auc(label, second, member),
            lambda score: member_auc_draws(label, score, bootstrap),
            first,
            second,
        ),
    )


def normalised_entropy(label: Floats, probability: Floats) -> float | None:
    """Log loss divided by the entropy of the mean (He et al., 2014); None if all labels are equal."""
    if not 0 < label.sum() < len(label):
        return None
    mean = float(label.mean(dtype=np.float64))
    clipped = np.clip(probability.astype(float), 1e-7, 1 - 1e-7)
    loss = -(label * np.log(clipped) + (1 - label) * np.log(1 - clipped)).mean()
    return float(loss / -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)))


def calibration_curve(label: Floats, probability: Floats, bins: int = 10) -> list[Bin]:
    """What was observed where how much was predicted: bins of equal count, by rising probability; empty ones left out."""
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    return [
        Bin(
            count=len(part),
            predicted=float(probability[part].mean(dtype=np.float64)),
            observed=float(label[part].mean(dtype=np.float64)),
        )
        for part in parts
        if len(part)
    ]


def calibration_error(label: Floats, probability: Floats, bins: int = 10) -> float:
    """Expected calibration error: mean |predicted - observed| over bins of equal count, weighted by count."""
    curve = calibration_curve(label, probability, bins)
    return sum(one.count * abs(one.predicted - one.observed) for one in curve) / max(len(label), 1)


def _areas(label: Floats, score: Floats, code: Int) -> tuple[Int, Values, Int]:
    """The AUC inside each member who has both outcomes, and that member's impressions."""
    if not len(code):
        return code, np.zeros(0), code
    order = np.lexsort((score, code))
    member, good = code[order], label[order].astype(float)
    starts = np.flatnonzero(np.append(True, member[1:] != member[:-1]))
    sizes = np.diff(np.append(starts, len(member)))
    rank = _average_ranks(member, score[order]) - np.repeat(starts, sizes)
    positives = np.add.reduceat(good, starts)
    both = (positives > 0) & (positives < sizes)
    rank_sum = np.add.reduceat(rank * good, starts)[both]
    positives, sizes = positives[both], sizes[both]
    area = (rank_sum - positives * (positives + 1) / 2) / (positives * (sizes - positives))
    return member[starts][both], area, sizes


def _average_ranks(member: Int, score: Floats) -> Values:
    """Ranks from 1 over rows sorted by (member, score); ties of one member share their mean."""
    new = np.append(True, (member[1:] != member[:-1]) | (score[1:] != score[:-1]))
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(score)))
    return np.repeat(starts + (sizes + 1) / 2, sizes)


def _difference(
    first: float | None, second: float | None, draws: Callable[[Floats], Values], a: Floats, b: Floats
) -> Difference | None:
    if first is None or second is None:
        return None
    differences = draws(a) - draws(b)
    low, high = interval(differences) or (np.nan, np.nan)
    above = float((differences > 0).sum() / max(np.isfinite(differences).sum(), 1))
    return Difference(difference=first - second, low=low, high=high, above=above)
