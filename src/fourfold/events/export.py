"""The log as Parquet, partitioned by day of event time, for training in any engine; and back into a log.

Rows carry their offset, so that the original order is never lost. An exported folder appears whole or not at all.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from fourfold.durable.files import publish, scratch_folder
from fourfold.events.log import Log, LogError, OffsetError
from fourfold.events.types import SCHEMA

Progress: TypeAlias = Callable[[int, int | None], None]

FILE_ROWS = 262_144
DAY = 86_400_000
SUMMARY = "_fourfold.json"

EXPORT_SCHEMA = pa.schema([pa.field("offset", pa.int64(), nullable=False), *SCHEMA])
"""The columns of an exported file: those of the log and, first, the offset. The day is in the path: ``day=2022-04-25/``."""


class Export(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an exported folder holds: the events from offset `start` up to but not including `end`."""

    start: int
    end: int
    version: int = 1


class ExportError(LogError):
    """A folder that cannot be written to, or does not hold a whole export."""


def export_parquet(
    log: Log,
    folder: Path,
    *,
    start: int | None = None,
    end: int | None = None,
    on_progress: Progress | None = None,
) -> Export:
    """Write the events of a log to ``folder/day=YYYY-MM-DD/<first offset>.parquet``, days being those of event time.

    Memory is bounded by some 260,000 events, whatever the length of the log.

    Parameters
    ----------
    log : Log
        Where the events come from.
    folder : Path
        Must not exist yet; it appears when all is written.
    start, end : int, optional
        The offsets to write; without them all that the log holds at the time of the call.
    on_progress : callable, optional
        Called with the events done so far and their total.

    Raises
    ------
    ExportError
        If the folder exists.
    OffsetError
        If the log does not hold the offsets asked for.
    """
    if folder.exists():
        raise ExportError(f"{folder} exists already; name a new folder, or remove that one")
    export = Export(start=log.start if start is None else start, end=log.end if end is None else end)
    if not export.start <= export.end <= log.end:
        raise OffsetError(f"offsets {export.start} to {export.end} are not all there; the log ends at {log.end}")
    with scratch_folder(folder) as scratch:
        done = 0
        for table in _chunks(log, export):
            _write_days(table, scratch)
            done += len(table)
            if on_progress is not None:
                on_progress(done, export.end - export.start)
        (scratch / SUMMARY).write_bytes(msgspec.json.encode(export))
        publish(scratch, folder)
    return export


def import_parquet(folder: Path, log: Log, *, on_progress: Progress | None = None) -> range:
    """Append an exported folder to a log: the same events in their original order, with their original arrival times.

    They get new offsets, from the log's `end` on. An import that was cut short may be run again: consumers count an
    event once. Memory is bounded by some 260,000 events.

    Parameters
    ----------
    folder : Path
        What `export_parquet` wrote; its files may have been compacted or sorted by other tools meanwhile.
    log : Log
        Where the events go.
    on_progress : callable, optional
        Called with the events done so far and their total.

    Returns
    -------
    range
        The offsets of the events in the log, if nobody else appended meanwhile.

    Raises
    ------
    ExportError
        If the folder is not a whole export.
    """
    export = _summary(folder)
    files = ds.dataset(folder, format="parquet", partitioning=ds.partitioning(flavor="hive"), schema=EXPORT_SCHEMA)
    first, done = log.end, 0
    for low in range(export.start, export.end, FILE_ROWS):
        high = min(low + FILE_ROWS, export.end)
        within = (ds.field("offset") >= low) & (ds.field("offset") < high)
        table = files.to_table(columns=EXPORT_SCHEMA.names, filter=within).sort_by("offset")
        if not np.array_equal(table["offset"].to_numpy(), np.arange(low, high)):
            raise ExportError(f"{folder} lacks some of the offsets {low} to {high}, or has them twice; export it again")
        for batch in table.drop_columns("offset").combine_chunks().to_batches():
            log.append(batch, None)
        done += len(table)
        if on_progress is not None:
            on_progress(done, export.end - export.start)
    return range(first, first + done)


def _chunks(log: Log, export: Export) -> Iterator[pa.Table]:
    """The events to export as tables of `EXPORT_SCHEMA` with at most `FILE_ROWS` rows."""
    for low in range(export.start, export.end, FILE_ROWS):
        high = min(low + FILE_ROWS, export.end)
        events = pa.Table.from_batches([batch for _, batch in log.read(low, high - low)], schema=SCHEMA)
        offsets = pa.array(np.arange(low, high, dtype=np.int64))
        yield pa.Table.from_arrays([offsets, *events.columns], schema=EXPORT_SCHEMA)


def _write_days(table: pa.Table, folder: Path) -> None:
    days = table["time"].to_numpy() // DAY
    for day in np.unique(days):
        rows = table.filter(pa.array(days == day))
        path = folder / f"day={np.datetime64(int(day), 'D')}"
        path.mkdir(exist_ok=True)
        name = f"{pc.min(rows['offset']).as_py():020}.parquet"
        pq.write_table(rows, path / name, compression="zstd")


def _summary(folder: Path) -> Export:
    try:
        return msgspec.json.decode((folder / SUMMARY).read_bytes(), type=Export)
    except FileNotFoundError:
        raise ExportError(f"{folder} has no {SUMMARY}; name a folder that export_parquet wrote") from None
    except msgspec.DecodeError as error:
        raise ExportError(f"{folder / SUMMARY} is damaged ({error}); export the log again") from None
