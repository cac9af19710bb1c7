"""The embedding index equals one built anew, whatever happened in between; nearest equals a full sort."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import EntityDelete, EntityUpsert, Event, batch_of
from fourfold.features.assembly import context
from fourfold.features.encoding import Encoder, schema_of
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.models.io import build_two_tower
from fourfold.scoring import item_vectors
from fourfold.scoring import retriever as retriever_module
from fourfold.scoring.item_vectors import Built, ItemVectors, Rows
from fourfold.scoring.nearest import Vectors
from fourfold.scoring.retriever import EmbeddingIndex, Retriever
from tests.contract.slate_contract import small_world
from tests.features.samples import state_of
from tests.pipeline.samples import FULL
from tests.strategies import HOUR, START, logs, times

assert FULL.retrieval is not None
MODEL = build_two_tower(FULL.retrieval, schema_of(FULL), seed=4)


def test_an_upsert_that_arrives_late_or_in_a_tie_changes_the_vector() -> None:
    def title(id_: str, hour: int, words: str) -> Event:
        return EntityUpsert(id=id_, time=START + hour * HOUR, type="post", key="p0", attributes={"title": words})

    index, state, encoder = EmbeddingIndex(MODEL), State(FULL), Encoder(FULL)
    state.apply(batch_of([EntityUpsert(id="a", time=START + 9 * HOUR, type="post", key="p0", attributes={"size": 1})]))
    for event in (title("b", 5, "red bird"), title("c", 9, "blue fish"), title("d", 9, "blue fish red bird")):
        state.apply(batch_of([event]))
        view = state.view()
        now = START + 12 * HOUR
        found, anew = index.at(view, encoder, now), EmbeddingIndex(MODEL).at(view, encoder, now)
        np.testing.assert_allclose(vectors_of(found), vectors_of(anew), atol=1e-6)


@given(logs(), st.lists(st.tuples(st.integers(0, 44), times(), st.booleans()), min_size=1, max_size=5))
def test_refreshing_equals_building_anew(log: list[Event], steps: list[tuple[int, int, bool]]) -> None:
    index, state, encoder, done = EmbeddingIndex(MODEL), State(FULL), Encoder(FULL), 0
    for more, time, rebuild in [*steps, (99, steps[0][1], False)]:
        state.apply(batch_of(log[done : done + more]))
        done += more
        view = state.view()
        if rebuild:
            with paying():
                index.rebuild()
        found, anew = index.at(view, encoder, time), EmbeddingIndex(MODEL).at(view, encoder, time)
        rows = view.all_rows("post")
        np.testing.assert_allclose(vectors_of(found), vectors_of(anew), atol=1e-6)
        alive = [one.items.of(rows).alive.tolist() for one in (found, anew)]
        assert alive[0] == alive[1] == view.alive("post", rows, np.full(len(rows), time)).tolist()


def test_what_did_not_change_is_not_embedded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = [EntityUpsert(id=f"p{n}", time=START, type="post", key=f"p{n}") for n in range(9)]
    state, index, encoder, now = state_of(events, FULL), EmbeddingIndex(MODEL), Encoder(FULL), START + HOUR
    first = index.at(state.view(), encoder, now).items
    assert index.at(state.view(), encoder, now + 1).items is first
    embedded, looked_at, versions = list[int](), list[int](), retriever_module._versions

    def counted(view: View, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        looked_at.append(len(rows))
        return versions(view, rows, times)

    monkeypatch.setattr(retriever_module, "_versions", counted)

    def embed(ids: np.ndarray) -> np.ndarray:
        embedded.append(len(ids))
        return np.zeros((len(ids), 4), np.float32)

    monkeypatch.setattr(index, "_embed", embed)
    state.apply(batch_of([EntityUpsert(id="again", time=START, type="post", key="p3", attributes={"title": "red"})]))
    index.at(state.view(), encoder, now)
    assert embedded == [1]
    state.apply(batch_of([EntityUpsert(id="later", time=START + 1, type="post", key="p4")]))
    index.at(state.view(), encoder, now)
    assert looked_at[-1] < 9, "not all are looked through"


def retriever(vectors: np.ndarray, alive: np.ndarray) -> tuple[Retriever, View]:
    names = [f"p{(7 * n) % len(vectors)}" for n in range(len(vectors))]  # rows do not follow ids
    view = state_of([EntityUpsert(id=name, time=START, type="post", key=name) for name in names], FULL).view()
    version = np.zeros((len(vectors), 4), np.int64)
    items = ItemVectors(Built.of(Rows(vectors, version, alive)), np.zeros(0, np.int64), Rows.nothing(4))
    return Retriever(MODEL, view, items), view


def vectors_of(found: Retriever) -> Vectors:
    return found.items.of(found.view.all_rows("post")).vectors


@contextmanager
def paying(least: int = 0) -> Iterator[None]:
    """However few items changed, building anew pays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_vectors, "LEAST_REBUILD", least)
        yield


