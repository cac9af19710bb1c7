"""Orders and cuts equal the naive ones, however rows are cut into runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.candidates.ordering import best_first, newest, newest_of
from fourfold.events.types import EntityUpsert
from fourfold.features.table import Table
from tests.features.samples import state_of
from tests.strategies import START, TINY

MANY = 60
NAMES = [f"p{(7 * number) % MANY}" for number in range(MANY)]  # rows do not follow ids
VIEW = state_of([EntityUpsert(id=name, time=START, type="post", key=name) for name in NAMES], TINY).view()


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=40, unique=True),
    st.lists(st.integers(1, 12), max_size=6),
    st.integers(1, 12),
    st.integers(0, 7),
    st.integers(0, 8),
)
def test_the_newest_rows_are_those_of_a_sorted_slice(
    rows: list[tuple[int, int]], cuts: list[int], count: int, since: int, before: int
) -> None:
    table, start = Table(), 0
    for size in [*cuts, 40]:
        part = np.array(rows[start : start + size], np.int64).reshape(-1, 2)
        columns = {"tie": part[:, 1].astype(np.uint64), "row": np.arange(start, start + len(part))}
        table = table.added(np.zeros(len(part), np.int64), part[:, 0], columns).sealed()  # runs stay apart
        start += size
    found = [run.columns["row"][chosen] for run, chosen in newest_of(table, since, before, count)]
    wanted = newest(table.slice(np.zeros(1, np.int64), np.array([since]), np.array([before]), newest=count), count)
    assert sorted(np.concatenate([np.zeros(0, np.int64), *found]).tolist()) == sorted(wanted.get("row", np.zeros(0)).tolist())


@pytest.mark.parametrize("broken", [False, True])
@given(st.integers(0, 999), st.integers(1, MANY + 5))
def test_the_best_are_those_of_a_full_sort(broken: bool, seed: int, keep: int) -> None:
    rng = np.random.default_rng(seed)
    items = rng.permutation(MANY)[: int(rng.integers(1, MANY))]
    scores = rng.integers(0, 5, len(items)).astype(np.float32)
    wanted = sorted(range(len(items)), key=lambda place: (-scores[place], NAMES[items[place]]))[:keep]
    if broken:  # what is not a number comes last
        scores[rng.random(len(items)) < 0.8] = np.nan
        numbers = [place for place in range(len(items)) if not np.isnan(scores[place])]
        wanted = sorted(numbers, key=lambda place: (-scores[place], NAMES[items[place]]))[:keep]
    found = best_first(VIEW, items, scores, keep).tolist()
    assert found[: len(wanted)] == wanted
    assert len(found) == min(keep, len(items))
