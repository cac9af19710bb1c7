"""One import: a reader's events into a log in large batches, its rejected rows counted and written aside."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fourfold.data.reading import DataError, ReadBatch, Reader, Rejected, joined
from fourfold.events.types import EventKind


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an import has come: events appended and rows rejected so far, after so many seconds."""

    events: int
    rejected: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import did.

    Parameters
    ----------
    name : str
        The reader's name.
    events, rejected : dict
        How many by kind of event, and by reason.
    seconds : float
        How long it took by the caller's clock.
    rejected_path : Path, optional
        Where the rejected rows were written, if there were any; `rejected_written` of them, at most the cap.
    """

    name: str
    events: dict[str, int]
    rejected: dict[str, int]
    seconds: float
    rejected_path: Path | None = None
    rejected_written: int = 0

    @property
    def total(self) -> int:
        """Events appended."""
        return sum(self.events.values())

    @property
    def events_per_second(self) -> float:
        """Events appended per second; 0 where no time passed."""
        return self.total / self.seconds if self.seconds > 0 else 0.0


class RejectedRowError(DataError):
    """A strict import met a row that is no event."""

    def __init__(self, row: Rejected) -> None:
        self.row = row
        super().__init__(
            f"{row.file}, row {row.row}: {row.reason}: {dict(row.raw)!r}; "
            "correct the row, or import without --strict to set such rows aside"
        )


def run_import(
    reader: Reader,
    append: Callable[[pa.RecordBatch], object],
    *,
    clock: Callable[[], float],
    rejected: Path | None = None,
    strict: bool = False,
    latest: int | None = None,
    batch_events: int = 50_000,
    keep_rejected: int = 10_000,
    on_progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Append all events of a reader.

    Parameters
    ----------
    reader : Reader
        Where the events come from. Its event ids are the same every time, so a log that drops known ids may be fed twice.
    append : callable
        Called with each batch of at most `batch_events` events, in order.
    clock : callable
        Gives seconds, such as ``time.perf_counter``.
    rejected : Path, optional
        Where rejected rows go as JSON Lines, at most `keep_rejected` of them; the file appears when the import is through.
    strict : bool
        Stop at the first rejected row.
    latest : int, optional
        Events after this time (milliseconds) are rejected: one from the future would be the newest event for years.
    on_progress : callable, optional
        Called after each batch.

    Raises
    ------
    RejectedRowError
        If `strict` and a row is rejected. Batches before it have been appended; importing again changes nothing of them.
    """
    started = clock()
    kinds, reasons = np.zeros(len(EventKind), np.int64), Counter[str]()

    def taking() -> Iterator[pa.RecordBatch]:
        for batch in reader.batches():
            batch = _until(latest, batch, reader.name) if latest is not None else batch  # noqa: PLW2901  # it replaces it
            if strict and batch.rejected:
                raise RejectedRowError(batch.rejected[0])
            reasons.update(row.reason for row in batch.rejected)
            aside.write(batch.rejected)
            yield batch.events

    with _Aside(rejected, keep_rejected) as aside:
        for events in _rebatched(taking(), batch_events):
            append(events)
            kinds += np.bincount(events.column("kind").to_numpy(), minlength=len(EventKind))
            if on_progress is not None:
                done = Progress(events=int(kinds.sum()), rejected=reasons.total(), seconds=clock() - started)
                on_progress(done)
    return ImportReport(
        name=reader.name,
        events={kind.name.lower(): int(kinds[kind]) for kind in EventKind if kinds[kind]},
        rejected=dict(reasons.most_common()),
        seconds=clock() - started,
        rejected_path=rejected if aside.written else None,
        rejected_written=aside.written,
    )


def _until(latest: int, batch: ReadBatch, name: str) -> ReadBatch:
    """A batch without the events after a time, which are rejected."""
    future = pc.greater(batch.events["time"], latest)
    if not pc.any(future).as_py():
        return batch
    reason = "a time more than a day ahead of the clock"
    columns = batch.events.select(["id", "time", "subject", "object", "name"])
    rows = [Rejected(file=name, row=0, reason=reason, raw=row) for row in columns.filter(future).to_pylist()]
    return ReadBatch(events=batch.events.filter(pc.invert(future)), rejected=(*batch.rejected, *rows))


def _rebatched(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        pending.append(batch)
        if sum(map(len, pending)) < size:
            continue
        whole = joined(pending)
        cuts = range(0, len(whole) - size + 1, size)
        for start in cuts:
            yield whole.slice(start, size)
        pending = [whole.slice(len(cuts) * size)]
    rest = joined(pending)
    if len(rest):
        yield rest


class _Aside:
    """The file of rejected rows: written under another name, there as a whole or not at all."""

    def __init__(self, path: Path | None, cap: int) -> None:
        self.written = 0
        self._path, self._cap = path, cap
        self._file: BinaryIO | None = None

    def __enter__(self) -> "_Aside":
        return self

    def write(self, rows: Sequence[Rejected]) -> None:
        rows = rows[: self._cap - self.written]
        if self._path is None or not rows:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary(self._path).open("wb")
        for row in rows:
            self._file.write(msgspec.json.encode(row, enc_hook=str) + b"\n")
        self.written += len(rows)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._path is None:
            return
        if self._file is None:
            if error is None:
                self._path.unlink(missing_ok=True)
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        temporary = self._temporary(self._path)
        if error is None:
            temporary.replace(self._path)
        else:
            temporary.unlink()

    @staticmethod
    def _temporary(path: Path) -> Path:
        return path.with_name(f".{path.name}.part")
