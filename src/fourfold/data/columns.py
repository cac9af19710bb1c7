"""Columns of files as ids, times and numbers: vectorised, and a value that is wrong costs its own row only."""

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.data.files import Chunk
from fourfold.data.reading import Rejected

Mask = NDArray[np.bool_]
Unit = Literal["s", "ms", "us", "ns"]

EARLIEST, LATEST = 315_532_800_000, 4_102_444_800_000
"""1980 and 2100: a time outside is a wrong unit or a broken clock."""

_PER_MILLISECOND = {"us": 1_000, "ns": 1_000_000}
_ZONE = r"[0-9](Z|[+-][0-9]{2}:?[0-9]{2})$"
_BELOW_MILLISECONDS = r"(:[0-9]{2}\.[0-9]{3})[0-9]+"
_ZONE_OF_HOURS = r"(:[0-9]{2}(?:\.[0-9]+)?[+-][0-9]{2})$"
_LONGEST_ID = 256


class Faults:
    """Why rows of a chunk are rejected: the first reason of each row counts."""

    def __init__(self, length: int) -> None:
        self._rows = np.full(length, -1)
        self._reasons: list[str] = []

    def add(self, wrong: Mask, reason: str) -> None:
        """Reject the rows where `wrong` holds."""
        self._rows[wrong & (self._rows < 0)] = len(self._reasons)
        self._reasons.append(reason)

    @property
    def kept(self) -> Mask:
        """The rows without a fault."""
        return self._rows < 0

    def rejected(self, chunk: Chunk) -> tuple[Rejected, ...]:
        """The rejected rows of the chunk these faults were found in, those that could not be split first."""
        wrong = np.flatnonzero(~self.kept)
        raws = chunk.rows.take(pa.array(wrong)).to_pylist()
        return chunk.rejected + tuple(
            Rejected(file=chunk.file, row=int(chunk.numbers[row]), reason=self._reasons[self._rows[row]], raw=raw)
            for row, raw in zip(wrong, raws, strict=True)
        )


def ids(column: pa.Array, name: str, faults: Faults) -> pa.Array:
    """Ids as strings; whole numbers are ids too, also those that a missing value turned into floats."""
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy(zero_copy_only=False).astype(np.float64)
        faults.add(np.isnan(numbers), f"{name}: missing id")
        whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
        faults.add(~whole, f"{name}: an id that is not a whole number")
        column = pa.array(np.where(whole, numbers, 0).astype(np.int64))
    elif not (_is_text(column.type) or pa.types.is_integer(column.type)):
        missing = column.is_null().to_numpy(zero_copy_only=False)
        faults.add(missing, f"{name}: missing id")
        faults.add(np.ones(len(column), bool), f"{name}: an id of type {column.type}")
        return pa.array([""] * len(column))
    text = pc.utf8_trim_whitespace(column.cast(pa.string())).fill_null("")
    lengths = pc.utf8_length(text).to_numpy(zero_copy_only=False)
    faults.add(lengths == 0, f"{name}: missing id")
    faults.add(lengths > _LONGEST_ID, f"{name}: an id longer than {_LONGEST_ID} characters")
    return text


def times(column: pa.Array, name: str, faults: Faults, *, unit: Unit = "s", format_: str | None = None) -> pa.Array:
    """Times as milliseconds since 1970 UTC (int64); rejects what is missing, unparsable, negative or absurd."""
    faults.add(_missing(column), f"{name}: missing time")
    moments = instants(column, unit=unit, format_=format_)
    faults.add(_missing(moments), f"{name}: not a time")
    values = moments.fill_null(0).to_numpy(zero_copy_only=False)
    faults.add(values < 0, f"{name}: a negative time")
    faults.add((values < EARLIEST) | (values > LATEST), f"{name}: a time outside 1980 to 2100 (is its unit right?)")
    return pa.array(values)


def instants(column: pa.Array, *, unit: Unit = "s", format_: str | None = None) -> pa.Array:
    """Milliseconds since 1970 UTC (int64), null where it cannot be told. A date is its midnight UTC; text holds numbers."""
    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    if _is_text(column.type):
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        if format_ == "iso":
            return _iso(text)
        if format_ is not None:
            return pc.strptime(text, format=format_, unit="ms", error_is_null=True).cast(pa.int64())
        column = _cast(text, pa.int64())
        if column.null_count > text.null_count:
            column = _cast(text, pa.float64())
    return _scaled(column, unit)


def numbers(column: pa.Array) -> pa.Array:
    """Numbers as float64, null where there is none or it is not finite; true is 1 and false 0, also as text."""
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int8()).cast(pa.float64())
    if _is_text(column.type):
        text = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
        text = pc.if_else(pc.equal(text, "true"), "1", pc.if_else(pc.equal(text, "false"), "0", text))
        column = _cast(text, pa.float64())
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return pa.nulls(len(column), pa.float64())
    column = column.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(column), column, None)


def texts(column: pa.Array) -> pa.Array:
    """Values as trimmed strings, null where empty; 4.0 becomes 4, for a missing value turns a column's numbers into floats."""
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    text = pc.replace_substring_regex(text, r"^(-?[0-9]+)\.0$", r"\1")
    return pc.if_else(pc.equal(text, ""), None, text)


def wrong_numbers(column: pa.Array, parsed: pa.Array) -> Mask:
    """Where a value was there and is no number."""
    return _missing(parsed) & ~_missing(column)


def _missing(column: pa.Array) -> Mask:
    mask: Mask = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    return mask


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_dictionary(type_))


def _scaled(column: pa.Array, unit: Unit) -> pa.Array:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return pa.nulls(len(column), pa.int64())
    missing = _missing(column)
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    if unit in _PER_MILLISECOND:
        values = np.floor_divide(values, _PER_MILLISECOND[unit])
    factor = 1_000 if unit == "s" else 1
    fits = ~missing & (np.abs(np.where(missing, 0, values).astype(np.float64)) < 2**53 / factor)
    scaled = np.floor(np.where(fits, values, 0) * factor).astype(np.int64)
    return pa.array(scaled, mask=~fits)


def _iso(text: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(text, _BELOW_MILLISECONDS, r"\1")
    text = pc.replace_substring_regex(text, _ZONE_OF_HOURS, r"\1:00")
    zoned = pc.match_substring_regex(text, _ZONE)
    with_zone = _cast(pc.if_else(zoned, text, None), pa.timestamp("ms", "UTC")).cast(pa.int64())
    without = _cast(pc.if_else(zoned, None, text), pa.timestamp("ms")).cast(pa.int64())
    return pc.coalesce(with_zone, without)


def _cast(column: pa.Array, type_: pa.DataType) -> pa.Array:
    """Cast text, null where that fails: halves are tried again, so a few wrong values cost a few casts."""
    try:
        return column.cast(type_)
    except pa.ArrowInvalid:
        if len(column) == 1:
            return pa.nulls(1, type_)
        half = len(column) // 2
        return pa.concat_arrays([_cast(column[:half], type_), _cast(column[half:], type_)])
