"""What an event may speak of: every declaration has an event that breaks it, and the answer says where and what to write."""

import msgspec
import pytest

from fourfold.api.errors import ApiError
from fourfold.api.rules import EARLIEST, EventRules, check_time
from fourfold.definition import Action, Category, Entity, Recommender, Text
from fourfold.events.types import Event
from tests.api.samples import FEED, PYMK, START, Json, action, edge, entity, impression

RULES = EventRules([FEED, PYMK])
DAY = 86_400_000


def checked(*events: Json, rules: EventRules = RULES, now: int = START) -> None:
    rules.check([msgspec.convert(event, Event) for event in events], now)


def refusal(*events: Json, rules: EventRules = RULES, now: int = START) -> ApiError:
    with pytest.raises(ApiError) as caught:
        checked(*events, rules=rules, now=now)
    assert caught.value.status == 422
    return caught.value


def test_what_is_declared_is_taken() -> None:
    full = entity("post", "p", title="t", author="a", topics=["x", "y"], size=-1.5, created=START)
    clear = entity("post", "p", title=None, author=None, topics=None, size=None, created=None)
    delete = {"event": "entity_delete", "id": "d", "time": START, "type": "member", "key": "m"}
    checked(full, clear, delete, entity("member", "m", country="dk"), impression("m", "p", START))
    checked(edge("a", "b", at=START), edge("a", "b", "blocks", "edge_removed", START), action("m", "p", at=START))
    checked(action("m", "n", "connect", "pymk", START))
    checked(impression("m", "p", START) | {"context": {"tab": 1}, "known": ["like"], "undated": True})


@pytest.mark.parametrize(
    ("event", "field", "write"),
    [
        (impression("m", "p", START) | {"surface": "fed"}, "surface", "one of: feed, pymk"),
        (action("m", "p", surface="fed", at=START), "surface", "one of: feed, pymk"),
        (action("m", "p", "lick", at=START), "name", "one of: click, hide, like"),
        (action("m", "p", "connect", at=START), "name", "one of: click, hide, like"),
        (impression("m", "p", START) | {"context": {"tub": "home"}}, "context", "one of: tab"),
        (action("m", "p", at=START) | {"context": {"tub": "home"}}, "context", "one of: tab"),
        (impression("m", "p", START) | {"known": ["like", "lick"]}, "known", "one of: click, hide, like"),
        (entity("pst", "p"), "type", "one of: member, post"),
        (entity("pst", "p") | {"event": "entity_upsert"}, "type", "one of: member, post"),
        (edge("a", "b", "follow", at=START), "kind", "one of: blocks, follows"),
        (edge("a", "b", "follow", "edge_removed", START), "kind", "one of: blocks, follows"),
        (entity("post", "p", titel="t"), "attributes", "one of: author, created, size, title, topics"),
        (entity("member", "m", title="t"), "attributes", "one of: country"),
    ],
)
def test_what_is_not_declared_is_refused(event: Json, field: str, write: str) -> None:
    error = refusal(impression("m", "p", START), event)
    assert error.error.startswith(f"events[1].{field}: ")
    assert error.write == write


def test_a_deleted_type_is_checked_too() -> None:
    delete = {"event": "entity_delete", "id": "d", "time": START, "type": "pst", "key": "p"}
    assert refusal(delete).error == "events[0].type: 'pst' is not declared"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("title", value) for value in (1, True, ["a"], 1.5)],
        *[("author", value) for value in (1, ["a"], False, "a\x1fb", "a\n")],
        *[("topics", value) for value in ("a", 1, ["a\x1fb"])],
        *[("size", value) for value in ("1", True, ["1"], 10**400, -(10**301))],
        *[("created", value) for value in ("2026", True, 1.5, -(1 << 52), 1 << 52, 10**400)],
    ],
)
def test_a_value_must_fit_its_attribute(name: str, value: object) -> None:
    error = refusal(entity("post", "p") | {"attributes": {name: value}})
    assert error.error.startswith(f"events[0].attributes.{name}: ")
    assert error.write.endswith("or null")
    assert len(error.error) < 200


def test_a_value_must_fit_every_definition_that_declares_it() -> None:
    other = Recommender(
        surface="home", viewer=Entity("member"), item=Entity("post", (Category("title"),)), actions=(Action("x"),)
    )
    many = Recommender(surface="page", viewer=Entity("member"), item=Entity("post", (Category("title", many=True),)))
    text = Recommender(surface="best", viewer=Entity("member"), item=Entity("post", (Text("title"),)))
    checked(entity("post", "p", title="t"), rules=EventRules([text, other]))
    refusal(entity("post", "p", title="t"), rules=EventRules([text, many]))
    refusal(entity("post", "p", title=["t"]), rules=EventRules([text, many]))


@pytest.mark.parametrize("field", ["id", "viewer", "item", "request"])
@pytest.mark.parametrize("character", ["\x00", "\n", "\x1b", "\x7f", "\x85"])
def test_ids_hold_no_control_characters(field: str, character: str) -> None:
    error = refusal(impression("m", "p", START) | {field: f"a{character}b"})
    assert error.error == f"events[0].{field}: it holds a control character"


def test_a_time_is_at_most_a_day_ahead() -> None:
    assert check_time(START + DAY, START) is None
    assert check_time(EARLIEST, START) is None
    assert "before 1980" in refusal(impression("m", "p", START // 1_000)).error
    assert "events[0].time" in refusal(impression("m", "p", START + DAY + 1)).error
    assert "not microseconds" in refusal(impression("m", "p", START * 1_000)).write
