"""Time-indexed tables: rows sorted by (key, time), asked as of any time, grown by events in any order of arrival.

One structure serves batch and stream alike, so the two cannot disagree: batch asks it at the times of examples, stream asks it
now. A table is a few sorted runs, merged as they grow (a log-structured merge tree of arrays); tables are immutable, so a
request reads one consistent state while events go on arriving.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Int: TypeAlias = NDArray[np.int64]
Float: TypeAlias = NDArray[np.float64]
Column: TypeAlias = NDArray[Any]
Columns: TypeAlias = Mapping[str, Column]

FOREVER = -1
"""A `since` that covers everything before."""

NEWEST = 1 << 53
"""Newer than every row."""

_INT32 = np.iinfo(np.int32)
_INDEXED = 4096
"""Runs of fewer rows are searched: an index would not pay."""

_PIECE, _ODD = 1 << 15, np.uint64(0x9E3779B97F4A7C15)
"""How many rows are hashed together, and what by: the golden ratio's bits."""


@dataclass(frozen=True, eq=False)
class Run:
    """Rows sorted by (key, time, tie).

    `at` holds key + i * time as one complex number: NumPy orders those lexicographically, so a binary search for a pair is one
    call. Both halves are whole numbers below 2**53 and therefore exact. `newest` is the time of the newest row. The arrays of
    a `mapped` run are the pages of a file.
    """

    at: Column  # (N,)
    columns: Columns  # each (N,); "tie" orders rows of one key and time
    newest: int
    mapped: bool = False

    def __len__(self) -> int:
        return len(self.at)

    @classmethod
    def of(cls, keys: Int, times: Int, columns: Columns) -> "Run":
        """Sort rows, at least one, into a run. Whole numbers that fit into 32 bits are kept in as many."""
        order = _order(keys, times, columns["tie"])
        kept = {name: _narrow(column)[order] for name, column in columns.items()}
        return cls(pairs(keys[order], times[order]), kept, int(times.max()))

    @property
    def keys(self) -> Int:
        """The key of each row."""
        return self.at.real.astype(np.int64)

    @property
    def times(self) -> Int:
        """The time of each row."""
        return self.at.imag.astype(np.int64)

    def position(self, keys: Int, times: Int) -> Int:
        """How many rows come before (key, time). No row is older than 0."""
        asked, starts = pairs(keys, times), self._starts
        if starts is not None and asked.size:
            if asked.imag.max() <= 0:
                return starts.of(asked.real)
            if asked.imag.min() > self.newest:
                return starts.of(asked.real + 1)
        return _searched(self.at, asked)

    @cached_property
    def identity(self) -> int:
        """A 64-bit hash of all keys, times and ties. It is read through once, when first asked for."""
        total = len(self)
        for start in range(0, len(self), _PIECE):
            piece = slice(start, start + _PIECE)
            mixed = self.at.real[piece].astype(np.uint64)
            for part in (self.at.imag[piece], self.columns["tie"][piece]):
                mixed = (mixed ^ (mixed >> np.uint64(29))) * _ODD + part.astype(np.uint64)
            mixed = (mixed ^ (mixed >> np.uint64(32))) * _ODD
            total += int((mixed ^ (mixed >> np.uint64(29))).sum(dtype=np.uint64))
        return total % (1 << 64)

    @cached_property
    def _starts(self) -> "_Starts | None":
        if len(self) < _INDEXED:
            return None
        first, last = int(self.at[0].real), int(self.at[-1].real)
        if last - first >= len(self):
            return None
        keys = np.arange(first, last + 2)
        return _Starts(first, np.searchsorted(self.at, pairs(keys, np.zeros_like(keys))))


@dataclass(frozen=True)
class Rows:
    """The row of a table that answers each of `size` questions, if any: number of a run, the questions, and rows of the run."""

    size: int
    parts: tuple[tuple[int, Int, Int], ...]


@dataclass(frozen=True)
class _Starts:
    """Where the rows of each key start, from the first key on to the one after the last.

    It is kept only where keys are dense, as those of entities are: 8 bytes per key, and no more keys than rows.
    """

    first: int
    rows: Int

    def of(self, keys: Float) -> Int:
        """How many rows come before each key."""
        place = np.minimum(np.maximum(keys - self.first, 0), len(self.rows) - 1)
        return self.rows[place.astype(np.int64)]


