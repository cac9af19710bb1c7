"""The state of one recommender, built from its events in any order of arrival.

`State.apply` takes the batches of the log: a repeat changes nothing, a late event counts from its own time on, and the state
depends on the set of events alone. `State.view` gives an immutable `View` to ask.
"""

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fourfold.definition import Category, Entity, Moment, Number, Recommender, Text
from fourfold.definition.entities import Attribute
from fourfold.events.types import EventKind, Value, decode_attributes
from fourfold.features.admission import clocks, in_time, known_until, remembered_until, spoken_of, with_ids
from fourfold.features.counting import Counting, Rows
from fourfold.features.details import SPACE, DetailsTable, add_details, context_space
from fourfold.features.late import Changes, late_rows
from fourfold.features.names import Names, hash64
from fourfold.features.table import Column, Float, Int, Run, Table
from fourfold.features.values import fixed
from fourfold.features.view import SEPARATOR, View

LATEST = 1 << 52
LARGEST = 1e30
"""The largest number that an attribute may hold: models read 32-bit floats."""


class State:
    """All that one recommender knows, as time-indexed tables.

    Tables, by name (key; columns beside ``tie``):

    ==============================  ==================================================
    ``event``                       64-bit hash of the event id, see `fourfold.features.admission`
    ``upsert/ENTITY``               entity row
    ``delete/ENTITY``               entity row
    ``mention/ENTITY``              entity row, first event that names it
    ``attribute/ENTITY/NAME``       entity row; value
    ``edge/KIND/out``, ``.../in``   row at this end; other, added
    ``impression``                  viewer; item, request, details
    ``action``                      viewer; item, name, details and, where something reads it, value
    ``recent``                      0; item, viewer, name: actions by time
    ``count/EVENT/KEY`` ...         feature key; see `fourfold.features.counting`
    ==============================  ==================================================
    """

    def __init__(self, definition: Recommender) -> None:
        self.definition = definition
        self.ignored: Counter[str] = Counter()
        self._clock = -1
        self._tables: dict[str, Table] = {}
        self._names: dict[str, Names] = {name: Names() for name in _name_spaces(definition)}
        self._details = DetailsTable(definition, self._names)
        self._lock = threading.Lock()
        self._counting = Counting(definition, self._names, self._details)
        self._publish(0)

    @property
    def offset(self) -> int:
        """The log offset up to which events are applied."""
        return self._view.offset

    def view(self) -> View:
        """The state after the last batch; later events do not change it. It never waits for a batch that is being taken."""
        return self._view

    def apply(self, batch: pa.RecordBatch, offset: int | None = None) -> int:
        """Take the events of a batch and return how many were new; `offset` is the log offset after it.

        All of a batch is taken or, where this raises, nothing.
        """
        with self._lock:
            try:
                fresh, ties = self._admitted(batch)
                if fresh.num_rows:
                    self._take(fresh, ties)
            except BaseException:
                view = self._view
                self._tables, self.ignored, self._clock = dict(view.tables), Counter(view.ignored), view.clock
                raise
            self._publish(self.offset if offset is None else offset)
            return int(fresh.num_rows)

    def restore(
        self,
        tables: Mapping[str, Table],
        names: Mapping[str, Iterable[str]],
        offset: int,
        clock: int,
        ignored: Mapping[str, int],
    ) -> None:
        """Replace everything by what `fourfold.features.consumer` saved."""
        with self._lock:
            self._tables, self.ignored, self._clock = dict(tables), Counter(ignored), clock
            self._names |= {space: Names(texts) for space, texts in names.items()}
            self._details = DetailsTable(self.definition, self._names)
            self._counting = Counting(self.definition, self._names, self._details)
            self._publish(offset)

    def sealed(self) -> View:
        """The state after the last batch, whose runs are merged no more until `replace` puts others in their place."""
        with self._lock:
            self._tables = {name: table.sealed() for name, table in self._tables.items()}
            self._publish(self.offset)
            return self._view

    def replace(self, sealed: View, runs: Mapping[str, Sequence[Run]]) -> None:
        """Put runs that hold the same rows in place of those of a sealed view. What changed meanwhile stays as it is."""
        with self._lock:
            for name, new in runs.items():
                self._tables[name] = self._tables[name].replaced(sealed.table(name).runs, new)
            self._publish(self.offset)

    def _publish(self, offset: int) -> None:
        """Let readers see the tables as they are now."""
        sizes = {name: len(names) for name, names in self._names.items()}
        tables = MappingProxyType(dict(self._tables))
        ignored = dict(self.ignored)
        self._view = View(self.definition, tables, self._names, self._details, offset, sizes, ignored, self._clock)

    def _admitted(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Column]:
        """The events to take, and a hash of the id of each."""
        clock = clocks(batch, self._clock)
        self._clock = int(clock[-1])
        spoken, others = spoken_of(self.definition, batch)
        punctual, late = in_time(self.definition, batch, clock[:-1])
        self.ignored.update(others + late)
        keep = spoken & punctual
        batch, clock = _filtered(batch, keep), clock[:-1][keep]
        hashes = hash64(batch["id"])
        until = remembered_until(self.definition, batch)
        known = known_until(self._table("event"), hashes, until)
        longer, new = until > known, known < np.maximum(clock, 0)
        self._tables["event"] = with_ids(self._table("event"), hashes[longer], until[longer])
        return _filtered(batch, new), hashes[new]

    def _take(self, fresh: pa.RecordBatch, ties: Column) -> None:
        changed = self._take_entities(fresh, ties)
        self._take_edges(fresh, ties)
        self._take_impressions_and_actions(fresh, ties)
        if changed:
            self._rekey(changed)

    def _take_entities(self, batch: pa.RecordBatch, ties: Column) -> Changes:
        """Upserts and deletes; returns whom they are about and when, per entity type."""
        changed: defaultdict[str, list[tuple[Int, Int]]] = defaultdict(list)
        for entity in self.definition.entities:
            for kind, table in ((EventKind.ENTITY_UPSERT, "upsert"), (EventKind.ENTITY_DELETE, "delete")):
                mask = _mask(batch, kind) & _equals(batch["name"], entity.name)
                if not mask.any():
                    continue
                rows = self._names[f"entity/{entity.name}"].add_column(batch["subject"].filter(pa.array(mask)))
                times, tie = _times(batch)[mask], ties[mask]
                self._add(f"{table}/{entity.name}", rows, times, {"tie": tie})
                changed[entity.name].append((rows, times))
                if kind is EventKind.ENTITY_UPSERT:
                    encoded = batch["attributes"].filter(pa.array(mask)).to_pylist()
                    self._take_attributes(entity, rows, times, tie, [decode_attributes(data) for data in encoded])
        return changed

    def _take_attributes(self, entity: Entity, rows: Int, times: Int, ties: Column, given: list[dict[str, Value]]) -> None:
        for attribute in entity.attributes:
            name = attribute.name
            raw = [values[name] for values in given if name in values]
            has = slice(None) if len(raw) == len(given) else np.array([name in values for values in given])
            if raw:
                columns = {"value": self._encoded(entity, attribute, raw), "tie": ties[has]}
                self._add(f"attribute/{entity.name}/{name}", rows[has], times[has], columns)

    def _encoded(self, entity: Entity, attribute: Attribute, raw: list[Value]) -> Float:
        """Attribute values as numbers: strings by their code; null, and what does not fit the declaration, as NaN."""
        names = self._names.get(f"value/{entity.name}/{attribute.name}")

        def number(value: Value) -> float:
            if value is None:
                return math.nan
            if not fits(attribute, value):
                self.ignored[f"value that is no {attribute.kind} in {entity.name}.{attribute.name}"] += 1
                return math.nan
            return float(value) if names is None else names.add(_joined(value))  # type: ignore[arg-type]  # it fits

        if names is None:
            return np.array([number(value) for value in raw], np.float64)
        # Nearly all are strings, which fit both categories and text.
        return np.array([names.add(value) if type(value) is str else number(value) for value in raw], np.float64)

    def _take_edges(self, batch: pa.RecordBatch, ties: Column) -> None:
        added, removed = _mask(batch, EventKind.EDGE_ADDED), _mask(batch, EventKind.EDGE_REMOVED)
        if not (added | removed).any():
            return
        for edge in self.definition.edges:
            mask = (added | removed) & _equals(batch["name"], edge.name)
            picked, times, tie, on = (
                batch.filter(pa.array(mask)),
                _times(batch)[mask],
                ties[mask],
                added[mask].astype(np.int8),
            )
            sources = self._named(edge.source, picked["subject"], times, tie)
            targets = self._named(edge.target, picked["object"], times, tie)
            columns = {"added": on, "tie": tie}
            for side, near, far in (("out", sources, targets), ("in", targets, sources)):
                self._add(f"edge/{edge.name}/{side}", near, times, columns | {"other": far})
                if edge.mutual:
                    self._add(f"edge/{edge.name}/{side}", far, times, columns | {"other": near})

    def _take_impressions_and_actions(self, batch: pa.RecordBatch, ties: Column) -> None:
        mask = _mask(batch, EventKind.IMPRESSION) | _mask(batch, EventKind.ACTION)
        if not mask.any():
            return
        events, times, tie = batch.filter(pa.array(mask)), _times(batch)[mask], ties[mask]
        viewers = self._named(self.definition.viewer.name, events["subject"], times, tie)
        items = self._named(self.definition.item.name, events["object"], times, tie)
        rows: Rows = {
            "viewer": viewers,
            "item": items,
            "time": times,
            "tie": tie,
            "name": self._names["action"].add_column(events["name"]),
            "details": add_details(self.definition, self._names, events["attributes"]),
            "request": _request_hashes(events["request"]),
        }
        if self._counting.valued:
            rows["value"] = fixed(events["value"])
        # Sorted once, so that the runs of all tables need not be.
        rows = _at(rows, np.lexsort((tie, times)))
        shown = rows["name"] < 0
        self._add_rows("impression", "viewer", _at(rows, shown), ("item", "request", "details", "tie"))
        acted, values = _at(rows, ~shown), ("value",) if self._counting.valued else ()
        self._add_rows("action", "viewer", acted, ("item", "name", "details", *values, "tie"))
        self._add("recent", np.zeros_like(acted["time"]), acted["time"], _picked(acted, ("item", "viewer", "name", "tie")))
        self._count(rows)

    def _add_rows(self, name: str, key: str, rows: Mapping[str, Column], columns: Sequence[str]) -> None:
        self._add(name, rows[key], rows["time"], _picked(rows, columns))

    def _count(self, rows: Rows) -> None:
        """Count impressions and actions under the keys that they have now."""
        now, counted = self._peek(), self._counting.of_events(rows)
        for place in self._counting.places:
            for name, keys, times, columns in self._counting.under(place, self._counting.keys(now, place, rows), counted):
                self._add(name, keys, times, columns)

    def _rekey(self, changed: Changes) -> None:
        """Move what is counted under an attribute that a late upsert or delete changed for events taken before."""
        before, now = self._view, self._peek()
        late = late_rows(before, changed)
        for place in self._counting.places:
            old, new = (self._counting.keys(view, place, late) for view in (before, now))
            moved = (old != new).any(axis=0)
            if moved.any():
                counted = self._counting.of_events(_at(late, moved))
                for name, keys, times, columns in self._counting.under(place, old[:, moved], counted):
                    self._tables[name] = self._table(name).without(keys, times, columns["tie"])
                for name, keys, times, columns in self._counting.under(place, new[:, moved], counted):
                    self._add(name, keys, times, columns)

    def _named(self, entity: str, column: pa.Array, times: Int, ties: Column) -> Int:
        """Rows of a column of ids; the first event that names one is remembered as its mention."""
        rows = self._names[f"entity/{entity}"].add_column(column)
        order = np.lexsort((times, rows))
        first = order[np.unique(rows[order], return_index=True)[1]]
        known = self._table(f"mention/{entity}").first_time(rows[first], np.zeros(len(first), np.int64), 1 << 52)
        first = first[times[first] < known]
        self._add(f"mention/{entity}", rows[first], times[first], {"tie": ties[first]})
        return rows

    def _peek(self) -> View:
        return View(self.definition, self._tables, self._names, self._details)

    def _table(self, name: str) -> Table:
        return self._tables.get(name, Table())

    def _add(self, name: str, keys: Int, times: Int, columns: Mapping[str, Column]) -> None:
        if len(keys):
            self._tables[name] = self._table(name).added(keys, times, columns)


