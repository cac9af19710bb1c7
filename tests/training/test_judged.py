"""What is judged, and as of when: midnight's rows equal what serving reads at midnight; what a log held is not judged."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from fourfold.definition import History, Recommender
from fourfold.events.types import Action, ContextValue, Event, Impression, batch_of
from fourfold.features.assembly import candidates, context, moments
from fourfold.features.details import context_space
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Rows
from fourfold.features.view import View
from fourfold.training.examples import Examples, examples
from fourfold.training.judged import DAY, Period, period_examples
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY, logs

WINDOWED = replace(TINY, history=History(impressions=6, block=2))
FORGETFUL = replace(WINDOWED, memory="8h")
definitions = st.sampled_from([WINDOWED, FORGETFUL])
END = START + (1 << 40)
NOON = START - START % DAY + 3 * DAY + 12 * HOUR


def show(time: int, viewer: str = "m0", item: str = "p0", **more: object) -> Impression:
    given = {"id": f"i{time}{viewer}{item}", "time": time, "viewer": viewer, "item": item, "surface": "feed"}
    return Impression(**given | more)  # type: ignore[arg-type]  # as an event's fields are


def shifted(events: list[Event]) -> list[Event]:
    """Events of one day from noon on, so that a midnight lies among them."""
    return [structs.replace(event, time=event.time - START + NOON) for event in events]


def judged(found: list[Examples]) -> set[tuple[int, int, int]]:
    return {
        row
        for part in found
        for row in zip(
            *(getattr(part, name)[part.sequences.weight > 0].tolist() for name in ("viewer", "item", "request")), strict=True
        )
    }


@settings(max_examples=30)
@given(logs(60), definitions)
def test_a_period_is_judged_alike_however_fresh(events: list[Event], definition: Recommender) -> None:
    # A request that outlasts the memory is cut by it, in training as well; here there are none.
    short = [structs.replace(event, request=None) if isinstance(event, Impression) else event for event in shifted(events)]
    view, encoder = state_of(short, definition).view(), Encoder(definition)
    period = Period.of(view, 0, END)
    fresh, daily = (period_examples(view, encoder, period, freshness) for freshness in ("request", "day"))
    plain = examples(view, encoder, 0, END)
    assert judged(fresh) == judged(daily) == judged([plain])
    assert sum(map(len, fresh)) == sum(map(len, daily)) == len(plain) == period.judged.sum()
    assert sorted(row for part in fresh for row in rows_of(view, part)) == sorted(rows_of(view, plain))
    for name in ("items", "actions", "seen", "labels", "weight", "lengths"):
        packed = np.concatenate([getattr(part.sequences, name) for part in fresh])
        np.testing.assert_array_equal(packed, getattr(plain.sequences, name), err_msg=name)


@settings(max_examples=30)
@given(logs(60), definitions)
def test_rows_of_the_day_equal_serving_at_midnight(events: list[Event], definition: Recommender) -> None:
    view, encoder = state_of(shifted(events), definition).view(), Encoder(definition)
    period = Period.of(view, 0, END)
    for part in period_examples(view, encoder, period, "day"):
        packed = part.sequences
        ends = np.cumsum(packed.lengths)
        for row in np.flatnonzero(packed.weight > 0).tolist():
            span = int(np.searchsorted(ends, row, side="right"))
            midnight = int(part.request[row]) // DAY * DAY
            known = context(view, encoder, int(part.viewer[row]), midnight, context_of(view, period, part, row))
            start = int(ends[span] - packed.lengths[span])
            window = slice(start, start + int(packed.seen[row]))
            for name in ("items", "context", "early", "moments", "actions", "seen"):
                np.testing.assert_array_equal(getattr(packed, name)[window], getattr(known.history, name), err_msg=name)
            served = candidates(view, encoder, known, part.item[[row]])
            for name in ("items", "context", "early", "late"):
                np.testing.assert_array_equal(getattr(packed, name)[[row]], getattr(served, name), err_msg=name)
            asked = moments(part.request[[row]], np.array([known.previous]), np.ones(1, bool))
            np.testing.assert_array_equal(packed.moments[[row]], asked)
            np.testing.assert_array_equal(packed.viewers[span], known.viewer_ids[0])


def context_of(view: View, period: Period, part: Examples, row: int) -> dict[str, ContextValue]:
    """The context that an example's impression carried, as text."""
    entries = period.entries
    same = (entries.viewer == part.viewer[row]) & (entries.item == part.item[row]) & (entries.request == part.request[row])
    at = np.flatnonzero(same & period.judged)[-1]
    codes = zip(view.definition.context, entries.details.context[at].tolist(), strict=True)
    return {one.name: view.names[context_space(one.name)][code] for one, code in codes if code >= 0}


