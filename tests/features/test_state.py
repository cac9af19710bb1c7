"""States: what they take, what they ignore and count, and late changes of what features are counted by."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import Count
from fourfold.events.types import Action, EdgeAdded, EntityDelete, EntityUpsert, Event, Impression, Value, batch_of
from fourfold.features.counting import tallies
from fourfold.features.numbers import numbers
from fourfold.features.state import State
from tests.features.samples import all_pairs, state_of
from tests.strategies import START, TINY, logs


def upsert(key: str, time: int = START, type_: str = "post", **attributes: Value) -> EntityUpsert:
    return EntityUpsert(id=f"{type_}{key}{time}", time=time, type=type_, key=key, attributes=attributes)


def shown(n: int = 0, surface: str = "feed", viewer: str = "m0", item: str = "p0") -> Impression:
    return Impression(id=f"i{n}", time=START + n, viewer=viewer, item=item, surface=surface)


def test_what_the_definition_does_not_speak_of_is_counted_and_left_out() -> None:
    events: list[Event] = [
        shown(0),
        shown(1, "elsewhere"),
        Action(id="a", time=START, viewer="m0", item="p0", surface="feed", name="share"),
        Action(id="b", time=START, viewer="m0", item="p0", surface="elsewhere", name="like"),
        upsert("g0", type_="group"),
        EdgeAdded(id="e", time=START, kind="likes", source="m0", target="m1"),
    ]
    state = state_of(events)
    assert dict(state.ignored) == {
        "impression of another definition": 1,
        "action of another definition": 2,
        "entity_upsert of another definition": 1,
        "edge_added of another definition": 1,
    }
    assert len(state.view().table("event")) == 1
    assert state.view().size("member") == 1


def test_values_that_do_not_fit_are_unknown_and_counted() -> None:
    state = state_of([upsert("p0", size="big", title=7, author=True, created=START), upsert("p1", size=True, topics=None)])
    view, when = state.view(), np.full(2, START + 1)
    assert np.isnan(view.attribute("post", "size", np.arange(2), when)).all()
    assert view.text("post", "title", 0, START + 1) is None
    assert dict(state.ignored) == {"value that is no number in post.size": 2, "value that is no text in post.title": 1}


def test_apply_counts_what_is_new_and_moves_the_offset() -> None:
    state = State(TINY)
    batch = batch_of([shown(0), shown(1)])
    assert [state.apply(batch, 2), state.offset] == [2, 2]
    assert [state.apply(batch, 4), state.offset] == [0, 4]
    assert [state.apply(batch), state.offset] == [0, 4]
    assert state.apply(batch_of([shown(2), shown(2)])) == 1
    assert state.apply(batch_of([])) == 0


def test_a_late_upsert_counts_again_what_was_counted_before() -> None:
    feature = Count("by_country", ("viewer.country",))
    definition = replace(TINY, features=(feature,))
    events: list[Event] = [upsert("m0", START - 9, "member", country="dk"), shown(0), shown(5)]
    late = upsert("m0", START + 3, "member", country="fr")
    for arriving in ([*events, late], [late, *events]):
        view = state_of(arriving, definition, cuts=(1, 2, 3)).view()
        row, item = view.rows("member", ["m0"]), view.rows("post", ["p0"])
        # One impression while it was dk, and one while it was fr: each asked for at its own time.
        found = [float(numbers(view, (feature,), row, item, np.array([START + at]))[0, 0]) for at in (3, 4, 6)]
        assert found == [1, 0, 1]


@pytest.mark.parametrize(
    ("late", "moves"),
    [
        (upsert("new", START + 1, author="m0"), False),
        (upsert("p0", START + 1, title="corrected"), False),
        (upsert("p0", START + 1, author="m0"), False),
        (upsert("p0", START + 6, author="m1"), False),
        (upsert("p0", START + 5, author="m1"), True),
        (EntityDelete(id="d", time=START + 1, type="post", key="p0"), True),
    ],
)
def test_a_late_upsert_moves_counts_only_where_it_changes_keys(late: Event, moves: bool) -> None:
    definition = replace(TINY, features=(Count("by_author", ("item.author",)), Count("likes", ("item.author",), event="like")))
    like = Action(id="like", time=START + 5, viewer="m0", item="p0", surface="feed", name="like")
    state = state_of([upsert("p0", START - 9, author="m0"), shown(5), like, shown(9, viewer="m1", item="p1")], definition)
    names = [tally.table for feature in definition.features for tally in tallies(feature)]
    before = [state.view().table(name) for name in names]
    state.apply(batch_of([late]))
    after = [state.view().table(name) for name in names]
    assert [new is not old for new, old in zip(after, before, strict=True)] == [moves] * 2


def test_a_batch_that_fails_leaves_no_trace_and_can_be_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = [upsert("p0", START - 9, author="m0"), upsert("m0", START, "member", country="dk"), shown(5)]
    state = State(TINY)

    def out_of_memory(*given: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(State, "_take_impressions_and_actions", out_of_memory)
        with pytest.raises(MemoryError):
            state.apply(batch_of([*events, upsert("g0", type_="group")]), 4)
    assert (state.offset, dict(state.view().tables), dict(state.ignored)) == (0, {}, {})
    assert state.apply(batch_of(events), 3) == 3
    members, posts, when, _ = all_pairs(state.view(), [START + 9])
    found, expected = (numbers(view, TINY.features, members, posts, when) for view in (state.view(), state_of(events).view()))
    np.testing.assert_array_equal(found, expected)


def test_a_view_does_not_wait_for_a_batch_that_is_being_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    state, inside, go_on = state_of([shown(0)]), threading.Event(), threading.Event()
    taking = State._take_edges

    def slowly(self: State, *given: Any) -> None:
        inside.set()
        assert go_on.wait(10)
        taking(self, *given)

    monkeypatch.setattr(State, "_take_edges", slowly)
    with ThreadPoolExecutor(2) as threads:
        applied = threads.submit(state.apply, batch_of([shown(1)]), 2)
        assert inside.wait(10)
        try:
            seen = threads.submit(state.view).result(5)
            assert (seen.offset, len(seen.table("event"))) == (1, 1)
        finally:
            go_on.set()
        assert applied.result(10) == 1
    assert (state.view().offset, len(state.view().table("event"))) == (2, 2)


@given(logs(), st.integers(1, 9))
def test_the_tables_hold_each_event_once_however_it_was_batched(events: list[Event], step: int) -> None:
    state = State(TINY)
    fresh = sum(state.apply(batch_of(events[start : start + step])) for start in range(0, len(events), step))
    spoken = {e.id for e in events if not isinstance(e, Impression | Action) or e.surface == "feed"}
    assert fresh == len(spoken) == len(state.view().table("event"))
    acted = {e.id for e in events if isinstance(e, Action) and e.surface == "feed"}
    assert len(state.view().table("action")) == len(state.view().table("recent")) == len(acted)
