"""Feature values by hand, at the edges that random logs seldom meet."""

from dataclasses import replace

import numpy as np

from fourfold.definition import (
    Age,
    AttributeValue,
    Count,
    Counted,
    Distinct,
    Feature,
    Last,
    Mean,
    Rate,
    Ratio,
    Recommender,
    Sum,
    TimeSince,
)
from fourfold.events.types import Action, EntityDelete, EntityUpsert, Event, Impression
from fourfold.features.numbers import early_features, late_features, numbers
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY


def value(feature: Feature, events: list[Event], at: int, viewer: str = "m0", item: str = "p0") -> float:
    definition: Recommender = replace(TINY, features=(feature,))
    view = state_of(events, definition).view()
    found = numbers(view, (feature,), view.rows("member", [viewer]), view.rows("post", [item]), np.array([at]))
    assert found.shape == (1, 1)
    assert found.dtype == np.float32
    return float(found[0, 0])


def made(**attributes: object) -> EntityUpsert:
    return EntityUpsert(id="u", time=START, type="post", key="p0", attributes=attributes)  # type: ignore[arg-type]


def shown(n: int, at: int, viewer: str = "m0") -> Impression:
    return Impression(id=f"i{n}", time=START + at, viewer=viewer, item="p0", surface="feed")


def test_the_age_of_what_was_made_before_1970() -> None:
    film = made(created=-24 * HOUR)
    assert value(Age("age"), [film], START + HOUR) == np.float32((START + HOUR) / HOUR + 24)
    assert np.isnan(value(Age("age"), [film], START)), "it is not known yet"


def test_moments_are_ages_and_numbers_are_themselves() -> None:
    events: list[Event] = [made(created=START - HOUR, size=2.5)]
    assert value(AttributeValue("x", "item", "created"), events, START + HOUR) == 2.0
    assert value(AttributeValue("x", "item", "size"), events, START + HOUR) == 2.5
    assert np.isnan(value(AttributeValue("x", "item", "size"), events, START))
    gone = EntityDelete(id="d", time=START + 1, type="post", key="p0")
    assert np.isnan(value(AttributeValue("x", "item", "size"), [*events, gone], START + 2))


def test_rates_start_at_their_prior() -> None:
    rate = Rate("x", ("item",), "like", prior=0.2, strength=10)
    assert value(rate, [], START) == np.float32(0.2)
    like = Action(id="a", time=START + 1, viewer="m1", item="p0", surface="feed", name="like")
    assert value(rate, [shown(0, 0), shown(1, 0, "m1"), like], START + 2) == np.float32((1 + 2) / (2 + 10))


def test_counts_begin_anew_after_a_deletion() -> None:
    events: list[Event] = [shown(0, 0), EntityDelete(id="d", time=START + 5, type="post", key="p0"), shown(1, 6)]
    count = Count("x", ("item",))
    assert [value(count, events, START + at) for at in (0, 1, 6, 7)] == [0, 1, 0, 1]
    gone = EntityDelete(id="g", time=START + 7, type="member", key="m0")
    assert value(Count("y", ("viewer",)), [*events, gone], START + 8) == 0
    assert value(count, [*events, gone], START + 8) == 1


def test_features_are_early_or_late() -> None:
    assert {*early_features(TINY), *late_features(TINY)} == set(TINY.features)
    assert not {*early_features(TINY)} & {*late_features(TINY)}
    assert numbers(state_of([]).view(), (), np.zeros(2, int), np.zeros(2, int), np.zeros(2, int)).shape == (2, 0)


def act(n: int, at: int, given: float | None, name: str = "click", viewer: str = "m0") -> Action:
    return Action(id=f"a{n}", time=START + at, viewer=viewer, item="p0", surface="feed", name=name, value=given)


def test_sums_means_and_last_values() -> None:
    events: list[Event] = [act(0, 0, 1.5), act(1, 5, 2.5), act(2, 7, None), act(3, 8, 9.0, name="like")]
    item = ("item",)
    assert [value(Sum("x", item, "click"), events, START + at) for at in (0, 1, 6, 9)] == [0, 1.5, 4, 4]
    assert value(Sum("x", item, "click", window="3ms"), events, START + 8) == 2.5
    mean = Mean("x", item, "click", prior=2.0, strength=2.0)
    assert [value(mean, events, START + at) for at in (0, 9)] == [2, (4 + 4) / 4]
    last = Last("x", item, "click")
    assert np.isnan(value(last, events, START))
    assert [value(last, events, START + at) for at in (5, 6, 9)] == [1.5, 2.5, 2.5], "one without a value is passed over"
    assert np.isnan(value(replace(last, window="3ms"), events, START + 9))


