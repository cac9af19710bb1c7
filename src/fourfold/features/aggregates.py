"""What is asked of the rows of a key between two times, beside how many there are: sums, decayed sums, different values.

Sums are of whole numbers, so they depend neither on which run a row is in nor on the order of arrival: batch and stream agree
to the last bit. Running sums may wrap around; their differences are right all the same.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from fourfold.features.runs import Column, Float, Int, Points, Run
from fourfold.features.table import Table
from fourfold.features.values import SCALE

EPOCH = 8
"""Half-lives in an epoch. Weights are kept relative to the start of their epoch, which `half_life` alone decides."""

EPOCHS = 3
"""How many epochs count: the current one and those before it."""

UNIT, UNIT_OF_VALUES = 1 << 24, 1 << 12
"""Decayed counts, and decayed sums, are made of whole multiples of one over this.

An event weighs at most ``2**EPOCH``, so a key may have 2**31 of them in an epoch, or that many with values up to 2048.
"""

SMALL, BLOCK = 1 << 16, 16
"""Up to how many rows a running sum is kept of each; of larger runs it is kept of every `BLOCK` rows, to save memory."""

PIECE = 1 << 20
"""How many rows are looked at together."""

_sums: "WeakKeyDictionary[Run, dict[Weight, Int]]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Weight:
    """What a row adds to a sum: 1 or, if `valued`, its value; with a half-life in milliseconds, the less the older it is."""

    valued: bool
    half_life: int | None = None

    def of(self, run: Run, rows: Int | slice) -> Int:
        """Whole numbers, one for each row."""
        values: Column | None = run.columns["value"][rows] if self.valued else None
        if self.half_life is None:
            whole: Int = np.ones(run.at[rows].shape, np.int64) if values is None else values.astype(np.int64)
            return whole
        grown = np.exp2(run.at[rows].imag % (EPOCH * self.half_life) / self.half_life)
        exact = grown * UNIT if values is None else grown * (values * (UNIT_OF_VALUES / SCALE))
        rounded: Int = np.rint(exact).astype(np.int64)
        return rounded


def total(table: Table, keys: Int, since: Int, before: Int) -> Float:
    """Sums of the values of each key's rows with ``since <= time < before``."""
    sums: Float = _between(table, Weight(valued=True), keys, np.stack([since, before]))[0] / SCALE
    return sums


def decayed(table: Table, keys: Int, since: Int, before: Int, half_life: int, *, valued: bool = False) -> Float:
    """Each key's rows with ``since <= time < before``, or their values, summed: those of age a by ``2 ** (-a / half_life)``.

    Rows before the last `EPOCHS` epochs count nothing: their weight would be below 2**-16. A weight is off by at most
    2**-25, that of a value by 2**-13.
    """
    epoch = EPOCH * half_life
    starts = (before // epoch - np.arange(EPOCHS)[::-1, None]) * epoch
    edges = np.minimum(np.maximum(since, np.concatenate([starts, before[None]])), before)
    sums = _between(table, Weight(valued, half_life), keys, edges)
    unit = UNIT_OF_VALUES if valued else UNIT
    found = np.zeros(len(keys))
    # One epoch after the other: NumPy's own sum would add them in an order that depends on the array's shape.
    for of_epoch, start in zip(sums, starts, strict=True):
        found += of_epoch * np.exp2((start - before) / half_life)
    return found / unit


def distinct(table: Table, keys: Int, since: Int, before: Int, newest: int) -> Int:
    """How many different values each key's rows with ``since <= time < before`` have, among the `newest` last of them."""
    found = np.zeros(len(keys), np.int64)
    step = max(1, PIECE // newest)
    for start in range(0, len(found), step):
        part = slice(start, start + step)
        found[part] = _different(table.slice(keys[part], since[part], before[part], newest), newest, len(found[part]))
    return found


def _different(rows: dict[str, Column], newest: int, queries: int) -> Int:
    query = rows["query"]
    ends = np.searchsorted(query, np.arange(queries), side="right")
    kept = ends[query] - np.arange(len(query)) <= newest
    if not kept.any():
        return np.zeros(queries, np.int64)
    values = rows["value"][kept]
    span = int(values.max()) + 1
    return np.bincount(np.unique(query[kept] * span + values) // span, minlength=queries)


def _between(table: Table, weight: Weight, keys: Int, edges: Int) -> Int:
    """Sums of weights between each two times: shape (E - 1, N) of ascending edges (E, N)."""
    found = np.zeros((len(edges) - 1, len(keys)), np.int64)
    points = [Points(keys, edge) for edge in edges]
    for run in table.runs:
        if run.newest >= points[0].oldest:
            position = np.stack([run.before(at_edge) for at_edge in points])
            found += np.diff(_up_to(run, weight, position), axis=0)
    return found


def _up_to(run: Run, weight: Weight, position: Int) -> Int:
    """The sum of the weights of the first `position` rows."""
    step = _step(run)
    found: Int = _running(run, weight)[position // step]
    if step > 1:
        rows = (position // step * step)[..., None] + np.arange(step)
        inside = rows < position[..., None]
        found = found + np.where(inside, weight.of(run, np.minimum(rows, len(run) - 1)), 0).sum(axis=-1)
    return found


def _running(run: Run, weight: Weight) -> Int:
    """Sums of the weights before each block of rows; kept as long as the run is."""
    of_run = _sums.setdefault(run, {})
    if weight not in of_run:
        step = _step(run)
        parts = [_block_sums(weight.of(run, slice(start, start + PIECE)), step) for start in range(0, len(run), PIECE)]
        of_run[weight] = np.concatenate([[0], *parts]).cumsum()
    return of_run[weight]


def _block_sums(weights: Int, step: int) -> Int:
    return np.add.reduceat(weights, np.arange(0, len(weights), step))


def _step(run: Run) -> int:
    return 1 if len(run) <= SMALL else BLOCK
