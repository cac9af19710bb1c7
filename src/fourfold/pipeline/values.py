"""The single values of category attributes, which views hold joined: what caps count, conditions look for, and items share."""

import threading
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fourfold.features.names import Names
from fourfold.features.table import Int
from fourfold.features.view import SEPARATOR, View

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ItemValues:
    """The values of C items: those of item c are ``codes[starts[c] : starts[c + 1]]``."""

    starts: Int  # (C + 1,)
    codes: Int  # (N,)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def items(self) -> Int:
        """Which item each value belongs to, shape (N,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def of(self, item: int) -> Int:
        """The values of one item."""
        return self.codes[self.starts[item] : self.starts[item + 1]]

    def having(self, codes: Int) -> Mask:
        """Which items have at least one of some values, shape (C,)."""
        found: Mask = np.bincount(self.items[np.isin(self.codes, codes)], minlength=len(self)) > 0
        return found

    def take(self, chosen: Int) -> "ItemValues":
        """The values of some items only, in the given order."""
        counts = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(counts)])
        offset = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return ItemValues(starts, self.codes[np.repeat(self.starts[chosen], counts) + offset])


@dataclass
class _Split:
    """Of every joined text of one attribute, the numbers of the single values in it."""

    joined: Names
    singles: Names = field(default_factory=Names)
    values: ItemValues = field(default_factory=lambda: ItemValues(np.zeros(1, np.int64), np.zeros(0, np.int64)))

    def extend(self) -> None:
        """Take in the texts that came since."""
        fresh = [[self.singles.add(value) for value in _distinct(text)] for text in self.joined.since(len(self.values))]
        starts = np.cumsum([self.values.starts[-1], *map(len, fresh)])
        codes = np.array([code for codes in fresh for code in codes], np.int64)
        self.values = ItemValues(np.append(self.values.starts[:-1], starts), np.append(self.values.codes, codes))


class Values:
    """The values of category attributes; what was split once is kept. Threads may share one."""

    def __init__(self) -> None:
        self._splits: dict[str, _Split] = {}
        self._lock = threading.Lock()

    def of(self, view: View, attribute: str, items: Int, time: int) -> ItemValues:
        """The values of items (rows, shape (C,)) as of a time, as codes that `find` gives too."""
        name = view.definition.item.name
        codes = view.codes(name, attribute, items, np.full(len(items), time))
        known = codes >= 0
        single = ItemValues(np.concatenate([[0], np.cumsum(known)]), codes[known])
        if not view.definition.item.many(attribute):
            return single
        split = self._split(view, attribute).take(single.codes)
        return ItemValues(split.starts[single.starts], split.codes)

    def find(self, view: View, attribute: str, value: str) -> int:
        """The code of one value, or -1."""
        names = view.names[f"value/{view.definition.item.name}/{attribute}"]
        if not view.definition.item.many(attribute):
            return names.find(value)
        self._split(view, attribute)
        return self._splits[attribute].singles.find(value)

    def _split(self, view: View, attribute: str) -> ItemValues:
        joined = view.names[f"value/{view.definition.item.name}/{attribute}"]
        with self._lock:
            split = self._splits.get(attribute)
            if split is None or split.joined is not joined:
                split = self._splits[attribute] = _Split(joined)
            if len(split.values) < len(joined):
                split.extend()
            return split.values


def _distinct(text: str) -> list[str]:
    return list(dict.fromkeys(value for value in text.split(SEPARATOR) if value))
