"""Entities and edges as records: read one or a page of them, change one by an event, on condition that nobody did meanwhile."""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, JsonValue

from fourfold.api.errors import ApiError
from fourfold.api.service import Service
from fourfold.definition import Category, Entity, Moment, Number
from fourfold.definition.entities import Attribute
from fourfold.events.log import InvalidEventError, LogFullError, LogMovedError
from fourfold.events.types import EdgeAdded, EdgeRemoved, EntityDelete, EntityUpsert, Event, Value
from fourfold.features.admission import known_until
from fourfold.features.names import hash64
from fourfold.features.table import Int
from fourfold.features.view import NEVER, SEPARATOR, View
from fourfold.modes.clock import wall_clock

ATTEMPTS = 50
"""How often a change is decided anew because others wrote meanwhile, before the caller is asked to come back."""


class Record(BaseModel):
    """One entity. `version` changes with every event about it."""

    type: str
    key: str
    version: str
    attributes: dict[str, JsonValue]


class Link(BaseModel):
    """One edge. `version` changes with every event about it."""

    kind: str
    source: str
    target: str
    version: str


class Changed(BaseModel):
    """A change that is safe on disk: the log offset after it, and the record's version from then on."""

    offset: int
    version: str


@dataclass(frozen=True)
class Condition:
    """What must hold for a change: the record's version, that it exists, or that it does not.

    Parameters
    ----------
    match : str, optional
        A version, or ``"*"`` for any: there must be a record.
    none_match : str, optional
        The same, of what must not be.
    """

    match: str | None = None
    none_match: str | None = None

    def check(self, version: str | None) -> None:
        """Refuse where it does not hold for a version; None stands for a record that is not there.

        Raises
        ------
        ApiError
            412, naming the present version.
        """
        if self.match is not None and not _matches(self.match, version):
            raise ApiError(412, f"the version is {version or 'none: there is no such record'}", "the version that is read now")
        if self.none_match is not None and _matches(self.none_match, version):
            raise ApiError(412, f"there is one already, of version {version}", "another key, or no If-None-Match to change it")

    def __bool__(self) -> bool:
        return self.match is not None or self.none_match is not None


def _matches(wanted: str, version: str | None) -> bool:
    return version is not None and wanted in ("*", version)


