"""Proposals and their order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.candidates import Proposal
from fourfold.candidates.ordering import best_first, newest
from fourfold.events.types import EntityUpsert
from tests.features.samples import state_of
from tests.strategies import START

NAMES = [f"p{(7 * n) % 30}" for n in range(30)]  # rows do not follow ids
VIEW = state_of([EntityUpsert(id=name, time=START, type="post", key=name) for name in NAMES]).view()


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0]), max_size=30), st.none() | st.integers(1, 40))
def test_best_first_is_a_full_sort_by_score_and_id(scores: list[float], keep: int | None) -> None:
    rows = np.arange(len(scores))
    wanted = sorted(range(len(scores)), key=lambda row: (-scores[row], NAMES[row]))[:keep]
    assert best_first(VIEW, rows, np.array(scores, np.float32), keep).tolist() == wanted


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.25, 1.0, 2.0])), max_size=20), st.integers(1, 12))
def test_what_comes_twice_adds_up_and_its_largest_part_explains_it(parts: list[tuple[int, float]], keep: int) -> None:
    items, scores = np.array([p[0] for p in parts], np.int64), np.array([p[1] for p in parts])
    found = Proposal.best(VIEW, items, scores, keep, 100 + np.arange(len(parts)))
    totals: dict[int, float] = {}
    for item, score in parts:
        totals[item] = totals.get(item, 0) + score
    wanted = sorted(totals, key=lambda row: (-totals[row], NAMES[row]))[:keep]
    assert found.items.tolist() == wanted
    assert found.scores.tolist() == [totals[row] for row in wanted]
    for item, because in zip(wanted, found.because.tolist(), strict=True):
        assert parts[because - 100] == (item, max(score for row, score in parts if row == item))


def test_unknown_rows_are_left_out() -> None:
    assert Proposal.best(VIEW, np.array([-1, 3, 30, 1 << 40]), np.ones(4), 9).items.tolist() == [3]


def test_newest_of_each_query() -> None:
    rows = {"query": np.array([0, 0, 0, 2, 3, 3]), "time": np.array([1, 2, 3, 1, 1, 2])}
    assert newest(rows, 2)["time"].tolist() == [2, 3, 1, 1, 2]
    assert newest(rows, 1)["query"].tolist() == [0, 2, 3]
