"""Sums over stretches of rows: right to the last digit, whatever the runs, however large."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.features import aggregates
from fourfold.features.aggregates import decayed, distinct, total
from fourfold.features.table import Table
from fourfold.features.values import SCALE
from tests.strategies import HOUR, START

KEYS, ROWS = 3, 400


def rows(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, KEYS, ROWS), START + rng.integers(0, 40, ROWS) * HOUR, rng.integers(-99, 1 << 40, ROWS)


def table_of(keys: np.ndarray, times: np.ndarray, values: np.ndarray, cuts: list[int]) -> Table:
    """The rows, added in pieces."""
    made, ties = Table(), np.arange(ROWS, dtype=np.uint64)
    edges = [0, *sorted(cut % ROWS for cut in cuts), ROWS]
    for start, stop in itertools.pairwise(edges):
        part = slice(start, stop)
        made = made.added(keys[part], times[part], {"tie": ties[part], "value": values[part]})
    return made


def questions(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 1])
    since = START + rng.integers(-5, 40, 20) * HOUR
    return rng.integers(-1, KEYS + 1, 20), since, since + rng.integers(0, 30, 20) * HOUR


seeds, cuts = st.integers(0, 10**6), st.lists(st.integers(0, ROWS), max_size=4)


@pytest.fixture(params=[1 << 16, 0], ids=["every row", "blocks"])
def _steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running sums of each row, as small runs have them, and of blocks, which the rows do not fill."""
    monkeypatch.setattr(aggregates, "SMALL", request.param)
    monkeypatch.setattr(aggregates, "PIECE", 32)


@pytest.mark.usefixtures("_steps")
class TestSums:
    def test_totals(self) -> None:
        for seed in range(20):
            keys, times, values = rows(seed)
            asked = questions(seed)
            found = total(table_of(keys, times, values, [100, 130]), *asked)
            inside = [(keys == key) & (times >= since) & (times < before) for key, since, before in zip(*asked, strict=True)]
            naive = [values[rows].sum() for rows in inside]
            assert (found * SCALE).tolist() == naive

    @pytest.mark.parametrize("valued", [False, True])
    def test_decay_is_exponential_but_for_a_rest(self, valued: bool) -> None:
        keys, times, values = rows(7)
        half_life = 90 * 60_000
        asked = questions(7)
        found = decayed(table_of(keys, times, values, [50]), *asked, half_life, valued=valued)
        for answer, key, since, before in zip(found, *asked, strict=True):
            inside = (keys == key) & (times >= since) & (times < before)
            weight = 2.0 ** ((times[inside] - before) / half_life)
            naive = (weight * (values[inside] / SCALE if valued else 1)).sum()
            largest = np.abs(values).max() / SCALE if valued else 1
            assert answer == pytest.approx(naive, abs=inside.sum() * largest * 2.0**-16)


@given(seeds, cuts, cuts)
def test_no_bit_depends_on_the_runs(seed: int, some: list[int], others: list[int]) -> None:
    keys, times, values = rows(seed)
    first, second = (table_of(keys, times, values, given) for given in (some, others))
    asked = questions(seed)
    assert total(first, *asked).tolist() == total(second, *asked).tolist()
    for valued in (False, True):
        one, two = (decayed(table, *asked, HOUR, valued=valued) for table in (first, second))
        assert one.tolist() == two.tolist()
        keys, since, before = asked
        each = [decayed(first, keys[n:][:1], since[n:][:1], before[n:][:1], HOUR, valued=valued)[0] for n in range(len(keys))]
        assert one.tolist() == each, "nor on what else is asked"


def test_running_sums_may_wrap_around() -> None:
    huge = np.full(1 << 17, 1 << 47)  # 2**64 in all
    keys = np.arange(1 << 17) // (1 << 13)
    table = Table().added(keys, np.full(len(keys), START), {"tie": np.arange(len(keys), dtype=np.uint64), "value": huge})
    found = total(table, np.array([15]), np.array([0]), np.array([START + 1]))
    assert found.tolist() == [(1 << 60) / SCALE]


@given(seeds, cuts, st.integers(2, 60))
def test_different_values_among_the_newest(seed: int, some: list[int], newest: int) -> None:
    keys, times, values = rows(seed)
    values = values % 7
    asked = questions(seed)
    found = distinct(table_of(keys, times, values, some), *asked, newest)
    for answer, key, since, before in zip(found.tolist(), *asked, strict=True):
        inside = np.flatnonzero((keys == key) & (times >= since) & (times < before))
        last = inside[np.lexsort((inside, times[inside]))][-newest:]
        assert answer == len(set(values[last].tolist()))


def test_nothing_is_asked_or_there() -> None:
    none = np.zeros(0, np.int64)
    assert distinct(Table(), none, none, none, 8).tolist() == total(Table(), none, none, none).tolist() == []
    one = np.array([1])
    assert distinct(Table(), one, one - 1, one, 8).tolist() == decayed(Table(), one, one - 1, one, HOUR).tolist() == [0]
