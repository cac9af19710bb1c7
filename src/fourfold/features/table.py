"""Time-indexed tables: rows sorted by (key, time), asked as of any time, grown by events in any order of arrival.

One structure serves batch and stream alike, so the two cannot disagree: batch asks it at the times of examples, stream asks it
now. A table is a few sorted runs, merged as they grow (a log-structured merge tree of arrays); tables are immutable, so a
request reads one consistent state while events go on arriving.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fourfold.features.runs import Column, Columns, Float, Int, Points, Run, merged, pairs

__all__ = ["FOREVER", "Column", "Columns", "Float", "Int", "Rows", "Run", "Table", "merged", "newest_keys", "pairs"]

FOREVER = -1
"""A `since` that covers everything before."""

NEWEST = 1 << 53
"""Newer than every row."""


@dataclass(frozen=True)
class Rows:
    """The row of a table that answers each of `size` questions, if any: number of a run, the questions, and rows of the run."""

    size: int
    parts: tuple[tuple[int, Int, Int], ...]


@dataclass(frozen=True)
class Table:
    """Immutable rows under (key, time); `added` gives the table with more of them.

    The first `kept` runs are not merged with others: they are in files, or on their way there.
    """

    runs: tuple[Run, ...] = ()
    kept: int = 0

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    @property
    def newest(self) -> int:
        """Time of the newest row, or -1."""
        return max((run.newest for run in self.runs), default=-1)

    def added(self, keys: Int, times: Int, columns: Columns) -> "Table":
        """The table with these rows too."""
        return self.joined(Run.of(keys, times, columns)) if len(keys) else self

    def joined(self, run: Run) -> "Table":
        """The table with another run; runs of like size are merged, so that there are about log2(rows) of them."""
        runs = [*self.runs, run]
        while len(runs) > self.kept + 1 and len(runs[-2]) < 2 * len(runs[-1]):
            runs[-2:] = [merged(runs[-2:])]
        return Table(tuple(runs), self.kept)

    def without(self, keys: Int, times: Int, ties: Column) -> "Table":
        """The table without the rows that have one of these (key, time, tie)."""
        kept, others = ([_without(run, keys, times, ties) for run in part] for part in self._parts())
        kept, others = ([run for run in part if len(run)] for part in (kept, others))
        return Table((*kept, *others), len(kept))

    def sealed(self) -> "Table":
        """The same table, of which no run is merged any more."""
        return Table(self.runs, len(self.runs))

    def replaced(self, old: Sequence[Run], new: Sequence[Run]) -> "Table":
        """The table with its first runs, where they still are `old`, replaced by `new` ones that hold the same rows."""
        same = len(old) <= len(self.runs) and all(mine is theirs for mine, theirs in zip(self.runs, old, strict=False))
        runs = (*new, *self.runs[len(old) :]) if same else self.runs
        mapped = [run.mapped for run in runs]
        return Table(runs, mapped.index(False) if False in mapped else len(mapped))

    def count(self, keys: Int, since: Int, before: Int) -> Int:
        """Rows of each key with ``since <= time < before``."""
        total = np.zeros(np.broadcast(keys, since, before).shape, np.int64)
        start, stop = Points(keys, since), Points(keys, before)
        for run in self.runs:
            if run.newest >= start.oldest:
                total += np.maximum(run.before(stop) - run.before(start), 0)
        return total

    def last_time(self, keys: Int, before: Int, otherwise: int = FOREVER) -> Int:
        """Time of the last row of each key before a time, or `otherwise`."""
        latest, points = np.full(np.broadcast(keys, before).shape, otherwise, np.int64), Points(keys, before)
        for run in self.runs:
            found, _, when = _last(run, points)
            latest = np.where(found, np.maximum(latest, when.astype(np.int64)), latest)
        return latest

    def first_time(self, keys: Int, since: Int, otherwise: int) -> Int:
        """Time of the first row of each key at or after a time, or `otherwise`."""
        earliest = np.full(np.broadcast(keys, since).shape, otherwise, np.int64)
        for run in self.runs:
            index = run.position(keys, since)
            inside = np.minimum(index, len(run) - 1)
            found = (index < len(run)) & (run.at.real[inside] == keys)
            earliest = np.where(found, np.minimum(earliest, run.at.imag[inside].astype(np.int64)), earliest)
        return earliest

    def last(self, column: str, keys: Int, since: Int, before: Int, missing: float = np.nan) -> Float:
        """A column's value in the last row of each key with ``since <= time < before``; later tie wins; else `missing`."""
        return self.values(column, self.last_rows(keys, since, before), missing)

    def last_rows(self, keys: Int, since: Int, before: Int) -> "Rows":
        """Which row is the last of each key with ``since <= time < before``; the later tie wins."""
        shape = np.broadcast(keys, since, before).shape
        of_run, index = np.full(shape, -1), np.zeros(shape, np.int64)
        time, tie, points = np.full(shape, -1.0), np.zeros(shape, np.uint64), Points(keys, before)
        # Newest first: most questions are then answered by the first run, and what is older need not be asked.
        for number, run in sorted(enumerate(self.runs), key=lambda numbered: numbered[1].newest, reverse=True):
            if np.maximum(time, since).min(initial=NEWEST) > run.newest:
                break
            found, place, when = _last(run, points)
            found &= (when >= since) & (when >= time)
            order = run.columns["tie"][place].astype(np.uint64)
            found &= (when > time) | (order > tie)
            for kept, new in ((of_run, number), (index, place), (time, when), (tie, order)):
                np.copyto(kept, new, where=found)
        answered = ((number, np.flatnonzero(of_run == number)) for number in range(len(self.runs)))
        return Rows(len(index), tuple((number, asked, index[asked]) for number, asked in answered if len(asked)))

    def values(self, column: str, rows: "Rows", missing: float = np.nan) -> Float:
        """A column's value in each row of `last_rows`, of this table or of one with the same `identity`."""
        value = np.full(rows.size, missing, np.float64)
        for number, asked, index in rows.parts:
            value[asked] = self.runs[number].columns[column][index]
        return value

    @property
    def identity(self) -> tuple[int, ...]:
        """Equal in tables that hold the same keys, times and ties in the same runs."""
        return tuple(run.identity for run in self.runs)

    def slice(self, keys: Int, since: Int, before: Int, newest: int | None = None) -> dict[str, Column]:
        """All rows of some keys with ``since <= time < before``, sorted by (query, time, tie).

        Returns the table's columns and ``query`` (index into `keys`) and ``time``. With `newest`, each run gives at most that
        many last rows per key, which holds the key's `newest` last rows (and perhaps more).
        """
        parts = [_sliced(run, keys, since, before, newest) for run in self.runs]
        if not parts:
            return {"query": np.zeros(0, np.int64), "time": np.zeros(0, np.int64)}
        rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.lexsort((rows["tie"], rows["time"], rows["query"]))
        return {name: column[order] for name, column in rows.items()}

    def _parts(self) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
        return self.runs[: self.kept], self.runs[self.kept :]


