"""The timeline: entries by the naive truth, stable as time goes on, and invisible to their own request."""

from dataclasses import replace

import numpy as np
from hypothesis import given

from fourfold.definition import History
from fourfold.events.types import Action, Event, Impression
from fourfold.features.details import context_codes
from fourfold.features.timeline import Timeline, timeline
from fourfold.features.view import View
from tests.features.oracle import Oracle, knows, tie
from tests.features.samples import state_of
from tests.strategies import MEMBERS, START, TINY, logs, times

MINUTE = 60_000


READ = replace(TINY, history=History(values=("like", "click")))


def values(found: Timeline, entry: int) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in found.values[entry])


def rows(view: View, found: Timeline, viewer: int) -> list[tuple[object, ...]]:
    span = range(int(found.starts[viewer]), int(found.starts[viewer + 1]))
    names = np.array([action.name for action in TINY.actions])
    return [
        (
            view.ids("post", found.item[i : i + 1])[0],
            int(found.time[i]),
            int(found.request[i]),
            int(found.seen[i]),
            bool(found.shown[i]),
            tuple(sorted(names[found.actions[i] > 0])),
            *values(found, i),
        )
        for i in span
    ]


@given(logs(), times())
def test_equals_the_naive_truth(events: list[Event], moment: int) -> None:
    view, oracle = state_of(events, READ).view(), Oracle(TINY, events)
    found = timeline(view, view.rows("member", MEMBERS), np.full(len(MEMBERS), moment))
    for viewer, name in enumerate(MEMBERS):
        wanted = [
            (e.item, e.time, e.request, e.seen, e.shown, tuple(sorted(e.actions)), e.values.get("like"), e.values.get("click"))
            for e in oracle.timeline(name, moment)
        ]
        assert sorted(rows(view, found, viewer), key=str) == sorted(wanted, key=str)


@given(logs(), times())
def test_the_details_are_those_of_the_first_event(events: list[Event], moment: int) -> None:
    view, oracle = state_of(events).view(), Oracle(TINY, events)
    found = timeline(view, view.rows("member", MEMBERS), np.full(len(MEMBERS), moment))
    for viewer, name in enumerate(MEMBERS):
        span = slice(int(found.starts[viewer]), int(found.starts[viewer + 1]))
        entries = sorted(oracle.timeline(name, moment), key=lambda entry: (entry.time, tie(entry.first)))
        assert [view.ids("post", found.item[span])[n] for n in range(len(entries))] == [entry.item for entry in entries]
        assert found.details.context[span].tolist() == [
            context_codes(TINY, view.names, entry.first.context).tolist() for entry in entries
        ]
        assert found.details.dated[span].tolist() == [not getattr(entry.first, "undated", False) for entry in entries]
        assert found.details.unknown[span].tolist() == [
            [isinstance(entry.first, Impression) and not knows(entry.first, action.name) for action in TINY.actions]
            for entry in entries
        ]


@given(logs())
def test_what_a_request_sees_never_changes(events: list[Event]) -> None:
    """The first `seen` entries of the whole timeline are the timeline as of the request, contents included."""
    view = state_of(events, READ).view()
    members = view.rows("member", MEMBERS)
    whole = timeline(view, members, np.full(len(members), START + (1 << 40)))
    for viewer in range(len(members)):
        for entry in range(int(whole.starts[viewer]), int(whole.starts[viewer + 1])):
            # A deletion of the viewer in between empties what the whole timeline begins with.
            if view.deleted("member", members[viewer : viewer + 1], np.array([1 << 51]))[0] >= 0:
                continue
            then = timeline(view, members[viewer : viewer + 1], whole.request[entry : entry + 1])
            assert rows(view, then, 0) == rows(view, whole, viewer)[: int(whole.seen[entry])]


@given(logs(), times())
def test_no_look_ahead(events: list[Event], moment: int) -> None:
    past = [event for event in events if event.time < moment]
    views = [state_of(given, READ).view() for given in (events, past)]
    found = [timeline(view, view.rows("member", MEMBERS), np.full(len(MEMBERS), moment)) for view in views]
    for viewer in range(len(MEMBERS)):
        assert rows(views[0], found[0], viewer) == rows(views[1], found[1], viewer)


def show(id_: str, minute: int, item: str, request: str | None = None) -> Impression:
    return Impression(id=id_, time=START + minute * MINUTE, viewer="m0", item=item, surface="feed", request=request)


def act(id_: str, minute: int, item: str, name: str, value: float | None = None) -> Action:
    return Action(id=id_, time=START + minute * MINUTE, viewer="m0", item=item, surface="feed", name=name, value=value)


def test_the_last_value_of_an_action_before_the_next_request() -> None:
    events: list[Event] = [
        show("1", 0, "p0", "r0"),
        act("2", 1, "p0", "click", 5.0),
        act("3", 2, "p0", "click", 7.5),
        act("4", 3, "p0", "click"),
        act("5", 3, "p0", "hide", 9.0),
        show("6", 10, "p1", "r1"),
        act("7", 11, "p0", "click", 99.0),
    ]
    view = state_of(events, READ).view()
    found = timeline(view, view.rows("member", ["m0"]), np.array([START + 60 * MINUTE]))
    assert [values(found, entry) for entry in range(3)] == [(None, 7.5), (None, None), (None, 99.0)]
    silent = timeline(state_of(events).view(), np.array([0]), np.array([START + 60 * MINUTE]))
    assert silent.values.shape == (3, 0)


def test_a_slate_an_action_and_a_return_by_hand() -> None:
    events: list[Event] = [
        show("1", 0, "p0", "r0"),
        show("2", 1, "p1", "r0"),  # scrolled to later, chosen at minute 0
        act("3", 2, "p0", "click"),
        show("4", 10, "p2", "r1"),
        act("5", 11, "p1", "like"),  # scrolled back after the next request
        act("6", 12, "p3", "click"),  # never shown
    ]
    view = state_of(events).view()
    found = timeline(view, view.rows("member", ["m0"]), np.array([START + 60 * MINUTE]))
    assert rows(view, found, 0) == [
        ("p0", START, START, 0, True, ("click",)),
        ("p1", START + MINUTE, START, 0, True, ()),
        ("p2", START + 10 * MINUTE, START + 10 * MINUTE, 2, True, ()),
        ("p1", START + 11 * MINUTE, START + 10 * MINUTE, 2, False, ("like",)),
        ("p3", START + 12 * MINUTE, START + 12 * MINUTE, 4, False, ("click",)),
    ]
