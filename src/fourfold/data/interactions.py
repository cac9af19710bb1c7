"""Rows of impression logs as events: a row is an impression and the actions that its columns tell of, all at one time."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.data.columns import Faults, Mask, Unit, ids, numbers, times, wrong_numbers
from fourfold.data.files import Chunk
from fourfold.data.reading import ReadBatch, joined
from fourfold.events.types import Details, EventKind, columns_batch, encode_details

_LONGEST_ID = 256


@dataclass(frozen=True, kw_only=True)
class TimeColumn:
    """A column of times: numbers of a `unit` since 1970 UTC, or text of a strptime `format` (``"iso"`` for ISO 8601)."""

    column: str
    unit: Unit = "s"
    format: str | None = None


@dataclass(frozen=True, kw_only=True)
class ActionRule:
    """The action `name` happened where ``at_least <= column <= at_most``; its value is that of the column `value`.

    With `per`, it is the column divided by that one which lies between the bounds, such as time watched by length.
    """

    name: str
    column: str
    per: str | None = None
    at_least: float = 1.0
    at_most: float = math.inf
    value: str | None = None


@dataclass(frozen=True, kw_only=True)
class ActionNames:
    """A column that names each row's action. Rows named `impression` are impressions; without it every row is one too."""

    column: str
    impression: str | None = None
    value: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InteractionColumns:
    """Which columns of a log say what. An event's id is `id` where given, else viewer, item and time.

    `context` names the parts of a request's context, and the column of each.
    """

    surface: str
    viewer: str
    item: str
    time: TimeColumn
    rules: tuple[ActionRule, ...] = ()
    names: ActionNames | None = None
    id: str | None = None
    request: str | None = None
    position: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    def wanted(self) -> list[str]:
        """Every column that is read, once."""
        optional = [self.id, self.request, self.position]
        optional += [column for rule in self.rules for column in (rule.column, rule.per, rule.value)]
        optional += [self.names.column, self.names.value] if self.names else []
        optional += self.context.values()
        wanted = [self.viewer, self.item, self.time.column, *(column for column in optional if column is not None)]
        return list(dict.fromkeys(wanted))


def interactions(chunk: Chunk, columns: InteractionColumns, source: str) -> ReadBatch:
    """The impressions of a chunk, then its actions. Rows alike in viewer, item and time get equal ids: they are one event."""
    faults = Faults(len(chunk.rows))
    shown = _shown(chunk, columns, source, faults)
    rules = _rules(chunk, columns, faults)
    names = _names(chunk, columns.names, faults) if columns.names else None
    kept = pa.array(faults.kept)
    rows = pa.table(shown).filter(kept)
    parts = [_impressions(rows, columns, names.filter(kept) if names is not None else None)]
    for rule, (did, value) in zip(columns.rules, rules, strict=True):
        chosen = did[faults.kept]
        named = pa.repeat(pa.scalar(rule.name), int(chosen.sum()))
        parts.append(_actions(rows.filter(pa.array(chosen)), columns.surface, named, value.filter(kept).filter(chosen)))
    if columns.names and names is not None:
        parts.append(_named_actions(rows, columns, names.filter(kept), _values(chunk, columns.names.value).filter(kept)))
    return ReadBatch(events=joined(parts), rejected=faults.rejected(chunk))


def _shown(chunk: Chunk, columns: InteractionColumns, source: str, faults: Faults) -> dict[str, pa.Array]:
    rows, when = chunk.rows, columns.time
    viewer = ids(rows.column(columns.viewer), columns.viewer, faults)
    item = ids(rows.column(columns.item), columns.item, faults)
    time = times(rows.column(when.column), when.column, faults, unit=when.unit, format_=when.format)
    if columns.id is not None:
        own = ids(rows.column(columns.id), columns.id, faults)
        key = pc.binary_join_element_wise(source, own, ":")
    else:
        key = pc.binary_join_element_wise(source, _escaped(viewer), _escaped(item), time.cast(pa.string()), ":")
    shown = {"id": key, "subject": viewer, "object": item, "time": time}
    shown["request"] = pa.nulls(len(rows), pa.string())
    if columns.request is not None:
        request = rows.column(columns.request).cast(pa.string())
        shown["request"] = pc.if_else(pc.equal(request, ""), None, request)
    shown["position"] = _positions(chunk, columns.position, faults)
    shown["attributes"] = _details(chunk, columns.context)
    return shown


