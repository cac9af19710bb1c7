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


@dataclass(frozen=True)
class Run:
    """Rows sorted by (key, time, tie).

    `at` holds key + i * time as one complex number: NumPy orders those lexicographically, so a binary search for a pair is one
    call. Both halves are whole numbers below 2**53 and therefore exact.
    """

    at: NDArray[np.complex128]  # (N,)
    columns: Columns  # each (N,); "tie" orders rows of one key and time

    def __len__(self) -> int:
        return len(self.at)

    @cached_property
    def newest(self) -> int:
        """Time of the newest row, or -1."""
        return int(self.at.imag.max(initial=-1))

    @classmethod
    def of(cls, at: NDArray[np.complex128], columns: Columns) -> "Run":
        """Sort rows into a run."""
        order = np.lexsort((columns["tie"], at.imag, at.real))
        return cls(at[order], {name: column[order] for name, column in columns.items()})

    def position(self, keys: Int, times: Int) -> Int:
        """How many rows come before (key, time)."""
        return np.searchsorted(self.at, pairs(keys, times), side="left")


def pairs(keys: Int, times: Int) -> NDArray[np.complex128]:
    """Keys and times as the complex numbers that `Run` sorts by."""
    at = np.empty(np.broadcast(keys, times).shape, np.complex128)
    at.real, at.imag = keys, times
    return at


@dataclass(frozen=True)
class Table:
    """Immutable rows under (key, time); `added` gives the table with more of them."""

    runs: tuple[Run, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    @property
    def newest(self) -> int:
        """Time of the newest row, or -1."""
        return max((run.newest for run in self.runs), default=-1)

    def added(self, keys: Int, times: Int, columns: Columns) -> "Table":
        """The table with these rows too; runs of like size are merged, so that there are about log2(rows) of them."""
        if not len(keys):
            return self
        runs = [*self.runs, Run.of(pairs(keys, times), columns)]
        while len(runs) > 1 and len(runs[-2]) < 2 * len(runs[-1]):
            runs[-2:] = [_merged(runs[-2:])]
        return Table(tuple(runs))

    def without(self, ties: NDArray[np.uint64], since: int) -> "Table":
        """The table without the rows of some ties; none of them is older than `since`."""
        runs = (_without(run, ties, since) for run in self.runs)
        return Table(tuple(run for run in runs if len(run)))

    def count(self, keys: Int, since: Int, before: Int) -> Int:
        """Rows of each key with ``since <= time < before``."""
        total = np.zeros(np.broadcast(keys, since, before).shape, np.int64)
        for run in self.runs:
            total += np.maximum(run.position(keys, before) - run.position(keys, since), 0)
        return total

    def last_time(self, keys: Int, before: Int, otherwise: int = FOREVER) -> Int:
        """Time of the last row of each key before a time, or `otherwise`."""
        latest = np.full(np.broadcast(keys, before).shape, otherwise, np.int64)
        for run in self.runs:
            found, index = _last(run, keys, before)
            latest = np.where(found, np.maximum(latest, run.at.imag[index].astype(np.int64)), latest)
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
        shape = np.broadcast(keys, since, before).shape
        value, time, tie = np.full(shape, missing), np.full(shape, -1.0), np.zeros(shape, np.uint64)
        for run in self.runs:
            found, index = _last(run, keys, before)
            when, order = run.at.imag[index], run.columns["tie"][index].astype(np.uint64)
            newer = found & (when >= since) & ((when > time) | ((when == time) & (order > tie)))
            value = np.where(newer, run.columns[column][index], value)
            time, tie = np.where(newer, when, time), np.where(newer, order, tie)
        return value

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


def _merged(runs: Sequence[Run]) -> Run:
    names = runs[0].columns
    columns = {name: np.concatenate([run.columns[name] for run in runs]) for name in names}
    return Run.of(np.concatenate([run.at for run in runs]), columns)


def _without(run: Run, ties: NDArray[np.uint64], since: int) -> Run:
    late = np.flatnonzero(run.at.imag >= since)
    gone = late[np.isin(run.columns["tie"][late], ties)]
    if not len(gone):
        return run
    keep = np.ones(len(run), bool)
    keep[gone] = False
    return Run(run.at[keep], {name: column[keep] for name, column in run.columns.items()})


def _last(run: Run, keys: Int, before: Int) -> tuple[NDArray[np.bool_], Int]:
    index = run.position(keys, before) - 1
    inside = np.maximum(index, 0)
    return (index >= 0) & (run.at.real[inside] == keys), inside


def _sliced(run: Run, keys: Int, since: Int, before: Int, newest: int | None) -> dict[str, Column]:
    start, stop = run.position(keys, since), run.position(keys, before)
    if newest is not None:
        start = np.maximum(start, stop - newest)
    length = np.maximum(stop - start, 0)
    query = np.repeat(np.arange(len(keys)), length)
    offset = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    index = np.repeat(start, length) + offset
    rows: dict[str, Column] = {name: column[index] for name, column in run.columns.items()}
    return rows | {"query": query, "time": run.at.imag[index].astype(np.int64)}


def newest_keys(table: Table, count: int) -> Int:
    """The keys with the newest rows, newest first, each once."""
    at = np.concatenate([np.zeros(0, np.complex128), *(run.at for run in table.runs)])
    keys = at.real[np.lexsort((at.real, -at.imag))].astype(np.int64)
    first = np.sort(np.unique(keys, return_index=True)[1])
    return keys[first[:count]]