def _without(run: Run, keys: Int, times: Int, ties: Column) -> Run:
    start, stop = run.position(keys, times), run.position(keys, times + 1)
    index, asked = _spread(start, np.maximum(stop - start, 0))
    gone = index[run.columns["tie"][index] == ties[asked]]
    if not len(gone):
        return run
    keep = np.ones(len(run), bool)
    keep[gone] = False
    return Run(run.at[keep], {name: column[keep] for name, column in run.columns.items()}, run.newest)


def _last(run: Run, points: Points) -> tuple[NDArray[np.bool_], Int, Float]:
    """Whether there is a row of each point's key before its time, which is the last of them, and that row's time."""
    index = np.maximum(run.before(points) - 1, 0)
    at = run.at[index]
    # Where no row at all comes before, the first one was taken; it is not before.
    return (at.real == points.at.real) & (at.imag < points.at.imag), index, at.imag


def _sliced(run: Run, keys: Int, since: Int, before: Int, newest: int | None) -> dict[str, Column]:
    start, stop = run.position(keys, since), run.position(keys, before)
    if newest is not None:
        start = np.maximum(start, stop - newest)
    index, query = _spread(start, np.maximum(stop - start, 0))
    rows: dict[str, Column] = {name: _wide(column[index]) for name, column in run.columns.items()}
    return rows | {"query": query, "time": run.at.imag[index].astype(np.int64)}


def _spread(start: Int, length: Int) -> tuple[Int, Int]:
    """The indices ``start .. start + length`` of each query, one after the other, and which query each belongs to."""
    query = np.repeat(np.arange(len(start)), length)
    offset = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return np.repeat(start, length) + offset, query


def _wide(column: Column) -> Column:
    return column.astype(np.int64) if column.dtype == np.int32 else column


def newest_keys(table: Table, count: int) -> Int:
    """The keys with the newest rows, newest first, each once."""
    at = np.concatenate([np.zeros(0, np.complex128), *(run.at for run in table.runs)])
    keys = at.real[np.lexsort((at.real, -at.imag))].astype(np.int64)
    first = np.sort(np.unique(keys, return_index=True)[1])
    return keys[first[:count]]
