"""Promises 2 and 3 on features: batch equals stream equals the naive truth, and nothing looks ahead."""

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import Event, Impression, batch_of
from fourfold.features.numbers import numbers
from fourfold.features.view import UNBORN, View
from tests.features.oracle import Oracle
from tests.features.samples import all_pairs, codes_of, state_of
from tests.strategies import START, TINY, logs, times

HOUR = 3_600_000
cuts = st.lists(st.integers(0, 100), max_size=5)
moments = st.lists(times(), min_size=1, max_size=3)


def values(view: View, moments: list[int]) -> np.ndarray:
    members, posts, when, asked = all_pairs(view, moments)
    return numbers(view, TINY.features, members, posts, when, codes_of(view, asked))


def truth(events: list[Event], moments: list[int]) -> np.ndarray:
    oracle = Oracle(TINY, events)
    _, _, _, asked = all_pairs(state_of([]).view(), moments)
    return np.array([[oracle.feature(f, *one) for f in TINY.features] for one in asked], np.float32)


@given(logs(), cuts, moments)
def test_stream_equals_the_naive_truth(events: list[Event], cuts: list[int], moments: list[int]) -> None:
    np.testing.assert_array_equal(values(state_of(events, cuts=cuts).view(), moments), truth(events, moments))


@given(logs(), cuts, moments, st.randoms(use_true_random=False))
def test_batch_equals_stream_in_any_order_of_arrival(
    events: list[Event], cuts: list[int], moments: list[int], rng: Random
) -> None:
    batch = values(state_of(sorted(events, key=lambda e: e.time)).view(), moments)
    shuffled = list(events)
    rng.shuffle(shuffled)
    np.testing.assert_array_equal(values(state_of(shuffled, cuts=cuts).view(), moments), batch)


@given(logs(), cuts, moments)
def test_redelivery_changes_nothing(events: list[Event], cuts: list[int], moments: list[int]) -> None:
    once, twice = state_of(events), state_of([*events, *events], cuts=cuts)
    np.testing.assert_array_equal(values(twice.view(), moments), values(once.view(), moments))
    assert {name: len(table) for name, table in twice.view().tables.items() if "mention" not in name} == {
        name: len(table) for name, table in once.view().tables.items() if "mention" not in name
    }


@given(logs(), times())
def test_features_do_not_look_ahead(events: list[Event], moment: int) -> None:
    past = [event for event in events if event.time < moment]
    np.testing.assert_array_equal(values(state_of(events).view(), [moment]), values(state_of(past).view(), [moment]))


@given(logs(), times())
def test_a_view_is_frozen(events: list[Event], moment: int) -> None:
    state = state_of(events[: len(events) // 2])
    view = state.view()
    before = values(view, [moment])
    state.apply(batch_of(events))
    np.testing.assert_array_equal(values(view, [moment]), before)


@given(logs(), times())
def test_existence_and_birth(events: list[Event], moment: int) -> None:
    view, oracle = state_of(events).view(), Oracle(TINY, events)
    members, posts, when, asked = all_pairs(view, [moment])
    for entity, rows, keys in (("member", members, [a[0] for a in asked]), ("post", posts, [a[1] for a in asked])):
        assert view.alive(entity, rows, when).tolist() == [oracle.alive(entity, key, moment) for key in keys]
        births = [oracle.born(entity, key, moment) for key in keys]
        assert view.born(entity, rows, when).tolist() == [UNBORN if born is None else born for born in births]


@given(logs(), times())
def test_edges(events: list[Event], moment: int) -> None:
    view, oracle = state_of(events).view(), Oracle(TINY, events)
    members = view.all_rows("member")
    found = view.neighbours("follows", members, np.full(len(members), moment))
    names = view.ids("member", members)
    for row, name in enumerate(names):
        others = view.ids("member", found["other"][found["query"] == row])
        assert sorted(others) == sorted(oracle.neighbours("follows", name, moment))


def test_window_edges_by_hand() -> None:
    shown = [Impression(id=f"i{n}", time=START + n * HOUR, viewer="m0", item="p0", surface="feed") for n in range(8)]
    view = state_of(shown).view()
    row, post = view.rows("member", ["m0"]), view.rows("post", ["p0"])
    column = [f.name for f in TINY.features].index("shown_6h")
    ask = [START + 6 * HOUR, START + 6 * HOUR + 1, START + 100 * HOUR, START]
    found = [float(numbers(view, TINY.features, row, post, np.array([t]))[0, column]) for t in ask]
    # [t - 6h, t): the first impression is on the edge and counts, the one at t does not.
    assert found == [6.0, 6.0, 0.0, 0.0]
