"""What every reader gives: batches of events, and beside them the rows that could not become events, each with its reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from fourfold.events.types import SCHEMA


class DataError(ValueError):
    """Files that cannot be read as asked: the message names the file or key and says what to write or do instead."""


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A row that is no event: its file, its number there (1 is the first row of data, 0 unknown), why, and what stood in it."""

    file: str
    row: int
    reason: str
    raw: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class ReadBatch:
    """Events of `fourfold.events.types.SCHEMA`, and the rows rejected since the batch before."""

    events: pa.RecordBatch
    rejected: tuple[Rejected, ...] = ()


class Reader(Protocol):
    """A source of events: the same files give the same events, with the same ids, in the same order."""

    @property
    def name(self) -> str:
        """What the source is called: event ids start with it."""

    def batches(self) -> Iterator[ReadBatch]:
        """Read everything, in event time, in bounded memory.

        Raises
        ------
        DataError
            If a file is missing, is not of its format, or lacks a column.
        """


def no_events() -> pa.RecordBatch:
    """An empty batch of events."""
    return pa.RecordBatch.from_pylist([], schema=SCHEMA)


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Event batches as one, in order."""
    table = pa.Table.from_batches(batches, SCHEMA).combine_chunks()
    return table.to_batches()[0] if table.num_rows else no_events()


def found_in(folder: Path, expected: Sequence[str]) -> dict[str, list[Path]]:
    """The files in `folder` that match each expected pattern, sorted by name.

    Raises
    ------
    DataError
        If a pattern has no file; the message lists what was expected and what is there.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder that holds {', '.join(expected)}")
    found = {pattern: sorted(folder.glob(pattern)) for pattern in expected}
    missing = [pattern for pattern, paths in found.items() if not paths]
    if missing:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise DataError(f"{folder} lacks {', '.join(missing)}; expected {', '.join(expected)}, found {there}")
    return found
