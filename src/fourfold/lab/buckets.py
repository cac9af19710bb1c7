"""Predictions judged apart by how much is known: by the member's history and by the age of the item.

An average over all impressions hides how a model treats who is new; most members of a young product are.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from msgspec import Struct

from fourfold.features.table import Int
from fourfold.features.view import UNBORN, View
from fourfold.training.evaluation import Judged
from fourfold.training.examples import Flags
from fourfold.training.metrics import auc

DAY = 86_400_000

HISTORY: tuple[tuple[str, int], ...] = (("0", 0), ("1-5", 5), ("6-20", 20), ("21+", 1 << 60))
"""Impressions of the member before the request: name, and the most that belong to it."""

ITEM_AGE: tuple[tuple[str, int], ...] = (
    ("< 1 day", DAY - 1),
    ("< 7 days", 7 * DAY - 1),
    ("< 30 days", 30 * DAY - 1),
    ("older", 1 << 60),
)
"""Milliseconds from the item's creation, else its first event, to the request."""


class BucketMetrics(Struct, frozen=True, kw_only=True):
    """How well one action is predicted in a part of the impressions; areas are None where only one outcome occurs."""

    impressions: int
    positives: int
    auc: float | None
    popularity_auc: float | None


ByAction: TypeAlias = dict[str, BucketMetrics]


class Buckets(Struct, frozen=True, kw_only=True):
    """Metrics of each action by the member's impressions before the request and by the item's age at it."""

    history: dict[str, ByAction]
    item_age: dict[str, ByAction]


def buckets(view: View, judged: Judged) -> Buckets:
    """The parts of what was judged. An item that no event named before the request is new."""
    definition = view.definition
    since = view.deleted(definition.viewer.name, judged.viewer, judged.request) + 1
    history = view.table("impression").count(judged.viewer, since, judged.request)
    born = view.born(definition.item.name, judged.item, judged.request)
    age = np.where(born > UNBORN, judged.request - born, 0)
    return Buckets(
        history={name: _metrics(view, judged, chosen) for name, chosen in _parts(history, HISTORY)},
        item_age={name: _metrics(view, judged, chosen) for name, chosen in _parts(age, ITEM_AGE)},
    )


def _parts(values: Int, bounds: tuple[tuple[str, int], ...]) -> Iterator[tuple[str, Flags]]:
    place = np.searchsorted([most for _, most in bounds], values)
    return ((name, place == index) for index, (name, _) in enumerate(bounds))


def _metrics(view: View, judged: Judged, chosen: Flags) -> ByAction:
    found = {}
    for column, action in enumerate(view.definition.actions):
        rows = chosen & ~np.isnan(judged.labels[:, column])
        label = judged.labels[rows, column]
        found[action.name] = BucketMetrics(
            impressions=len(label),
            positives=int(label.sum()),
            auc=auc(label, judged.probabilities[rows, column]),
            popularity_auc=auc(label, judged.popularity[rows, column]),
        )
    return found