class Records:
    """The records of a service: what its surfaces' states hold of entities and edges.

    A type may be declared by several surfaces, each with attributes of its own: a record has all of them.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def get(self, type_: str, key: str) -> Record:
        """One entity.

        Raises
        ------
        ApiError
            404 if there is none.
        """
        view = self._views(type_)[0]
        row = view.rows(type_, [key])
        if not _alive(view, type_, row)[0]:
            raise ApiError(404, f"there is no {type_} {key!r}", "the key of one that was upserted, or named by an event")
        return self._records(type_, [key])[0]

    def page(self, type_: str, after: int, limit: int) -> tuple[list[Record], int | None]:
        """At most `limit` entities in the order in which the log first named them, and where the next page begins."""
        view = self._views(type_)[0]
        rows = np.arange(after, min(view.size(type_), after + limit))
        keys = view.ids(type_, rows[_alive(view, type_, rows)])
        end = after + len(rows)
        return self._records(type_, keys), end if end < view.size(type_) else None

    def upsert(self, type_: str, key: str, attributes: Mapping[str, Value], condition: Condition, event: str | None) -> Changed:
        """Set the given attributes of an entity, which need not exist; null clears one, the others stay."""

        def make(id_: str, time: int) -> Event:
            return EntityUpsert(id=id_, time=time, type=type_, key=key, attributes=dict(attributes))

        return self._change(lambda: self._entity_state(type_, key), make, condition, event)

    def delete(self, type_: str, key: str, condition: Condition, event: str | None) -> Changed:
        """Delete an entity; one that is not there is no error, unless a condition says so."""
        return self._change(
            lambda: self._entity_state(type_, key),
            lambda id_, time: EntityDelete(id=id_, time=time, type=type_, key=key),
            condition,
            event,
        )

    def link(self, kind: str, source: str, target: str) -> Link:
        """One edge.

        Raises
        ------
        ApiError
            404 if it does not stand.
        """
        version = self._link_state(kind, source, target)[1]
        if version is None:
            raise ApiError(404, f"no {kind} leads from {source!r} to {target!r}", "the ends of an edge that was added")
        return Link(kind=kind, source=source, target=target, version=version)

    def links(self, kind: str, source: str, limit: int) -> list[Link]:
        """The edges that lead from an entity, in the order of their targets."""
        view = self._view_of_edge(kind)
        declared = next(edge for edge in view.definition.edges if edge.name == kind)
        rows = view.rows(declared.source, [source])
        others = view.neighbours(kind, rows, _soon(1))["other"]
        targets = view.ids(declared.target, others)
        order = sorted(range(len(targets)), key=targets.__getitem__)[:limit]
        versions = _link_versions(view, kind, rows, others[order])
        return [
            Link(kind=kind, source=source, target=targets[place], version=version)
            for place, (version, _) in zip(order, versions, strict=True)
        ]

    def add_link(self, kind: str, source: str, target: str, condition: Condition, event: str | None) -> Changed:
        """Add an edge; one that stands stays."""
        return self._change(
            lambda: self._link_state(kind, source, target),
            lambda id_, time: EdgeAdded(id=id_, time=time, kind=kind, source=source, target=target),
            condition,
            event,
        )

    def remove_link(self, kind: str, source: str, target: str, condition: Condition, event: str | None) -> Changed:
        """Remove an edge; one that does not stand is no error, unless a condition says so."""
        return self._change(
            lambda: self._link_state(kind, source, target),
            lambda id_, time: EdgeRemoved(id=id_, time=time, kind=kind, source=source, target=target),
            condition,
            event,
        )

    def _change(
        self,
        state: Callable[[], tuple[View, str | None, int]],
        make: Callable[[str, int], Event],
        condition: Condition,
        event: str | None,
    ) -> Changed:
        """Append what `make` gives, if the condition holds of the very state that it is appended to."""
        for _ in range(ATTEMPTS):
            view, version, last = state()
            id_ = secrets.token_hex(16) if event is None else _event_id(event, make)
            if event is not None and _is_known(view, id_):
                return Changed(offset=view.offset, version=version or "")
            condition.check(version)
            # Later than what is known of the record until now: two changes within a millisecond must not change places.
            # An event that lies ahead, from a clock that is fast, must not put this change off: it counts when its time comes.
            made = make(id_, max(wall_clock(), last + 1))
            try:
                offset = self._service.append([made], expected=view.offset if condition else None)
            except LogMovedError:
                continue
            except LogFullError as error:
                raise ApiError(507, str(error), "the same change again when there is room") from None
            except InvalidEventError as error:
                raise ApiError(422, f"{error.column}: {error.problem}", "what /openapi.json says") from None
            return Changed(offset=offset, version=state()[1] or "")
        raise ApiError(503, "others change records faster than this one can", "it again in a second", {"Retry-After": "1"})

    def _entity_state(self, type_: str, key: str) -> tuple[View, str | None, int]:
        """A view, the entity's version in it (None: there is none), and the time of the last event about it."""
        view = self._views(type_)[0]
        row = view.rows(type_, [key])
        version, last = _version(view, _tables(type_), row)
        return view, version if _alive(view, type_, row)[0] else None, last

    def _link_state(self, kind: str, source: str, target: str) -> tuple[View, str | None, int]:
        view = self._view_of_edge(kind)
        declared = next(edge for edge in view.definition.edges if edge.name == kind)
        row, other = view.rows(declared.source, [source]), view.rows(declared.target, [target])
        version, last = _link_versions(view, kind, row, other)[0]
        stands = other[0] >= 0 and (view.neighbours(kind, row, _soon(1))["other"] == other[0]).any()
        return view, version if stands else None, last

    def _views(self, type_: str) -> list[View]:
        """The states of the surfaces that declare a type."""
        found = [view for view in self._all() if any(entity.name == type_ for entity in view.definition.entities)]
        if not found:
            known = {entity.name for view in self._all() for entity in view.definition.entities}
            raise ApiError(404, f"no surface here declares the type {type_[:64]!r}", f"one of: {', '.join(sorted(known))}")
        return found

    def _view_of_edge(self, kind: str) -> View:
        for view in self._all():
            if any(edge.name == kind for edge in view.definition.edges):
                return view
        known = {edge.name for view in self._all() for edge in view.definition.edges}
        raise ApiError(404, f"no surface here declares the edge {kind[:64]!r}", f"one of: {', '.join(sorted(known)) or 'none'}")

    def _all(self) -> Iterator[View]:
        return (self._service.of(surface).present() for surface in self._service.surfaces)

    def _records(self, type_: str, keys: list[str]) -> list[Record]:
        found: list[dict[str, JsonValue]] = [{} for _ in keys]
        views = self._views(type_)
        for view in views:
            rows = view.rows(type_, keys)
            for attribute in _declared(view, type_).attributes:
                for values, value in zip(found, _values(view, type_, attribute, rows), strict=True):
                    values[attribute.name] = value
        versions = [_version(views[0], _tables(type_), row[None])[0] for row in views[0].rows(type_, keys)]
        return [
            Record(type=type_, key=key, version=version, attributes=attributes)
            for key, version, attributes in zip(keys, versions, found, strict=True)
        ]


