"""Filters: which candidates this viewer must not see. Each is a mask over item rows; none looks at scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import Blocked, Excluded, Expired, Filter, Hidden, Linked, Seen
from fourfold.definition.part import milliseconds
from fourfold.features.table import Int
from fourfold.features.view import UNBORN, View

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Asked:
    """Who asks, as of when, and what the request itself excludes.

    The viewer has a row as soon as any event names it, deleted or not: what it saw or hid since counts in any case.
    """

    view: View
    viewer: str
    row: int
    time: int
    exclude: Sequence[str] = ()

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


def kept(asked: Asked, filters: Sequence[Filter], items: Int) -> tuple[Mask, dict[str, int]]:
    """Which items pass all filters, and how many each one dropped first.

    Deleted and unknown items never pass, nor what the request excludes, whether or not the definition says so.
    """
    if asked.exclude and not any(isinstance(declared, Excluded) for declared in filters):
        filters = (*filters, Excluded())
    name = asked.view.definition.item.name
    keep = asked.view.alive(name, items, np.repeat(asked.time, len(items)))
    dropped = {"deleted": int((~keep).sum())}
    for declared in filters:
        bad = keep & FILTERS[declared.kind](asked, declared, items)
        dropped[declared.kind] = int(bad.sum())
        keep &= ~bad
    return keep, dropped


def _seen(asked: Asked, declared: Seen, items: Int) -> Mask:
    since = asked.since
    if declared.within is not None:
        since = np.maximum(since, asked.times - milliseconds(declared.within))
    shown = asked.view.table("impression").slice(asked.rows, since, asked.times)
    return np.isin(items, shown.get("item", items[:0]))


def _expired(asked: Asked, _declared: Expired, items: Int) -> Mask:
    entity = asked.view.definition.item
    if entity.lifetime is None:
        return np.zeros(len(items), bool)
    born = asked.view.born(entity.name, items, np.repeat(asked.time, len(items)))
    return (born > UNBORN) & (born + milliseconds(entity.lifetime) <= asked.time)


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


FILTERS: dict[str, Callable[[Asked, Any, Int], Mask]] = {
    "seen": _seen,
    "expired": _expired,
    "hidden": _hidden,
    "own": _own,
    "blocked": _blocked,
    "linked": _linked,
    "excluded": _excluded,
}
"""The code of each filter, by the `kind` of its declaration: true where an item must go."""
