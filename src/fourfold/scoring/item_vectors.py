"""The vectors of all items as of one state: a large part that was built to be searched, and what changed since."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fourfold.features.table import Int
from fourfold.scoring import clusters
from fourfold.scoring.nearest import Finder, FloatProducts, Hidden, Vectors, exact_finder

EXACT_UP_TO = 200_000
"""Items up to which an exact search takes about a millisecond; more are searched by clusters, see decision 0009."""

FOLD, LEAST_FOLD = 8, 4_096
"""A state is built anew at once when more than this part of it, and more items than that, are beside what was built."""

REBUILD, LEAST_REBUILD = 64, 256
"""The same for rebuilding aside."""


@dataclass(frozen=True)
class Rows:
    """I items: `version` says which version of each item a vector shows."""

    vectors: Vectors  # (I, D)
    version: Int  # (I, 4)
    alive: NDArray[np.bool_]  # (I,)

    def __len__(self) -> int:
        return len(self.alive)

    @classmethod
    def nothing(cls, width: int) -> "Rows":
        """No items."""
        return cls(np.zeros((0, width), np.float32), np.zeros((0, 4), np.int64), np.zeros(0, bool))

    def take(self, chosen: Int | NDArray[np.bool_]) -> "Rows":
        """Some of them."""
        return Rows(self.vectors[chosen], self.version[chosen], self.alive[chosen])

    def and_then(self, others: "Rows") -> "Rows":
        """These, and others behind them."""
        return Rows(
            np.concatenate([self.vectors, others.vectors]),
            np.concatenate([self.version, others.version]),
            np.concatenate([self.alive, others.alive]),
        )

    def put(self, places: Int, others: "Rows") -> None:
        """Overwrite some of them, while nobody else has them yet."""
        self.vectors[places], self.version[places], self.alive[places] = others.vectors, others.version, others.alive

    @cached_property
    def finite(self) -> bool:
        """Whether all vectors are numbers."""
        return bool(np.isfinite(self.vectors).all())


@dataclass(frozen=True)
class Built:
    """Items 0 to I - 1 with what finds the nearest of them."""

    items: Rows
    finder: Finder
    clustered: bool = False

    @classmethod
    def of(cls, items: Rows, *, clustered: bool = False) -> "Built":
        """Build what finds them: exactly, or by clusters, which takes minutes for a million."""
        if not items.finite:
            return cls(items, FloatProducts(items.vectors))
        if clustered:
            return cls(items, clusters.Clusters(items.vectors, np.flatnonzero(items.alive)), clustered=True)
        return cls(items, exact_finder(items.vectors))


@dataclass(frozen=True)
class ItemVectors:
    """All items of one state: those that were built, and the rows (ascending) that came or changed since, which stand for them.

    A value that is never changed: a request goes on with the one that it began with.
    """

    built: Built
    rows: Int  # (M,)
    changed: Rows  # (M,)

    @classmethod
    def nothing(cls, width: int) -> "ItemVectors":
        """No items."""
        return cls(Built.of(Rows.nothing(width)), np.zeros(0, np.int64), Rows.nothing(width))

    @property
    def size(self) -> int:
        """How many rows there are."""
        return max(len(self.built.items), int(self.rows[-1]) + 1 if len(self.rows) else 0)

    @property
    def finite(self) -> bool:
        """Whether all vectors are numbers."""
        return self.built.items.finite and self.changed.finite

    def of(self, rows: Int) -> Rows:
        """What is known of some rows below `size`."""
        if not len(self.built.items):
            return self.changed.take(np.searchsorted(self.rows, rows))
        found = self.built.items.take(np.minimum(rows, len(self.built.items) - 1))
        newer, place = self._beside(rows)
        found.put(newer, self.changed.take(place))
        return found

    def vectors(self, rows: Int) -> Vectors:
        """The vectors of some rows below `size`, shape (R, D): the part of `of` that requests need."""
        if not len(self.built.items):
            return self.changed.vectors[np.searchsorted(self.rows, rows)]
        found = self.built.items.vectors[np.minimum(rows, len(self.built.items) - 1)]
        newer, place = self._beside(rows)
        found[newer] = self.changed.vectors[place]
        return found

    def near(self, query: Vectors, keep: int) -> Int:
        """Rows of items that exist, among which the `keep` nearest are; see `Finder`."""
        found = self.built.finder.near(query, keep, self._hidden)
        beside = FloatProducts(self.changed.vectors).near(query, keep, Hidden(len(self.rows), self._gone))
        return np.concatenate([found, self.rows[beside]])

    def with_changed(self, rows: Int, changed: Rows) -> "ItemVectors":
        """The items with some rows (ascending) as they are now; new rows must follow those there are without a gap."""
        kept = ~np.isin(self.rows, rows, assume_unique=True)
        every = np.concatenate([self.rows[kept], rows])
        order = np.argsort(every, kind="stable")
        joined = self.changed.take(kept).and_then(changed).take(order)
        made = ItemVectors(self.built, every[order], joined)
        return made.folded() if len(every) > max(LEAST_FOLD, made.size // FOLD) else made

    def folded(self, *, clustered: bool = False) -> "ItemVectors":
        """The same items, all of them built."""
        every = self.of(np.arange(self.size))
        return ItemVectors(Built.of(every, clustered=clustered), self.rows[:0], self.changed.take(self.rows[:0]))

    def onto(self, newer: Built, since: "ItemVectors") -> "ItemVectors":
        """The same items beside a part that was built of `since`: what it does not hold as it is now stands beside it."""
        # Nothing else can differ, unless all was built anew meanwhile.
        rows = self.rows if self.built is since.built else np.arange(self.size)
        now, known = self.of(rows), rows < len(newer.items)
        then = newer.items.take(rows[known])
        differs = np.ones(len(rows), bool)
        differs[known] = (now.version[known] != then.version).any(axis=1) | (now.alive[known] != then.alive)
        return ItemVectors(newer, rows[differs], now.take(differs))

    @property
    def wants_clusters(self) -> bool:
        """Whether there are so many items that they should be searched by clusters, and can be."""
        return self.size > EXACT_UP_TO and self.finite and clusters.available()

    @property
    def worn(self) -> bool:
        """Whether so much changed since it was built that building it anew pays."""
        outdated = len(self.rows) > max(LEAST_REBUILD, self.size // REBUILD)
        return outdated or self.built.clustered != self.wants_clusters

    def _beside(self, rows: Int) -> tuple[Int, Int]:
        """Which of some rows stand beside what was built, and where."""
        if not len(self.rows):
            return self.rows, self.rows
        place = np.searchsorted(self.rows, rows)
        newer = np.flatnonzero(self.rows[np.minimum(place, len(self.rows) - 1)] == rows)
        return newer, place[newer]

    @cached_property
    def _hidden(self) -> Hidden:
        alive = self.built.items.alive.copy()
        alive[self.rows[self.rows < len(alive)]] = False
        return Hidden(len(alive), np.flatnonzero(~alive))

    @cached_property
    def _gone(self) -> Int:
        return np.flatnonzero(~self.changed.alive)
