"""A home that has forgotten somebody answers as one that never knew them, and nothing in it names them."""

import json
from pathlib import Path

import numpy as np
import pytest

from fourfold.definition import DefinitionError, Edge, Entity, Recommender, TwoHop
from fourfold.events.types import EdgeAdded, EntityUpsert, Event, Impression, batch_of, events_of
from fourfold.modes.forgetting import Forgetting
from fourfold.modes.home import Home, HomeError
from fourfold.modes.online import Online
from fourfold.pipeline.slate import Request, Slate
from fourfold.training.item_to_item import Similarities, save
from tests.api.servers import Server
from tests.durable.children import Child
from tests.modes.samples import MADE, SMALL, made_home
from tests.training.test_registry import manifest_of

MEMBER = "m3"
BUDGET = '[feed]\nclock = "log"\nbudget_ms = 60000'


def answers(home: Home) -> list[Slate]:
    online = Online(home, "feed")
    time = MADE.end + 1
    return [online.recommend(Request(viewer=f"m{number}", time=time)) for number in range(12)]


def told(slate: Slate) -> list[tuple[str, float, str]]:
    return [(item.item, item.score, item.reason) for item in slate.items]


def never_known(path: Path) -> Home:
    """The same world as if the member had never been in it."""
    home = Home(path)
    home.define(SMALL)
    home.deploy(BUDGET)

    def kept(event: Event) -> bool:
        names = {getattr(event, field, None) for field in ("viewer", "key", "source", "target")}
        return MEMBER not in names

    def disowned(event: Event) -> Event:
        if isinstance(event, EntityUpsert) and event.attributes.get("author") == MEMBER:
            return EntityUpsert(
                id=event.id, time=event.time, type=event.type, key=event.key, attributes=event.attributes | {"author": None}
            )
        return event

    home.log.append(batch_of(disowned(event) for event in events_of(MADE.events) if kept(event)), None)
    return home


def test_slates_are_those_of_a_home_that_never_knew_the_member(tmp_path: Path) -> None:
    with made_home(tmp_path / "home", BUDGET) as home:
        with Online(home, "feed", commits=True):
            pass
        (tmp_path / "home" / "rejected").mkdir()
        rows = [{"file": "f", "row": n, "reason": "r", "raw": {"user": user, "n": 3}} for n, user in enumerate(["m3", "m31"])]
        (tmp_path / "home" / "rejected" / "feed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    home = Home(tmp_path / "home")
    forgetting = Forgetting(home, "member", MEMBER)
    assert {one.place for one in forgetting.remains()} == {"log", "state of feed", "rejected/feed.jsonl"}
    forgetting.forget()
    assert list(forgetting.remains()) == []
    assert [row["raw"]["user"] for row in map(json.loads, (home.rejected / "feed.jsonl").read_text().splitlines())] == ["m31"]
    assert not home.training.exists() or not list(home.training.iterdir())
    with home, never_known(tmp_path / "other") as other:
        assert list(map(told, answers(home))) == list(map(told, answers(other)))
        assert any(said.stage == "viewer" for said in answers(home)[3].degradations), "m3 is a stranger now"
        # A member who comes back is a new one.
        home.log.append(batch_of([Impression(id="back", time=MADE.end, viewer=MEMBER, item="p1", surface="feed")]), 1)
    assert [one.place for one in Forgetting(home, "member", MEMBER).remains()] == ["log"]


def test_what_an_ended_process_left_is_listed_and_removed(tmp_path: Path) -> None:
    made_home(tmp_path / "home", BUDGET).close()
    for left in (".log.0a1b2c.tmp", "state/.feed.0a1b2c.tmp"):
        (tmp_path / "home" / left).mkdir(parents=True)
        (tmp_path / "home" / left / "data.mdb").write_bytes(MEMBER.encode())
    forgetting = Forgetting(Home(tmp_path / "home"), "member", MEMBER)
    assert {one.place for one in forgetting.remains()} == {"log", ".log.0a1b2c.tmp", "state/.feed.0a1b2c.tmp"}
    forgetting.forget()
    assert list(forgetting.remains()) == []
    assert not list((tmp_path / "home").glob("**/*.tmp"))


def test_nothing_is_forgotten_while_somebody_uses_the_home(tmp_path: Path) -> None:
    made_home(tmp_path / "home", BUDGET).close()
    home = Home(tmp_path / "home")
    with Server(tmp_path / "home", "feed") as server, server.client():
        with pytest.raises(HomeError, match="it is in use: stop the service"):
            Forgetting(home, "member", MEMBER).forget()
        assert server.stop() == 0
    assert [one.place for one in Forgetting(home, "member", MEMBER).remains()] == ["log", "state of feed"]
    Forgetting(home, "member", MEMBER).forget()
    assert list(Forgetting(home, "member", MEMBER).remains()) == []


PROGRAM = """
import sys, time
from pathlib import Path
from fourfold.modes.home import Home
with Home(Path(sys.argv[1])).alone():
    print("alone", flush=True)
    time.sleep(60)
"""


def test_nobody_opens_a_home_that_somebody_has_for_themselves(tmp_path: Path) -> None:
    made_home(tmp_path / "home").close()
    with Child(PROGRAM, tmp_path / "home") as child:
        assert child.line() == "alone"
        with pytest.raises(HomeError, match="`fourfold data forget` is at work in it; try again"):
            Home(tmp_path / "home").log  # noqa: B018  # opening is what fails
    with Home(tmp_path / "home") as home:
        assert home.log.end > 0


def test_a_type_that_is_not_there(tmp_path: Path) -> None:
    home = made_home(tmp_path / "home")
    home.close()
    with pytest.raises(DefinitionError, match="no definition has entities of type 'person'"):
        Forgetting(home, "person", MEMBER)


def test_versions_whose_table_lists_the_entity_are_named(tmp_path: Path) -> None:
    """Members are recommended to members: an item-to-item table names them."""
    home = Home(tmp_path / "home")
    member = Entity("member")
    follows = Edge("follows", "member", "member")
    definition = Recommender(surface="pymk", viewer=member, item=member, edges=(follows,), sources=(TwoHop(),))
    home.define(definition)
    home.log.append(batch_of([EdgeAdded(id="e", time=1, kind="follows", source="a", target="b")]), 1)
    consumer = home.consumer("pymk")
    consumer.catch_up()
    table = Similarities(np.arange(2), np.zeros((2, 1), np.int32), np.ones((2, 1), np.float32))
    home.registry.publish(manifest_of(definition), lambda folder: save(consumer.state.view(), table, folder))
    home.close()
    forgetting = Forgetting(home, "member", "b")
    forgetting.forget()
    (left,) = forgetting.remains()
    assert (left.place, left.advice) == ("model pymk v1", "train pymk again, and remove v1 with `fourfold models prune`")
    assert not list(Forgetting(home, "member", "c").remains())
