"""Leaks planted on purpose are caught: changing events at or after t changes nothing as of t, and the check of that works.

The real code passes; a feature that sees the future, a counter that includes its own row, and a target encoded over all time
do not, nor does an evaluation whose baseline has seen what it is judged on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from msgspec import structs

from fourfold.definition import DCNv2
from fourfold.events.types import Action, Event, Impression
from fourfold.features.assembly import Asked, context, rows
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Rows
from fourfold.features.numbers import numbers
from fourfold.features.view import View
from fourfold.models.io import build_ranker
from fourfold.training.evaluation import Judged, item_rates, judge
from fourfold.training.judged import Period, period_examples
from tests.features.samples import all_pairs, codes_of, state_of
from tests.strategies import HOUR, MEMBERS, START, TINY, logs, times

END = START + 30 * HOUR
Arrays = dict[str, np.ndarray]
Story = tuple[list[Event], list[Event], int]
"""A log, another one whose end replaces its own, and the moment that separates the two."""

stories = st.tuples(logs(25), logs(25), times())


def changed(story: Story) -> tuple[list[Event], list[Event]]:
    """The same past with two futures."""
    events, others, moment = story
    past = [event for event in events if event.time < moment]
    future = [structs.replace(event, id=f"other-{event.id}") for event in others if event.time >= moment]
    return events, past + future


def inputs(events: Sequence[Event], moment: int) -> Arrays:
    """All that models read as of a moment: of every member and post, known or not, and of every member's history."""
    view, encoder = state_of(list(events)).view(), Encoder(TINY)
    members, posts, when, asked = all_pairs(view, [moment])
    none = np.full(len(when), -1)
    question = Asked(members, posts, when, none, codes_of(view, asked), np.ones(len(when), bool))
    made = rows(view, encoder, question)
    found = {name: getattr(made, name) for name in ("early", "late", "moments")}
    for member, row in zip(MEMBERS, view.rows("member", MEMBERS).tolist(), strict=True):
        history = context(view, encoder, row, moment).history
        found |= {f"{member} {name}": getattr(history, name) for name in (*Rows.__dataclass_fields__, "actions", "seen")}
    return found


def look_ahead(story: Story, read: Callable[[Sequence[Event], int], Arrays] = inputs) -> bool:
    """Whether what is read as of the moment depends on which future follows it."""
    one, other = (read(events, story[2]) for events in changed(story))
    return one.keys() != other.keys() or not all(same(one[name], other[name]) for name in one)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())


def caught(read: Callable[[Sequence[Event], int], Arrays] = inputs) -> Story:
    """A story that gives a leak away; raises if none is found."""
    search = settings(
        max_examples=300, phases=(Phase.generate,), derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    return find(stories, lambda story: look_ahead(story, read), settings=search)


@settings(max_examples=15)
@given(stories)
def test_inputs_see_no_future(story: Story) -> None:
    assert not look_ahead(story)


def sees_the_future(view: View, features: Any, viewers: Any, items: Any, when: Any, *more: Any) -> np.ndarray:
    return numbers(view, features, viewers, items, when + HOUR, *more)


def counts_its_own_row(view: View, features: Any, viewers: Any, items: Any, when: Any, *more: Any) -> np.ndarray:
    return numbers(view, features, viewers, items, when + 1, *more)


def encodes_the_target_over_all_time(view: View, features: Any, viewers: Any, items: Any, when: Any, *more: Any) -> np.ndarray:
    rates = np.append(item_rates(view, END)[:, 0], np.float32(0))  # the last stands for unknown items
    found = numbers(view, features, viewers, items, when, *more)
    found[:, -1:] = rates[items][:, None]
    return found


@pytest.mark.parametrize("leak", [sees_the_future, counts_its_own_row, encodes_the_target_over_all_time])
def test_a_planted_leak_is_caught(leak: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.features.assembly.numbers", leak)
    story = caught()
    assert look_ahead(story)
    monkeypatch.undo()
    assert not look_ahead(story)


def test_a_counter_that_includes_its_own_row_is_caught_where_it_matters() -> None:
    """By hand: the click on p0 comes with its impression, as in logs that keep one row for both."""
    common: Any = {"viewer": "m0", "item": "p0", "surface": "feed", "time": START}
    row: list[Event] = [Impression(id="i", **common), Action(id="a", name="click", **common)]
    without: list[Event] = [structs.replace(event, item="p1") for event in row]
    story = (row, without, START)
    assert not look_ahead(story)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fourfold.features.assembly.numbers", counts_its_own_row)
        assert look_ahead(story)


def judged(events: Sequence[Event], moment: int) -> Arrays:
    """What an evaluation says of the impressions before a moment, by the names of what they are."""
    view, encoder = state_of(list(events)).view(), Encoder(TINY)
    period = Period.of(view, START + 6 * HOUR, END)
    model = build_ranker(DCNv2(width=4), encoder.schema, seed=5)
    found = judge(model, view, period_examples(view, encoder, period), START + 6 * HOUR)
    past = found.request < moment
    names = np.array(
        [f"{a} {b} {c}" for a, b, c in zip(*labelled(view, found), found.request.tolist(), strict=True)], dtype=object
    )
    order = np.argsort(names[past].astype(str), kind="stable")
    arrays = {"probabilities": found.probabilities.round(5), "popularity": found.popularity}
    return {"names": names[past][order].astype(str)} | {name: values[past][order] for name, values in arrays.items()}


def labelled(view: View, found: Judged) -> tuple[list[str], list[str]]:
    return view.ids("member", found.viewer), view.ids("post", found.item)


def shown(events: Sequence[Event]) -> list[Event]:
    """Without deletions, which say who is judged at all, and without requests that go on after the moment."""
    kept = [event for event in events if isinstance(event, Impression | Action)]
    return [structs.replace(event, request=None) for event in kept]


def judged_of_shown(events: Sequence[Event], moment: int) -> Arrays:
    return judged(shown(events), moment)


@settings(max_examples=10)
@given(stories)
def test_an_evaluation_sees_no_future(story: Story) -> None:
    assert not look_ahead(story, judged_of_shown)


def test_a_baseline_that_saw_what_it_is_judged_on_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.training.evaluation.item_rates", lambda view, before: item_rates(view, END))
    story = caught(judged_of_shown)
    monkeypatch.undo()
    assert not look_ahead(story, judged_of_shown)
