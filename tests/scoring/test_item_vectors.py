"""Items that came, changed and went stand beside what was built, and count as if all were built anew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.scoring import clusters, item_vectors
from fourfold.scoring.clusters import Clusters
from fourfold.scoring.item_vectors import ItemVectors, Rows
from fourfold.scoring.nearest import FloatProducts

WIDTH = 4


def drawn(seed: int, count: int) -> Rows:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, WIDTH), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Rows(vectors, rng.integers(0, 1 << 40, (count, 4)), rng.random(count) < 0.8)


def joined(one: Rows, rows: np.ndarray, new: Rows) -> Rows:
    """One set of items with some rows replaced or added: the naive truth."""
    size = max(len(one), *(rows + 1), 0) if len(rows) else len(one)
    parts = []
    for mine, theirs in ((one.vectors, new.vectors), (one.version, new.version), (one.alive, new.alive)):
        part = np.zeros((size, *mine.shape[1:]), mine.dtype)
        part[: len(one)] = mine
        part[rows] = theirs
        parts.append(part)
    return Rows(*parts)


def same(found: ItemVectors, wanted: Rows) -> None:
    every = np.arange(len(wanted))
    assert found.size == len(wanted)
    for order in (every, every[::-1], every[:0]):
        got = found.of(order)
        assert np.array_equal(got.vectors, wanted.vectors[order])
        assert np.array_equal(found.vectors(order), wanted.vectors[order])
        assert np.array_equal(got.version, wanted.version[order])
        assert np.array_equal(got.alive, wanted.alive[order])
    query = wanted.vectors[0] if len(wanted) else np.zeros(WIDTH, np.float32)
    alive = np.flatnonzero(wanted.alive)
    for keep in (1, 5, 500):
        best = alive[np.argsort(-(wanted.vectors[alive] @ query), kind="stable")[:keep]]
        assert set(best) <= set(found.near(query, keep).tolist()) <= set(alive)


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["change", "fold", "rebuild", "build", "swap"])), max_size=6))
def test_any_course_of_changes_equals_the_naive_truth(steps: list[tuple[int, str]]) -> None:
    found, truth = ItemVectors.nothing(WIDTH), Rows.nothing(WIDTH)
    before, building = found, found.built
    for seed, what in steps:
        rng = np.random.default_rng(seed)
        if what == "change":
            old = np.flatnonzero(rng.random(len(truth)) < 0.2)
            rows = np.concatenate([old, np.arange(len(truth), len(truth) + int(rng.integers(0, 9)))])
            new = drawn(seed, len(rows))
            found, truth = found.with_changed(rows, new), joined(truth, rows, new)
        elif what == "fold":
            found = found.folded()
            assert not len(found.rows)
        elif what == "build":
            before, building = found, found.folded().built
        elif what == "swap":  # perhaps folded meanwhile
            found = found.onto(building, before)
            assert found.built is building
            assert found.built is building
        same(found, truth)


def test_what_was_built_at_once_while_another_part_was_built_still_stands_beside_it() -> None:
    truth = drawn(1, 9)
    before = ItemVectors.nothing(WIDTH).with_changed(np.arange(9), truth).folded()
    newer, changed = before.folded().built, drawn(2, 2)
    made = before.with_changed(np.array([3, 5]), changed).folded().onto(newer, before)
    assert made.rows.tolist() == [3, 5]
    same(made, joined(truth, np.array([3, 5]), changed))


def test_an_item_that_only_came_back_to_life_stands_beside() -> None:
    gone = Rows(np.eye(WIDTH, dtype=np.float32), np.zeros((4, 4), np.int64), np.array([True, False, True, True]))
    alive = Rows(gone.vectors, gone.version, np.ones(4, bool))
    before = ItemVectors.nothing(WIDTH).with_changed(np.arange(4), gone)
    made = before.with_changed(np.array([1]), alive.take(np.array([1]))).onto(before.folded().built, before)
    assert made.rows.tolist() == [1]
    same(made, alive)


def test_a_large_change_is_built_at_once_and_a_small_one_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_vectors, "LEAST_FOLD", 50)
    monkeypatch.setattr(item_vectors, "LEAST_REBUILD", 2)
    made = ItemVectors.nothing(WIDTH).with_changed(np.arange(400), drawn(1, 400))
    assert not len(made.rows)
    assert not made.worn
    made = made.with_changed(np.arange(6), drawn(2, 6))
    assert len(made.rows) == 6
    assert not made.worn
    assert made.with_changed(np.arange(7), drawn(3, 7)).worn


def test_many_items_want_clusters_where_they_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_vectors, "EXACT_UP_TO", 99)
    made = ItemVectors.nothing(WIDTH).with_changed(np.arange(100), drawn(1, 100)).folded()
    assert made.worn
    clustered = made.folded(clustered=True)
    assert isinstance(clustered.built.finder, Clusters)
    assert not clustered.worn
    monkeypatch.setattr(clusters, "available", lambda: False)
    assert not made.worn
    monkeypatch.undo()
    assert clustered.worn, "fewer items go back to an exact search"


def test_what_is_not_a_number_is_never_rounded() -> None:
    broken = drawn(1, 5)
    broken.vectors[2, 1] = np.inf
    made = ItemVectors.nothing(WIDTH).with_changed(np.arange(5), broken).folded()
    assert not made.finite
    assert isinstance(made.built.finder, FloatProducts)
