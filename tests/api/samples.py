"""A small home with two surfaces, events for it as clients write them, and clients of a service inside the test's process."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from fourfold.api.app import create_app
from fourfold.definition import Action, Category, Edge, Entity, Moment, Number, Text
from fourfold.events.types import events_of
from fourfold.modes.home import Home
from fourfold.surfaces import feed, pymk
from tests.api.client import Client, client_of

Json = dict[str, Any]

MEMBER = Entity("member", (Category("country"),))
POST = Entity(
    "post",
    (Text("title"), Category("author"), Category("topics", many=True), Number("size"), Moment("created")),
    title="title",
    owner="author",
)
FEED = feed(
    viewer=MEMBER,
    item=POST,
    actions=(Action("click").worth(1), Action("like").worth(4), Action("hide").worth(-20)),
    edges=(Edge("follows", "member", "member"), Edge("blocks", "member", "member")),
    context=(Category("tab"),),
    retrieval=None,
    ranker=None,
)
PYMK = pymk(member=MEMBER)
POSTS, HOUR = 12, 3_600_000
START = 1_767_225_600_000
"""The beginning of 2026: after it, and before now, everything in these tests happens."""


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def entity(kind: str, key: str, at: int = START, **attributes: object) -> Json:
    """An upsert."""
    return {
        "event": "entity_upsert",
        "id": f"{kind}-{key}-{at}",
        "time": at,
        "type": kind,
        "key": key,
        "attributes": attributes,
    }


def action(viewer: str, item: str, name: str = "like", surface: str = "feed", at: int | None = None) -> Json:
    """An action, now unless said otherwise."""
    at = now() if at is None else at
    event = {"event": "action", "id": f"{name}-{viewer}-{item}-{at}", "time": at, "surface": surface}
    return event | {"viewer": viewer, "item": item, "name": name}


def impression(viewer: str, item: str, at: int | None = None) -> Json:
    """An impression in the feed, now unless said otherwise."""
    at = now() if at is None else at
    event = {"event": "impression", "id": f"shown-{viewer}-{item}-{at}", "time": at, "surface": "feed"}
    return event | {"viewer": viewer, "item": item}


def edge(source: str, target: str, kind: str = "follows", event: str = "edge_added", at: int | None = None) -> Json:
    """An edge, now unless said otherwise."""
    at = now() if at is None else at
    return {"event": event, "id": f"{event}-{kind}-{source}-{target}-{at}", "time": at} | {
        "kind": kind,
        "source": source,
        "target": target,
    }


def world() -> list[Json]:
    """Members m0 to m5 in a ring of follows, posts p0 to p11 (each author has two), all of them liked by m5 an hour ago."""
    members = [entity("member", f"m{number}", country="dk") for number in range(6)]
    posts = [entity("post", f"p{number}", title=f"post {number}", author=f"m{number % 6}") for number in range(POSTS)]
    ring = [edge(f"m{number}", f"m{(number + 1) % 6}", at=START + 1) for number in range(6)]
    likes = [action("m5", f"p{number}", at=now() - HOUR) for number in range(POSTS)]
    return [*members, *posts, *ring, *likes]


def make_home(path: Path, deployment: str = "") -> Home:
    """A home with both definitions and an empty log."""
    home = Home(path)
    home.define(FEED)
    home.define(PYMK)
    if deployment:
        home.deploy(deployment)
    return home


@contextmanager
def service(home: Home, surfaces: Sequence[str] = ("feed", "pymk"), **options: Any) -> Iterator[Client]:
    """A client of a service in this process, its state caught up with the log."""
    app = create_app(home, surfaces, **{"follow_seconds": 0.05, **options})
    with home, client_of(app) as client:
        deadline = time.monotonic() + 10
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield client


def post(client: Any, events: object, status: int = 202) -> Json:
    """Post events and take the answer, which must have this status."""
    answer = client.post("/v1/events", json=events)
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


def slate(client: Any, viewer: str, surface: str = "feed", **request: object) -> list[str]:
    """The ids of a slate."""
    answer = client.post(f"/v1/{surface}/recommend", json={"viewer": viewer, "size": 50, **request})
    assert answer.status_code == 200, answer.text
    return [item["item"] for item in answer.json()["items"]]


def logged(home: Home) -> list[str]:
    """The ids of all events in a home's log, in order."""
    batches: list[pa.RecordBatch] = [batch for _, batch in home.log.read(home.log.start)]
    return [event.id for batch in batches for event in events_of(batch)]
