"""What lists are judged against: new to the member, liked, after the split, and existing at it."""

from typing import Any

import numpy as np
import pytest
from msgspec import structs

from fourfold.events.types import Action, EntityUpsert, Event, Impression
from fourfold.features.view import View
from fourfold.lab.truth import TargetError, Truth, after_split, leave_one_out
from fourfold.training.judged import Period
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY

SPLIT = START + 6 * HOUR


def post(name: str, hour: int = 0) -> Event:
    attributes: Any = {"author": "m9", "created": START}
    return EntityUpsert(id=f"{name}{hour}", time=START + hour * HOUR, type="post", key=name, attributes=attributes)


def show(hour: int, viewer: str, item: str, like: bool = True, name: str = "like") -> list[Event]:
    common: Any = {"viewer": viewer, "item": item, "surface": "feed"}
    shown = Impression(id=f"s{hour}{viewer}{item}", time=START + hour * HOUR, **common)
    liked = Action(id=f"l{hour}{viewer}{item}", time=START + hour * HOUR + 1, name=name, **common)
    return [shown, liked] if like else [shown]


PAST = [post("p0"), post("p1"), post("p2"), *show(1, "m3", "p0"), *show(2, "m3", "p1"), *show(2, "m4", "p1")]


def named(view: View, truth: Truth) -> dict[str, tuple[int, set[str]]]:
    """Each member, the hour of the question and what they liked."""
    viewers = view.ids("member", truth.viewers)
    hours = ((truth.times - START) // HOUR).tolist()
    return {
        viewer: (hour, set(view.ids("post", liked))) for viewer, hour, liked in zip(viewers, hours, truth.liked, strict=True)
    }


def truth_of(events: list[Event], **more: Any) -> dict[str, tuple[int, set[str]]]:
    view = state_of(events, TINY).view()
    period = Period.of(view, SPLIT, view.newest_time + 1)
    return named(view, after_split(view, period, SPLIT, **{"members": 9, "seed": 0, **more}))


def test_what_counts_lies_after_the_split_and_is_new() -> None:
    events = [
        *PAST,
        *show(5, "m0", "p0"),  # before
        *show(7, "m0", "p0"),  # after, but not for the first time
        *show(7, "m0", "p1"),
        *show(8, "m0", "p2"),
        *show(7, "m1", "p2", like=False),  # not liked
        *show(6, "m2", "p2"),  # at the split itself: counts
        *(structs.replace(event, request="r") for event in show(5, "m6", "p1", like=False) + show(7, "m6", "p2")),
        post("late", 7),
        *show(8, "m1", "late"),  # nobody could have proposed it
        *show(8, "m5", "p0", name="hide"),  # the opposite of liked
    ]
    assert truth_of(events) == {"m0": (6, {"p1", "p2"}), "m2": (6, {"p2"})}
    assert truth_of(events, target="hide") == {"m5": (6, {"p0"})}
    assert truth_of(events, target="click") == {}


def test_what_is_undated_is_met_but_never_judged() -> None:
    before = structs.replace(show(2, "m0", "p0", like=False)[0], undated=True)
    later = [structs.replace(show(7, "m1", "p1", like=False)[0], undated=True), *show(7, "m1", "p1")[1:]]
    assert truth_of([*PAST, before, *show(7, "m0", "p0"), *later]) == {}


def test_members_are_drawn_by_seed() -> None:
    events = [*PAST, *(event for n in range(3) for event in show(7, f"m{n}", "p2"))]
    assert len(truth_of(events)) == 3
    drawn = {seed: tuple(truth_of(events, members=1, seed=seed)) for seed in range(8)}
    assert {len(members) for members in drawn.values()} == {1}
    assert len(set(drawn.values())) > 1
    assert drawn[0] == tuple(truth_of(events, members=1, seed=0))


def test_an_action_that_is_not_there_is_named() -> None:
    with pytest.raises(TargetError, match="'feed' has no action 'love'; write one of click, like, hide"):
        truth_of(PAST, target="love")


def test_leave_one_out_asks_for_the_last_new_item_just_before_it() -> None:
    events = [*PAST, *show(3, "m3", "p0"), *show(4, "m3", "p2", like=False), *show(9, "m5", "p2"), *show(8, "m5", "p1")]
    view = state_of(events, TINY).view()
    period = Period.of(view, view.newest_time, view.newest_time + 1)  # whatever the period: all members' last items count
    found = named(view, leave_one_out(view, period, members=9, seed=0))
    # p0 at hour 3 is no news to m3.
    assert found == {"m3": (2, {"p1"}), "m4": (2, {"p1"}), "m5": (9, {"p2"})}
    assert len(leave_one_out(view, period, members=2, seed=0)) == 2
    assert np.array_equal(
        leave_one_out(view, period, members=2, seed=5).viewers, np.sort(leave_one_out(view, period, members=2, seed=5).viewers)
    )


def test_nobody() -> None:
    assert truth_of(PAST) == {}