def _event_id(key: str, make: Callable[[str, int], Event]) -> str:
    """The id of a change under an idempotency key: the same for the same change, and another for another."""
    content = msgspec.json.encode([key, make("", 0)], order="sorted")
    return f"change-{hashlib.sha256(content).hexdigest()[:40]}"


def _is_known(view: View, id_: str) -> bool:
    """Whether the event of that id was taken already."""
    return bool(known_until(view.table("event"), hash64(pa.array([id_])), np.array([NEVER]))[0] >= 0)


def _declared(view: View, type_: str) -> Entity:
    return next(entity for entity in view.definition.entities if entity.name == type_)


def _tables(type_: str) -> list[str]:
    """Where the events about entities of a type are."""
    return [f"upsert/{type_}", f"delete/{type_}"]


def _soon(count: int) -> Int:
    """As of just after now, so that what was acknowledged counts."""
    return np.full(count, wall_clock() + 1)


def _alive(view: View, type_: str, rows: Int) -> NDArray[np.bool_]:
    return view.alive(type_, rows, _soon(len(rows)))


def _version(view: View, tables: list[str], row: Int) -> tuple[str, int]:
    """A text that changes with every event about an entity, late ones too; and the time of the last of them until now."""
    since, until = np.zeros(1, np.int64), np.array([NEVER])
    counts = [int(view.table(name).count(row, since, until)[0]) for name in tables]
    lasts = [int(view.table(name).last_time(row, until)[0]) for name in tables]
    present = max(int(view.table(name).last_time(row, _soon(1))[0]) for name in tables)
    return ".".join(str(part) for pair in zip(counts, lasts, strict=True) for part in pair), present


def _link_versions(view: View, kind: str, row: Int, others: Int) -> list[tuple[str, int]]:
    """The versions of the edges from one entity to some others, and the time of the last event of each until now."""
    events = view.table(f"edge/{kind}/out").slice(row, np.zeros(1, np.int64), np.array([NEVER]))
    targets, times = (events["other"], events["time"]) if len(events["query"]) else (others[:0], others[:0])
    order = np.lexsort((times, targets))
    targets, times = targets[order], times[order]
    first, stop = (np.searchsorted(targets, others, side=side) for side in ("left", "right"))
    present, found = wall_clock(), list[tuple[str, int]]()
    for low, high in zip(first.tolist(), stop.tolist(), strict=True):
        mine = times[low:high]
        past = mine[mine <= present]
        found.append((f"{high - low}.{mine[-1] if len(mine) else -1}", int(past[-1]) if len(past) else -1))
    return found


def _values(view: View, type_: str, attribute: Attribute, rows: Int) -> list[JsonValue]:
    """An attribute of some entities as it was given: null where it is not set."""
    numbers = view.attribute(type_, attribute.name, rows, _soon(len(rows)))
    given = (~np.isnan(numbers)).tolist()
    if isinstance(attribute, Number | Moment):
        whole = isinstance(attribute, Moment)
        return [
            (int(value) if whole else value) if there else None for value, there in zip(numbers.tolist(), given, strict=True)
        ]
    names = view.names[f"value/{type_}/{attribute.name}"]
    texts = [names[int(code)] if there else None for code, there in zip(numbers.tolist(), given, strict=True)]
    many = isinstance(attribute, Category) and attribute.many
    return [_parts(text) if many and text is not None else text for text in texts]


def _parts(text: str) -> list[JsonValue]:
    """The values of a category with several of them."""
    return [*text.split(SEPARATOR)] if text else []
