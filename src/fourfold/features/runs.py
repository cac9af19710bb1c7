"""Runs: rows sorted by (key, time, tie) in one array each, and how they are searched and merged."""

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
        """How many rows come before (key, time)."""
        return self.before(Points(keys, times))

    def before(self, points: "Points") -> Int:
        """How many rows come before each point. No row is older than 0."""
        starts = self._starts
        if starts is not None and points.newest <= 0:
            return starts.of(points.at.real)
        if starts is not None and points.oldest > self.newest:
            return starts.of(points.at.real + 1)
        return points.searched(self.at)

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


class Points:
    """(key, time) pairs, shape (N,), that several runs are asked about."""

    def __init__(self, keys: Int, times: Int) -> None:
        self.at = pairs(keys, times)

    @cached_property
    def oldest(self) -> float:
        """The smallest time."""
        return float(self.at.imag.min(initial=np.inf))

    @cached_property
    def newest(self) -> float:
        """The largest time."""
        return float(self.at.imag.max(initial=-np.inf))

    def searched(self, at: Column) -> Int:
        """How many of sorted pairs come before each point."""
        if self._order is None:
            return np.searchsorted(at, self.at)
        found = np.empty(len(self.at), np.int64)
        found[self._order] = np.searchsorted(at, self._ordered)
        return found

    @cached_property
    def _order(self) -> Int | None:
        """The points' order by key, or None if they are in it: the search then is several times faster.

        Sorting is quick, and neighbours read the same memory.
        """
        keys = self.at.real
        return None if (keys[1:] >= keys[:-1]).all() else np.argsort(keys)

    @cached_property
    def _ordered(self) -> NDArray[np.complex128]:
        return self.at[self._order]


def pairs(keys: Int, times: Int) -> NDArray[np.complex128]:
    """Keys and times as the complex numbers that `Run` sorts by."""
    at = np.empty(np.broadcast(keys, times).shape, np.complex128)
    at.real, at.imag = keys, times
    return at


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
    order[rows] = among[_by_group(group, ties[among])]


def _by_group(group: Int, ties: Column) -> Int:
    """The order of rows by (group, tie); groups ascend."""
    # Group and the first bits of the tie as one number: sorting these is several times faster than sorting by two.
    bits = np.uint64(int(group[-1]).bit_length())
    wide = ties.astype(np.uint64) << np.uint64(64 - 8 * ties.dtype.itemsize)
    order = np.argsort((group.astype(np.uint64) << (np.uint64(64) - bits)) | (wide >> bits), kind="stable")
    wide = wide[order]
    exact = (wide[1:] >= wide[:-1]) | (group[1:] != group[:-1])
    return order if exact.all() else np.lexsort((ties, group))


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
