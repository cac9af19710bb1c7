"""Events in event time, whatever the order of the file: an external merge sort, so that memory stays bounded."""

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fourfold.data.reading import ReadBatch, joined, no_events
from fourfold.events.types import SCHEMA

RUN_EVENTS = 500_000


def in_time_order(batches: Iterator[ReadBatch], *, run_events: int = RUN_EVENTS) -> Iterator[ReadBatch]:
    """The same events sorted by time; ties keep their order. Rejected rows pass through as they come.

    Runs of about `run_events` events are sorted in memory. Where there is more than one, they wait in a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="fourfold-sort-") as folder:
        runs: list[_Run] = []
        pending: list[pa.RecordBatch] = []
        for batch in batches:
            if batch.rejected:
                yield ReadBatch(events=no_events(), rejected=batch.rejected)
            pending.append(batch.events)
            if sum(map(len, pending)) >= run_events:
                runs.append(_spilled(_sorted(pending), Path(folder) / f"{len(runs)}.arrow"))
                pending = []
        last = _sorted(pending)
        yield from _merged([*runs, _Run(pa.Table.from_batches([last]))], run_events) if runs else [ReadBatch(events=last)]


@dataclass(frozen=True)
class _Run:
    """Events sorted by time: in memory, or mapped from a file."""

    events: pa.Table
    mapped: mmap.mmap | None = None

    def forget(self) -> None:
        """Drop the pages that were read: they stay in the file, and would count as memory of this process."""
        if self.mapped is not None:
            self.mapped.madvise(mmap.MADV_DONTNEED)


def _sorted(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    events = joined(batches)
    times = events.column("time").to_numpy()
    if np.all(times[1:] >= times[:-1]):
        return events
    return events.take(pa.array(np.argsort(times, kind="stable")))


def _spilled(events: pa.RecordBatch, path: Path) -> _Run:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_batch(events)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _Run(pa.ipc.open_file(pa.py_buffer(mapped)).read_all(), mapped)


def _merged(runs: Sequence[_Run], run_events: int) -> Iterator[ReadBatch]:
    times = [run.events["time"].to_numpy() for run in runs]
    step = max(1, run_events // 100)
    sample = np.sort(np.concatenate([column[::step] for column in times]))
    bounds = np.unique(sample[:: max(1, run_events // step // 2)])[1:]
    starts = [0] * len(runs)
    for bound in [*bounds.tolist(), None]:
        ends = [len(t) if bound is None else int(np.searchsorted(t, bound)) for t in times]
        parts = [run.events.slice(a, b - a) for run, a, b in zip(runs, starts, ends, strict=True)]
        starts = ends
        yield ReadBatch(events=_sorted([batch for part in parts for batch in part.to_batches()]))
        for run in runs:
            run.forget()
