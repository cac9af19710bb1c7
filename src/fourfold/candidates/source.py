"""What every source is given and what it gives back."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fourfold.candidates.ordering import best_first
from fourfold.features.assembly import Context
from fourfold.features.table import Float, Int
from fourfold.features.view import View

NOBODY = -1
"""A `because` that points at nothing."""


class ItemIndex(Protocol):
    """Nearest items to a viewer in an embedding space."""

    def nearest(self, context: Context, keep: int) -> tuple[Int, NDArray[np.float32]]:
        """Rows and scores of the `keep` best items, best first."""
        ...


class ItemNeighbours(Protocol):
    """Items that go with items."""

    def of(self, items: Int) -> tuple[Int, Int, NDArray[np.float32]]:
        """For some items: index into `items`, neighbour (row) and similarity of every stored pair."""
        ...


@dataclass(frozen=True)
class Ask:
    """One request as sources see it. `index` and `neighbours` are None until a model is trained."""

    view: View
    context: Context
    index: ItemIndex | None = None
    neighbours: ItemNeighbours | None = None

    @property
    def viewer(self) -> Int:
        """The viewer's row, shape (1,)."""
        return np.array([self.context.viewer])

    @property
    def time(self) -> Int:
        """As of when, shape (1,)."""
        return np.array([self.context.time])

    def deleted(self, items: Int) -> Int:
        """When each item was last deleted, or -1: what came before does not count for it any more."""
        return self.view.deleted(self.view.definition.item.name, items, np.repeat(self.time, len(items)))


@dataclass(frozen=True)
class Proposal:
    """What a source proposes, best first.

    `because` holds the row of what explains each item (an item liked before, a neighbour), or -1.
    """

    items: Int  # (N,)
    scores: NDArray[np.float32]  # (N,)
    because: Int  # (N,)

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def nothing(cls) -> "Proposal":
        """No candidates."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def best(cls, view: View, items: Int, scores: NDArray[np.floating], keep: int, because: Int | None = None) -> "Proposal":
        """The `keep` best distinct items; an item that comes twice adds up, explained by its largest part.

        Rows that the view does not know are left out. Equal totals, to float32, stand in the order of item ids.
        """
        if not len(items):
            return cls.nothing()
        distinct, codes = np.unique(items, return_inverse=True)
        total: Float = np.bincount(codes, scores).astype(np.float64)
        reason = np.full(len(distinct), NOBODY)
        if because is not None:
            by_score = np.argsort(scores, kind="stable")
            reason[codes[by_score]] = because[by_score]
        return cls.of_totals(view, distinct, total, keep, reason)

    @classmethod
    def of_totals(cls, view: View, items: Int, totals: Float, keep: int, because: Int | None = None) -> "Proposal":
        """The `keep` best of items that come once, as in `best`."""
        known = (items >= 0) & (items < view.size(view.definition.item.name))
        # The order of addends follows arrival; rounding to float32 hides what that does to the last bits of a sum.
        items, scores = items[known], totals[known].astype(np.float32)
        reason = np.full(len(items), NOBODY) if because is None else because[known]
        order = best_first(view, items, scores, keep)
        return cls(items[order], scores[order], reason[order])


class Unavailable(Exception):  # noqa: N818  # it is an answer, not a fault
    """A source cannot propose anything for a stated reason, such as a model that is not trained yet."""
