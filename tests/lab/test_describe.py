"""Descriptions by hand, and against a plain Python count on adversarial logs."""

from collections import Counter

import pytest
from hypothesis import given

from fourfold.definition import Action as Declared
from fourfold.definition import Category, Edge, Entity, Number, Recommender
from fourfold.events.types import Action, EdgeAdded, EntityDelete, EntityUpsert, Event, Impression
from fourfold.features.view import NEVER
from fourfold.lab.describe import describe
from fourfold.lab.description import Description
from tests.features.samples import state_of
from tests.strategies import HOUR, START, logs

MINUTE, DAY = 60_000, 24 * HOUR
SMALL = Recommender(
    surface="feed",
    viewer=Entity("member", (Category("country"),)),
    item=Entity("post", (Number("size"),)),
    edges=(Edge("friends", "member", "member", mutual=True),),
    actions=(Declared("click"), Declared("like").worth(1)),
    attribution="1h",
)


def shown(id_: str, viewer: str, item: str, time: int, **more: object) -> Event:
    return Impression(id=id_, viewer=viewer, item=item, time=START + time, surface="feed", **more)  # type: ignore[arg-type]


def did(name: str, viewer: str, item: str, time: int, surface: str = "feed") -> Event:
    return Action(id=f"{name}{viewer}{item}{time}", viewer=viewer, item=item, time=START + time, surface=surface, name=name)


def described(events: list[Event], newest_arrival: int = NEVER, definition: Recommender = SMALL) -> Description:
    return describe(state_of(events, definition).view(), newest_arrival)


BY_HAND: list[Event] = [
    *(EntityUpsert(id=f"m{n}", type="member", key=f"m{n}", time=START - 1, attributes={"country": "dk"}) for n in range(4)),
    *(EntityUpsert(id=f"p{n}", type="post", key=f"p{n}", time=START - 1, attributes={"size": n}) for n in range(5)),
    EntityDelete(id="gone", type="post", key="p4", time=START),
    EdgeAdded(id="edge", kind="friends", source="m0", target="m1", time=START),
    shown("a", "m0", "p0", 0),
    shown("b", "m0", "p1", 10 * MINUTE),
    did("click", "m0", "p1", 12 * MINUTE),
    shown("c", "m0", "p0", 43 * MINUTE),
    shown("d", "m1", "p0", 2 * DAY),
    did("like", "m1", "p0", 2 * DAY + 59 * MINUTE),
    did("click", "m1", "p0", 2 * DAY + 60 * MINUTE),
    did("like", "m2", "p3", 2 * DAY),
]


def test_by_hand() -> None:
    found = described(BY_HAND)
    assert (found.surface, found.definition, found.ignored, found.undated) == ("feed", SMALL.hash, {}, 0)
    assert found.events == {
        "impression": 4,
        "action": 4,
        "upsert of member": 4,
        "upsert of post": 5,
        "delete of post": 1,
        "edge friends": 1,
    }
    assert (found.first, found.last) == (START, START + 2 * DAY + HOUR)
    assert [(day.day, day.impressions, day.actions) for day in found.days] == [
        ("2024-01-01", 3, 1),
        ("2024-01-02", 0, 0),
        ("2024-01-03", 1, 3),
    ]
    rates = [(one.name, one.count, one.impressions, one.rate, one.unprompted) for one in found.actions]
    # The click an hour after its impression is too late to be its outcome.
    assert rates == [("click", 2, 4, 0.25, 0), ("like", 2, 4, 0.25, 1)]


def test_members_and_sessions_by_hand() -> None:
    found = described(BY_HAND)
    assert (found.members.count, found.members.cold) == (4, 1)
    assert found.members.buckets == {"0": 1, "1-5": 3, "6-20": 0, "21+": 0}
    assert (found.members.history["p50"], found.members.history["max"]) == (1.0, 3.0)
    # m0: 0 to 12 and 43; m1: two events 59 minutes apart, then one a minute later; m2: one.
    sessions = found.sessions
    assert [sessions.count, sessions.per_viewer, sessions.impressions] == pytest.approx([5, 5 / 3, 4 / 5])
    assert sessions.minutes == pytest.approx((12 + 0 + 0 + 1 + 0) / 5)