def _details(chunk: Chunk, context: Mapping[str, str]) -> pa.Array:
    """The context of each row as the JSON of its details; null where every column is empty."""
    if not context:
        return pa.nulls(len(chunk.rows), pa.binary())
    coded, sizes = [], []
    for column in context.values():
        values = chunk.rows.column(column).cast(pa.string())
        encoded = pc.if_else(pc.equal(values, ""), None, values).dictionary_encode()
        coded.append((encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)))
        sizes.append(len(encoded.dictionary) + 1)
    # Each distinct combination is written once; rows point to theirs.
    combined = np.ravel_multi_index(tuple(codes + 1 for _, codes in coded), tuple(sizes))
    distinct, rows = np.unique(combined, return_inverse=True)
    written = []
    for codes in zip(*np.unravel_index(distinct, tuple(sizes)), strict=True):
        given = {name: values[code - 1] for name, code, (values, _) in zip(context, codes, coded, strict=True) if code}
        written.append(encode_details(Details(context=given)))
    return pa.array(written, pa.binary()).take(pa.array(rows))


def _positions(chunk: Chunk, column: str | None, faults: Faults) -> pa.Array:
    if column is None:
        return pa.nulls(len(chunk.rows), pa.int32())
    parsed = numbers(chunk.rows.column(column))
    faults.add(wrong_numbers(chunk.rows.column(column), parsed), f"{column}: not a number")
    values = parsed.fill_null(0).to_numpy(zero_copy_only=False)
    wrong = (values < 0) | (values >= 2**31) | (values != np.floor(values))
    faults.add(wrong, f"{column}: a position is a whole number from 0 on")
    return pa.array(np.where(wrong, 0, values).astype(np.int32), mask=parsed.is_null().to_numpy(zero_copy_only=False))


def _rules(chunk: Chunk, columns: InteractionColumns, faults: Faults) -> list[tuple[Mask, pa.Array]]:
    found = []
    for rule in columns.rules:
        values = _numbers(chunk, rule.column, faults)
        if rule.per is not None:
            per = _numbers(chunk, rule.per, faults)
            values = np.divide(values, per, out=np.full(len(values), math.nan), where=per > 0)
        found.append(((values >= rule.at_least) & (values <= rule.at_most), _values(chunk, rule.value)))
    return found


def _numbers(chunk: Chunk, name: str, faults: Faults) -> NDArray[np.float64]:
    column = chunk.rows.column(name)
    parsed = numbers(column)
    faults.add(wrong_numbers(column, parsed), f"{name}: not a number")
    values: NDArray[np.float64] = parsed.fill_null(math.nan).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _values(chunk: Chunk, column: str | None) -> pa.Array:
    return pa.nulls(len(chunk.rows), pa.float64()) if column is None else numbers(chunk.rows.column(column))


def _names(chunk: Chunk, names: ActionNames, faults: Faults) -> pa.Array:
    found = ids(chunk.rows.column(names.column), names.column, faults)
    for old, new in names.renamed.items():
        found = pc.if_else(pc.equal(found, old), new, found)
    return found


def _impressions(rows: pa.Table, columns: InteractionColumns, names: pa.Array | None) -> pa.RecordBatch:
    if names is not None and columns.names and columns.names.impression is not None:
        rows = rows.filter(pc.equal(names, columns.names.impression))
    shown = {name: rows.column(name) for name in rows.column_names}
    shown |= {"id": _bounded(shown["id"]), "surface": pa.repeat(columns.surface, len(rows))}
    return columns_batch(shown | {"kind": pa.repeat(pa.scalar(int(EventKind.IMPRESSION)), len(rows))}, len(rows))


def _named_actions(rows: pa.Table, columns: InteractionColumns, names: pa.Array, values: pa.Array) -> pa.RecordBatch:
    assert columns.names is not None
    if columns.names.impression is not None:
        acted = pc.not_equal(names, columns.names.impression)
        rows, names, values = rows.filter(acted), names.filter(acted), values.filter(acted)
    return _actions(rows, columns.surface, names, values)


def _actions(rows: pa.Table, surface: str, names: pa.Array, values: pa.Array) -> pa.RecordBatch:
    done = {name: rows.column(name) for name in ("subject", "object", "time", "request", "attributes")}
    done["id"] = _bounded(pc.binary_join_element_wise(rows.column("id"), names, ":"))
    done |= {"name": names, "value": values, "surface": pa.repeat(surface, len(rows))}
    return columns_batch(done | {"kind": pa.repeat(pa.scalar(int(EventKind.ACTION)), len(rows))}, len(rows))


def _escaped(keys: pa.Array) -> pa.Array:
    """Keys without the separator of event ids, so that no two rows share an id by accident."""
    return pc.replace_substring(pc.replace_substring(keys, "%", "%25"), ":", "%3A")


def _bounded(keys: pa.ChunkedArray) -> pa.Array:
    keys = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    long = pc.greater(pc.utf8_length(keys), _LONGEST_ID)
    if not pc.any(long).as_py():
        return keys
    digests = [hashlib.sha256(key.encode()).hexdigest() if len(key) > _LONGEST_ID else None for key in keys.to_pylist()]
    return pc.if_else(long, pa.array(digests, pa.string()), keys)
