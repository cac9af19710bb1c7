"""Filters: which candidates this viewer must not see. Each is a mask over item rows; none looks at scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fourfold.definition import Blocked, Excluded, Expired, Filter, FrequencyCap, Hidden, Linked, Seen, Where
from fourfold.definition.expression import parse
from fourfold.definition.part import milliseconds
from fourfold.definition.stages import name_of
from fourfold.events.types import ContextValue
from fourfold.features.table import Int
from fourfold.features.view import UNBORN, View
from fourfold.pipeline.predicate import Question
from fourfold.pipeline.values import Mask, Values

REQUEST_WHERE = "request_where"
"""What the trace calls the condition of the request itself."""


@dataclass(frozen=True)
class Asked:
    """Who asks, as of when and in which context, and what the request itself excludes or wants.

    The viewer has a row as soon as any event names it, deleted or not: what it saw or hid since counts in any case.
    """

    view: View
    viewer: str
    row: int
    time: int
    exclude: Sequence[str] = ()
    where: str | None = None
    context: Mapping[str, ContextValue] = field(default_factory=dict)
    values: Values = field(default_factory=Values)

    @property
    def rows(self) -> Int:
        """The viewer's row, shape (1,)."""
        return np.array([self.row])

    @property
    def times(self) -> Int:
        """As of when, shape (1,)."""
        return np.array([self.time])

    @property
    def since(self) -> Int:
        """From when on what the viewer saw and did counts, shape (1,): within memory, after the viewer's last deletion."""
        deleted = self.view.deleted(self.view.definition.viewer.name, self.rows, self.times)
        return np.maximum(deleted + 1, self.view.reach(self.times))

    def holds(self, expression: str, items: Int) -> Mask:
        """For which items a condition holds."""
        question = Question(self.view, self.values, self.row, self.time, self.context, items)
        return question.holds(parse(expression))

    def owned_by(self, items: Int, viewers: Sequence[str]) -> Mask:
        """Which items are, or belong to, one of some viewers (ids)."""
        definition, view = self.view.definition, self.view
        mine = np.zeros(len(items), bool)
        if definition.item.name == definition.viewer.name:
            mine |= np.isin(items, view.rows(definition.viewer.name, viewers))
        if definition.item.owner is not None:
            owners = view.codes(definition.item.name, definition.item.owner, items, np.repeat(self.time, len(items)))
            codes = view.names[f"value/{definition.item.name}/{definition.item.owner}"].find_all(viewers)
            mine |= np.isin(owners, codes[codes >= 0])
        return mine


@dataclass(frozen=True)
class Sifted:
    """Which of C items pass all filters, and which filter took each other one out first."""

    filters: tuple[str, ...]
    by: Int  # (C,), index into `filters`; -1 where none took it out

    @property
    def keep(self) -> Mask:
        """Which items pass, shape (C,)."""
        keep: Mask = self.by < 0
        return keep

    @property
    def dropped(self) -> dict[str, int]:
        """How many items each filter took out first."""
        counts = np.bincount(self.by[self.by >= 0], minlength=len(self.filters)).tolist()
        return dict(zip(self.filters, counts, strict=True))


def sifted(asked: Asked, filters: Sequence[Filter], items: Int) -> Sifted:
    """Items (rows, shape (C,)) through all filters.

    Deleted and unknown items never pass, nor what the request excludes or does not want, whether or not the definition says
    so.
    """
    if asked.exclude and not any(isinstance(declared, Excluded) for declared in filters):
        filters = (*filters, Excluded())
    name = asked.view.definition.item.name
    names = ["deleted", *map(name_of, filters), *([REQUEST_WHERE] if asked.where is not None else [])]
    by = np.where(asked.view.alive(name, items, np.repeat(asked.time, len(items))), -1, 0)
    for number, declared in enumerate(filters, 1):
        by[(by < 0) & FILTERS[declared.kind](asked, declared, items)] = number
    if asked.where is not None:
        by[(by < 0) & ~asked.holds(asked.where, items)] = len(names) - 1
    return Sifted(tuple(names), by)


