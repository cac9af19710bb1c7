"""Each suspicion is raised by what it is about and by nothing else."""

from collections.abc import Sequence

import pytest

from fourfold.events.types import Action, EntityUpsert, Event, Impression
from fourfold.features.view import NEVER
from fourfold.lab.describe import describe
from fourfold.lab.description import Suspicion
from tests.features.samples import state_of
from tests.lab.test_describe import DAY, MINUTE, SMALL, did, shown
from tests.strategies import START

SOUND: list[Event] = [
    *(
        EntityUpsert(id=f"m{n}", type="member", key=f"m{n}", time=START - 1, attributes={"country": "dkfr"[n % 2 :]})
        for n in range(40)
    ),
    *(EntityUpsert(id=f"p{n}", type="post", key=f"p{n}", time=START - 1, attributes={"size": n}) for n in range(3)),
    *(shown(f"s{n}{item}", f"m{n}", f"p{item}", 2_000 * (3 * n + item)) for n in range(40) for item in range(3)),
    did("click", "m0", "p0", MINUTE),
    did("like", "m1", "p1", MINUTE),
]


def suspected(*events: Event, newest_arrival: int = NEVER, log: Sequence[Event] = SOUND) -> list[Suspicion]:
    return describe(state_of([*log, *events], SMALL).view(), newest_arrival).suspicious


def told(*events: Event, newest_arrival: int = NEVER, log: Sequence[Event] = SOUND) -> list[tuple[str, int, list[str]]]:
    return [(one.what, one.count, one.examples) for one in suspected(*events, newest_arrival=newest_arrival, log=log)]


def test_a_sound_log_is_not_suspicious() -> None:
    assert suspected() == []
    assert suspected(log=[]) == [
        Suspicion(
            what="attributes that nine of ten entities lack",
            count=2,
            share=1.0,
            examples=["member.country", "post.size"],
            meaning="named otherwise in the data, or not imported",
        )
    ]


def test_later_than_the_newest_arrival() -> None:
    events = [shown("x", "m3", "p0", DAY), did("like", "m3", "p0", DAY), shown("y", "m4", "p0", DAY - 1)]
    found = told(*events, newest_arrival=START + DAY - 1)
    assert found == [("impressions or actions later than the newest arrival", 2, ["m3"])]


@pytest.mark.parametrize(
    ("time", "more", "count"), [(6_999, {}, 1), (7_000, {}, 0), (5_999, {}, 0), (6_999, {"request": "r"}, 0)]
)
def test_within_a_second(time: int, more: dict[str, object], count: int) -> None:
    found = told(shown("again", "m1", "p0", time, **more))
    assert found == [("repeated impressions of an item within a request or second", 1, ["m1 saw p0"])][:count]


def test_within_a_request_however_long_and_not_across_viewers() -> None:
    events = [
        shown("a", "m1", "p0", DAY, request="r"),
        shown("b", "m1", "p0", DAY + 9 * MINUTE, request="r"),
        shown("c", "m2", "p0", DAY, request="r"),
        shown("d", "m1", "p1", DAY, request="r"),
    ]
    assert [(what, count) for what, count, _ in told(*events)] == [
        ("repeated impressions of an item within a request or second", 1)
    ]


def test_undated_impressions_are_not_repeated() -> None:
    assert told(*(shown(f"u{n}", "m1", "p2", -DAY, undated=True) for n in range(3))) == []


def test_items_that_were_never_shown() -> None:
    event = EntityUpsert(id="new", type="post", key="p9", time=START, attributes={"size": 1})
    assert told(event) == [("items that were never shown", 1, ["p9"])]


def test_actions_before_their_impression() -> None:
    found = suspected(did("click", "m5", "p0", 0), did("like", "m5", "p0", 0), did("like", "m6", "p0", 0))
    assert [(one.what, one.count, one.share, one.examples) for one in found] == [
        ("actions on items that the viewer was not shown before", 3, 3 / 5, ["1 click", "2 like"])
    ]


def test_one_member_with_a_tenth_of_all_events() -> None:
    # Of 122 events m7 has 3.
    likes = [did("like", "m7", "p0", 10 * MINUTE + n) for n in range(11)]
    assert told(*likes) == [("members with 10% or more of all events", 1, ["m7"])]
    assert told(*likes[1:]) == []


def test_with_few_members_somebody_always_has_a_tenth() -> None:
    log = [event for event in SOUND if not isinstance(event, Impression | Action) or event.viewer < "m1"]
    assert [what for what, _, _ in told(log=log)] == ["actions that were never taken"]


def test_actions_never_and_always_taken() -> None:
    never = [event for event in SOUND if not isinstance(event, Action)]
    assert told(log=never) == [("actions that were never taken", 2, ["click", "like"])]
    always = [did("like", f"m{n}", f"p{item}", MINUTE * 9) for n in range(40) for item in range(3)]
    assert ("actions that were always taken", 1, ["like"]) in told(*always)


def test_attributes_with_one_value_or_hardly_any() -> None:
    bare = [e for e in SOUND if not isinstance(e, EntityUpsert)]
    upserts = [EntityUpsert(id=f"m{n}", type="member", key=f"m{n}", time=START - 1) for n in range(40)]
    sizes = [EntityUpsert(id=f"p{n}", type="post", key=f"p{n}", time=START - 1, attributes={"size": 7}) for n in range(3)]
    assert told(log=[*upserts, *sizes, *bare]) == [
        ("attributes that nine of ten entities lack", 1, ["member.country"]),
        ("attributes with one value only", 1, ["post.size"]),
    ]


def test_what_the_definition_does_not_declare() -> None:
    found = told(did("lke", "m0", "p0", MINUTE), did("like", "m0", "p0", MINUTE, surface="fed"))
    assert found == [("events or values that the definition does not declare", 2, ["2 action of another definition"])]
