"""Filters at their edges, and the naive truth for all of them at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import Excluded, Expired, Filter, Hidden, Linked, Own, Seen
from fourfold.events.types import EdgeAdded, EdgeRemoved, EntityUpsert, Event, Impression
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.slate import Request
from tests.candidates.samples import FRIENDS, knows
from tests.features.samples import state_of
from tests.pipeline.eligible import eligible
from tests.pipeline.samples import BARE
from tests.strategies import HOUR, MEMBERS, POSTS, START, TINY, logs, times


def passing(
    events: Sequence[Event], filters: Sequence[Filter], time: int, viewer: str = "m0", definition: Any = TINY, exclude: Any = ()
) -> set[str]:
    view = state_of(events, definition).view()
    row = int(view.rows("member", [viewer])[0])
    rows = view.all_rows(definition.item.name)
    keep, dropped = kept(Asked(view, viewer, row, time, exclude), filters, rows)
    assert sum(dropped.values()) == len(rows) - keep.sum()
    return set(view.ids(definition.item.name, rows[keep]))


@given(logs(), st.sampled_from([*MEMBERS, "stranger"]), times(), st.lists(st.sampled_from(POSTS), max_size=2))
def test_what_passes_equals_the_naive_truth(log: list[Event], viewer: str, time: int, exclude: list[str]) -> None:
    wanted = eligible(BARE, log, Request(viewer=viewer, exclude=exclude), time)
    assert passing(log, BARE.filters, time, viewer, exclude=exclude) == wanted


def test_a_lifetime_ends_at_its_last_millisecond() -> None:
    post: list[Event] = [EntityUpsert(id="1", time=START, type="post", key="p0")]
    ages = [1, 12 * HOUR - 1, 12 * HOUR, 12 * HOUR + 1]
    assert [len(passing(post, [Expired()], START + age)) for age in ages] == [1, 1, 0, 0]
    assert (
        len(passing(post, [Expired()], START + 99 * HOUR, definition=replace(TINY, item=replace(TINY.item, lifetime=None))))
        == 1
    )


@pytest.mark.parametrize(("after", "left"), [(0, 1), (1, 0), (HOUR, 0), (HOUR + 1, 1)])
def test_seen_within_a_window_closed_at_its_start_and_open_at_its_end(after: int, left: int) -> None:
    events: list[Event] = [
        EntityUpsert(id="0", time=START - 1, type="post", key="p0"),
        Impression(id="1", time=START, viewer="m0", item="p0", surface="feed"),
    ]
    assert len(passing(events, [Seen(within="1h")], START + after)) == left
    assert len(passing(events, [Seen()], START + after)) == (after == 0)


def test_links_as_they_stand() -> None:
    events = [*knows("ab", "ac", "bd"), EdgeRemoved(id="x", time=START + 5, kind="knows", source="c", target="a")]
    assert passing(events, [Linked(edge="knows"), Own()], START + 5, "a", FRIENDS) == {"d"}
    events[-1] = EdgeRemoved(id="x", time=START + 5, kind="knows", source="a", target="c")
    filters: list[Filter] = [Linked(edge="knows"), Own()]
    assert passing(events, filters, START + 6, "a", FRIENDS) == {"c", "d"}
    events.append(EdgeAdded(id="y", time=START + 6, kind="knows", source="c", target="a"))
    assert passing(events, filters, START + 7, "a", FRIENDS) == {"d"}


def test_each_filter_counts_what_it_dropped_first() -> None:
    events: list[Event] = [
        EntityUpsert(id="0", time=START, type="post", key="p0", attributes={"author": "m0"}),
        EntityUpsert(id="1", time=START, type="post", key="p1"),
        Impression(id="2", time=START, viewer="m0", item="p0", surface="feed"),
    ]
    view = state_of(events).view()
    asked = Asked(view, "m0", 0, START + 1, ["p0", "p1"])
    keep, dropped = kept(asked, (Own(), Seen(), Hidden(), Excluded()), np.array([-1, 0, 1]))
    assert keep.tolist() == [False, False, False]
    assert dropped == {"deleted": 1, "own": 1, "seen": 0, "hidden": 0, "excluded": 1}
