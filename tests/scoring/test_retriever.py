"""The embedding index equals one built anew, whatever happened in between; nearest equals a full sort."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import EntityUpsert, Event, batch_of
from fourfold.features.assembly import context
from fourfold.features.encoding import Encoder, schema_of
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.models.io import build_two_tower
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
        np.testing.assert_allclose(found.vectors, anew.vectors, atol=1e-6)


@given(logs(), st.lists(st.tuples(st.integers(0, 44), times()), min_size=1, max_size=5))
def test_refreshing_equals_building_anew(log: list[Event], steps: list[tuple[int, int]]) -> None:
    index, state, encoder, done = EmbeddingIndex(MODEL), State(FULL), Encoder(FULL), 0
    for more, time in [*steps, (99, steps[0][1])]:
        state.apply(batch_of(log[done : done + more]))
        done += more
        view = state.view()
        found, anew = index.at(view, encoder, time), EmbeddingIndex(MODEL).at(view, encoder, time)
        np.testing.assert_allclose(found.vectors, anew.vectors, atol=1e-6)
        rows = view.all_rows("post")
        assert found.alive.tolist() == anew.alive.tolist() == view.alive("post", rows, np.full(len(rows), time)).tolist()


def test_what_did_not_change_is_not_embedded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = [EntityUpsert(id=f"p{n}", time=START, type="post", key=f"p{n}") for n in range(9)]
    state, index, encoder, now = state_of(events, FULL), EmbeddingIndex(MODEL), Encoder(FULL), START + HOUR
    first = index.at(state.view(), encoder, now).vectors
    assert index.at(state.view(), encoder, now + 1).vectors is first
    embedded: list[int] = []

    def embed(ids: np.ndarray) -> np.ndarray:
        embedded.append(len(ids))
        return np.zeros((len(ids), 4), np.float32)

    monkeypatch.setattr(index, "_embed", embed)
    state.apply(batch_of([EntityUpsert(id="again", time=START, type="post", key="p3", attributes={"title": "red"})]))
    index.at(state.view(), encoder, now)
    assert embedded == [1]


def retriever(vectors: np.ndarray, alive: np.ndarray) -> tuple[Retriever, View]:
    names = [f"p{(7 * n) % len(vectors)}" for n in range(len(vectors))]  # rows do not follow ids
    view = state_of([EntityUpsert(id=name, time=START, type="post", key=name) for name in names], FULL).view()
    return Retriever(MODEL, view, vectors, alive), view


@given(st.integers(0, 99), st.integers(1, 60))
def test_nearest_equals_a_full_sort(seed: int, keep: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (50, 4)).astype(np.float32) / 2  # few distinct ones, so that scores tie
    found, view = retriever(vectors, rng.random(50) < 0.8)
    known = context(view, Encoder(FULL), -1, START + HOUR)
    items, scores = found.nearest(known, keep)
    every = found.similarity(known, np.arange(50))
    ids = view.ids("post", np.arange(50))
    wanted = sorted(np.flatnonzero(found.alive).tolist(), key=lambda row: (-every[row], ids[row]))[:keep]
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
