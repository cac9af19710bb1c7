"""Trending by hand and by the naive truth."""

import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import Trending
from fourfold.events.types import Action, EdgeAdded, EdgeRemoved, EntityDelete, Event
from tests.candidates.samples import FRIENDS, ask_of, proposed, scored
from tests.features.oracle import Oracle
from tests.strategies import HOUR, START, TINY, logs, times

SIX = Trending(half_life="6h")
WORTH = {"click": 1.0, "like": 4.0, "hide": 0.0}


def act(id_: str, hour: float, item: str, name: str) -> Action:
    return Action(id=id_, time=START + int(hour * HOUR), viewer="m0", item=item, name=name, surface="feed")


def test_decay_by_hand() -> None:
    events: list[Event] = [
        act("1", 0, "p0", "like"),  # two half-lives: 4 / 4
        act("2", 6, "p0", "click"),  # one: 1 / 2
        act("3", 6, "p1", "like"),  # one: 4 / 2
        act("4", 6, "p2", "hide"),  # worth nothing here
        act("5", 12, "p3", "like"),  # now: not before
    ]
    assert proposed(ask_of(events, "m1", START + 12 * HOUR), SIX) == [("p1", 2.0, -1), ("p0", 1.5, -1)]
    assert proposed(ask_of(events, "m1", START + 12 * HOUR), replace(SIX, keep=1)) == [("p1", 2.0, -1)]
    assert proposed(ask_of(events, "m1", START + 12 * HOUR + 12 * 6 * HOUR), SIX)[0][0] == "p3"
    assert proposed(ask_of(events, "m1", START + 12 * HOUR + 12 * 6 * HOUR + 1), SIX) == []


def test_what_came_before_the_deletion_of_an_item_is_forgotten() -> None:
    events: list[Event] = [
        act("1", 0, "p0", "like"),
        act("2", 6, "p0", "like"),
        EntityDelete(id="3", time=START + 6 * HOUR, type="post", key="p0"),
        act("4", 9, "p0", "click"),
    ]
    assert scored(ask_of(events, "m1", START + 9 * HOUR + 1), SIX) == {"p0": pytest.approx(1.0)}


@given(logs(), times(), st.sampled_from(["1h", "6h"]))
def test_equals_the_naive_truth(log: list[Event], time: int, half_life: str) -> None:
    oracle, length = Oracle(TINY, log), int(half_life[:-1]) * HOUR
    wanted: dict[str, float] = {}
    for event in oracle.events:
        if not isinstance(event, Action) or not max(time - 12 * length, 0) <= event.time < time or not WORTH[event.name]:
            continue
        if event.time > oracle.deleted("post", event.item, time):
            wanted[event.item] = wanted.get(event.item, 0) + WORTH[event.name] * 2 ** ((event.time - time) / length)
    assert scored(ask_of(log, "m0", time), Trending(half_life=half_life)) == pytest.approx(wanted, rel=1e-5)


def test_only_the_newest_actions_are_read_however_they_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["fourfold.candidates.trending"], "LATEST", 2)
    events: list[Event] = [act(str(hour), hour, f"p{hour % 4}", "click") for hour in range(9)]
    for cuts in ([], [4], [3, 5, 8]):
        assert set(scored(ask_of(events, "m1", START + 9 * HOUR, cuts=cuts), SIX)) == {"p3", "p0"}


def test_new_edges_by_hand() -> None:
    def link(id_: str, hour: int, source: str, target: str, kind: Any = EdgeAdded) -> Event:
        event: Event = kind(id=id_, time=START + hour * HOUR, kind="knows", source=source, target=target)
        return event

    definition = replace(FRIENDS, edges=(replace(FRIENDS.edges[0], mutual=False),))
    events = [
        link("1", 0, "a", "x"),
        link("2", 6, "b", "x"),
        link("3", 6, "a", "y"),
        link("4", 0, "a", "z"),
        link("5", 6, "a", "z", EdgeRemoved),
        link("6", 0, "gone", "y"),
        EntityDelete(id="7", time=START + HOUR, type="member", key="gone"),
        link("8", 0, "b", "w"),
        EntityDelete(id="9", time=START + HOUR, type="member", key="w"),
        link("10", 6, "c", "w"),
        link("11", 11, "c", "w"),  # once more, not another link
    ]
    found = scored(ask_of(events, "a", START + 12 * HOUR, definition), replace(SIX, edge="knows"))
    assert found == pytest.approx({"x": 0.75, "y": 0.5, "w": 2 ** (-1 / 6)})