def test_items_and_attributes_by_hand() -> None:
    found = described(BY_HAND)
    assert (found.items.count, found.items.cold, found.items.coverage) == (4, 2, 0.5)
    assert (found.items.top_1, found.items.top_10) == (0.75, 0.75)
    assert (found.items.curve[0], found.items.curve[25], found.items.curve[-1], len(found.items.curve)) == (0, 0.75, 1, 51)
    uses = [(use.entity, use.name, use.kind, use.present, use.distinct) for use in found.attributes]
    assert uses == [("member", "country", "category", 1.0, 1), ("post", "size", "number", 1.0, 4)]


@pytest.mark.parametrize("events", [[], BY_HAND[:9]])
def test_nothing_happened_yet(events: list[Event]) -> None:
    found = described(events)
    assert (found.first, found.last, found.days, found.sessions.count) == (None, None, [], 0)
    assert [one.rate for one in found.actions] == [None, None]
    assert found.items.coverage == (0 if events else 1)
    assert (found.items.top_1, found.items.curve) == (0.0, [0.0] * 51)


def test_undated_impressions_and_their_actions_tell_of_no_day() -> None:
    events = [
        shown("a", "m0", "p0", 0, undated=True, known=["like"]),
        did("like", "m0", "p0", 0),
        shown("b", "m0", "p1", DAY),
        did("click", "m0", "p1", DAY),
    ]
    found = described(events)
    assert (found.undated, found.first, found.last, found.sessions.count) == (1, START + DAY, START + DAY, 1)
    assert [(day.impressions, day.actions) for day in found.days] == [(1, 1)]
    assert [(one.impressions, one.rate) for one in found.actions] == [(1, 1.0), (2, 0.5)]


def test_one_time_that_is_years_off_makes_no_list_of_a_million_days() -> None:
    events = [shown(str(n), "m0", "p0", n * MINUTE) for n in range(2_000)]
    found = described([*events, shown("off", "m0", "p0", 40_000 * DAY)])
    assert [day.day for day in found.days] == ["2024-01-01", "2024-01-02"]
    assert found.last == START + 40_000 * DAY


@given(logs())
def test_counts_of_any_log(log: list[Event]) -> None:
    events = {event.id: event for event in log}.values()
    seen = [e for e in events if isinstance(e, Impression) and e.surface == "feed"]
    done = [e for e in events if isinstance(e, Action) and e.surface == "feed" and e.name in ("click", "like")]
    found = described(log)
    assert (found.events.get("impression", 0), found.events.get("action", 0)) == (len(seen), len(done))
    assert found.undated == sum(e.undated for e in seen)
    first = {(e.viewer, e.item): min(f.time for f in seen if (f.viewer, f.item) == (e.viewer, e.item)) for e in seen}
    unprompted = Counter(e.name for e in done if first.get((e.viewer, e.item), NEVER) > e.time)
    assert {one.name: one.unprompted for one in found.actions} == {name: unprompted[name] for name in ("click", "like")}
    assert sum(day.impressions for day in found.days) == sum(not e.undated for e in seen)
    before = [_latest(e, seen) for e in done]
    least = sum(not any(e.undated for e in last) for last in before)
    most = sum(not last or not all(e.undated for e in last) for last in before)
    assert least <= sum(day.actions for day in found.days) <= most


def _latest(action: Action, seen: list[Impression]) -> list[Impression]:
    """The impressions that an action may belong to: several where they are of one time."""
    earlier = [e for e in seen if (e.viewer, e.item) == (action.viewer, action.item) and e.time <= action.time]
    return [e for e in earlier if e.time == max(e.time for e in earlier)]
