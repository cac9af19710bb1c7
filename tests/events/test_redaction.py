"""What is about one entity goes out of events, by a naive rule; a log keeps its offsets, and nothing of the old bytes."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import DefinitionError
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.redaction import Redaction, redact_log
from fourfold.events.types import (
    Action,
    EdgeAdded,
    EdgeRemoved,
    EntityDelete,
    EntityUpsert,
    Event,
    EventKind,
    Impression,
    batch_of,
    events_of,
)
from tests.durable.children import Child
from tests.strategies import MEMBERS, POSTS, START, TINY, logs


def is_about(event: Event, type_: str, key: str) -> bool:
    match event:
        case Impression() | Action():
            if event.surface != "feed":  # No definition says what its viewers and items are.
                return key in (event.viewer, event.item)
            return key == (event.viewer if type_ == "member" else event.item)
        case EntityUpsert() | EntityDelete():
            return (event.type, event.key) == (type_, key)
        case EdgeAdded() | EdgeRemoved():
            return type_ == "member" and key in (event.source, event.target)


def without(event: Event, type_: str, key: str) -> Event:
    if isinstance(event, EntityUpsert) and event.type == "post" and type_ == "member" and event.attributes.get("author") == key:
        return msgspec.structs.replace(event, attributes=event.attributes | {"author": None})
    return event


@given(logs(), st.sampled_from([("member", member) for member in MEMBERS] + [("post", post) for post in POSTS]))
def test_what_is_about_the_entity_is_redacted_and_the_rest_stays(log: list[Event], entity: tuple[str, str]) -> None:
    batch, redaction = batch_of(log, 7), Redaction([TINY], *entity)
    redacted = redaction.redacted(batch)
    gone = [is_about(event, *entity) for event in log]
    assert redaction.about(batch).tolist() == gone
    assert [kind == EventKind.REDACTED for kind in redacted["kind"].to_pylist()] == gone
    assert events_of(redacted) == [without(event, *entity) for event, out in zip(log, gone, strict=True) if not out]
    for name in ("time", "arrival"):
        assert redacted[name].equals(batch[name])
    # Nothing is left to take out, and ids of redacted events say nothing.
    assert not (redaction.about(redacted) | redaction.naming(redacted)).any()
    assert not {event.id for event, out in zip(log, gone, strict=True) if out} & set(redacted["id"].to_pylist()) - {
        event.id for event, out in zip(log, gone, strict=True) if not out
    }


@pytest.mark.parametrize("key", ['a"b', "a\\b", "é", "a/b", "m 1"])
def test_owners_are_found_however_json_writes_them(key: str) -> None:
    upsert = EntityUpsert(id="e", time=START, type="post", key="p", attributes={"author": key, "title": key})
    redacted = Redaction([TINY], "member", key).redacted(batch_of([upsert]))
    assert events_of(redacted) == [without(upsert, "member", key)]


def test_a_type_that_no_definition_has() -> None:
    with pytest.raises(DefinitionError, match="no definition has entities of type 'person'; write one of: member, post"):
        Redaction([TINY], "person", "m0")


def shown(number: int, viewer: str) -> Impression:
    return Impression(id=f"{viewer}/{number}", time=START + number, viewer=viewer, item="p0", surface="feed")


def filled(path: Path) -> list[Event]:
    """A log with dropped events, several stored batches and a consumer."""
    events: list[Event] = [shown(number, f"member-{number % 7}") for number in range(60)]
    with LmdbLog(path) as log:
        for start in range(0, 60, 10):
            log.append(batch_of(events[start : start + 10]), 5)
        log.acknowledge("state-feed", 40)
        log.retain(20)
    return events


def test_a_log_keeps_its_offsets_and_nothing_of_the_old_bytes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    events = filled(path)
    assert b"member-3" in (path / "data.mdb").read_bytes()
    redact_log(path, Redaction([TINY], "member", "member-3").redacted)
    assert b"member-3" not in (path / "data.mdb").read_bytes()
    with LmdbLog(path) as log:
        assert (log.start, log.end, log.consumers()) == (20, 60, {"state-feed": 40})
        found = {offset + row: kind for offset, batch in log.read(20) for row, kind in enumerate(batch["kind"].to_pylist())}
        assert found == {offset: 6 if offset % 7 == 3 else 0 for offset in range(20, 60)}
        kept = [event for _, batch in log.read(20) for event in events_of(batch)]
        assert kept == [event for number, event in enumerate(events) if number >= 20 and number % 7 != 3]
        assert log.append(batch_of([shown(60, "member-1")]), 5) == range(60, 61)
        log.retain(30)
    redact_log(path, Redaction([TINY], "member", "member-1").redacted)
    with LmdbLog(path) as log:
        assert (log.start, log.end) == (30, 61)


def test_nothing_of_a_redacted_event_is_left_beneath_its_nulls(tmp_path: Path) -> None:
    path = tmp_path / "log"
    about: Any = {"viewer": "SECRETVIEWER", "item": "SECRETITEM", "request": "SECRETREQUEST"}
    secret = Impression(id="SECRETID", time=START, surface="feed", position=77, **about)
    follows = EdgeAdded(id="e", time=START, kind="follows", source="m0", target="SECRETVIEWER")
    with LmdbLog(path) as log:
        log.append(batch_of([follows, secret, shown(0, "m1")]), 5)
    redact_log(path, Redaction([TINY], "member", "SECRETVIEWER").redacted)
    assert b"SECRET" not in (path / "data.mdb").read_bytes()
    with LmdbLog(path) as log:
        ((_, batch),) = log.read(0)
    assert batch["kind"].to_pylist() == [6, 6, 0]
    assert (77).to_bytes(4, "little") not in b"".join(bytes(one) for one in batch["position"].buffers() if one is not None)


def test_an_empty_log_and_one_of_which_all_was_dropped(tmp_path: Path) -> None:
    for dropped in (0, 1):
        with LmdbLog(tmp_path / str(dropped)) as log:
            if dropped:
                log.append(batch_of([shown(0, "m0")]), 5)
                log.retain(1)
        redact_log(tmp_path / str(dropped), Redaction([TINY], "member", "m0").redacted)
        with LmdbLog(tmp_path / str(dropped)) as log:
            assert (log.start, log.end) == (dropped, dropped)


PROGRAM = """
import sys, time
from pathlib import Path
from typing import Any
from fourfold.events.redaction import Redaction, redact_log
from tests.strategies import TINY
print("now", flush=True)
def slowly(batch):
    time.sleep(0.01)
    return Redaction([TINY], "member", "member-3").redacted(batch)
redact_log(Path(sys.argv[1]), slowly)
print("done", flush=True)
time.sleep(60)
"""


def test_a_killed_redaction_leaves_the_old_log_or_the_new_one(tmp_path: Path) -> None:
    path, chance = tmp_path / "log", random.Random(5)
    with LmdbLog(path) as log:
        for start in range(0, 60_000, 1_000):
            log.append(batch_of(shown(number, f"member-{number % 7}") for number in range(start, start + 1_000)), 5)
    for _ in range(4):
        with Child(PROGRAM, path) as child:
            assert child.line() == "now"
            child.killed_after(chance.uniform(0.0, 1.2))
        with LmdbLog(path) as log:
            kinds = [kind for _, batch in log.read(0) for kind in batch["kind"].to_pylist()]
        assert len(kinds) == 60_000
        assert kinds.count(6) in (0, sum(number % 7 == 3 for number in range(60_000)))
    redact_log(path, Redaction([TINY], "member", "member-3").redacted)
    assert b"member-3" not in (path / "data.mdb").read_bytes()
