"""Counts from the log, held against a count event by event."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import Action, EntityUpsert, Event, Impression
from fourfold.features.names import hash64
from fourfold.lab.exposures import INTERLEAVED, Asked, first_exposure, outcomes
from tests.lab.logs import log_of

ACTIONS = ("like", "hide")
ids = st.sampled_from([f"e{n}" for n in range(30)])
viewers, items, times = st.sampled_from("uvw"), st.sampled_from("pq"), st.integers(0, 60)
shown = st.builds(
    Impression,
    id=ids,
    time=times,
    viewer=viewers,
    item=items,
    surface=st.sampled_from(["feed", "feed", "pymk"]),
    experiment=st.sampled_from([None, "one", "one", "other"]),
    variant=st.sampled_from([None, "control", "treatment"]),
    team=st.sampled_from([None, "old", "new"]),
    context=st.sampled_from([{}, {"experiment": "one"}]),
    propensity=st.sampled_from([None, 0.5]),
)
acted = st.builds(
    Action, id=ids, time=times, viewer=viewers, item=items, surface=st.just("feed"), name=st.sampled_from([*ACTIONS, "open"])
)
worlds = st.lists(shown | acted, max_size=25, unique_by=lambda event: event.id)


def naive(events: Sequence[Event], asked: Asked) -> dict[str, tuple[str, list[list[int]]]]:
    """Of each viewer the arm, and for each team (or one) the count of impressions and of each action."""
    mine = [
        event
        for event in events
        if isinstance(event, Impression | Action)
        and event.surface == asked.surface
        and asked.since <= event.time
        and (asked.until is None or event.time < asked.until)
    ]
    marked = [one for one in mine if isinstance(one, Impression) and one.experiment == asked.experiment]
    named = sorted((one for one in marked if one.variant or one.team), key=lambda one: one.time)
    newest = max((one.time for one in mine), default=-1)
    found = {}
    for viewer in {one.viewer for one in named}:
        first = next(one for one in named if one.viewer == viewer)
        if asked.window is not None and first.time + asked.window > newest + 1:
            continue
        counts = [[0] * (1 + len(asked.actions)) for _ in [*asked.teams, "nobody"]]
        end = float("inf") if asked.window is None else first.time + asked.window
        for event in mine:
            if event.viewer != viewer or not first.time <= event.time < end:
                continue
            team = _team(event, [one for one in marked if one.time >= first.time], asked)
            if event in marked:
                counts[team][0] += 1
            elif isinstance(event, Action) and event.name in asked.actions:
                counts[team][1 + asked.actions.index(event.name)] += 1
        found[viewer] = first.variant or INTERLEAVED, counts
    return found


def _team(event: Impression | Action, marked: Sequence[Impression], asked: Asked) -> int:
    about = [one for one in marked if (one.viewer, one.item) == (event.viewer, event.item) and one.time <= event.time]
    last = max(about, key=lambda one: one.time, default=None)
    return asked.teams.index(last.team) if last is not None and last.team in asked.teams else -1


def check(events: Sequence[Event], asked: Asked, at_once: int) -> None:
    expected = naive(events, asked)
    found = outcomes(log_of(events), asked, at_once=at_once)
    order = sorted(expected, key=lambda viewer: int(hash64([viewer])[0]))
    table = np.concatenate([found.impressions[:, :, None], found.actions], axis=2).tolist()
    arms = [found.arms[arm] for arm in found.arm.tolist()]
    assert list(zip(arms, table, strict=True)) == [expected[viewer] for viewer in order]


def untied(events: Sequence[Event]) -> bool:
    """Whether the first exposure, and the last impression of an item, are never one of several at a time."""
    at = [(one.viewer, one.time) for one in events if isinstance(one, Impression)]
    return len(at) == len(set(at))


@given(
    worlds.filter(untied),
    st.sampled_from([0, 10]),
    st.sampled_from([None, 50]),
    st.sampled_from([None, 25]),
    st.sampled_from([(), ("old", "new")]),
    st.sampled_from([2, 7, 1000]),
)
def test_counts_are_those_of_counting_event_by_event(
    events: list[Event], since: int, until: int | None, window: int | None, teams: tuple[str, ...], at_once: int
) -> None:
    check(events, Asked("feed", "one", ACTIONS, teams, since, until, window), at_once)


def made() -> list[Event]:
    number = count()
    return [
        EntityUpsert(id="post", time=0, type="post", key="p"),
        Action(id="before", time=9, viewer="u", item="p", surface="feed", name="like"),
        *(
            Impression(
                id=f"i{next(number)}",
                time=10 + n,
                viewer="u",
                item=f"p{n}",
                surface="feed",
                experiment="one",
                variant="control",
            )
            for n in range(3)
        ),
        Action(id="after", time=11, viewer="u", item="else", surface="feed", name="like"),
        Impression(id="late", time=20, viewer="u", item="p", surface="feed", experiment="one", variant="treatment"),
        Impression(id="none", time=21, viewer="v", item="p", surface="feed", experiment="one"),
    ]


ONE = Asked("feed", "one", ACTIONS)


def test_a_viewer_counts_from_the_first_exposure_on_and_in_its_variant() -> None:
    found = outcomes(log_of(made()), ONE)
    assert (found.arms, found.arm.tolist(), found.first.tolist()) == (["control", "treatment"], [0], [10])
    assert (found.impressions.tolist(), found.actions.tolist()) == ([[4]], [[[1, 0]]])
    assert (found.crossed, found.unmarked, found.last) == (1, 1, 21)
    assert found.of("control").tolist() == [True]
    assert found.of("nobody").tolist() == [False]


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_an_event_that_is_sent_again_counts_once(at_once: int) -> None:
    once, twice = (outcomes(log_of(made() * times), ONE, at_once=at_once) for times in (1, 2))
    assert np.array_equal(once.impressions, twice.impressions)
    assert np.array_equal(once.actions, twice.actions)


def test_nothing_is_there() -> None:
    for events in ([], made()[:2]):
        found = outcomes(log_of(events), ONE)
        assert (found.arms, found.impressions.shape, found.actions.shape) == ([], (0, 1), (0, 1, 2))


def test_progress_ends_where_everything_was_read() -> None:
    told: list[tuple[int, int]] = []
    outcomes(log_of(made()), ONE, lambda done, total: told.append((done, total)), at_once=2)
    assert told[-1][0] == told[-1][1]
    assert all(done <= total for done, total in told)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_variants_without_end_are_bounded() -> None:
    """Whoever posts impressions may name any; each takes a bit of a number."""
    junk = [
        Impression(id=f"{n}", time=n, viewer=f"m{n}", item="p", surface="feed", experiment="one", variant=f"v{n}")
        for n in range(99)
    ]
    found = outcomes(log_of(junk), ONE)
    assert len(found.arms) == 62
    assert found.unmarked == 99 - 62


def test_the_first_exposure() -> None:
    assert first_exposure(log_of(made()), "feed", "one") == 10
    assert first_exposure(log_of(made()), "feed", "two") is None
    assert first_exposure(log_of(made()), "pymk", "one") is None


def test_an_action_at_the_time_of_its_impression_belongs_to_it() -> None:
    events: list[Event] = [
        Impression(id="a", time=5, viewer="u", item="p", surface="feed", experiment="one", team="old"),
        Impression(id="b", time=7, viewer="u", item="p", surface="feed", experiment="one", team="new"),
        Action(id="c", time=7, viewer="u", item="p", surface="feed", name="like"),
        Action(id="d", time=6, viewer="u", item="p", surface="feed", name="like"),
        Action(id="e", time=6, viewer="u", item="q", surface="feed", name="like"),
    ]
    found = outcomes(log_of(events), Asked("feed", "one", ("like",), ("old", "new")))
    assert (found.impressions.tolist(), found.actions.tolist()) == ([[1, 1, 0]], [[[1], [1], [1]]])
