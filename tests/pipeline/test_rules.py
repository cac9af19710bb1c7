"""Rules of editors: where they put items, what they leave alone, and what they say of themselves."""

from collections.abc import Sequence

import numpy as np
import pytest

from fourfold.definition import Boost, Cap, Pin, Promote, Rule, Slate
from fourfold.events.types import Action, Event
from fourfold.pipeline.rules import Rules, boosted, pinned_items
from tests.pipeline.places import Post, asked_of, chosen
from tests.strategies import START

POSTS: list[Post] = [("a", ["x"]), ("a", ["x"]), ("b", ["y"]), ("b", ["z"]), ("c", ["z"]), ("c", ["y"])]


PLAIN = Slate()


def placed(rules: Sequence[Rule], size: int = 4, selector: Slate = PLAIN) -> tuple[list[int], list[str | None], list[str]]:
    result, tracer = chosen(POSTS, selector, size, rules=rules)
    return result.candidates.tolist(), result.rules, [f"{said.rule}: {said.effect}" for said in tracer.rules]


def test_pins_hold_their_places_and_the_others_close_up() -> None:
    rules = [Pin("one", item="p4", position=2), Pin("two", item="p5", position=0), Pin("far", item="p3", position=4)]
    assert placed(rules) == (
        [5, 0, 4, 1],
        ["two", None, "one", None],
        ["one: at position 2", "two: at position 0", "far: left out: the slate has 4 places"],
    )


def test_a_pin_that_cannot_be_says_why() -> None:
    rules = [
        Pin("unknown", item="nothing"),
        Pin("not_now", item="p4", where='context.tab == "home"'),
        Pin("first", item="p3"),
        Pin("second", item="p5"),
        Pin("again", item="p3", position=1),
    ]
    found, names, said = placed(rules, 2)
    assert (found, names) == ([3, 0], ["first", None])
    assert said == [
        "unknown: left out: no such item is known",
        "not_now: left out: its condition does not hold",
        "first: at position 0",
        "second: left out: first holds its place",
        "again: left out: first placed the item",
    ]


def test_the_pin_of_a_place_that_the_slate_does_not_reach_stands_at_its_end() -> None:
    assert placed([Pin("last", item="p0", position=7)], 8)[:1] == ([1, 2, 3, 4, 5, 0],)
    assert placed([Pin("last", item="p0", position=7)], 8)[2] == ["last: at position 5"]


def test_a_filter_that_took_a_pinned_item_out_is_named() -> None:
    hide: list[Event] = [Action(id="h", time=START + 1, viewer="m0", item="p4", name="hide", surface="feed")]
    asked, items = asked_of(POSTS, hide)
    pin = Pin("news", item="p4")
    assert pinned_items(asked, [pin], 3).tolist() == [items[4]], "a filter takes it out, not its rule"
    rules = Rules(asked, {int(items[4]): "hidden"}, [pin], np.delete(items, 4), 3)
    assert rules.pins == {}
    assert [said.effect for said in rules.traced([])] == ["left out by hidden"]


def test_pinned_items_are_those_that_may_be_placed() -> None:
    asked, items = asked_of(POSTS, context={"tab": "home"})
    rules: list[Rule] = [
        Pin("a", item="p4", where='context.tab == "home"'),
        Pin("b", item="p2", where="size > 2"),
        Pin("c", item="nothing"),
        Pin("d", item="p1", position=3),
        Pin("e", item="p4", position=2),
        Boost("f", where="size < 3", factor=2),
    ]
    assert pinned_items(asked, rules, 3).tolist() == [items[4]]
    assert pinned_items(asked, rules, 4).tolist() == sorted([items[1], items[4]])
    assert pinned_items(asked, [], 4).tolist() == []


@pytest.mark.parametrize(
    ("rules", "order", "names"),
    [
        ([Promote("late", where="size >= 4", first=3)], [0, 1, 4, 2], [None, None, "late", None]),
        ([Promote("two", where="size >= 4", first=3, count=2)], [0, 4, 5, 1], [None, "two", "two", None]),
        ([Promote("there", where="size <= 1", first=3)], [0, 1, 2, 3], [None] * 4),
        ([Promote("nobody", where="size > 99", first=1)], [0, 1, 2, 3], [None] * 4),
        ([Promote("few", where="size == 5", first=2, count=2)], [0, 5, 1, 2], [None, "few", None, None]),
        (
            [Promote("wide", where='"z" in topics', first=2), Promote("narrow", where='author == "c"', first=1)],
            [4, 0, 1, 2],
            ["narrow", None, None, None],
        ),
        (
            [Promote("nobody", where="size > 99", first=1), Promote("c", where='author == "c"', first=1)],
            [4, 0, 1, 2],
            ["c", None, None, None],
        ),
        (
            [Promote("one", where="size == 3", first=2), Promote("other", where="size == 5", first=2)],
            [3, 5, 0, 1],
            ["one", "other", None, None],
        ),
        ([Pin("pin", item="p4"), Promote("c", where='author == "c"', first=3)], [4, 0, 1, 2], ["pin", None, None, None]),
        (
            [Pin("pin", item="p3", position=1), Promote("c", where='author == "c"', first=2)],
            [4, 3, 0, 1],
            ["c", "pin", None, None],
        ),
    ],
)
def test_promotions_take_the_last_place_that_keeps_their_word(rules: list[Rule], order: list[int], names: list[str]) -> None:
    found, by, _ = placed(rules)
    assert (found, by) == (order, names)


def test_promotions_say_how_far_they_came_and_keep_within_caps() -> None:
    rule = Promote("ys", where='"y" in topics', first=3, count=2)
    found, _, said = placed([rule], selector=Slate(caps=(Cap("topics", 1),)))
    assert found == [0, 2, 3, 1], "the cap of one y holds as long as others are there"
    assert said == ["ys: 1 of 2 among the first 3, 0 of them raised"]
    assert placed([rule])[0] == [0, 2, 5, 1]
    assert placed([rule])[2] == ["ys: 2 of 2 among the first 3, 2 of them raised"]


def test_boosts_multiply_or_divide_and_the_first_counts() -> None:
    asked, items = asked_of(POSTS)
    rules = [Boost("y", where='"y" in topics', factor=2), Boost("b", where='author == "b"', factor=10)]
    scores = np.array([1, 1, 3, 3, 0, -4], np.float32)
    assert boosted(asked, rules, items, scores).tolist() == [1, 1, 6, 30, 0, -2]
    assert boosted(asked, [], items, scores).tolist() == scores.tolist()
    _, names, said = placed(rules, 6)
    assert names == [None, None, "y", "b", None, "y"]
    assert said == ["y: 2 candidates boosted", "b: 2 candidates boosted"]