@given(st.integers(0, 99), st.integers(1, 60))
def test_nearest_equals_a_full_sort(seed: int, keep: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (50, 4)).astype(np.float32) / 2  # few distinct ones, so that scores tie
    found, view = retriever(vectors, rng.random(50) < 0.8)
    known = context(view, Encoder(FULL), -1, START + HOUR)
    items, scores = found.nearest(known, keep)
    every = found.similarity(known, np.arange(50))
    ids = view.ids("post", np.arange(50))
    wanted = sorted(np.flatnonzero(found.items.built.items.alive).tolist(), key=lambda row: (-every[row], ids[row]))[:keep]
    assert items.tolist() == wanted
    assert scores.tolist() == every[wanted].tolist()


def test_nothing_to_find() -> None:
    found, view = retriever(np.zeros((0, 4), np.float32), np.zeros(0, bool))
    items, scores = found.nearest(context(view, Encoder(FULL), -1, START), 5)
    assert (items.tolist(), scores.tolist()) == ([], [])


def test_the_viewer_is_profile_and_likes_and_the_score_their_product() -> None:
    view, encoder, now = state_of(small_world(), FULL).view(), Encoder(FULL), START + 12 * HOUR
    rows = view.all_rows("post")
    known = context(view, encoder, int(view.rows("member", ["m0"])[0]), now)
    with torch.no_grad():
        items = MODEL.item_vectors(encoder.items(view, rows, np.full(len(rows), now)))
        viewer = MODEL.viewer_vectors(known.viewer_ids, items, torch.full((1, 1), -1))
        wanted = (viewer @ items.T)[0].numpy()
    found = EmbeddingIndex(MODEL).at(view, encoder, now).similarity(known, rows)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert abs(found).max() > 0.01


def test_an_older_view_after_a_newer_one_and_back() -> None:
    def upsert(name: str, hour: int) -> Event:
        return EntityUpsert(id=f"{name}{hour}", time=START + hour * HOUR, type="post", key=name, attributes={"title": name})

    state, index, encoder, now = State(FULL), EmbeddingIndex(MODEL), Encoder(FULL), START + 9 * HOUR
    state.apply(batch_of([upsert("p0", 0), upsert("p1", 1)]))
    older = state.view()
    state.apply(batch_of([upsert("p2", 2), EntityDelete(id="gone", time=START + 3 * HOUR, type="post", key="p0")]))
    newer = state.view()
    for view, ids in ((newer, {"p1", "p2"}), (older, {"p0", "p1"}), (newer, {"p1", "p2"})):
        found = index.at(view, encoder, now)
        items, _ = found.nearest(context(view, encoder, -1, now), 5)
        assert set(view.ids("post", items)) == ids
        np.testing.assert_allclose(vectors_of(found), vectors_of(EmbeddingIndex(MODEL).at(view, encoder, now)), atol=1e-6)


def test_requests_go_on_while_it_is_built_anew_and_what_changes_meanwhile_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_vectors, "LEAST_REBUILD", 0)
    begun, go_on, real = threading.Event(), threading.Event(), Built.of

    def slow(items: Rows, *, clustered: bool = False) -> Built:
        begun.set()
        assert go_on.wait(20)
        return real(items, clustered=clustered)

    events: list[Event] = [EntityUpsert(id=f"p{n}", time=START, type="post", key=f"p{n}") for n in range(9)]
    state, index, encoder, now = state_of(events, FULL), EmbeddingIndex(MODEL), Encoder(FULL), START + HOUR
    index.at(state.view(), encoder, now)
    monkeypatch.setattr(Built, "of", staticmethod(slow))
    thread = threading.Thread(target=index.rebuild)
    thread.start()
    assert begun.wait(20)
    assert not index.rebuild(), "one at a time"
    changes: list[Event] = [
        EntityUpsert(id="again", time=START, type="post", key="p3", attributes={"title": "red"}),
        EntityUpsert(id="new", time=START, type="post", key="p9"),
        EntityDelete(id="gone", time=START, type="post", key="p5"),
    ]
    state.apply(batch_of(changes))
    view = state.view()
    asked = context(view, encoder, -1, now)
    before = index.at(view, encoder, now).nearest(asked, 20)
    go_on.set()
    thread.join()
    after = index.at(view, encoder, now)
    assert (len(after.items.built.items), after.items.rows.tolist()) == (9, [3, 5, 9])
    anew = EmbeddingIndex(MODEL).at(view, encoder, now).nearest(asked, 20)
    for found in (before, after.nearest(asked, 20)):
        assert found[0].tolist() == anew[0].tolist()
        assert found[1].tolist() == anew[1].tolist()
    assert "p5" not in view.ids("post", anew[0])


def test_vectors_that_are_not_numbers_are_an_error() -> None:
    vectors = np.full((3, 4), 0.5, np.float32)
    vectors[1, 2] = np.nan
    found, view = retriever(vectors, np.ones(3, bool))
    with pytest.raises(FloatingPointError, match="promote another version"):
        found.nearest(context(view, Encoder(FULL), -1, START), 2)
