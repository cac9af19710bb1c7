"""Sorted runs: their index answers like a search, and their identity tells rows apart."""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.features import runs
from fourfold.features.table import Int, Table
from tests.features.test_table import LAST, Row, ints, moments, questions, table_of


def answers(table: Table, asked: list[Row], moments: list[int]) -> list[list[float]]:
    keys, zero = ints(asked, 0), np.zeros(len(asked), np.int64)
    times = [ints(asked, 1), ints(asked, 2), *(zero + moment for moment in moments)]
    counts = [table.count(keys, since, before).tolist() for since in times for before in times]
    values = [table.last("value", keys, since, before, -1).tolist() for since in times for before in times]
    return counts + values + [table.last_time(keys, before).tolist() for before in times]


@given(st.lists(st.tuples(st.integers(0, 3), moments, st.integers(0, 9)), max_size=30), questions, st.integers(1, 30))
def test_runs_with_dense_keys_answer_the_same_by_their_index(made: list[Row], asked: list[Row], step: int) -> None:
    moments = [-1, 0, 1, LAST + 1, *(moment for _, moment, _ in made[:2]), table_of(made).newest]
    searched = answers(table_of(made, step), asked, moments)
    with mock.patch.object(runs, "_INDEXED", 1):
        assert answers(table_of(made, step), asked, moments) == searched


def test_dense_keys_are_indexed_and_others_are_not() -> None:
    def run(keys: Int) -> Table:
        return Table().added(keys, np.arange(len(keys)), {"tie": np.zeros(len(keys), np.uint64)})

    keys, end = np.repeat(np.arange(2_000), 4) + 7, np.full(3, 10_000)
    dense, sparse = run(keys), run(keys << 20)
    asked, zero = np.array([6, 7, 2_007]), np.zeros(3, np.int64)
    with mock.patch.object(runs.Points, "searched", side_effect=AssertionError("searched")):
        assert dense.count(asked, zero, end).tolist() == [0, 4, 0]
    with mock.patch.object(runs.Points, "searched", autospec=True, side_effect=runs.Points.searched) as searched:
        assert sparse.count(asked << 20, zero, end).tolist() == [0, 4, 0]
    assert searched.called


def test_the_identity_of_a_run_tells_its_rows_apart() -> None:
    def identity(keys: list[int], when: list[int], ties: list[int]) -> tuple[int, ...]:
        return Table().added(np.array(keys), np.array(when), {"tie": np.array(ties, np.uint64)}).identity

    rows = [1, 2, 2], [5, 5, 6], [7, 8, (1 << 64) - 1]
    assert identity(*rows) == identity(*(part[::-1] for part in rows))
    others = [
        ([1, 2, 3], *rows[1:]),
        (rows[0], [5, 6, 6], rows[2]),
        (*rows[:2], [8, 7, (1 << 64) - 1]),
        ([1, 2], [5, 5], [7, 8]),
    ]
    assert len({identity(*rows), *(identity(*other) for other in others)}) == 5
    assert Table().identity == ()