def fits(attribute: Attribute, value: Value) -> bool:
    """Whether a value is what an attribute's declaration says: what is not is left out, as if it had not been given."""
    match attribute:
        case Text():
            return isinstance(value, str)
        case Category(many=many):
            return isinstance(value, str | int | float) or (many and isinstance(value, list))
        case Moment():
            return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LATEST
        case Number():
            return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _name_spaces(definition: Recommender) -> list[str]:
    entities = [f"entity/{entity.name}" for entity in definition.entities]
    values = [
        f"value/{entity.name}/{attribute.name}"
        for entity in definition.entities
        for attribute in entity.attributes
        if attribute.kind in ("category", "text")
    ]
    return [*entities, *values, *(context_space(part.name) for part in definition.context), SPACE, "action"]


def _filtered(batch: pa.RecordBatch, mask: Column) -> pa.RecordBatch:
    return batch if mask.all() else batch.filter(pa.array(mask))


def _mask(batch: pa.RecordBatch, kind: EventKind) -> Column:
    mask: Column = batch["kind"].to_numpy() == int(kind)
    return mask


def _equals(column: pa.Array, name: str) -> Column:
    mask: Column = pc.fill_null(pc.equal(column, name), False).to_numpy(zero_copy_only=False)
    return mask


def _times(batch: pa.RecordBatch) -> Int:
    times: Int = batch["time"].to_numpy()
    return times


def _at(columns: Mapping[str, Column], mask: Column) -> dict[str, Column]:
    return {name: column[mask] for name, column in columns.items()}


def _picked(rows: Mapping[str, Column], names: Sequence[str]) -> dict[str, Column]:
    return {name: rows[name] for name in names}


def _request_hashes(column: pa.Array) -> Column:
    """A 64-bit hash per request id; 0 where there is none."""
    encoded = column.dictionary_encode()
    hashes: Column = np.append(hash64(encoded.dictionary), np.uint64(0))
    found: Column = hashes[encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)]
    return found


def _joined(value: Value) -> str:
    return SEPARATOR.join(value) if isinstance(value, list) else str(value)
