from dataclasses import replace
from typing import Any

import numpy as np

from fourfold.definition import Category
from fourfold.events.types import Event, Impression
from fourfold.features.timeline import timeline
from fourfold.lab.usual_context import usual_contexts
from tests.features.samples import state_of
from tests.lab.test_truth import SPLIT, post
from tests.pipeline.samples import BARE
from tests.strategies import START

DEFINITION = replace(BARE, context=(Category("tab"), Category("device")))
HOUR = 3_600_000


def shown(hour: int, viewer: str, item: str, **context: Any) -> Event:
    about: Any = {"viewer": viewer, "item": item, "surface": "feed", "context": context}
    return Impression(id=f"{viewer}{item}{hour}", time=START + hour * HOUR, **about)


def usual(events: list[Event], asked: list[str], times: list[int]) -> list[dict[str, str]]:
    view = state_of([*(post(f"p{n}") for n in range(4)), *events], DEFINITION).view()
    everyone = view.all_rows("member")
    entries = timeline(view, everyone, np.full(len(everyone), view.newest_time + 1))
    return usual_contexts(view, entries, view.rows("member", asked), np.array(times))


def test_the_commonest_value_of_each_part_before_the_time() -> None:
    events = [
        shown(1, "m0", "p0", tab="9", device="phone"),
        shown(2, "m0", "p1", tab="2", device="phone"),
        shown(3, "m0", "p2", tab="9"),
        # After the time of the list, and more often:
        *(shown(7, "m0", f"p{n}", tab="2", device="desk") for n in range(4)),
        # Equal counts: the first text.
        shown(2, "m1", "p0", tab="2"),
        shown(1, "m1", "p1", tab="10"),
    ]
    assert usual(events, ["m1", "m0"], [SPLIT, SPLIT]) == [{"tab": "10", "device": "phone"}, {"tab": "9", "device": "phone"}]
    assert usual(events, ["m0"], [SPLIT + 2 * HOUR]) == [{"tab": "2", "device": "desk"}]


def test_who_was_shown_nothing_is_asked_where_most_are() -> None:
    events = [shown(1, "m0", "p0", tab="a"), shown(1, "m1", "p0", tab="b"), shown(2, "m2", "p0", tab="b"), shown(7, "m3", "p0")]
    assert usual(events, ["m3", "m0"], [SPLIT, SPLIT]) == [{"tab": "b"}, {"tab": "a"}]
    assert usual(events, ["m3", "m0"], [START, START + 1]) == [{}, {}]
