"""Views at their limits: extreme times, full keys, entities that came too late to be in them."""

from dataclasses import replace

import numpy as np
import pytest

from fourfold.definition import Count, Rate
from fourfold.events.log import MAX_TIME
from fourfold.events.types import EdgeAdded, EntityDelete, EntityUpsert, Event, Impression, Value, batch_of
from fourfold.features import view as module
from fourfold.features.numbers import numbers
from fourfold.features.timeline import timeline
from fourfold.features.view import NEVER, CapacityError
from tests.features.samples import state_of
from tests.strategies import START, TINY

LAST = MAX_TIME - 1  # the last time that an event may have


def upsert(key: str, time: int, type_: str = "post", **attributes: Value) -> EntityUpsert:
    return EntityUpsert(id=f"{type_}{key}{time}", time=time, type=type_, key=key, attributes=attributes)


def shown(time: int, item: str = "p0", viewer: str = "m0") -> Impression:
    return Impression(id=f"i{time}{item}{viewer}", time=time, viewer=viewer, item=item, surface="feed")


def test_the_first_and_the_last_time() -> None:
    view = state_of([shown(0), shown(LAST, "p1"), upsert("p1", LAST, title="late")]).view()
    rows, never = view.rows("post", ["p0", "p1"]), np.array([NEVER, NEVER])
    assert view.alive("post", rows, np.array([0, LAST])).tolist() == [False, False]
    assert view.alive("post", rows, np.array([1, NEVER])).tolist() == [True, True]
    assert view.born("post", rows, never).tolist() == [0, LAST]
    assert view.newest_time == LAST
    found = timeline(view, view.rows("member", ["m0"]), never[:1])
    assert found.time.tolist() == [0, LAST]
    assert found.request.tolist() == [0, LAST]
    assert found.seen.tolist() == [0, 1]
    assert view.text("post", "title", int(rows[1]), NEVER) == "late"
    assert view.text("post", "title", int(rows[1]), LAST) is None


def test_a_deletion_at_time_zero() -> None:
    view = state_of([shown(0), EntityDelete(id="d", time=0, type="post", key="p0"), shown(1)]).view()
    row = view.rows("post", ["p0"])
    assert view.deleted("post", row, np.array([1])).tolist() == [0]
    assert view.deleted("post", row, np.array([0])).tolist() == [-1]
    column = [feature.name for feature in TINY.features].index("shown")
    assert numbers(view, TINY.features, row, row, np.array([2]))[0, column] == 1


def test_a_pair_key_says_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECOND", 2)
    monkeypatch.setattr(module, "_FIRST", 3)
    definition = replace(TINY, features=(Count("pairs", ("viewer", "item")),))
    fits: list[Event] = [shown(START, f"p{item}", f"m{viewer}") for viewer in range(3) for item in range(2)]
    view = state_of(fits, definition).view()
    viewers, items = np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3)
    assert len(set(view.keys(("viewer", "item"), viewers, items, np.full(6, START + 1)).tolist())) == 6
    for one_more in (shown(START, "p2", "m0"), shown(START, "p0", "m3")):
        with pytest.raises(CapacityError, match=r"pair key \('viewer', 'item'\).*count by one of the two instead"):
            state_of([*fits, one_more], definition)


def test_keys_of_unknown_parts_are_missing() -> None:
    view = state_of([upsert("p0", START, author="m1"), upsert("p1", START), shown(START + 1)]).view()
    items, viewers, times = np.array([0, 1, -1]), np.zeros(3, np.int64), np.full(3, START + 5)
    assert (view.keys(("viewer", "item.author"), viewers, items, times) >= 0).tolist() == [True, False, False]
    assert view.keys(("item.author",), viewers, items, times - 5).tolist() == [-1, -1, -1]


def test_a_view_does_not_know_what_came_after_it() -> None:
    state = state_of([shown(START)])
    view = state.view()
    state.apply(batch_of([shown(START + 1, "p9", "m9")]))
    assert view.rows("post", ["p0", "p9"]).tolist() == [0, -1]
    assert (view.size("post"), view.all_rows("member").tolist(), view.newest_time) == (1, [0], START)
    assert state.view().rows("post", ["p9"]).tolist() == [1]


def test_lists_read_as_text() -> None:
    view = state_of([upsert("p0", START, topics=["art", "food"], title="a, b")]).view()
    assert view.text("post", "topics", 0, START + 1) == "art, food"
    assert view.text("post", "title", 0, START + 1) == "a, b"
    assert view.text("post", "author", 0, START + 1) is None


def test_neighbours_from_both_ends() -> None:
    edges: list[Event] = [
        EdgeAdded(id=f"e{n}", time=START + n, kind="follows", source=source, target=target)
        for n, (source, target) in enumerate([("m0", "m1"), ("m0", "m2"), ("m1", "m2")])
    ]
    view = state_of(edges).view()
    rows = view.rows("member", ["m0", "m1", "m2"])
    for side, wanted in (("out", {"m0": ["m1", "m2"], "m1": ["m2"]}), ("in", {"m1": ["m0"], "m2": ["m0", "m1"]})):
        found = view.neighbours("follows", rows, np.full(3, START + 10), side)
        pairs = zip(view.ids("member", rows[found["query"]]), view.ids("member", found["other"]), strict=True)
        assert sorted(pairs) == sorted((near, far) for near, others in wanted.items() for far in others)
    assert len(view.neighbours("follows", rows, np.full(3, START))["query"]) == 0


def test_rates_share_their_counts() -> None:
    """Two features of one key are computed from one table: what is counted is counted once."""
    features = (Rate("a", ("item",), "like"), Count("b", ("item",)), Count("c", ("item",), event="like"))
    view = state_of([shown(START)], replace(TINY, features=features)).view()
    assert sorted(name for name in view.tables if name.startswith("count/")) == ["count/impression/item"]
    assert numbers(view, features, np.array([0]), np.array([0]), np.array([START + 1]))[0].tolist() == [
        np.float32(1 / 11),
        1.0,
        0.0,
    ]
