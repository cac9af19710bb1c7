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


@dataclass
class _Rest:
    """What is left of one limit while places are filled, in lists: arrays are slow where few values are touched at a time."""

    limit: Limit
    starts: list[int]
    codes: list[int]
    left: list[int]
    over: int = 0

    @classmethod
    def of(cls, limit: Limit) -> "_Rest":
        return cls(limit, limit.values.starts.tolist(), limit.values.codes.tolist(), limit.left.tolist())

    def take(self, candidate: int) -> list[int]:
        """Count one candidate; the values that are full from now on."""
        full, over = [], False
        for code in self.codes[self.starts[candidate] : self.starts[candidate + 1]]:
            self.left[code] -= 1
            over |= self.left[code] < 0
            if self.left[code] == 0:
                full.append(code)
        self.over += over
        return full


class Room:
    """Which of C candidates may still be chosen, as places are filled."""

    def __init__(self, given: Sequence[Limit], count: int) -> None:
        self.free: Mask = np.ones(count, bool)
        self.within: Mask = np.ones(count, bool)
        self._rests = [_Rest.of(limit) for limit in given]
        for limit in given:
            self._close(limit, np.flatnonzero(limit.left <= 0))

    @property
    def over(self) -> list[int]:
        """How many candidates were chosen beyond each limit."""
        return [rest.over for rest in self._rests]

    def take(self, candidate: int) -> None:
        """Choose one: it is not free any more, nor are those that a limit keeps out from now on."""
        self.free[candidate] = False
        for rest in self._rests:
            full = rest.take(candidate)
            if full:
                self._close(rest.limit, full)

    def first(self) -> int | None:
        """The first free candidate within the caps, or the first that is free, or None."""
        for mask in (self.free & self.within, self.free):
            place = int(mask.argmax()) if len(mask) else 0
            if len(mask) and mask[place]:
                return place
        return None

    def _close(self, limit: Limit, codes: Int | list[int]) -> None:
        """Keep out all candidates that have one of some values."""
        full = np.zeros(len(limit.left), bool)
        full[codes] = True
        (self.free if limit.hard else self.within)[limit.values.items[full[limit.values.codes]]] = False


def fitting(given: Sequence[Limit], count: int, size: int) -> tuple[Int, int]:
    """At most `size` of C candidates (indices), the first ones that fit, and how many of them are within the caps."""
    if not given:
        return np.arange(min(count, size)), min(count, size)
    room, chosen, within = Room(given, count), list[int](), 0
    while len(chosen) < size and (candidate := room.first()) is not None:
        within += bool(room.within[candidate])
        room.take(candidate)
        chosen.append(candidate)
    return np.array(chosen, np.int64), within
