"""Reasons and titles, word for word."""

import numpy as np
import pytest

from fourfold.candidates import Proposal
from fourfold.events.types import EntityUpsert
from fourfold.pipeline.explain import reasons, titles
from fourfold.pipeline.pool import NOT_PROPOSED, Pool
from tests.contract.slate_contract import NOON, small_world
from tests.features.samples import state_of

NAMELESS = EntityUpsert(id="bare", time=NOON - 1, type="post", key="bare")
LATER = EntityUpsert(id="later", time=NOON, type="post", key="p0", attributes={"title": "not yet"})
VIEW = state_of([*small_world(), NAMELESS, LATER]).view()


def test_every_reason() -> None:
    (member,), (p1, bare) = VIEW.rows("member", ["m0"]).tolist(), VIEW.rows("post", ["p1", "bare"]).tolist()
    origins = [
        ("trending", -1),
        ("in_network", member),
        ("two_hop", member),
        ("embedding_retrieval", -1),
        ("item_to_item", p1),
        ("item_to_item", bare),
        ("catalogue", -1),
        ("in_network", -1),
    ]
    assert reasons(VIEW, origins, NOON, history=True, profile=True) == [
        "Trending now",
        "From your network: m0",
        "You both know m0",
        "Close to your taste",
        "Because you liked blue p1",
        "Because you liked bare",
        "To fill the slate",
        "From your network: others like you",
    ]
    assert reasons(VIEW, origins[3:4], NOON, history=False, profile=True) == ["Fits your profile"]
    assert reasons(VIEW, origins[3:4], NOON, history=False, profile=False) == ["A start for somebody new"]


def test_titles_as_of_a_time() -> None:
    rows = VIEW.rows("post", ["p0", "bare", "p1"])
    assert titles(VIEW, "post", rows, NOON) == ["blue p0", None, "blue p1"]
    assert titles(VIEW, "post", rows, NOON + 1)[0] == "not yet"
    assert titles(VIEW, "member", np.array([0]), NOON) == [None]


def test_sources_stand_best_first_each_with_what_explains_it() -> None:
    ranks = np.array([[5, NOT_PROPOSED, 2], [0, 0, NOT_PROPOSED]])
    pool = Pool(("a", "b", "c"), np.array([7, 8]), ranks, np.array([[1, -1, 3], [4, 5, -1]]))
    assert pool.origins(0) == [("c", 3), ("a", 1)]
    assert pool.origins(1) == [("a", 4), ("b", 5)]
    fused = [1 / 66 + 1 / 63, 1 / 61 + 1 / 61]
    assert pool.source_scores().tolist() == pytest.approx(fused)
    behind = pool.extended("catalogue", np.array([9, 6]))
    assert behind.source_scores().tolist() == pytest.approx([*fused, 1 / 67, 1 / 68])
    assert behind.origins(3) == [("catalogue", -1)]


def test_the_places_of_a_source_count_by_its_weight() -> None:
    def proposal(*items: int) -> Proposal:
        return Proposal(np.array(items), np.ones(len(items), np.float32), np.full(len(items), -1))

    pool = Pool.merge({"a": proposal(1, 2), "b": proposal(3, 1)}, {"b": 3.0})
    assert pool.source_scores().tolist() == pytest.approx([1 / 61 + 3 / 62, 1 / 62, 3 / 61])
    chosen = pool.take(np.array([2, 0])).extended("catalogue", np.array([9]))
    assert chosen.source_scores().tolist() == pytest.approx([3 / 61, 1 / 61 + 3 / 62, 1 / 63])
    assert pool.joined("a", np.array([3])).source_scores().tolist() == pytest.approx([3 / 62, 0, 3 / 61 + 1 / 61])
