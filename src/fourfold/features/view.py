"""A view: one consistent state of a recommender, asked as of any time. Everything that serves or trains reads through it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import Entity, Recommender
from fourfold.definition.part import milliseconds
from fourfold.features.details import DetailsTable
from fourfold.features.names import UNKNOWN, Names
from fourfold.features.table import Column, Int, Table

NEVER = 1 << 52
"""Later than every event."""

UNBORN = -(1 << 52)
"""Earlier than every time: what `View.born` says of an entity that was not made yet. Films were made before 1970, too."""

HISTORY_STEPS = 8
"""By which part of a definition's memory the start of histories moves."""

SEPARATOR = "\x1f"
"""Joins the values of a category with several of them."""

_SECOND, _FIRST = 1 << 26, 1 << 27
_EMPTY = Table()


class CapacityError(RuntimeError):
    """More entities or attribute values than a pair key can hold."""


def history_step(memory: str) -> int:
    """By how many milliseconds the start of histories moves."""
    return -(-milliseconds(memory) // HISTORY_STEPS)


@dataclass(frozen=True)
class View:
    """An immutable state of one recommender.

    Rows are whole numbers that stand for entities of a type, in the order in which the log first named them; -1 stands for an
    unknown one, which has no attributes, no past and counts of zero. Times are milliseconds; "as of t" means events before t.
    """

    definition: Recommender
    tables: Mapping[str, Table]
    names: Mapping[str, Names]
    details: DetailsTable
    offset: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)  # events and values that the definition does not declare
    clock: int = -1  # time of the newest event below `offset`, whatever it spoke of

    def table(self, name: str) -> Table:
        """The table of that name; empty if no event touched it."""
        return self.tables.get(name, _EMPTY)

    def size(self, entity: str) -> int:
        """How many entities of a type this view knows."""
        return self.sizes.get(f"entity/{entity}", 0)

    def rows(self, entity: str, ids: Sequence[str]) -> Int:
        """Rows of ids; -1 for unknown ones."""
        rows = self.names[f"entity/{entity}"].find_all(ids)
        return np.where(rows < self.size(entity), rows, UNKNOWN)

    def ids(self, entity: str, rows: Int) -> list[str]:
        """Ids of rows."""
        names = self.names[f"entity/{entity}"]
        return [names[row] for row in rows.tolist()]

    def deleted(self, entity: str, rows: Int, times: Int) -> Int:
        """When each was last deleted as of `times`, or -1."""
        return self.table(f"delete/{entity}").last_time(rows, times)

    def alive(self, entity: str, rows: Int, times: Int) -> NDArray[np.bool_]:
        """Whether each exists: upserted since its last deletion, or never deleted and named by an event."""
        deleted = self.deleted(entity, rows, times)
        upserted = self.table(f"upsert/{entity}").last_time(rows, times) > deleted
        named = self.table(f"mention/{entity}").last_time(rows, times) >= 0
        return (rows >= 0) & (upserted | (named & (deleted < 0)))

    def born(self, entity: str, rows: Int, times: Int) -> Int:
        """When each was made as of `times`: its `created` moment, else its first upsert or event; or `UNBORN`."""
        since = self.deleted(entity, rows, times) + 1
        upserted = self.table(f"upsert/{entity}").first_time(rows, since, NEVER)
        named = self.table(f"mention/{entity}").first_time(rows, np.zeros_like(since), NEVER)
        first = np.where(upserted < times, upserted, np.where((since == 0) & (named < times), named, UNBORN))
        created = self._entity(entity).created
        if created is None:
            return first
        moment = self.attribute(entity, created, rows, times)
        return np.where(np.isnan(moment), first, np.nan_to_num(moment).astype(np.int64))

    def attribute(self, entity: str, name: str, rows: Int, times: Int) -> NDArray[np.float64]:
        """An attribute's value as last set before `times`: a number, a moment or the code of a string; NaN if there is none."""
        since = self.deleted(entity, rows, times) + 1
        return self.table(f"attribute/{entity}/{name}").last("value", rows, since, times)

    def codes(self, entity: str, name: str, rows: Int, times: Int) -> Int:
        """The codes of a category or text attribute as of `times`; -1 if there is none."""
        return np.nan_to_num(self.attribute(entity, name, rows, times), nan=UNKNOWN).astype(np.int64)

    def text(self, entity: str, name: str, row: int, time: int) -> str | None:
        """A category or text attribute of one entity, as it was given (lists joined by ``", "``)."""
        code = int(self.codes(entity, name, np.array([row]), np.array([time]))[0])
        return None if code < 0 else self.names[f"value/{entity}/{name}"][code].replace(SEPARATOR, ", ")

    def keys(self, by: tuple[str, ...], viewers: Int, items: Int, times: Int, context: Int | None = None) -> Int:
        """What features are counted by, as one number per row; -1 where a part is missing.

        `context` holds the codes of the requests' contexts, shape (N, X); without it, nothing is known of them.
        Attributes are taken as of `times`; for an event, pass its time + 1, so that an upsert at the same time counts.
        """
        parts = [self._key_part(part, viewers, items, times, context) for part in by]
        if len(parts) == 1:
            return parts[0]
        first, second = parts
        if first.max(initial=0) >= _FIRST or second.max(initial=0) >= _SECOND:
            raise CapacityError(f"a pair key {by} holds {_FIRST} by {_SECOND} values; count by one of the two instead")
        return np.where((first < 0) | (second < 0), UNKNOWN, first * _SECOND + second)

    def since(self, by: tuple[str, ...], viewers: Int, items: Int, times: Int) -> Int:
        """From when on a key counts as of `times`: within memory, after the last deletion of the viewer or item in it."""
        since = self.reach(times)
        for part, entity, rows in (("viewer", self.definition.viewer, viewers), ("item", self.definition.item, items)):
            if part in by:
                since = np.maximum(since, self.deleted(entity.name, rows, times) + 1)
        return since

    def reach(self, times: Int) -> Int:
        """From when on impressions and actions count as of `times`, by the definition's memory."""
        memory = self.definition.memory
        return np.zeros(len(times), np.int64) if memory is None else np.maximum(times - milliseconds(memory), 0)

    def history_start(self, times: Int) -> Int:
        """From when on they are part of the viewer's history: within memory too, but moving by whole eighths of it.

        So a history keeps its start for a while, and what was computed of it stays exact. The start is the same for all times
        that are more than a memory after one multiple of the step, and at most a memory after the next.
        """
        if self.definition.memory is None:
            return np.zeros(len(times), np.int64)
        memory, step = milliseconds(self.definition.memory), history_step(self.definition.memory)
        return np.maximum(-((memory - times) // step) * step, 0)

    def neighbours(self, edge: str, rows: Int, times: Int, side: str = "out") -> dict[str, Column]:
        """Who is linked over `edge` as of `times`: arrays ``query`` (index into `rows`) and ``other`` (row at the far end)."""
        kind = next(declared for declared in self.definition.edges if declared.name == edge)
        near, far = (kind.source, kind.target) if side == "out" else (kind.target, kind.source)
        since = self.deleted(near, rows, times) + 1
        links = self.table(f"edge/{edge}/{side}").slice(rows, since, times)
        if not len(links["query"]):
            return {"query": np.zeros(0, np.int64), "other": np.zeros(0, np.int64)}
        order = np.lexsort((np.arange(len(links["query"])), links["other"], links["query"]))
        query, other, added, when = (links[name][order] for name in ("query", "other", "added", "time"))
        last = np.append((query[1:] != query[:-1]) | (other[1:] != other[:-1]), True)
        valid = last & (added > 0) & (when > self.deleted(far, other, times[query]))
        return {"query": query[valid], "other": other[valid]}

    def all_rows(self, entity: str) -> Int:
        """The rows of every entity of a type."""
        return np.arange(self.size(entity))

    @cached_property
    def newest_time(self) -> int:
        """Time of the newest impression or action, or -1."""
        return self._newest("impression", "action")

    @cached_property
    def newest_event_time(self) -> int:
        """Time of the newest event of any kind, or -1."""
        return self._newest(*(name for name in self.tables if name != "event"))

    def _newest(self, *tables: str) -> int:
        return max((self.table(name).newest for name in tables), default=-1)

    def _entity(self, name: str) -> Entity:
        return next(entity for entity in self.definition.entities if entity.name == name)

    def _key_part(self, part: str, viewers: Int, items: Int, times: Int, context: Int | None) -> Int:
        side, _, attribute = part.partition(".")
        if side == "context":
            if context is None:
                return np.full(len(times), UNKNOWN)
            return context[:, [declared.name for declared in self.definition.context].index(attribute)]
        rows = viewers if side == "viewer" else items
        if not attribute:
            return rows
        entity = self.definition.viewer if side == "viewer" else self.definition.item
        return self.codes(entity.name, attribute, rows, times)
