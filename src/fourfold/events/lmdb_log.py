"""The embedded log: LMDB from offset to Arrow batch. Crash-safe by its transactions, with no file format of our own.

Appends that wait at the same time share one synced transaction: a disk that syncs 200 times a second takes far more
than 200 appends.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Self, TypeVar

import pyarrow as pa

from fourfold.durable.environment import StorageFullError, Transaction, open_environment
from fourfold.events.log import LogError, LogFullError, LogMovedError, OffsetError, RetentionError, checked
from fourfold.events.types import SCHEMA

T = TypeVar("T")

STORED_ROWS = 8192
READ_ROWS = 65_536
READ_BYTES = 4 << 20

_FORMAT, _END = b"format", b"end"
_VERSION = (1).to_bytes(8)


class LmdbLog:
    """A `fourfold.events.log.Log` in one folder of this machine.

    Opening the same folder twice in one process is safe: both share one environment. After a fork, open it anew.

    Parameters
    ----------
    path : Path
        The folder, made if it is not there.
    map_size, max_bytes : int
        Bytes that the log's map holds at first, and to which it may grow. Only what is used takes space on disk. The
        space of dropped events is used again; the file does not shrink.
    """

    def __init__(self, path: Path, *, map_size: int = 64 << 20, max_bytes: int = 64 << 30) -> None:
        self._environment = open_environment(
            path, databases=("log", "events", "consumers"), map_size=map_size, max_bytes=max_bytes
        )
        self._closed = False
        self._queued: list[_Append] = []
        self._queue, self._commit = threading.Lock(), threading.Lock()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def start(self) -> int:
        """Offset of the oldest event kept; equal to `end` if none is."""
        return self._read(self._start)

    @property
    def end(self) -> int:
        """Offset that the next event will get."""
        return self._read(self._end)

    def append(self, batch: pa.RecordBatch, arrival: int | None, *, expected: int | None = None) -> range:
        """Append events, all or none; returns their offsets once they are synced. See `Log.append`."""
        mine = _Append(checked(batch, arrival), expected)
        with self._queue:
            self._queued.append(mine)
        # Whoever gets this lock commits for all that queued up meanwhile; the others find their answer when they get it.
        with self._commit:
            if mine.offsets is None and mine.error is None:
                with self._queue:
                    group, self._queued = self._queued, []
                try:
                    for part in _together(group):
                        self._append(part)
                finally:
                    for left in group:
                        left.fail("an append before it failed")
        if mine.error is not None:
            raise mine.error
        assert mine.offsets is not None
        return mine.offsets

    def read(self, offset: int, limit: int | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Events from `offset` on, as pairs of first offset and batch. See `Log.read`."""
        self._read(lambda transaction: self._check_offset(transaction, offset))
        return self._batches(offset, limit)

    def acknowledge(self, consumer: str, offset: int) -> None:
        """Record how far a consumer's committed state reaches. See `Log.acknowledge`."""
        name = _consumer_key(consumer)

        def body(transaction: Transaction) -> None:
            self._check_offset(transaction, offset)
            transaction.put(name, _key(offset), db=self._environment.db["consumers"])

        self._write(body, upkeep=True)

    def consumers(self) -> Mapping[str, int]:
        """The registered consumers and the offsets they acknowledged."""
        return self._read(self._consumers)

    def forget(self, consumer: str) -> None:
        """Unregister a consumer, so that nothing is kept for it."""
        name = _consumer_key(consumer)
        self._write(lambda transaction: transaction.delete(name, db=self._environment.db["consumers"]), upkeep=True)

    def retain(self, before: int) -> int:
        """Drop stored batches that lie wholly below offset `before`; returns the new `start`. See `Log.retain`."""

        def body(transaction: Transaction) -> int:
            if before > self._end(transaction):
                raise OffsetError(f"offset {before} is not there yet; the log ends at {self._end(transaction)}")
            for consumer, offset in self._consumers(transaction).items():
                if offset < before:
                    raise RetentionError(
                        f"consumer {consumer!r} has acknowledged only up to offset {offset}, not {before}; "
                        "wait for it, or forget it if it is gone"
                    )
            self._drop(transaction, before)
            return self._start(transaction)

        return self._write(body, upkeep=True)

    def copy_redacted(self, folder: Path, change: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        """Write a copy of the log to a new folder, each stored batch as `change` gives it: as many events, at the same offsets.

        The copy has nothing of what was dropped or replaced before. Its consumers are those of the log.
        """
        with LmdbLog(folder, max_bytes=self._environment.max_bytes) as copy:
            for first in self._read(self._firsts):
                stored = _decode(self._read(partial(self._stored, first=first)))
                changed = change(stored)
                if len(changed) != len(stored):
                    raise ValueError(f"{len(stored)} events became {len(changed)}; a copy keeps every offset")
                copy._write(partial(copy._store, first=first, value=_encode(changed)))
            end = self.end
            copy._write(lambda transaction: transaction.put(_END, _key(end), db=copy._environment.db["log"]))
            for name, offset in self.consumers().items():
                copy.acknowledge(name, offset)

    def close(self) -> None:
        """Let go of the log. Using it afterwards is an error."""
        if not self._closed:
            self._closed = True
            self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _prepare(self) -> None:
        def body(transaction: Transaction) -> None:
            version = transaction.get(_FORMAT, db=self._environment.db["log"])
            if version is None:
                transaction.put(_FORMAT, _VERSION, db=self._environment.db["log"])
            elif version != _VERSION:
                raise LogError(
                    f"{self._environment.path} holds format {int.from_bytes(version)} of the log, not 1; "
                    "open it with the version of Fourfold that wrote it, and export it from there"
                )

        if self._read(lambda transaction: transaction.get(_FORMAT, db=self._environment.db["log"])) != _VERSION:
            self._write(body)

    def _append(self, group: "Sequence[_Append]") -> None:
        """Commit the appends of a group together, or one by one where they do not fit together."""
        try:
            offset = self._commit_events(pa.concat_batches([append.batch for append in group]), group[0].expected)
        except (LogFullError, LogMovedError) as error:
            if len(group) == 1:
                group[0].error = error
                return
            for append in group:
                self._append([append])
        except BaseException as error:
            for append in group:
                append.fail(f"the append failed ({error!r})")
            raise
        else:
            for append in group:
                append.offsets = range(offset, offset := offset + len(append.batch))

    def _commit_events(self, batch: pa.RecordBatch, expected: int | None) -> int:
        values = [_encode(batch.slice(row, STORED_ROWS)) for row in range(0, len(batch), STORED_ROWS)]

        def body(transaction: Transaction) -> int:
            end = self._end(transaction)
            if expected is not None and end != expected:
                raise LogMovedError(f"the log ends at offset {end}, not {expected}; read what came, and decide again")
            for index, value in enumerate(values):
                transaction.put(_key(end + index * STORED_ROWS), value, append=True, db=self._environment.db["events"])
            transaction.put(_END, _key(end + len(batch)), db=self._environment.db["log"])
            return end

        return self._write(body)

    def _store(self, transaction: Transaction, first: int, value: bytes) -> None:
        transaction.put(_key(first), value, append=True, db=self._environment.db["events"])

    def _stored(self, transaction: Transaction, first: int) -> bytes:
        value = transaction.get(_key(first), db=self._environment.db["events"])
        assert value is not None, "it was dropped meanwhile: nobody else may have the log open"
        return value

    def _firsts(self, transaction: Transaction) -> list[int]:
        """The offset of the first event of each stored batch."""
        with transaction.cursor(self._environment.db["events"]) as cursor:
            return [_offset(key) for key in cursor.iternext(keys=True, values=False)]

    def _batches(self, offset: int, limit: int | None) -> Iterator[tuple[int, pa.RecordBatch]]:
        last = None if limit is None else offset + limit
        while last is None or offset < last:
            rows = READ_ROWS if last is None else min(READ_ROWS, last - offset)
            first, values = self._read(partial(self._values, offset=offset, rows=rows))
            if not values:
                return
            batch = pa.concat_batches([_decode(value) for value in values]).slice(offset - first, rows)
            yield offset, batch
            offset += len(batch)

    def _values(self, transaction: Transaction, offset: int, rows: int) -> tuple[int, list[bytes]]:
        """Copies of the stored batches from the one that holds `offset`, and the offset of its first event."""
        self._check_offset(transaction, offset)
        if offset == self._end(transaction):
            return offset, []
        with transaction.cursor(self._environment.db["events"]) as cursor:
            if not (cursor.set_range(_key(offset)) and cursor.key() == _key(offset)):
                # From the first key above `offset`, or from the end, one step back.
                cursor.prev()
            first, values, size = _offset(cursor.key()), [], 0
            while size < READ_BYTES and _offset(cursor.key()) < offset + rows:
                values.append(cursor.value())
                size += len(values[-1])
                if not cursor.next():
                    break
        return first, values

    def _drop(self, transaction: Transaction, before: int) -> None:
        with transaction.cursor(self._environment.db["events"]) as cursor:
            keys = takewhile(lambda key: _offset(key) < before, cursor.iternext(keys=True, values=False))
            firsts = [_offset(key) for key in keys]
            firsts.append(_offset(cursor.key()) if cursor.key() else self._end(transaction))
        for first, end in pairwise(firsts):
            if end <= before:
                transaction.delete(_key(first), db=self._environment.db["events"])

    def _check_offset(self, transaction: Transaction, offset: int) -> None:
        start, end = self._start(transaction), self._end(transaction)
        if offset < start:
            raise OffsetError(f"offset {offset} is no longer kept; start at {start}, or restore what was exported")
        if offset > end:
            raise OffsetError(f"offset {offset} is not there yet; the log ends at {end}: was the log replaced?")

    def _start(self, transaction: Transaction) -> int:
        with transaction.cursor(self._environment.db["events"]) as cursor:
            return _offset(cursor.key()) if cursor.first() else self._end(transaction)

    def _end(self, transaction: Transaction) -> int:
        return _offset(transaction.get(_END, _key(0), db=self._environment.db["log"]))

    def _consumers(self, transaction: Transaction) -> dict[str, int]:
        with transaction.cursor(self._environment.db["consumers"]) as cursor:
            return {name.decode(): _offset(offset) for name, offset in cursor}

    def _read(self, body: Callable[[Transaction], T]) -> T:
        self._check_open()
        return self._environment.read(body)

    def _write(self, body: Callable[[Transaction], T], *, upkeep: bool = False) -> T:
        self._check_open()
        try:
            return self._environment.write(body, upkeep=upkeep)
        except StorageFullError as error:
            raise LogFullError(f"{error}; or drop old events with retain, or open the log with more max_bytes") from error

    def _check_open(self) -> None:
        if self._closed:
            raise LogError(f"the log at {self._environment.path} is closed; open it again")


class _Append:
    """One caller's events on their way into the log, and the answer once there is one."""

    def __init__(self, batch: pa.RecordBatch, expected: int | None = None) -> None:
        self.batch, self.expected = batch, expected
        self.offsets: range | None = None
        self.error: LogError | None = None

    def fail(self, why: str) -> None:
        """Say why there will be no offsets, unless there is an answer already."""
        if self.offsets is None and self.error is None:
            self.error = LogError(f"{why}; it is safe to send the same events again")


def _together(group: "Sequence[_Append]") -> "Iterator[Sequence[_Append]]":
    """Which appends may share a transaction: all that do not mind what the others append."""
    yield from ([append] for append in group if append.expected is not None)
    free = [append for append in group if append.expected is None]
    if free:
        yield free


def _encode(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as stream:
        stream.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    return value


def _decode(value: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(value) as stream:
        return stream.read_next_batch()


def _key(offset: int) -> bytes:
    return offset.to_bytes(8)


def _offset(key: bytes) -> int:
    return int.from_bytes(key)


def _consumer_key(consumer: str) -> bytes:
    name = consumer.encode()
    if not 0 < len(name) <= 256:
        raise ValueError(f"{consumer!r} cannot name a consumer; write 1 to 256 bytes")
    return name