def pairs(keys: Int, times: Int) -> NDArray[np.complex128]:
    """Keys and times as the complex numbers that `Run` sorts by."""
    at = np.empty(np.broadcast(keys, times).shape, np.complex128)
    at.real, at.imag = keys, times
    return at


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
        for run in self._since(since):
            total += np.maximum(run.position(keys, before) - run.position(keys, since), 0)
        return total

    def last_time(self, keys: Int, before: Int, otherwise: int = FOREVER) -> Int:
        """Time of the last row of each key before a time, or `otherwise`."""
        latest = np.full(np.broadcast(keys, before).shape, otherwise, np.int64)
        for run in self.runs:
            found, _, when = _last(run, keys, before)
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
        time, tie = np.full(shape, -1.0), np.zeros(shape, np.uint64)
        # Newest first: most questions are then answered by the first run, and what is older need not be asked.
        for number, run in sorted(enumerate(self.runs), key=lambda numbered: numbered[1].newest, reverse=True):
            if np.maximum(time, since).min(initial=NEWEST) > run.newest:
                break
            found, place, when = _last(run, keys, before)
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

    def _since(self, since: Int) -> list[Run]:
        """The runs that hold rows of any of these times or later."""
        oldest = since.min(initial=NEWEST)
        return [run for run in self.runs if run.newest >= oldest]

    def _parts(self) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
        return self.runs[: self.kept], self.runs[self.kept :]


def merged(runs: Sequence[Run]) -> Run:
    """One run with the rows of several."""
    at = np.concatenate([run.at for run in runs])
    # A stable sort finds the sorted stretches and merges them.
    order = np.argsort(at, kind="stable")
    at = at[order]
    columns = {name: np.concatenate([run.columns[name] for run in runs]) for name in runs[0].columns}
    equal = at[1:] == at[:-1]
    if equal.any():
        _order_ties(order, equal, columns["tie"])
    kept = {name: column[order] for name, column in columns.items()}
    return Run(at, kept, max(run.newest for run in runs))


def _order_ties(order: Int, equal: Column, ties: Column) -> None:
    """Put rows of one key and time, which stand side by side, into the order of their ties."""
    rows = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    group = np.cumsum(np.append(True, ~equal))[rows]
    among = order[rows]
    order[rows] = among[np.lexsort((ties[among], group))]


def _order(keys: Int, times: Int, ties: Column) -> Int:
    """The order of rows by (key, time, tie)."""
    count, low = len(keys), int(keys.min())
    in_time = (times[1:] > times[:-1]) | ((times[1:] == times[:-1]) & (ties[1:] >= ties[:-1]))
    if not in_time.all() or (int(keys.max()) - low + 1) * count >= 1 << 63:
        return np.lexsort((ties, times, keys))
    # Rows that come in time order need only be grouped; sorting numbers is several times faster than sorting by them.
    packed = (keys - low) * count + np.arange(count)
    packed.sort()
    return packed % count


def _narrow(column: Column) -> Column:
    if column.dtype != np.int64 or column.min() < _INT32.min or column.max() > _INT32.max:
        return column
    return column.astype(np.int32)


def _without(run: Run, keys: Int, times: Int, ties: Column) -> Run:
    start, stop = run.position(keys, times), run.position(keys, times + 1)
    index, asked = _spread(start, np.maximum(stop - start, 0))
    gone = index[run.columns["tie"][index] == ties[asked]]
    if not len(gone):
        return run
    keep = np.ones(len(run), bool)
    keep[gone] = False
    return Run(run.at[keep], {name: column[keep] for name, column in run.columns.items()}, run.newest)


def _searched(at: Column, asked: NDArray[np.complex128]) -> Int:
    """How many of `at` come before each of `asked`."""
    keys = asked.real
    if (keys[1:] >= keys[:-1]).all():
        return np.searchsorted(at, asked)
    # Sorting the questions by key is quick, and makes the search several times faster: neighbours read the same memory.
    order = np.argsort(keys)
    found = np.empty(len(asked), np.int64)
    found[order] = np.searchsorted(at, asked[order])
    return found


def _last(run: Run, keys: Int, before: Int) -> tuple[NDArray[np.bool_], Int, Float]:
    """Whether there is a row of each key before a time, which is the last of them, and its time."""
    index = np.maximum(run.position(keys, before) - 1, 0)
    at = run.at[index]
    # Where no row at all comes before, the first one was taken; it is not before.
    return (at.real == keys) & (at.imag < before), index, at.imag


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
