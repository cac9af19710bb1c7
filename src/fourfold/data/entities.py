"""Rows of entity files as upserts, and rows of edge files as edges."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fourfold.data.columns import Faults, Unit, ids, instants, numbers, texts, times, wrong_numbers
from fourfold.data.files import Chunk
from fourfold.data.interactions import TimeColumn
from fourfold.data.reading import ReadBatch
from fourfold.events.types import EventKind, Value, columns_batch, encode_attributes

Kind = Literal["category", "number", "moment", "text"]


@dataclass(frozen=True, kw_only=True)
class AttributeColumn:
    """A column as an attribute; a category with `split` has many values, a moment a `unit` or a strptime `format`."""

    name: str
    column: str
    kind: Kind = "category"
    split: str | None = None
    unit: Unit = "s"
    format: str | None = None


@dataclass(frozen=True, kw_only=True)
class EntityColumns:
    """Which columns of a file say what of the entities of one type."""

    type: str
    key: str
    attributes: tuple[AttributeColumn, ...] = ()

    def wanted(self) -> list[str]:
        """Every column that is read, once."""
        return list(dict.fromkeys([self.key, *(attribute.column for attribute in self.attributes)]))


@dataclass(frozen=True, kw_only=True)
class EdgeColumns:
    """Which columns of a file say what of the edges of one kind."""

    kind: str
    source: str
    target: str
    undirected: bool = False
    time: TimeColumn | None = None

    def wanted(self) -> list[str]:
        """Every column that is read, once."""
        return list(dict.fromkeys([self.source, self.target, *([self.time.column] if self.time else [])]))


def upserts(chunk: Chunk, columns: EntityColumns, source: str, time: int) -> ReadBatch:
    """The entities of a chunk, all at `time` (milliseconds). Equal rows get equal ids; a changed row gets another."""
    faults = Faults(len(chunk.rows))
    keys = ids(chunk.rows.column(columns.key), columns.key, faults)
    values = {attribute.name: _values(chunk, attribute, faults) for attribute in columns.attributes}
    kept = pa.array(faults.kept)
    encoded = _encoded({name: column.filter(kept) for name, column in values.items()}, int(faults.kept.sum()))
    return ReadBatch(
        events=upsert_batch(keys.filter(kept), columns.type, encoded, source, time), rejected=faults.rejected(chunk)
    )


def upsert_batch(keys: pa.Array, type_: str, encoded: list[bytes], source: str, time: int) -> pa.RecordBatch:
    """Upserts of `keys` with their encoded attributes, at `time`."""
    rows = zip(keys.to_pylist(), encoded, strict=True)
    events = {
        "id": [_digest_id(source, type_, key, attributes) for key, attributes in rows],
        "kind": pa.repeat(pa.scalar(int(EventKind.ENTITY_UPSERT)), len(keys)),
        "time": pa.repeat(pa.scalar(time), len(keys)),
        "subject": keys,
        "name": pa.repeat(pa.scalar(type_), len(keys)),
        "attributes": pa.array(encoded, pa.binary()),
    }
    return columns_batch(events, len(keys))


def edges(chunk: Chunk, columns: EdgeColumns, source: str, time: int) -> ReadBatch:
    """The edges of a chunk, at their own time or at `time`; an undirected edge is the same event from either end."""
    faults = Faults(len(chunk.rows))
    start = ids(chunk.rows.column(columns.source), columns.source, faults)
    end = ids(chunk.rows.column(columns.target), columns.target, faults)
    when = columns.time
    moments = pa.repeat(pa.scalar(time), len(chunk.rows))
    if when is not None:
        moments = times(chunk.rows.column(when.column), when.column, faults, unit=when.unit, format_=when.format)
    looped = pc.equal(start, end).to_numpy(zero_copy_only=False)
    faults.add(looped, "an edge from a node to itself")
    kept = pa.array(faults.kept)
    if columns.undirected:
        swapped = pc.greater(start, end)
        start, end = pc.if_else(swapped, end, start), pc.if_else(swapped, start, end)
    events = _edge_batch(start.filter(kept), end.filter(kept), moments.filter(kept), columns, source)
    return ReadBatch(events=events, rejected=faults.rejected(chunk))


def _edge_batch(start: pa.Array, end: pa.Array, moments: pa.Array, columns: EdgeColumns, source: str) -> pa.RecordBatch:
    parts = [columns.kind, start.to_pylist(), end.to_pylist(), moments.to_pylist() if columns.time else None]
    pairs = zip(parts[1], parts[2], parts[3] or [""] * len(start), strict=True)
    events = {
        "id": [_digest_id(source, columns.kind, a, f"{len(a)}:{a}:{b}:{time}".encode()) for a, b, time in pairs],
        "kind": pa.repeat(pa.scalar(int(EventKind.EDGE_ADDED)), len(start)),
        "time": moments,
        "subject": start,
        "object": end,
        "name": pa.repeat(pa.scalar(columns.kind), len(start)),
    }
    return columns_batch(events, len(start))


def _digest_id(source: str, type_: str, key: str, content: bytes) -> str:
    digest = hashlib.blake2b(content, digest_size=8).hexdigest()
    return f"{source}:{type_}:{key[:128]}:{digest}"


def _values(chunk: Chunk, attribute: AttributeColumn, faults: Faults) -> pa.Array:
    column = chunk.rows.column(attribute.column)
    if attribute.kind == "number":
        parsed = numbers(column)
        faults.add(wrong_numbers(column, parsed), f"{attribute.column}: not a number")
        return parsed
    if attribute.kind == "moment":
        parsed = instants(column, unit=attribute.unit, format_=attribute.format)
        faults.add(wrong_numbers(texts(column), parsed), f"{attribute.column}: not a time")
        return parsed
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return column.cast(pa.list_(pa.string()))
    text = texts(column)
    return pc.split_pattern(text, attribute.split) if attribute.split else text


def _encoded(values: dict[str, pa.Array], length: int) -> list[bytes]:
    names, columns = list(values), [column.to_pylist() for column in values.values()]
    rows: list[tuple[Value, ...]] = list(zip(*columns, strict=True)) if columns else [()] * length
    return [
        encode_attributes({name: value for name, value in zip(names, row, strict=True) if value is not None}) for row in rows
    ]


def distinct(columns: list[pa.Array]) -> pa.Array:
    """The distinct ids in several columns, in order of first appearance; nulls and empty ones are left out."""
    all_ = pc.unique(pa.concat_arrays([ids(column, "id", Faults(len(column))) for column in columns]))
    return all_.filter(pa.array(np.not_equal(all_.to_numpy(zero_copy_only=False), "")))
