"""Sources over edges by hand and by the naive truth."""

from math import log as ln

import pytest
from hypothesis import given

from fourfold.definition import InNetwork, TwoHop
from fourfold.events.types import Action, EdgeAdded, EntityDelete, EntityUpsert, Event
from tests.candidates.samples import FRIENDS, ask_of, knows, proposed, scored
from tests.features.oracle import Oracle
from tests.strategies import HOUR, POSTS, START, TINY, logs, times

WORTH = {"click": 1.0, "like": 4.0, "hide": 0.0}
NOON = START + 12 * HOUR


def follow(target: str, hour: int = 0) -> Event:
    return EdgeAdded(id=f"f{target}{hour}", time=START + hour * HOUR, kind="follows", source="m0", target=target)


def act(id_: str, hour: int, viewer: str, item: str, name: str) -> Event:
    return Action(id=id_, time=START + hour * HOUR, viewer=viewer, item=item, name=name, surface="feed")


def test_adamic_adar_by_hand() -> None:
    # a knows b and c; b knows a, d; c knows a, d, e.
    ask = ask_of(knows("ab", "ac", "bd", "cd", "ce"), "a", NOON, FRIENDS)
    row = {name: int(ask.view.rows("member", [name])[0]) for name in "abcde"}
    found = proposed(ask, TwoHop(edge="knows"))
    b, c = 1 / ln(3), 1 / ln(4)
    assert [(name, because) for name, _, because in found] == [("a", row["b"]), ("d", row["b"]), ("e", row["c"])]
    assert [score for _, score, _ in found] == pytest.approx([b + c, b + c, c])
    assert [name for name, _, _ in proposed(ask, TwoHop(edge="knows", keep=1))] == ["a"]
    assert proposed(ask_of([], "a", NOON, FRIENDS), TwoHop(edge="knows")) == []


def test_equal_scores_stand_by_id_whatever_came_first() -> None:
    for order in (["ab", "bz", "by", "bx"], ["bx", "by", "bz", "ab"]):
        found = proposed(ask_of(knows(*order), "a", NOON, FRIENDS), TwoHop(edge="knows", keep=3))
        assert [name for name, _, _ in found] == ["a", "x", "y"]


def test_beyond_the_limit_neighbours_are_chosen_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.candidates.network.NEIGHBOURS", 1)
    for order in (["az", "ab", "bx", "zy"], ["zy", "bx", "ab", "az"]):
        assert set(scored(ask_of(knows(*order), "a", NOON, FRIENDS), TwoHop(edge="knows"))) == {"a", "x"}


def test_in_network_weights_by_hand() -> None:
    events: list[Event] = [
        follow("m1"),
        follow("m2"),
        EntityUpsert(id="1", time=START, type="post", key="p0", attributes={"author": "m1"}),
        act("2", 1, "m1", "p1", "click"),
        act("3", 1, "m2", "p1", "like"),
        act("4", 1, "m2", "p2", "hide"),
        act("5", 1, "m0", "p3", "like"),  # the viewer is not a neighbour
        act("6", 2, "m2", "p0", "click"),
    ]
    ask = ask_of(events, "m0", NOON)
    m2 = int(ask.view.rows("member", ["m2"])[0])
    assert proposed(ask, InNetwork()) == [("p1", 5.0, m2), ("p0", 2.0, m2)]
    assert scored(ask, InNetwork(keep=1)) == {"p1": 5.0}
    assert proposed(ask_of(events, "stranger", NOON), InNetwork()) == []


def test_only_the_newest_actions_of_a_neighbour_are_read_however_they_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.candidates.network.PER_NEIGHBOUR", 2)
    events = [follow("m1"), *(act(str(hour), hour, "m1", f"p{hour % 4}", "click") for hour in range(9))]
    for cuts in ([], [4], [3, 5, 8]):
        assert scored(ask_of(events, "m0", NOON, cuts=cuts), InNetwork()) == {"p3": 1.0, "p0": 1.0}


def test_what_a_neighbour_did_before_deletion_is_forgotten() -> None:
    events = [
        follow("m1"),
        act("1", 1, "m1", "p0", "like"),
        EntityDelete(id="2", time=START + 2 * HOUR, type="member", key="m1"),
        follow("m1", 3),
        act("4", 4, "m1", "p1", "like"),
    ]
    assert scored(ask_of(events, "m0", NOON), InNetwork()) == {"p1": 4.0}


@given(logs(), times())
def test_in_network_equals_the_naive_truth(log: list[Event], time: int) -> None:
    oracle, wanted = Oracle(TINY, log), dict.fromkeys(POSTS, 0.0)
    friends = oracle.neighbours("follows", "m0", time)
    for post in POSTS:
        wanted[post] += oracle.attribute("post", post, "author", time) in friends
    for event in oracle.events:
        if isinstance(event, Action) and event.viewer in friends and event.time < time:
            since = max(oracle.deleted("member", event.viewer, time), oracle.deleted("post", event.item, time))
            wanted[event.item] += WORTH[event.name] * (event.time > since)
    found = scored(ask_of(log, "m0", time), InNetwork())
    assert found == {post: score for post, score in wanted.items() if score}
