"""Evaluation of a ranker: every impression of a period judged with what happened strictly before its request.

Nothing is sampled, popularity stands beside every action, and what nobody knows the outcome of is not judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from fourfold.definition import Recommender
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats
from fourfold.features.table import Int
from fourfold.features.timeline import timeline
from fourfold.features.view import View
from fourfold.models.ranker import Ranker
from fourfold.training.examples import Examples, examples
from fourfold.training.examples import labels as outcomes
from fourfold.training.metrics import (
    Bin,
    Bootstrap,
    Interval,
    auc,
    auc_draws,
    calibration_curve,
    calibration_error,
    interval,
    member_auc,
    member_auc_draws,
    normalised_entropy,
)
from fourfold.training.prediction import predict_logits


class ActionMetrics(Struct, frozen=True, kw_only=True):
    """How well one action is predicted.

    Parameters
    ----------
    impressions, positives : int
        What it was judged on: impressions of which it is known whether the action followed.
    auc : float or None
        Area under the ROC curve over all impressions; None where only one outcome occurs.
    auc_ci : tuple of float, or None
        95 % interval of `auc`: members are drawn with replacement.
    member_auc : float or None
        Mean AUC inside each member's own impressions, weighted by impressions: what orders a slate.
    member_auc_ci : tuple of float, or None
        95 % interval of `member_auc`.
    ne : float or None
        Normalised entropy: log loss over that of always predicting the mean. Below 1 is better than knowing nothing.
    ece : float
        Expected calibration error over 10 equal-count bins.
    popularity_auc : float or None
        The AUC of the item's own smoothed rate before the period: what a model must beat.
    popularity_member_auc : float or None
        The same inside members.
    calibration : list of Bin
        What was observed where how much was predicted.
    """

    impressions: int
    positives: int
    auc: float | None
    auc_ci: Interval | None
    member_auc: float | None
    member_auc_ci: Interval | None = None
    ne: float | None
    ece: float
    popularity_auc: float | None
    popularity_member_auc: float | None = None
    calibration: list[Bin] = []


@dataclass(frozen=True)
class Judged:
    """N impressions with what was said of them and what came of it; A actions."""

    viewer: Int  # (N,), rows
    item: Int  # (N,), rows
    request: Int  # (N,), milliseconds
    labels: Floats  # (N, A), 1, 0 or NaN
    probabilities: Floats  # (N, A)
    popularity: Floats  # (N, A), the item's rate of each action before the period

    def __len__(self) -> int:
        return len(self.viewer)


def evaluate_ranker(ranker: Ranker, view: View, encoder: Encoder, since: int, before: int) -> dict[str, ActionMetrics]:
    """Judge a ranker on the impressions whose request is in ``[since, before)``: metrics per action."""
    return action_metrics(view.definition, judge(ranker, view, [examples(view, encoder, since, before)], since))


def judge(ranker: Ranker, view: View, parts: Sequence[Examples], since: int) -> Judged:
    """What a ranker says of examples, beside their outcomes and how popular their items were before `since`."""
    found = [_judged(ranker, rows) for rows in parts]
    viewer, item, request = (np.concatenate([one[column] for one in found]) for column in range(3))
    labels, probabilities = (np.concatenate([one[column] for one in found]) for column in (3, 4))
    popularity = item_rates(view, since)[item]
    return Judged(viewer, item, request, labels, probabilities, popularity)


def action_metrics(definition: Recommender, judged: Judged, seed: int = 0) -> dict[str, ActionMetrics]:
    """The metrics of each action of a definition; none where nothing was judged."""
    if not len(judged):
        return {}
    bootstrap = Bootstrap.over(judged.viewer, seed=seed)
    found = {}
    for column, action in enumerate(definition.actions):
        known = ~np.isnan(judged.labels[:, column])
        label, probability, popularity = (
            values[known, column] for values in (judged.labels, judged.probabilities, judged.popularity)
        )
        found[action.name] = metrics(label, probability, judged.viewer[known], popularity, bootstrap.rows(known))
    return found


def metrics(label: Floats, probability: Floats, member: Int, popularity: Floats, bootstrap: Bootstrap) -> ActionMetrics:
    """All metrics of one action. Arrays of shape (N,); `label` is 0 or 1, `bootstrap` is of the same rows."""
    return ActionMetrics(
        impressions=len(label),
        positives=int(label.sum()),
        auc=auc(label, probability),
        auc_ci=interval(auc_draws(label, probability, bootstrap)),
        member_auc=member_auc(label, probability, member),
        member_auc_ci=interval(member_auc_draws(label, probability, bootstrap)),
        ne=normalised_entropy(label, probability),
        ece=calibration_error(label, probability),
        popularity_auc=auc(label, popularity),
        popularity_member_auc=member_auc(label, popularity, member),
        calibration=calibration_curve(label, probability),
    )


@torch.inference_mode()
def predict(ranker: Ranker, rows: Examples, batch_entries: int = 20_000) -> Floats:
    """Probabilities of every row, shape (N, A), calibrated as they serve, by the same forward pass as training."""
    logits = torch.from_numpy(predict_logits(ranker, rows.sequences, batch_entries))
    probabilities: Floats = ranker.probabilities(logits).numpy()
    return probabilities


def item_rates(view: View, before: int) -> Floats:
    """Each item's smoothed rate of each action before a time, shape (items, A): 10 pseudo-impressions at the mean rate.

    Impressions of which nobody knows whether the action followed count for neither side of its rate.
    """
    viewers = view.all_rows(view.definition.viewer.name)
    entries = timeline(view, viewers, np.full(len(viewers), before))
    outcome, item = outcomes(view, entries, before)[entries.shown], entries.item[entries.shown]
    size = view.size(view.definition.item.name)
    known = ~np.isnan(outcome)
    shown, done = (_by_item(item, values, size) for values in (known, np.where(known, outcome, 0)))
    mean = done.sum(axis=0) / np.maximum(shown.sum(axis=0), 1)
    rates: Floats = ((done + 10 * mean) / (shown + 10)).astype(np.float32)
    return rates


def _judged(ranker: Ranker, rows: Examples) -> tuple[Int, Int, Int, Floats, Floats]:
    judged = rows.sequences.weight > 0
    probabilities = predict(ranker, rows)[judged]
    return rows.viewer[judged], rows.item[judged], rows.request[judged], rows.sequences.labels[judged], probabilities


def _by_item(item: Int, values: NDArray[np.generic], size: int) -> NDArray[np.float64]:
    """Sums of the columns of `values` (N, A) by item: shape (size, A)."""
    return np.stack([np.bincount(item, column, minlength=size) for column in values.T], axis=1)
