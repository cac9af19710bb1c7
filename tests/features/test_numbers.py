"""Feature values by hand, at the edges that random logs seldom meet."""

from dataclasses import replace

import numpy as np

from fourfold.definition import Age, AttributeValue, Count, Feature, Rate, Recommender
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
