"""Events of a file that a home never saw, taken into a copy of its state: nothing of them reaches the log or the disk.

They are taken in one order, whatever the order of the file, so that shuffled rows give the very same state.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
from msgspec import Struct

from fourfold.data.exported import ExportedReader
from fourfold.data.kuairand import kuairand_log
from fourfold.data.mapping import Mapping
from fourfold.data.reading import DataError, ReadBatch, Reader, Rejected, joined
from fourfold.events.log import InvalidEventError, checked
from fourfold.events.types import SCHEMA, Event, batch_of
from fourfold.features.state import State
from fourfold.features.view import View

Format = Literal["kuairand"]

BATCH = 50_000
LINES = {".jsonl", ".ndjson", ".json"}
CANONICAL = [
    (name, "ascending") for name in ("time", "kind", *(n for n in SCHEMA.names if n not in {"time", "kind", "arrival"}))
]
"""The order in which events are taken: by all that they say."""


class Taken(Struct, frozen=True, kw_only=True):
    """What was in a file: its events, how many of them the log did not hold, and what could not be used, by reason."""

    events: int
    new: int
    rejected: dict[str, int]
    ignored: dict[str, int]


@dataclass(frozen=True)
class Unseen:
    """The state of a home with a file's events (`view`), and without (`log`)."""

    view: View
    log: View
    taken: Taken


def reader_of_file(path: Path, format_: Format | None, surface: str) -> Reader:
    """The reader of a file of events.

    Parameters
    ----------
    path : Path
        With `format_` ``"kuairand"`` a log file (CSV or Parquet); else Parquet as `fourfold events export` writes, a file or
        a folder, JSON Lines of events, or a mapping file that describes files beside it.
    format_ : str, optional
        The data set whose log it is.
    surface : str
        What the rows of a data set are impressions of.

    Raises
    ------
    DataError
        If nothing is there, or it is not clear how to read it.
    """
    if not path.exists():
        raise DataError(f"{path} is not there; name a file of events, or a folder that `fourfold events export` wrote")
    if format_ == "kuairand":
        return kuairand_log(path, surface=surface)
    if path.is_dir() or path.suffix == ".parquet":
        return ExportedReader(path)
    if path.suffix == ".toml":
        return Mapping.from_toml(path.read_text(encoding="utf-8"), str(path)).reader(path.parent)
    if path.suffix in LINES:
        return _Lines(path)
    raise DataError(
        f"{path} may be read in many ways: name its --format (kuairand), or pass a mapping file (.toml) that describes it"
    )


def with_unseen(view: View, reader: Reader) -> Unseen:
    """A view of a home with a reader's events beside.

    Raises
    ------
    DataError
        If an event is unsound, or there is none.
    """
    events, rejected = _read(reader)
    if not len(events):
        reasons = "".join(f"; {count} rows: {reason}" for reason, count in rejected.items())
        raise DataError(f"{reader.name}: no events to judge{reasons}")
    state = _branch(view)
    new = sum(state.apply(events.slice(start, BATCH)) for start in range(0, len(events), BATCH))
    ignored = Counter(state.ignored) - Counter(view.ignored)
    return Unseen(state.view(), view, Taken(events=len(events), new=new, rejected=dict(rejected), ignored=dict(ignored)))


@dataclass(frozen=True)
class _Lines:
    """Reads JSON Lines of events, as `fourfold events append` takes them."""

    path: Path
    name: str = "events"

    def batches(self) -> Iterator[ReadBatch]:
        """All events; lines that are none are rejected."""
        decoder = msgspec.json.Decoder(Event)
        events: list[Event] = []
        rejected = []
        for number, line in enumerate(self.path.read_bytes().splitlines(), 1):
            try:
                events += [decoder.decode(line)] if line.strip() else []
            except msgspec.DecodeError as error:
                raw = {"line": line.decode(errors="replace")}
                rejected.append(Rejected(file=self.path.name, row=number, reason=f"not an event: {error}", raw=raw))
        yield ReadBatch(events=batch_of(events), rejected=tuple(rejected))


def _read(reader: Reader) -> tuple[pa.RecordBatch, Counter[str]]:
    """All events of a reader, sound and in canonical order, and how many rows were rejected for what."""
    batches, rejected = [], Counter[str]()
    for batch in reader.batches():
        rejected.update(row.reason for row in batch.rejected)
        batches.append(batch.events)
    try:
        events = checked(joined(batches), 0)
    except InvalidEventError as error:
        raise DataError(f"{reader.name}: {error}") from None
    return joined(pa.Table.from_batches([events]).sort_by(CANONICAL).to_batches()), rejected


def _branch(view: View) -> State:
    """A state of its own that starts where a view is."""
    state = State(view.definition)
    names = {space: names.since(0)[: view.sizes.get(space, 0)] for space, names in view.names.items()}
    state.restore(view.tables, names, view.offset, view.clock, view.ignored)
    return state
