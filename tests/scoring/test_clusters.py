"""Approximate search: nearly all of the nearest, never what is hidden, and the same however rows are numbered."""

import logging
from importlib import util

import numpy as np
import pytest

from fourfold.scoring import clusters
from fourfold.scoring.clusters import Clusters, available
from fourfold.scoring.nearest import Hidden, Vectors

SIZE = 20_000


def world(seed: int = 0) -> tuple[Vectors, Vectors]:
    """Unit vectors around 200 centres, and 20 queries near some of them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((200, 32), np.float32)
    vectors = centres[rng.integers(0, 200, SIZE)] + rng.standard_normal((SIZE, 32), np.float32) * np.float32(0.8)
    queries = vectors[:20] + rng.standard_normal((20, 32), np.float32) * np.float32(0.5)
    vectors, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (vectors, queries))
    return vectors, queries


VECTORS, QUERIES = world()
EVERY = np.arange(SIZE)
BUILT = Clusters(VECTORS, EVERY)


def recall(found: Clusters, keep: int, hidden: Hidden) -> float:
    shown = np.setdiff1d(EVERY, hidden.rows)
    shares = []
    for query in QUERIES:
        wanted = shown[np.argsort(-(VECTORS[shown] @ query))[:keep]]
        near = found.near(query, keep, hidden)
        assert len(np.unique(near)) == len(near)
        assert not np.isin(near, hidden.rows).any()
        shares.append(np.isin(wanted, near).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("keep", [1, 20, 200])
def test_nearly_all_of_the_nearest(keep: int) -> None:
    assert recall(BUILT, keep, Hidden(SIZE)) >= 0.97


def test_what_is_hidden_leaves_its_place_to_others() -> None:
    best = np.concatenate([np.argsort(-(VECTORS @ query))[:300] for query in QUERIES])
    assert recall(BUILT, 100, Hidden(SIZE, np.unique(best))) >= 0.95


def test_where_the_near_lists_hold_too_few_all_are_read() -> None:
    left = np.arange(0, SIZE, 400)
    hidden = Hidden(SIZE, np.setdiff1d(EVERY, left))
    assert all(set(BUILT.near(query, 40, hidden)) <= set(left.tolist()) for query in QUERIES[:3])
    assert all(len(BUILT.near(query, 40, hidden)) >= 40 for query in QUERIES[:3])
    assert len(BUILT.near(QUERIES[0], 10, Hidden(SIZE, EVERY))) == 0


def test_rows_in_another_order_give_the_same_vectors() -> None:
    order = np.random.default_rng(3).permutation(SIZE)
    moved = Clusters(VECTORS[order], EVERY)
    for query in QUERIES:
        assert set(order[moved.near(query, 50, Hidden(SIZE))]) == set(BUILT.near(query, 50, Hidden(SIZE)).tolist())


def test_rows_that_were_not_built_in_are_not_found() -> None:
    some = np.arange(100, 900)
    found = Clusters(VECTORS, some).near(QUERIES[0], 2_000, Hidden(SIZE))
    assert sorted(found.tolist()) == some.tolist()


def test_without_the_extra_it_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    available.cache_clear()
    assert available()
    available.cache_clear()
    monkeypatch.setattr(clusters, "find_spec", lambda name: None if name == "faiss" else util.find_spec(name))
    with caplog.at_level(logging.WARNING):
        assert not available()
        assert not available()
    assert caplog.text.count("pip install 'fourfold[ann]'") == 1
    available.cache_clear()
