"""Limits by hand: what fits, what is full from the start, and that a value is counted once for each item that has it."""

import numpy as np

from fourfold.definition import Cap, FrequencyCap, Slate
from fourfold.events.types import Impression
from fourfold.pipeline.limits import Limit, Room, fitting, limits
from fourfold.pipeline.values import ItemValues
from tests.pipeline.places import Post, asked_of
from tests.strategies import START

POSTS: list[Post] = [("a", ["x", "y"]), ("a", ["x"]), (None, ["y"]), ("b", []), ("a", ["z"])]
VALUES = ItemValues(np.array([0, 2, 3, 3, 4]), np.array([70, 80, 70, 80]))


def test_limits_of_a_definition() -> None:
    shown = [Impression(id=str(n), time=START + n, viewer="m0", item="p1", surface="feed") for n in range(2)]
    asked, items = asked_of(POSTS, shown)
    by_author = FrequencyCap(times=3, within="1d", by="author")
    found = limits(asked, asked, Slate(per_author=2, caps=(Cap("topics", 1),)), [by_author], items)
    assert [(limit.attribute, limit.most, limit.hard, limit.single) for limit in found] == [
        ("author", 2, False, True),
        ("topics", 1, False, False),
        ("author", 3, True, True),
    ]
    assert [limit.left.tolist() for limit in found] == [[2, 2], [1, 1, 1], [1, 3]]
    assert limits(asked, asked, Slate(), [FrequencyCap(times=3, within="1d")], items) == []
    chosen, within = fitting(found, len(items), 5)
    assert (chosen.tolist(), within) == ([0, 3, 2], 2), "p0 takes x, y and the last of a; p2 is over the cap of y"


def test_a_rest_may_be_of_values_that_no_candidate_has() -> None:
    spent = np.array([10, 70, 90]), np.array([1, 2, 3])
    assert Limit.rest("topics", 2, VALUES, spent).left.tolist() == [0, 2]
    assert Limit.rest("topics", 2, VALUES, (np.zeros(0, int), np.zeros(0, int))).left.tolist() == [2, 2]
    nothing = ItemValues(np.zeros(1, np.int64), np.zeros(0, np.int64))
    assert Limit.rest("topics", 2, nothing, spent).left.tolist() == []


def test_what_is_full_from_the_start_is_closed() -> None:
    room = Room([Limit.rest("topics", 1, VALUES, (np.array([70]), np.array([1])))], 4)
    assert room.free.tolist() == [False, False, True, True]
    room.take(3)
    assert room.free.tolist() == [False, False, True, False]


def test_caps_give_way_and_count_how_often() -> None:
    room = Room([Limit.of("topics", 1, VALUES)], 4)
    order = []
    while (candidate := room.first()) is not None:
        room.take(candidate)
        order.append(candidate)
    assert order == [0, 2, 1, 3]
    assert room.over == [2]
    assert Room([], 0).first() is None
    assert fitting([], 3, 9)[0].tolist() == [0, 1, 2]
    assert fitting([], 3, 0)[0].tolist() == []