def test_values_beyond_the_largest_are_kept_as_the_largest() -> None:
    assert value(Sum("x", ("item",), "click"), [act(0, 0, 1e30), act(1, 1, 512.0)], START + 9) == 2.0**31 + 512


def test_an_action_with_a_value_that_arrives_twice_counts_once() -> None:
    assert value(Sum("x", ("item",), "click"), [act(0, 0, 1.0), act(0, 0, 1.0)], START + 9) == 1


def test_tiles_begin_at_full_hours() -> None:
    events: list[Event] = [shown(n, n * HOUR // 2) for n in range(8)]  # START is a full hour
    tiled, exact = Count("x", ("item",), window="2h", tile="1h"), Count("y", ("item",), window="2h")
    late = START + 4 * HOUR - 1
    assert (value(tiled, events, late), value(exact, events, late)) == (6, 4)
    on_edge = START + 4 * HOUR
    assert value(tiled, events, on_edge) == value(exact, events, on_edge) == 4


def test_half_lives() -> None:
    events: list[Event] = [shown(n, n * HOUR) for n in range(3)]
    decayed = Count("x", ("item",), half_life="1h")
    assert value(decayed, events, START + 3 * HOUR) == 0.5 + 0.25 + 0.125
    rate = Rate("x", ("item",), "like", prior=0.5, strength=1.0, half_life="1h")
    like = act(0, 1, 1.0, name="like")
    assert abs(value(rate, [shown(0, 1), like], START + HOUR + 1) - (0.5 + 0.5) / 1.5) < 1e-7
    assert value(decayed, events, START + 1_000 * HOUR) == 0
    watched: list[Event] = [act(0, 0, 8.0), act(1, HOUR, 2.0)]
    assert value(Sum("x", ("item",), "click", half_life="1h"), watched, START + 2 * HOUR) == 8 / 4 + 2 / 2
    mean = Mean("x", ("item",), "click", half_life="1h", prior=0.0, strength=0.25)
    assert value(mean, watched, START + 2 * HOUR) == (8 / 4 + 2 / 2) / (1 / 4 + 1 / 2 + 0.25)


def test_how_many_members_clicked() -> None:
    events: list[Event] = [act(n, n, None, viewer=f"m{n % 3}") for n in range(7)]
    clickers = Distinct("x", ("item",), "viewer", event="click")
    assert [value(clickers, events, START + at) for at in (0, 1, 2, 9)] == [0, 1, 2, 3]
    assert value(replace(clickers, newest=2), events, START + 9) == 2
    gone = EntityDelete(id="d", time=START + 8, type="member", key="m1")
    assert value(clickers, [*events, gone], START + 9) == 3, "what a deleted member did to an item still happened"
    assert value(clickers, [*events, EntityDelete(id="p", time=START + 8, type="post", key="p0")], START + 9) == 0


def test_hours_since_the_last_event_that_has_a_time() -> None:
    since = TimeSince("x", ("viewer",))
    undated = Impression(id="u", time=START, viewer="m0", item="p0", surface="feed", undated=True)
    assert np.isnan(value(since, [undated], START + HOUR))
    assert value(since, [undated, shown(0, HOUR)], START + 3 * HOUR) == 2
    gone = EntityDelete(id="d", time=START + HOUR, type="member", key="m0")
    assert np.isnan(value(since, [shown(0, HOUR), gone], START + 3 * HOUR))


def test_a_ratio_of_two_windows() -> None:
    trend = Ratio("x", Counted(("item",), window="2h"), Counted(("item",), window="8h"), prior=0.25, strength=4.0)
    events: list[Event] = [shown(n, n * HOUR) for n in range(8)]
    assert value(trend, events, START + 8 * HOUR) == (2 + 1) / (8 + 4)
    assert value(trend, [], START) == 0.25


def test_what_is_expired_or_counted_by_an_attribute_counts_on() -> None:
    """Expiry decides what is shown. A deletion empties the keys that the entity itself is part of, and no other."""
    expired: list[Event] = [made(author="a", created=START), shown(0, 1)]
    by_author, by_item = Count("x", ("item.author",)), Count("y", ("item",))
    after = START + 10 * 24 * HOUR  # of a lifetime of twelve hours
    assert [value(feature, expired, after) for feature in (by_author, by_item)] == [1, 1]
    gone = EntityDelete(id="d", time=START + 5, type="post", key="p0")
    other = EntityUpsert(id="o", time=START, type="post", key="p1", attributes={"author": "a"})
    deleted: list[Event] = [*expired, other, gone]
    assert value(by_item, deleted, after) == 0
    assert value(by_author, deleted, after, item="p1") == 1
