"""The cache of histories: an answer through it is the answer without it, within its bound and from any thread."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from fourfold.definition import DCNv2, FeedSR
from fourfold.features.inputs import History
from fourfold.models.io import build_ranker
from fourfold.models.ranker import HistoryState, Ranker
from fourfold.scoring.engine import ScoringEngine
from fourfold.scoring.history_cache import HistoryCache
from tests.contract.ranker_contract import SCHEMA, candidates_of, history_of, sequences_of, take, viewers_of

VIEWER = viewers_of(default_rng(1), 1, SCHEMA)[0]
CANDIDATES = candidates_of(default_rng(2), 5, SCHEMA)


@cache
def engine(kind: str) -> ScoringEngine:
    config = FeedSR(width=16, layers=2, heads=2) if kind == "feed_sr" else DCNv2(width=16)
    model: Ranker = build_ranker(config, SCHEMA, seed=3)
    model.fit_inputs(sequences_of(default_rng(0), [[3, 2], [4]], SCHEMA))
    return ScoringEngine(model)


def same(kind: str, cached: HistoryCache, viewer: int, history: History) -> None:
    """The scores through the cache equal those without."""
    found = engine(kind).score(cached.state(viewer, history), VIEWER, CANDIDATES)
    wanted = engine(kind).score(engine(kind).encode(history), VIEWER, CANDIDATES)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, History]]:
    """Histories of a few viewers as requests meet them: grown, changed at the end or in the middle, cut, of another window."""
    whole = {viewer: history_of(default_rng(viewer), [2, 1, 3, 2, 4, 1, 2], SCHEMA) for viewer in range(3)}
    asked = []
    for _ in range(draw(st.integers(1, 8))):
        viewer = draw(st.integers(0, 2))
        history = whole[viewer]
        first = draw(st.sampled_from([0, 0, 0, 3, 6]))  # a window begins where a request does
        history = take(history, slice(first, first + draw(st.integers(0, 15))))
        history = replace(history, seen=np.maximum(history.seen - first, 0))
        if len(history) and draw(st.booleans()):
            name = draw(st.sampled_from([field.name for field in fields(history) if field.name != "seen"]))
            values = getattr(history, name).copy()
            values[draw(st.integers(0, len(history) - 1))] = 1
            history = replace(history, **{name: values})
        asked.append((viewer, history))
    return asked


@pytest.mark.parametrize("kind", ["feed_sr", "dcnv2"])
@pytest.mark.parametrize("max_bytes", [0, 20_000, 1 << 30], ids=["none", "few", "all"])
@given(histories())
@settings(max_examples=20)
def test_cached_equals_uncached(kind: str, max_bytes: int, asked: list[tuple[int, History]]) -> None:
    cached = HistoryCache(engine(kind), max_bytes)
    for viewer, history in asked:
        same(kind, cached, viewer, history)
        assert cached.counts.bytes <= max_bytes
    counts = cached.counts
    some = sum(len(history) > 0 for _, history in asked)
    assert counts.hits + counts.extended + counts.misses == (some if max_bytes else 0)


def test_hits_extensions_and_misses_are_told_apart() -> None:
    history = history_of(default_rng(5), [2, 2, 2, 2], SCHEMA)
    cached = HistoryCache(engine("feed_sr"), 1 << 30)

    def told(asked: History) -> tuple[int, int, int]:
        same("feed_sr", cached, 7, asked)
        return cached.counts.hits, cached.counts.extended, cached.counts.misses

    assert told(take(history, slice(0, 4))) == (0, 0, 1)
    assert told(take(history, slice(0, 4))) == (1, 0, 1)
    assert told(history) == (1, 1, 1)
    acted = history.actions.copy()
    acted[5] = 1 - acted[5]
    clicked = replace(history, actions=acted)
    assert told(clicked) == (1, 2, 1), "what came before the click is used again"
    assert told(take(clicked, slice(0, 6))) == (2, 2, 1), "an earlier time finds the beginning"
    assert told(clicked) == (3, 2, 1), "and the whole is still there"
    late = replace(clicked, items=clicked.items[::-1].copy())
    assert told(late) == (3, 2, 2), "a late event changes all"
    assert told(take(history, [])) == (3, 2, 2)


def test_what_is_new_alone_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    history, cached = history_of(default_rng(6), [3, 3, 3], SCHEMA), HistoryCache(engine("feed_sr"), 1 << 30)
    cached.state(1, take(history, slice(0, 6)))
    monkeypatch.setattr(ScoringEngine, "encode", None)
    lengths: list[int] = []
    real = ScoringEngine.extend

    def extend(self: ScoringEngine, state: HistoryState, new: History) -> HistoryState:
        lengths.append(len(new))
        return real(self, state, new)

    monkeypatch.setattr(ScoringEngine, "extend", extend)
    assert cached.state(1, history).entries == 9
    assert lengths == [3]


def test_the_least_recently_used_go_first_and_bytes_are_those_held() -> None:
    histories = [history_of(default_rng(seed), [4], SCHEMA) for seed in range(4)]
    one = HistoryCache(engine("feed_sr"), 1 << 30)
    one.state(0, histories[0])
    size = one.counts.bytes
    state = engine("feed_sr").encode(histories[0])
    assert state.nbytes < size < state.nbytes + 4 * 200
    cached = HistoryCache(engine("feed_sr"), 3 * size)
    for viewer in (0, 1, 2, 0, 3):
        cached.state(viewer, histories[viewer])
    counts = cached.counts
    assert (counts.viewers, counts.bytes, counts.evicted, counts.hits) == (3, 3 * size, 1, 1)
    cached.state(0, histories[0])
    assert cached.counts.hits == 2
    cached.state(1, histories[1])
    assert cached.counts.misses == 5, "viewer 1 was the one to go"


def test_a_state_larger_than_the_bound_is_not_kept() -> None:
    cached = HistoryCache(engine("feed_sr"), 10)
    same("feed_sr", cached, 1, history_of(default_rng(1), [4], SCHEMA))
    assert (cached.counts.viewers, cached.counts.bytes, cached.counts.evicted) == (0, 0, 1)


def test_many_threads_keep_the_count_of_bytes() -> None:
    cached = HistoryCache(engine("feed_sr"), 60_000)
    whole = [history_of(default_rng(seed), [2] * 6, SCHEMA) for seed in range(5)]

    def ask(number: int) -> None:
        same("feed_sr", cached, number % 5, take(whole[number % 5], slice(0, 2 + 2 * (number // 5 % 6))))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(120)))
    counts = cached.counts
    assert counts.hits + counts.extended + counts.misses == 120
    assert counts.bytes == sum(kept.nbytes for kept in cached._kept.values()) <= 60_000
