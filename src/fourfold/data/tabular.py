"""The reader behind every other: entity, edge and log files, described by their columns, as one stream in event time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fourfold.data.columns import EARLIEST, LATEST, instants
from fourfold.data.entities import EdgeColumns, EntityColumns, distinct, edges, upsert_batch, upserts
from fourfold.data.files import Chunk, TextFormat, chunks
from fourfold.data.interactions import InteractionColumns, TimeColumn, interactions
from fourfold.data.ordering import in_time_order
from fourfold.data.reading import DataError, ReadBatch


@dataclass(frozen=True, kw_only=True)
class EntityFile:
    """A file of entities. `derive` makes the columns that `columns` names out of those that `read` lists.

    With `repeats`, many rows say the same of one entity, as where a log describes its items: each is taken once.
    """

    path: Path
    columns: EntityColumns
    text: TextFormat | None = None
    read: tuple[str, ...] = ()
    derive: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None
    repeats: bool = False


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """A file of impressions and actions. With `viewers`, its viewers are entities of that type without attributes."""

    path: Path
    columns: InteractionColumns
    text: TextFormat | None = None
    viewers: str | None = None


@dataclass(frozen=True, kw_only=True)
class EdgeFile:
    """A file of edges. With `nodes`, both ends are entities of that type without attributes."""

    path: Path
    columns: EdgeColumns
    text: TextFormat | None = None
    nodes: str | None = None


@dataclass(frozen=True, kw_only=True)
class TabularReader:
    """Reads entities, then untimed edges, then everything that has a time, in its order.

    Parameters
    ----------
    name : str
        What event ids start with.
    entities, edges, logs
        The files.
    at : int, optional
        The time, in milliseconds, of entities and untimed edges where no file has times; otherwise they come just before
        the first event.
    """

    name: str
    entities: Sequence[EntityFile] = ()
    edges: Sequence[EdgeFile] = ()
    logs: Sequence[LogFile] = ()
    at: int | None = None

    def batches(self) -> Iterator[ReadBatch]:
        """All events, the entities first."""
        yield from self.upserts(self.first_time - 2)
        for file in self.edges:
            if file.columns.time is None:
                yield from self._edges(file, self.first_time - 1)
        yield from in_time_order(self.timed())

    def timed(self) -> Iterator[ReadBatch]:
        """The events that have a time of their own, in the order of the files."""
        timed = (self._edges(file, 0) for file in self.edges if file.columns.time is not None)
        return chain(chain.from_iterable(timed), chain.from_iterable(map(self._log, self.logs)))

    def upserts(self, time: int) -> Iterator[ReadBatch]:
        """All entities, at `time`."""
        for file in self.entities:
            for chunk in _once(file):
                rows = file.derive(chunk.rows) if file.derive else chunk.rows
                derived = Chunk(file=chunk.file, rows=rows, numbers=chunk.numbers, rejected=chunk.rejected)
                yield upserts(derived, file.columns, self.name, time)
        for type_, keys in self._mentioned():
            yield ReadBatch(events=upsert_batch(keys, type_, [b"{}"] * len(keys), self.name, time))

    @cached_property
    def first_time(self) -> int:
        """When the first event happened, or `at`.

        Raises
        ------
        DataError
            If there are files with times but no usable one in them, or no such files and no `at`.
        """
        timed = [(file.path, file.text, file.columns.time) for file in self.logs]
        timed += [(file.path, file.text, file.columns.time) for file in self.edges if file.columns.time is not None]
        firsts = [first for path, text, when in timed if when and (first := _first(path, text, when)) is not None]
        if firsts:
            return min(firsts)
        if timed:
            path, _, when = timed[0]
            column = when.column if when else ""
            raise DataError(f"{path}: no row has a usable time in {column!r}; check the column, its unit and its format")
        if self.at is None:
            raise DataError(f"{self.name}: no file has times; give the time of these events (at = ...)")
        return self.at

    def _log(self, file: LogFile) -> Iterator[ReadBatch]:
        for chunk in chunks(file.path, file.columns.wanted(), file.text):
            yield interactions(chunk, file.columns, self.name)

    def _edges(self, file: EdgeFile, time: int) -> Iterator[ReadBatch]:
        for chunk in chunks(file.path, file.columns.wanted(), file.text):
            yield edges(chunk, file.columns, self.name, time)

    def _mentioned(self) -> Iterator[tuple[str, pa.Array]]:
        for log in self.logs:
            if log.viewers is not None:
                yield log.viewers, _distinct(log.path, log.text, [log.columns.viewer])
        for file in self.edges:
            if file.nodes is not None:
                yield file.nodes, _distinct(file.path, file.text, [file.columns.source, file.columns.target])


def _once(file: EntityFile) -> Iterator[Chunk]:
    """The chunks of an entity file; where rows repeat, without those whose like came before."""
    seen: set[tuple[object, ...]] = set()
    for chunk in chunks(file.path, file.read or file.columns.wanted(), file.text):
        nested = any(pa.types.is_nested(column.type) for column in chunk.rows.columns)
        yield chunk if nested or not file.repeats else _unlike(chunk, seen)


def _unlike(chunk: Chunk, seen: set[tuple[object, ...]]) -> Chunk:
    """The rows of a chunk that are not in `seen`, each once; they are added to it."""
    names = chunk.rows.schema.names
    numbered = pa.Table.from_batches([chunk.rows]).append_column("", pa.array(np.arange(len(chunk.rows))))
    first = np.sort(numbered.group_by(names).aggregate([("", "min")])["_min"].to_numpy())
    values = list(zip(*(column.take(pa.array(first)).to_pylist() for column in chunk.rows.columns), strict=True))
    new = first[[row not in seen for row in values]] if len(first) else first
    seen.update(values)
    return replace(chunk, rows=chunk.rows.take(pa.array(new)), numbers=chunk.numbers[new])


def _first(path: Path, text: TextFormat | None, when: TimeColumn) -> int | None:
    firsts = []
    for chunk in chunks(path, [when.column], text):
        moments = instants(chunk.rows.column(0), unit=when.unit, format_=when.format)
        values = moments.drop_null().to_numpy(zero_copy_only=False)
        usable = values[(values >= EARLIEST) & (values <= LATEST)]
        firsts += [int(usable.min())] if len(usable) else []
    return min(firsts, default=None)


def _distinct(path: Path, text: TextFormat | None, columns: list[str]) -> pa.Array:
    found = [distinct(chunk.rows.columns) for chunk in chunks(path, columns, text)]
    keys = pa.concat_arrays([*found, pa.array([], pa.string())]).unique()
    return keys.filter(pc.less_equal(pc.utf8_length(keys), 256))
