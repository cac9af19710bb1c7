"""The state of one recommender, built from its events in any order of arrival.

`State.apply` takes the batches of the log: a repeat changes nothing, a late event counts from its own time on, and the state
depends on the set of events alone. `State.view` gives an immutable `View` to ask.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fourfold.definition import Category, Count, Entity, Moment, Number, Rate, Recommender, Text
from fourfold.definition.entities import Attribute
from fourfold.events.types import EventKind, Value, decode_attributes
from fourfold.features.details import SPACE, DetailsTable, add_details, context_space
from fourfold.features.late import Changes, late_rows
from fourfold.features.names import Names, hash64
from fourfold.features.table import Column, Float, Int, Table
from fourfold.features.view import SEPARATOR, View

LATEST = 1 << 52
LARGEST = 1e30
"""The largest number that an attribute may hold: models read 32-bit floats."""

CounterKey = tuple[tuple[str, ...], str]

UNKNOWN_OUTCOME = "unknown:"
"""Before the name of an action: the impressions of which the log does not know whether the action followed."""


class State:
    """All that one recommender knows, as time-indexed tables.

    Tables, by name (key; columns beside ``tie``):

    ==============================  ==================================================
    ``event``                       64-bit hash of the event id, as two halves
    ``upsert/ENTITY``               entity row
    ``delete/ENTITY``               entity row
    ``mention/ENTITY``              entity row, first event that names it
    ``attribute/ENTITY/NAME``       entity row; value
    ``edge/KIND/out``, ``.../in``   row at this end; other, added
    ``impression``                  viewer; item, request, details
    ``action``                      viewer; item, name, details
    ``recent``                      0; item, viewer, name: actions by time
    ``count/EVENT/KEY``             feature key
    ==============================  ==================================================
    """

    def __init__(self, definition: Recommender) -> None:
        self.definition = definition
        self.ignored: Counter[str] = Counter()
        self._tables: dict[str, Table] = {}
        self._names: dict[str, Names] = {name: Names() for name in _name_spaces(definition)}
        self._details = DetailsTable(definition, self._names)
        self._lock = threading.Lock()
        self._counters = counters(definition)
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
                fresh = self._unseen(self._relevant(batch))
                if fresh.num_rows:
                    self._take(fresh)
            except BaseException:
                self._tables, self.ignored = dict(self._view.tables), Counter(self._view.ignored)
                raise
            self._publish(self.offset if offset is None else offset)
            return int(fresh.num_rows)

    def restore(
        self, tables: Mapping[str, Table], names: Mapping[str, Iterable[str]], offset: int, ignored: Mapping[str, int]
    ) -> None:
        """Replace everything by what `fourfold.features.consumer` saved."""
        with self._lock:
            self._tables = dict(tables)
            self._names |= {space: Names(texts) for space, texts in names.items()}
            self._details = DetailsTable(self.definition, self._names)
            self.ignored = Counter(ignored)
            self._publish(offset)

    def _publish(self, offset: int) -> None:
        """Let readers see the tables as they are now."""
        sizes = {name: len(names) for name, names in self._names.items()}
        tables = MappingProxyType(dict(self._tables))
        self._view = View(self.definition, tables, self._names, self._details, offset, sizes, dict(self.ignored))

    def _take(self, fresh: pa.RecordBatch) -> None:
        ties = hash64(fresh["id"].to_pylist())
        changed = self._take_entities(fresh, ties)
        self._take_edges(fresh, ties)
        self._take_impressions_and_actions(fresh, ties)
        if changed:
            self._rekey(changed)

    def _relevant(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The events that this definition speaks of; the others are counted in `ignored`."""
        definition = self.definition
        kind, surface, name = batch["kind"], batch["surface"], batch["name"]
        here = pc.fill_null(pc.equal(surface, definition.surface), False)
        masks = {
            EventKind.IMPRESSION: here,
            EventKind.ACTION: pc.and_(here, _one_of(name, [action.name for action in definition.actions])),
            EventKind.ENTITY_UPSERT: _one_of(name, [entity.name for entity in definition.entities]),
            EventKind.ENTITY_DELETE: _one_of(name, [entity.name for entity in definition.entities]),
            EventKind.EDGE_ADDED: _one_of(name, [edge.name for edge in definition.edges]),
            EventKind.EDGE_REMOVED: _one_of(name, [edge.name for edge in definition.edges]),
        }
        keep = pa.array(np.zeros(batch.num_rows, bool))
        for value, mask in masks.items():
            keep = pc.or_(keep, pc.and_(pc.equal(kind, int(value)), mask))
        dropped = pc.value_counts(kind.filter(pc.invert(keep))).to_pylist()
        self.ignored.update(
            {f"{EventKind(row['values']).name.lower()} of another definition": row["counts"] for row in dropped}
        )
        return batch.filter(keep)

    def _unseen(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The events whose id is new, each once."""
        hashes = hash64(batch["id"].to_pylist())
        high, low = (hashes >> np.uint64(32)).astype(np.int64), (hashes & np.uint64(0xFFFFFFFF)).astype(np.int64)
        new = self._table("event").count(high, low, low + 1) == 0
        first = np.zeros(len(hashes), bool)
        first[np.unique(hashes, return_index=True)[1]] = True
        new &= first
        self._add("event", high[new], low[new], {"tie": np.zeros(int(new.sum()), np.uint64)})
        return batch.filter(pa.array(new))

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
            has = np.fromiter((attribute.name in values for values in given), bool, len(given))
            if has.any():
                raw = [values[attribute.name] for values in given if attribute.name in values]
                columns = {"value": self._encoded(entity, attribute, raw), "tie": ties[has]}
                self._add(f"attribute/{entity.name}/{attribute.name}", rows[has], times[has], columns)

    def _encoded(self, entity: Entity, attribute: Attribute, raw: list[Value]) -> Float:
        """Attribute values as numbers: strings by their code; null, and what does not fit the declaration, as NaN."""
        names = self._names.get(f"value/{entity.name}/{attribute.name}")
        values = np.full(len(raw), np.nan)
        wrong = 0
        for row, value in enumerate(raw):
            if value is not None and not fits(attribute, value):
                wrong += 1
            elif value is not None:
                values[row] = float(value) if names is None else names.add(_joined(value))  # type: ignore[arg-type]  # it fits
        if wrong:
            self.ignored[f"value that is no {attribute.kind} in {entity.name}.{attribute.name}"] += wrong
        return values

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
        shown = _mask(events, EventKind.IMPRESSION)
        requests = _request_hashes(events["request"])
        names = self._names["action"].add_column(events["name"])
        details = add_details(self.definition, self._names, events["attributes"])
        columns = {"item": items, "tie": tie}
        both = {**columns, "details": details.astype(np.int32)}
        self._add("impression", viewers[shown], times[shown], _at({**both, "request": requests}, shown))
        self._add("action", viewers[~shown], times[~shown], _at({**both, "name": names}, ~shown))
        recent = {**columns, "viewer": viewers, "name": names}
        self._add("recent", np.zeros(int((~shown).sum()), np.int64), times[~shown], _at(recent, ~shown))
        rows = {"viewer": viewers, "item": items, "time": times, "tie": tie, "name": names, "details": details}
        taken = {"impression": _at(rows, shown), "action": _at(rows, ~shown)}
        for spec in self._counters:
            self._count(spec, self._counted(spec, taken))

    def _count(self, spec: CounterKey, rows: dict[str, Column]) -> None:
        keys = self._keys(self._peek(), spec, rows)
        known = keys >= 0
        self._add(counter_table(spec), keys[known], rows["time"][known], {"tie": rows["tie"][known]})

    def _keys(self, view: View, spec: CounterKey, rows: dict[str, Column]) -> Int:
        """What events are counted under; an upsert at the time of an event counts for it."""
        context = self._details.of(rows["details"]).context
        return view.keys(spec[0], rows["viewer"], rows["item"], rows["time"] + 1, context)

    def _rekey(self, changed: Changes) -> None:
        """Move what is counted under an attribute that a late upsert or delete changed for events taken before."""
        before, now = self._view, self._peek()
        late = {name: late_rows(before, name, changed) for name in ("impression", "action")}
        for spec in self._counters:
            rows = self._counted(spec, late)
            moved = self._keys(before, spec, rows) != self._keys(now, spec, rows)
            if moved.any():
                self._recount(spec, _at(rows, moved))

    def _recount(self, spec: CounterKey, rows: dict[str, Column]) -> None:
        name = counter_table(spec)
        self._tables[name] = self._table(name).without(rows["tie"], since=int(rows["time"].min()))
        self._count(spec, rows)

    def _counted(self, spec: CounterKey, rows: Mapping[str, dict[str, Column]]) -> dict[str, Column]:
        """The impressions or actions that a counter counts."""
        event = spec[1]
        if event == "impression":
            return rows["impression"]
        if event.startswith(UNKNOWN_OUTCOME):
            action = [action.name for action in self.definition.actions].index(event.removeprefix(UNKNOWN_OUTCOME))
            shown = rows["impression"]
            return _at(shown, self._details.of(shown["details"]).unknown[:, action])
        return _at(rows["action"], rows["action"]["name"] == self._names["action"].find(event))

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


def counters(definition: Recommender) -> tuple[CounterKey, ...]:
    """The distinct (key, event) pairs that the definition's features count."""
    found: dict[CounterKey, None] = {}
    for feature in definition.features:
        if isinstance(feature, Count):
            found[feature.by, feature.event] = None
        elif isinstance(feature, Rate):
            found[feature.by, "impression"] = found[feature.by, feature.action] = None
            found[feature.by, UNKNOWN_OUTCOME + feature.action] = None
    return tuple(found)


def counter_table(spec: CounterKey) -> str:
    """Name of the table that counts an event by a key."""
    return f"count/{spec[1]}/{'+'.join(spec[0])}"


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


def _one_of(column: pa.Array, names: list[str]) -> pa.Array:
    return pc.is_in(column, value_set=pa.array(names, pa.string()))


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


def _request_hashes(column: pa.Array) -> Column:
    """A 64-bit hash per request id; 0 where there is none."""
    encoded = column.dictionary_encode()
    hashes: Column = np.append(hash64(encoded.dictionary.to_pylist()), np.uint64(0))
    found: Column = hashes[encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)]
    return found


def _joined(value: Value) -> str:
    return SEPARATOR.join(value) if isinstance(value, list) else str(value)
