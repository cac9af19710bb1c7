"""Filters at their edges, and the naive truth for all of them at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import Excluded, Expired, Filter, FrequencyCap, Hidden, Linked, Moment, Own, Seen, Where
from fourfold.events.types import EdgeAdded, EdgeRemoved, EntityUpsert, Event, Impression
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.slate import Request
from tests.candidates.samples import FRIENDS, knows
from tests.contract.slate_contract import NOON
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


def closing(post: str, until: int | None, time: int = START) -> EntityUpsert:
    return EntityUpsert(id=f"{post}{until}", time=time, type="post", key=post, attributes={"until": until})


def test_an_item_ends_at_its_own_moment_and_at_the_lifetime_whichever_comes_first() -> None:
    item = replace(TINY.item, attributes=(*TINY.item.attributes, Moment("until")))
    definition = replace(TINY, item=item, filters=(Expired(until="until"),))
    events = [closing("p0", START + HOUR), closing("p1", None), closing("p2", START + 99 * HOUR), closing("p3", 5)]
    filters = definition.filters
    assert passing(events, filters, START + HOUR - 1, definition=definition) == {"p0", "p1", "p2"}
    assert passing(events, filters, START + HOUR, definition=definition) == {"p1", "p2"}
    assert passing(events, filters, START + 12 * HOUR, definition=definition) == set(), "the lifetime is 12 hours"
    events.append(closing("p0", None, START + 1))
    assert passing(events, filters, START + HOUR, definition=definition) == {"p0", "p1", "p2"}, "cleared again"
    assert passing(events, (Expired(),), START + HOUR, definition=definition) == set(POSTS)


def shown(post: str, *ages: int) -> list[Event]:
    return [Impression(id=f"{post}-{age}", time=NOON - age, viewer="m0", item=post, surface="feed") for age in ages]


def authored(*authors: str | None) -> list[Event]:
    return [
        EntityUpsert(id=post, time=START, type="post", key=post, attributes={"author": author})
        for post, author in zip(POSTS, authors, strict=True)
    ]


def test_a_frequency_cap_counts_within_its_time() -> None:
    events = [*authored("m1", "m1", "m2", None), *shown("p0", 1, HOUR), *shown("p1", 1, HOUR + 1), *shown("p3", 1, 2, 3)]
    cap = FrequencyCap(times=2, within="1h")
    assert passing(events, [cap], NOON) == {"p1", "p2"}
    assert passing(events, [cap], NOON + 1) == {"p0", "p1", "p2"}
    assert passing(events, [cap], NOON, viewer="m1") == set(POSTS)
    assert passing([], [cap], NOON) == set()


def test_a_frequency_cap_by_author_counts_all_that_the_author_has() -> None:
    events = [*authored("m1", "m1", "m2", None), *shown("p0", 1), *shown("p1", HOUR), *shown("p3", 1, 2, 3)]
    by_author = FrequencyCap(times=2, within="1h", by="author")
    assert passing(events, [by_author], NOON) == {"p2", "p3"}, "an item without an author is nobody's"
    assert passing(events, [by_author], NOON + 1) == set(POSTS)
    events.append(EntityUpsert(id="moved", time=START + 1, type="post", key="p1", attributes={"author": "m2"}))
    assert passing(events, [by_author], NOON) == set(POSTS)


def test_a_frequency_cap_by_topic_counts_each_of_an_items_topics() -> None:
    events: list[Event] = [
        EntityUpsert(id=post, time=START, type="post", key=post, attributes={"topics": topics})
        for post, topics in (("p0", ["art", "food"]), ("p1", ["food"]), ("p2", ["art"]), ("p3", ["sea"]))
    ]
    events += [*shown("p0", 1), *shown("p1", 2)]
    assert passing(events, [FrequencyCap(times=2, within="1h", by="topics")], NOON) == {"p2", "p3"}


def test_conditions_of_the_definition_and_of_the_request() -> None:
    view = state_of(authored("m1", "m1", "m2", None)).view()
    asked = Asked(view, "m0", -1, NOON, where="author == context.tab", context={"tab": "m1"})
    keep, dropped = kept(asked, [Where('author != "m2"')], np.arange(4))
    assert keep.tolist() == [True, True, False, False]
    assert dropped == {"deleted": 0, "where": 1, "request_where": 1}


def test_frequency_caps_are_named_by_what_they_count() -> None:
    view = state_of([*authored("m1", "m1", "m2", None), *shown("p0", 1), *shown("p2", 1)]).view()
    caps = (FrequencyCap(times=1, within="1h"), FrequencyCap(times=1, within="1h", by="author"))
    row = int(view.rows("member", ["m0"])[0])
    _, dropped = kept(Asked(view, "m0", row, NOON), caps, view.rows("post", POSTS))
    assert dropped == {"deleted": 0, "frequency_cap": 2, "frequency_cap/author": 1}
