"""Evaluation of a ranker: every impression of a period judged with what happened strictly before its request.

Nothing is sampled. Intervals come from a bootstrap over members, because one member's impressions are not independent.
"""

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats
from fourfold.features.table import Int
from fourfold.features.timeline import timeline
from fourfold.features.view import View
from fourfold.models.ranker import Ranker
from fourfold.training.examples import Examples, examples
from fourfold.training.examples import labels as outcomes
from fourfold.training.prediction import predict_logits

BOOTSTRAPS = 200


class ActionMetrics(Struct, frozen=True, kw_only=True):
    """How well one action is predicted.

    Parameters
    ----------
    impressions, positives : int
        What it was judged on.
    auc : float or None
        Area under the ROC curve over all impressions; None where only one outcome occurs.
    auc_ci : tuple of float, or None
        95 % interval of `auc`.
    member_auc : float or None
        Mean AUC inside each member's own impressions, weighted by impressions: what orders a slate.
    ne : float or None
        Normalised entropy: log loss over that of always predicting the mean. Below 1 is better than knowing nothing.
    ece : float
        Expected calibration error over 10 equal-count bins.
    popularity_auc : float or None
        The AUC of the item's own smoothed rate before the period: what a model must beat.
    """

    impressions: int
    positives: int
    auc: float | None
    auc_ci: tuple[float, float] | None
    member_auc: float | None
    ne: float | None
    ece: float
    popularity_auc: float | None


def evaluate_ranker(ranker: Ranker, view: View, encoder: Encoder, since: int, before: int) -> dict[str, ActionMetrics]:
    """Judge a ranker on the impressions whose request is in ``[since, before)``: metrics per action."""
    rows = examples(view, encoder, since, before)
    judged = rows.sequences.weight > 0
    if not judged.any():
        return {}
    probabilities = predict(ranker, rows)[judged]
    labels, viewer, item = rows.sequences.labels[judged], rows.viewer[judged], rows.item[judged]
    popularity = item_rates(view, since)[item]
    return {
        action.name: metrics(labels[:, column], probabilities[:, column], viewer, popularity[:, column])
        for column, action in enumerate(view.definition.actions)
    }


@torch.inference_mode()
def predict(ranker: Ranker, rows: Examples, batch_entries: int = 20_000) -> Floats:
    """Probabilities of every row, shape (N, A), calibrated as they serve, by the same forward pass as training."""
    logits = torch.from_numpy(predict_logits(ranker, rows.sequences, batch_entries))
    probabilities: Floats = ranker.probabilities(logits).numpy()
    return probabilities


def metrics(label: Floats, probability: Floats, member: Int, popularity: Floats, seed: int = 0) -> ActionMetrics:
    """All metrics of one action. Arrays of shape (N,); `label` is 0 or 1."""
    return ActionMetrics(
        impressions=len(label),
        positives=int(label.sum()),
        auc=auc(label, probability),
        auc_ci=auc_interval(label, probability, member, seed),
        member_auc=member_auc(label, probability, member),
        ne=normalised_entropy(label, probability),
        ece=calibration_error(label, probability),
        popularity_auc=auc(label, popularity),
    )


def auc(label: Floats, score: Floats) -> float | None:
    """Area under the ROC curve, ties counted half; None if all labels are equal."""
    return float(roc_auc_score(label, score)) if 0 < label.sum() < len(label) else None


def auc_interval(label: Floats, score: Floats, member: Int, seed: int = 0) -> tuple[float, float] | None:
    """A 95 % interval of the AUC: members are drawn with replacement `BOOTSTRAPS` times."""
    if not 0 < label.sum() < len(label):
        return None
    draws = np.random.default_rng(seed)
    _, codes = np.unique(member, return_inverse=True)
    count = int(codes.max()) + 1
    order = np.argsort(score, kind="stable")
    place = np.searchsorted(np.unique(score), score[order])
    values = []
    for _ in range(BOOTSTRAPS):
        weight = np.bincount(draws.integers(0, count, count), minlength=count)[codes][order].astype(float)
        values.append(_weighted_auc(label[order], weight, place))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def member_auc(label: Floats, score: Floats, member: Int) -> float | None:
    """Mean AUC inside members who have both outcomes, each weighted by its impressions; None if nobody has."""
    order = np.lexsort((score, member))
    grouped, label = member[order], label[order].astype(float)
    starts = np.flatnonzero(np.append(True, grouped[1:] != grouped[:-1]))
    sizes = np.diff(np.append(starts, len(grouped)))
    rank = _average_ranks(grouped, score[order]) - np.repeat(starts, sizes)
    positives = np.add.reduceat(label, starts)
    negatives = sizes - positives
    both = (positives > 0) & (negatives > 0)
    if not both.any():
        return None
    rank_sum = np.add.reduceat(rank * label, starts)[both]
    positives, negatives, sizes = positives[both], negatives[both], sizes[both]
    areas = (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
    return float(np.average(areas, weights=sizes))


def normalised_entropy(label: Floats, probability: Floats) -> float | None:
    """Log loss divided by the entropy of the mean (He et al., 2014); None if all labels are equal."""
    mean = float(label.mean())
    if not 0 < mean < 1:
        return None
    clipped = np.clip(probability.astype(float), 1e-7, 1 - 1e-7)
    loss = -(label * np.log(clipped) + (1 - label) * np.log(1 - clipped)).mean()
    return float(loss / -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)))


def calibration_error(label: Floats, probability: Floats, bins: int = 10) -> float:
    """Expected calibration error: mean |predicted - observed| over bins of equal count, weighted by count."""
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    gaps = [len(part) * abs(float(probability[part].mean()) - float(label[part].mean())) for part in parts if len(part)]
    return sum(gaps) / len(label)


def item_rates(view: View, before: int) -> Floats:
    """Each item's smoothed rate of each action before a time, shape (items, A): 10 pseudo-impressions at the mean rate."""
    viewers = view.all_rows(view.definition.viewer.name)
    entries = timeline(view, viewers, np.full(len(viewers), before))
    outcome, item = outcomes(view, entries, before)[entries.shown], entries.item[entries.shown]
    size = view.size(view.definition.item.name)
    shown = np.bincount(item, minlength=size)[:, None]
    done = np.stack([np.bincount(item, column, minlength=size) for column in outcome.T], axis=1)
    mean = outcome.mean(axis=0) if len(outcome) else np.zeros(outcome.shape[1])
    return ((done + 10 * mean) / (shown + 10)).astype(np.float32)


def _weighted_auc(label: Floats, weight: NDArray[np.float64], place: Int) -> float:
    """AUC of rows sorted by score with weights; `place` numbers distinct scores."""
    positive, negative = np.bincount(place, weight * label), np.bincount(place, weight * (1 - label))
    below = np.cumsum(negative) - negative
    total = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / total) if total else float("nan")


def _average_ranks(member: Int, score: Floats) -> NDArray[np.float64]:
    """Ranks from 1 over rows sorted by (member, score); ties of one member share their mean."""
    new = np.append(True, (member[1:] != member[:-1]) | (score[1:] != score[:-1]))
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(score)))
    return np.repeat(starts + (sizes + 1) / 2, sizes)
