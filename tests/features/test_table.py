"""Tables against a plain list of rows, however the rows arrived."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.features.table import FOREVER, Int, Table, merged, newest_keys

LAST = (1 << 52) - 1
moments = st.sampled_from([0, 1, 5, 5, 6, 1_704_067_200_000, LAST - 1, LAST])
Row = tuple[int, int, int]  # key, time, tie
rows = st.lists(st.tuples(st.integers(0, 3) | st.just(LAST), moments, st.integers(0, 9) | st.just((1 << 64) - 1)), max_size=30)
questions = st.lists(
    st.tuples(st.integers(-1, 4) | st.just(LAST), moments, st.sampled_from([0, 1, 5, 7, LAST, LAST + 1])), max_size=8
)


def table_of(made: list[Row], step: int = 1, onto: Table | None = None) -> Table:
    table, offset = onto or Table(), len(onto or ())
    for start in range(0, len(made), step):
        part = made[start : start + step]
        ties = np.array([row[2] for row in part], np.uint64)
        place = np.arange(start, start + len(part)) + offset
        table = table.added(ints(part, 0), ints(part, 1), {"tie": ties, "value": place})
    return table


def ints(given_rows: list[Row], column: int) -> Int:
    return np.array([row[column] for row in given_rows], np.int64)


@given(rows, questions, st.integers(1, 7))
def test_every_question_equals_a_plain_list(made: list[Row], questions: list[Row], step: int) -> None:
    table, keys = table_of(made, step), ints(questions, 0)
    since, before = ints(questions, 1), ints(questions, 2)
    inside = [sorted((t, tie, n) for n, (k, t, tie) in enumerate(made) if k == key and s <= t < b) for key, s, b in questions]
    assert len(table) == len(made)
    assert table.count(keys, since, before).tolist() == [len(found) for found in inside]
    earlier = [[t for k, t, _ in made if k == key and t < b] for key, _, b in questions]
    assert table.last_time(keys, before).tolist() == [max(found, default=FOREVER) for found in earlier]
    later = [[t for k, t, _ in made if k == key and t >= s] for key, s, _ in questions]
    assert table.first_time(keys, since, LAST + 1).tolist() == [min(found, default=LAST + 1) for found in later]
    value = table.last("value", keys, since, before, missing=-1).astype(int)
    for one, found in zip(value.tolist(), inside, strict=True):
        newest = [n for t, tie, n in found if (t, tie) == found[-1][:2]] or [-1]
        assert one in newest
    sliced = table.slice(keys, since, before)
    got = list(zip(*(sliced[name].tolist() for name in ("query", "time")), strict=True))
    assert got == [(query, t) for query, found in enumerate(inside) for t, _, _ in found]
    if len(made):
        assert sorted(sliced["value"].tolist()) == sorted(n for found in inside for _, _, n in found)


@given(rows, st.integers(1, 4), st.integers(1, 7))
def test_the_newest_rows_of_each_key(made: list[Row], newest: int, step: int) -> None:
    table = table_of(made, step)
    keys = np.arange(4)
    found = table.slice(keys, np.zeros(4, np.int64), np.full(4, LAST + 1), newest)
    for key in range(4):
        times = sorted(t for k, t, _ in made if k == key)
        got = found["time"][found["query"] == key].tolist()
        assert got[-newest:] == times[-newest:]
    best = {key: max(t for k, t, _ in made if k == key) for key in {row[0] for row in made}}
    ordered = newest_keys(table, 2).tolist()
    assert ordered == [key for key, _ in sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))][:2]


def test_many_small_additions_stay_few_runs_and_leave_older_tables_alone() -> None:
    table, kept = Table(), []
    for n in range(2_000):
        table = table.added(np.array([n % 7]), np.array([n]), {"tie": np.zeros(1, np.uint64)})
        if n % 500 == 0:
            kept.append((n, table))
    assert len(table) == 2_000
    assert len(table.runs) <= 12
    assert [len(old) for _, old in kept] == [n + 1 for n, _ in kept]
    assert table.added(np.zeros(0, np.int64), np.zeros(0, np.int64), {"tie": np.zeros(0, np.uint64)}) is table


def test_an_empty_table_answers() -> None:
    one = np.array([0])
    assert Table().count(one, one, one).tolist() == [0]
    assert Table().last_time(one, one).tolist() == [FOREVER]
    assert Table().first_time(one, one, 9).tolist() == [9]
    assert np.isnan(Table().last("value", one, one, one)).all()
    assert len(Table().slice(one, one, one)["query"]) == 0
    assert newest_keys(Table(), 3).tolist() == []


@given(rows, st.lists(st.integers(0, 40), max_size=9), questions, st.integers(1, 7), st.integers(0, 30))
def test_rows_are_taken_out_one_by_one(made: list[Row], picked: list[int], others: list[Row], step: int, sealed: int) -> None:
    """Rows that are there, and some that are not or differ in their tie."""
    table = table_of(made[:sealed], step).sealed() if sealed < len(made) else table_of(made, step)
    table = table_of(made[sealed:], step, table) if sealed < len(made) else table
    gone = [*(made[n] for n in picked if n < len(made)), *others]
    left = table.without(ints(gone, 0), ints(gone, 1), np.array([row[2] % (1 << 64) for row in gone], np.uint64))
    kept = sorted(n for n, row in enumerate(made) if row not in gone)
    assert sorted(int(n) for run in left.runs for n in run.columns["value"]) == kept
    assert len(table) == len(made)
    everyone = np.array([0, 1, 2, 3, LAST])
    first, end = np.zeros(5, np.int64), np.full(5, LAST + 1)
    assert left.count(everyone, first, end).tolist() == [sum(made[n][0] == key for n in kept) for key in everyone]
    assert all(len(run) for run in left.runs)
    assert left.kept <= table.kept


@given(rows, rows, st.integers(1, 7))
def test_merging_and_sorting_put_rows_into_the_same_order(made: list[Row], more: list[Row], step: int) -> None:
    parts = [part for part in (made, more) if part]
    if not parts:
        return
    runs = [table_of(part, len(part)).runs[0] for part in parts]
    found = merged(runs)
    rows_found = zip(found.keys.tolist(), found.times.tolist(), found.columns["tie"].tolist(), strict=True)
    assert list(rows_found) == sorted(made + more)
    assert found.newest == max(row[1] for row in made + more)


def test_sealed_runs_stay_and_make_way_for_those_that_replace_them() -> None:
    table = table_of([(n, n, n) for n in range(8)], 8).sealed()
    grown = table_of([(n, n, n) for n in range(99, 120)], 3, table)
    assert grown.runs[0] is table.runs[0]
    assert len(grown) == 29
    file = replace(table.runs[0], mapped=True)
    swapped = grown.replaced(table.runs, [file])
    assert (swapped.runs[0], swapped.kept, swapped.runs[1:]) == (file, 1, grown.runs[1:])
    assert swapped.replaced(table.runs, []).runs == swapped.runs, "these were others"
    again = grown.replaced(table.runs, table.runs)
    assert (again.runs, again.kept) == (grown.runs, 0)


def test_small_numbers_take_little_room_and_come_back_wide() -> None:
    one, ties = np.array([1]), {"tie": np.zeros(1, np.uint64)}
    table = Table().added(one, one, {"item": np.array([7]), "far": np.array([1 << 40]), **ties})
    assert [table.runs[0].columns[name].dtype for name in ("item", "far")] == [np.int32, np.int64]
    found = table.slice(one, one, one + 1)
    assert [found[name].dtype for name in ("item", "far")] == [np.int64, np.int64]
    assert (found["item"].tolist(), found["far"].tolist()) == ([7], [1 << 40])
    both = table.added(one, one, {"item": np.array([1 << 33]), "far": one, **ties})
    assert sorted(both.slice(one, one, one + 1)["item"].tolist()) == [7, 1 << 33]