@settings(max_examples=30)
@given(logs(60))
def test_nothing_after_midnight_reaches_a_row_of_the_day(events: list[Event]) -> None:
    midnight = NOON + 12 * HOUR
    # Upserts and deletes of this day say whom and what there is to judge; impressions stay, or there is nothing to compare.
    events = [event for event in shifted(events) if event.time < midnight or isinstance(event, Impression | Action)]
    bare = [event for event in events if event.time < midnight or isinstance(event, Impression)]
    parts = []
    for known in (events, bare):
        view = state_of(known, WINDOWED).view()
        period = Period.of(view, midnight, midnight + DAY)
        found = period_examples(view, Encoder(WINDOWED), period, "day")
        parts.append([rows_of(view, part) for part in found])
    assert parts == [parts[0], parts[0]]


def rows_of(view: View, part: Examples) -> set[tuple[object, ...]]:
    """Each judged row by the names of what it is about, with all of its inputs."""
    found = set()
    for row in np.flatnonzero(part.sequences.weight > 0).tolist():
        names = view.ids("member", part.viewer[[row]]) + view.ids("post", part.item[[row]])
        arrays = [getattr(part.sequences, name)[row].tobytes() for name in Rows.__dataclass_fields__]
        found.add((*names, int(part.request[row]), *arrays))
    return found


def test_a_request_at_midnight_is_as_fresh_as_can_be() -> None:
    midnight = NOON + 12 * HOUR
    events = [show(NOON), show(NOON + HOUR, item="p1"), show(midnight, item="p2"), show(midnight, "m1", "p0")]
    view, encoder = state_of(events, WINDOWED).view(), Encoder(WINDOWED)
    period = Period.of(view, midnight, END)
    fresh, daily = (period_examples(view, encoder, period, freshness) for freshness in ("request", "day"))
    assert rows_of(view, fresh[0]) == rows_of(view, daily[0])
    assert len(daily) == 1


def test_what_happened_this_day_is_not_known_yet() -> None:
    later = NOON + 20 * HOUR
    events: list[Event] = [show(NOON), show(later - HOUR, item="p1"), show(later, item="p2")]
    view, encoder = state_of(events, WINDOWED).view(), Encoder(WINDOWED)
    period = Period.of(view, later, END)
    (fresh,), (daily,) = (period_examples(view, encoder, period, freshness) for freshness in ("request", "day"))
    assert (fresh.sequences.lengths.tolist(), daily.sequences.lengths.tolist()) == ([3], [2])
    assert daily.sequences.seen.tolist() == [0, 1]


def test_what_a_log_held_is_not_judged() -> None:
    held = [show(NOON), show(NOON + 1, request="r"), show(NOON + 2, item="p1", request="r")]
    fresh = [show(NOON + HOUR, item="p2"), show(NOON + HOUR, "m1"), show(NOON + 2, "m2", undated=True)]
    state = state_of(held, WINDOWED)
    log = state.view()
    state.apply(batch_of([*held, *fresh]), 99)
    view = state.view()
    period = Period.of(view, 0, END, log)
    shown = [view.ids("post", period.entries.item[[row]])[0] for row in np.flatnonzero(period.judged)]
    assert shown == ["p2", "p0"]
    assert period.first == NOON + HOUR
    assert Period.of(log, 0, END, log).first is None
    assert period_examples(log, Encoder(WINDOWED), Period.of(log, 0, END, log), "day") == []


def test_an_action_without_an_impression_is_new_only_if_the_log_does_not_hold_it() -> None:
    done = [Action(id=f"a{n}", time=NOON + n, viewer="m0", item=f"p{n}", surface="feed", name="like") for n in range(2)]
    state = state_of(done[:1], WINDOWED)
    log = state.view()
    state.apply(batch_of(done), 9)
    period = Period.of(state.view(), 0, END, log)
    assert period.new.tolist() == [False, True]
    assert not period.judged.any()
    assert period.first == NOON + 1


def test_what_a_log_held_is_not_judged_by_those_who_forget_either() -> None:
    held = [show(NOON + n * HOUR, item=f"p{n % 3}") for n in range(12)]
    state = state_of(held, FORGETFUL)
    log = state.view()
    state.apply(batch_of([show(NOON + n * HOUR, "m1") for n in range(20)]), 99)
    view, encoder = state.view(), Encoder(FORGETFUL)
    period = Period.of(view, 0, END, log)
    found = period_examples(view, encoder, period)
    assert len(found) > 1
    assert sum(map(len, found)) == period.judged.sum() == 20


def test_an_impression_that_joins_one_of_the_log_is_not_judged() -> None:
    """Shown twice in one request, once in the log: the model may have learned from it."""
    first, again = show(NOON, request="r"), show(NOON + 1, request="r")
    state = state_of([first], WINDOWED)
    log = state.view()
    state.apply(batch_of([again]), 9)
    assert not Period.of(state.view(), 0, END, log).judged.any()
    assert Period.of(state.view(), 0, END).judged.sum() == 1