def kept(asked: Asked, filters: Sequence[Filter], items: Int) -> tuple[Mask, dict[str, int]]:
    """Which items pass all filters, and how many each one dropped first."""
    found = sifted(asked, filters, items)
    return found.keep, found.dropped


def impressions(asked: Asked, within: str | None) -> Int:
    """The item of each impression that the viewer had within the last `within`, or ever, oldest first."""
    since = asked.since
    if within is not None:
        since = np.maximum(since, asked.times - milliseconds(within))
    shown = asked.view.table("impression").slice(asked.rows, since, asked.times)
    return shown.get("item", np.zeros(0, np.int64))


def shown_of(asked: Asked, declared: FrequencyCap) -> tuple[Int, Int]:
    """The values of the attribute that a frequency cap counts by which the viewer saw, and in how many impressions each."""
    shown = impressions(asked, declared.within)
    if declared.by is None:
        return np.unique(shown, return_counts=True)
    return np.unique(asked.values.of(asked.view, declared.by, shown, asked.time).codes, return_counts=True)


def _seen(asked: Asked, declared: Seen, items: Int) -> Mask:
    return np.isin(items, impressions(asked, declared.within))


def _expired(asked: Asked, declared: Expired, items: Int) -> Mask:
    entity, times = asked.view.definition.item, np.repeat(asked.time, len(items))
    expired = np.zeros(len(items), bool)
    if entity.lifetime is not None:
        born = asked.view.born(entity.name, items, times)
        expired |= (born > UNBORN) & (born + milliseconds(entity.lifetime) <= asked.time)
    if declared.until is not None:
        expired |= asked.view.attribute(entity.name, declared.until, items, times) <= asked.time
    return expired


def _hidden(asked: Asked, declared: Hidden, items: Int) -> Mask:
    names = asked.view.names["action"].find_all(declared.actions)
    acted = asked.view.table("action").slice(asked.rows, asked.since, asked.times)
    if not len(acted["query"]):
        return np.zeros(len(items), bool)
    return np.isin(items, acted["item"][np.isin(acted["name"], names)])


def _own(asked: Asked, _declared: Any, items: Int) -> Mask:
    return asked.owned_by(items, [asked.viewer])


def _blocked(asked: Asked, declared: Blocked, items: Int) -> Mask:
    sides = [asked.view.neighbours(declared.edge, asked.rows, asked.times, side)["other"] for side in ("out", "in")]
    return asked.owned_by(items, asked.view.ids(asked.view.definition.viewer.name, np.concatenate(sides)))


def _linked(asked: Asked, declared: Linked, items: Int) -> Mask:
    return np.isin(items, asked.view.neighbours(declared.edge, asked.rows, asked.times)["other"])


def _excluded(asked: Asked, _declared: Any, items: Int) -> Mask:
    return np.isin(items, asked.view.rows(asked.view.definition.item.name, asked.exclude))


def _where(asked: Asked, declared: Where, items: Int) -> Mask:
    return ~asked.holds(declared.expression, items)


def _frequency_cap(asked: Asked, declared: FrequencyCap, items: Int) -> Mask:
    values, counts = shown_of(asked, declared)
    full = values[counts >= declared.times]
    if declared.by is None:
        return np.isin(items, full)
    return asked.values.of(asked.view, declared.by, items, asked.time).having(full)


FILTERS: dict[str, Callable[[Asked, Any, Int], Mask]] = {
    "seen": _seen,
    "expired": _expired,
    "hidden": _hidden,
    "own": _own,
    "blocked": _blocked,
    "linked": _linked,
    "excluded": _excluded,
    "where": _where,
    "frequency_cap": _frequency_cap,
}
"""The code of each filter, by the `kind` of its declaration: true where an item must go."""
