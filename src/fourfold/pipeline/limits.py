"""Limits: how many items of one author, topic or other value a slate may hold, kept while its places are filled one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fourfold.definition import Filter, FrequencyCap, Slate
from fourfold.features.table import Int
from fourfold.pipeline.filters import Asked, shown_of
from fourfold.pipeline.values import ItemValues, Mask


@dataclass(frozen=True)
class Limit:
    """How many items of each value of an attribute C candidates may fill.

    A cap gives way where the slate could not be filled otherwise; what is left of a frequency cap (`hard`) does not.
    """

    attribute: str
    most: int
    hard: bool
    values: ItemValues  # of the candidates; codes from 0 to V - 1
    left: Int  # (V,)

    @classmethod
    def of(cls, attribute: str, most: int, values: ItemValues) -> "Limit":
        """A cap."""
        codes, local = np.unique(values.codes, return_inverse=True)
        return cls(attribute, most, False, ItemValues(values.starts, local), np.full(len(codes), most))

    @classmethod
    def rest(cls, attribute: str, most: int, values: ItemValues, spent: tuple[Int, Int]) -> "Limit":
        """What is left of a frequency cap; `spent` holds codes and how often the viewer saw each."""
        codes, local = np.unique(values.codes, return_inverse=True)
        left = np.full(len(codes), most)
        seen, counts = spent
        place = np.searchsorted(codes, seen)
        known = place < len(codes)
        known[known] = codes[place[known]] == seen[known]
        left[place[known]] -= counts[known]
        return cls(attribute, most, True, ItemValues(values.starts, local), left)

    @property
    def single(self) -> bool:
        """Whether every candidate has at most one value: how many fit does not depend on their order then."""
        return bool((np.diff(self.values.starts) <= 1).all())


def limits(asked: Asked, latest: Asked, selector: Slate, filters: Sequence[Filter], items: Int) -> list[Limit]:
    """The limits of a slate over candidates (rows, shape (C,)): caps at the request's state, frequency caps at the latest."""
    owner = asked.view.definition.item.owner
    caps = [] if selector.per_author is None or owner is None else [(owner, selector.per_author)]
    caps += [(cap.attribute, cap.most) for cap in selector.caps]
    found = [Limit.of(name, most, asked.values.of(asked.view, name, items, asked.time)) for name, most in caps]
    for declared in filters:
        if isinstance(declared, FrequencyCap) and declared.by is not None:
            values = latest.values.of(latest.view, declared.by, items, latest.time)
            found.append(Limit.rest(declared.by, declared.times, values, shown_of(latest, declared)))
    return found


class Room:
    """Which of C candidates may still be chosen, as places are filled."""

    def __init__(self, given: Sequence[Limit], count: int) -> None:
        self.free: Mask = np.ones(count, bool)
        self.within: Mask = np.ones(count, bool)
        self.over = [0] * len(given)
        self._limits, self._left = given, [limit.left.copy() for limit in given]
        for limit, left in zip(given, self._left, strict=True):
            self._close(limit, np.flatnonzero(left <= 0))

    def take(self, candidate: int) -> None:
        """Choose one: it is not free any more, nor are those that a limit keeps out from now on."""
        self.free[candidate] = False
        for number, (limit, left) in enumerate(zip(self._limits, self._left, strict=True)):
            codes = limit.values.of(candidate)
            left[codes] -= 1
            self.over[number] += bool((left[codes] < 0).any())
            self._close(limit, codes[left[codes] == 0])

    def first(self) -> int | None:
        """The first free candidate within the caps, or the first that is free, or None."""
        for mask in (self.free & self.within, self.free):
            place = int(mask.argmax()) if len(mask) else 0
            if len(mask) and mask[place]:
                return place
        return None

    def _close(self, limit: Limit, codes: Int) -> None:
        if len(codes):
            (self.free if limit.hard else self.within)[limit.values.having(codes)] = False


def fitting(given: Sequence[Limit], count: int, size: int) -> tuple[Int, int]:
    """At most `size` of C candidates (indices), the first ones that fit, and how many of them are within the caps."""
    room, chosen, within = Room(given, count), list[int](), 0
    while len(chosen) < size and (candidate := room.first()) is not None:
        within += bool(room.within[candidate])
        room.take(candidate)
        chosen.append(candidate)
    return np.array(chosen, np.int64), within
