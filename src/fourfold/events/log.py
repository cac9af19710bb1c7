"""The log: the only record of what happened. What every implementation promises, and what no log lets in.

Events are numbered by offset, from 0 without gaps, in the order in which the log took them. An offset range is half open.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fourfold.events.types import SCHEMA, EventKind, decode_attributes, decode_details

MAX_TIME = 1 << 52
MAX_ID = 256

_IDS = ("id", "subject", "object", "name", "surface", "request")
_REQUIRED = {
    EventKind.IMPRESSION: ("object", "surface"),
    EventKind.ACTION: ("object", "surface", "name"),
    EventKind.ENTITY_UPSERT: ("name", "attributes"),
    EventKind.ENTITY_DELETE: ("name",),
    EventKind.EDGE_ADDED: ("object", "name"),
    EventKind.EDGE_REMOVED: ("object", "name"),
}


class LogError(Exception):
    """Something that a log refuses or cannot do."""


class InvalidEventError(LogError):
    """An event that would poison the log. `row` is None where the whole batch is wrong."""

    def __init__(self, row: int | None, column: str, problem: str) -> None:
        self.row, self.column, self.problem = row, column, problem
        where = f"column {column!r}" if row is None else f"row {row}, column {column!r}"
        super().__init__(f"{where}: {problem}")


class LogFullError(LogError):
    """No room for more events; those acknowledged are safe, and appending works again once there is room."""


class LogMovedError(LogError):
    """Somebody else appended first; nothing was written. Look at what came, and decide again."""


class OffsetError(LogError):
    """An offset that the log does not hold: dropped already, or not yet there."""


class RetentionError(LogError):
    """Events that a consumer still needs cannot be dropped."""


class Log(Protocol):
    """A durable, ordered log of events. Safe to use from several threads; embedded logs from several processes too."""

    @property
    def start(self) -> int:
        """Offset of the oldest event kept; equal to `end` if none is."""

    @property
    def end(self) -> int:
        """Offset that the next event will get."""

    def append(self, batch: pa.RecordBatch, arrival: int | None, *, expected: int | None = None) -> range:
        """Append events, all or none; returns their offsets once they are synced to disk.

        The log drops no duplicates: after a lost answer, send the same events again. Consumers count an event id once.

        Parameters
        ----------
        batch : pa.RecordBatch
            Events by `fourfold.events.types.SCHEMA`.
        arrival : int
            The time now in milliseconds, which becomes the arrival time of all; None keeps the batch's own arrival
            times, as the import of an exported log needs.
        expected : int, optional
            Where the log must still end: whoever decided by what it held up to there is alone in doing so.

        Raises
        ------
        InvalidEventError
            If an event would poison the log; nothing is written.
        LogMovedError
            If it does not end at `expected` any more; nothing is written.
        LogFullError
            If there is no room; nothing is written.
        """

    def read(self, offset: int, limit: int | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Events from `offset` on, in order, at most `limit` of them, as pairs of first offset and batch.

        Ends at the end of the log as it is when the iterator gets there. Memory is bounded by the batch, and an
        iterator may be left or kept open for as long as one likes.

        Raises
        ------
        OffsetError
            If `offset` was dropped or lies beyond the end.
        """

    def acknowledge(self, consumer: str, offset: int) -> None:
        """Record that a consumer's committed state holds all events below `offset`.

        Call it after the state is committed: it may lag behind, so that nothing is dropped too early. The first call
        registers the consumer.

        Raises
        ------
        OffsetError
            If `offset` was dropped or lies beyond the end.
        """

    def consumers(self) -> Mapping[str, int]:
        """The registered consumers and the offsets they acknowledged."""

    def forget(self, consumer: str) -> None:
        """Unregister a consumer, so that nothing is kept for it; one that is not registered is no error."""

    def retain(self, before: int) -> int:
        """Drop stored batches that lie wholly below offset `before`; returns the new `start`.

        Raises
        ------
        RetentionError
            If a registered consumer has not acknowledged up to `before`; it names the consumer, and nothing is dropped.
        OffsetError
            If `before` lies beyond the end.
        """

    def close(self) -> None:
        """Let go of the log. Using it afterwards is an error."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def checked(batch: pa.RecordBatch, arrival: int | None) -> pa.RecordBatch:
    """The batch as a log stores it: by `SCHEMA`, arrival times set, every event sound.

    Raises
    ------
    InvalidEventError
        Naming the first bad row of a column.
    """
    batch = _with_schema(batch)
    if arrival is not None:
        if not 0 <= arrival < MAX_TIME:
            raise InvalidEventError(None, "arrival", f"{arrival} is no time; pass milliseconds since 1970 UTC")
        column = pa.repeat(pa.scalar(arrival, pa.int64()), len(batch))
        batch = batch.set_column(SCHEMA.get_field_index("arrival"), SCHEMA.field("arrival"), column)
    _check_nulls(batch)
    _check_numbers(batch)
    _check_ids(batch)
    _check_required(batch)
    _check_attributes(batch)
    return batch


def _with_schema(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.schema.names != SCHEMA.names:
        missing = [name for name in SCHEMA.names if name not in batch.schema.names]
        wrong = (missing or [name for name in batch.schema.names if name not in SCHEMA.names] or ["id"])[0]
        raise InvalidEventError(None, wrong, f"the columns must be, in this order: {', '.join(SCHEMA.names)}")
    for ours, theirs in zip(SCHEMA, batch.schema, strict=True):
        if ours.type != theirs.type:
            raise InvalidEventError(None, ours.name, f"is {theirs.type}; cast it to {ours.type}")
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InvalidEventError(None, "*", f"not a sound Arrow batch: {error}") from None
    return pa.RecordBatch.from_arrays(batch.columns, schema=SCHEMA)


def _check_nulls(batch: pa.RecordBatch) -> None:
    for field in SCHEMA:
        if not field.nullable:
            _refuse(field.name, pc.is_null(batch[field.name]), "is null; every event has one")


def _check_numbers(batch: pa.RecordBatch) -> None:
    kinds = f"is no kind of event; write 0 to {max(EventKind)}, see EventKind"
    _refuse("kind", pc.greater(batch["kind"], pa.scalar(max(EventKind).value, pa.uint8())), kinds)
    for name in ("time", "arrival"):
        outside = pc.or_(pc.less(batch[name], 0), pc.greater_equal(batch[name], MAX_TIME))
        _refuse(name, outside, "is no time; write milliseconds since 1970 UTC, not negative and below 2**52")
    _refuse("position", pc.less(batch["position"], 0), "is negative; positions count from 0")
    _refuse("value", pc.invert(pc.is_finite(batch["value"])), "is not finite; write null where there is no value")


def _check_ids(batch: pa.RecordBatch) -> None:
    for name in _IDS:
        length = pc.utf8_length(batch[name])
        _refuse(name, pc.equal(length, 0), "is empty; write an id, or null where the column may be")
        _refuse(name, pc.greater(length, MAX_ID), f"is longer than {MAX_ID} characters; write a shorter id")


def _check_required(batch: pa.RecordBatch) -> None:
    for kind, names in _REQUIRED.items():
        of_kind = pc.equal(batch["kind"], pa.scalar(kind.value, pa.uint8()))
        for name in names:
            missing = pc.and_(of_kind, pc.is_null(batch[name]))
            _refuse(name, missing, f"is null; an event of kind {kind.name.lower()} needs it")


def _check_attributes(batch: pa.RecordBatch) -> None:
    # A loop, because the JSON of each row must stand alone; upserts are rare beside impressions, whose details are few.
    upserts = pc.equal(batch["kind"], pa.scalar(EventKind.ENTITY_UPSERT.value, pa.uint8()))
    rows = pc.indices_nonzero(upserts)
    for row, data in zip(rows.to_pylist(), batch["attributes"].take(rows).to_pylist(), strict=True):
        _check_json(decode_attributes, data, row, "attributes")
    shown = pc.less_equal(batch["kind"], pa.scalar(EventKind.ACTION.value, pa.uint8()))
    detailed = np.flatnonzero(pc.and_(shown, batch["attributes"].is_valid()))
    details = batch["attributes"].take(pa.array(detailed)).dictionary_encode()
    first = np.unique(details.indices, return_index=True)[1]
    for data, row in zip(details.dictionary.to_pylist(), detailed[first].tolist(), strict=True):
        _check_json(decode_details, data, row, "details")


def _check_json(decode: Callable[[bytes], object], data: bytes, row: int, what: str) -> None:
    try:
        decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEventError(row, "attributes", f"not the JSON of {what}: {error}") from None


def _refuse(column: str, bad: pa.BooleanArray, problem: str) -> None:
    row = pc.index(bad, value=pa.scalar(True)).as_py()
    if row >= 0:
        raise InvalidEventError(row, column, problem)
