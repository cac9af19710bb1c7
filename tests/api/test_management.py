"""What operators see: surfaces, definitions, status, reloads and readiness."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.api.app import create_app
from fourfold.definition import Action, Recommender
from fourfold.features.consumer import StateConsumer
from fourfold.modes.home import Home
from fourfold.training.manifest import Manifest, TrainingData
from tests.api.client import Client, client_of
from tests.api.samples import FEED, PYMK, entity, impression, make_home, now, post, service, world


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home")


@pytest.fixture
def client(home: Home) -> Iterator[Client]:
    with service(home) as made:
        yield made


def publish(home: Home, definition: Recommender) -> str:
    """A version without any model files, as a recommender of sources alone has it; promoted."""
    manifest = Manifest(
        surface=definition.surface,
        kind="sources",
        created=0,
        definition_hash=definition.hash,
        trained_hash=definition.trained_hash,
        definition=definition.to_dict(),
        data=TrainingData(events=0, first=0, last=0, offset=0),
        seed=0,
        code="0",
    )
    version = home.registry.publish(manifest, lambda folder: None)
    home.registry.promote(definition.surface, version)
    return version


def test_surfaces_and_definitions(client: Client) -> None:
    assert client.get("/v1/surfaces").json() == {"surfaces": ["feed", "pymk"]}
    found = client.get("/v1/pymk/definition").json()
    assert (found["surface"], found["hash"]) == ("pymk", PYMK.hash)
    assert Recommender.from_dict(found["definition"]) == PYMK


def test_status_counts_and_lag(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = client.get("/v1/feed/status").json()
    assert (empty["offset"], empty["lag"], empty["newest_event"], empty["entities"]) == (0, 0, None, {"member": 0, "post": 0})
    newest = now()
    post(client, [*world(), impression("m0", "p0", newest)])
    client.post("/v1/feed/recommend", json={"viewer": "m0"})
    client.post("/v1/pymk/recommend", json={"viewer": "m0"})
    found = client.get("/v1/feed/status").json()
    events = len(world()) + 1
    assert found == empty | {
        "offset": events,
        "log_end": events,
        "entities": {"member": 6, "post": 12},
        "newest_event": newest,
    }
    assert (found["ready"], found["commits"], found["mode"], found["definition"]) == (True, True, "online", FEED.hash)
    assert client.get("/v1/pymk/status").json()["ignored"] == {
        "entity_upsert of another definition": 12,
        "action of another definition": 12,
        "impression of another definition": 1,
    }
    monkeypatch.setattr(StateConsumer, "catch_up", lambda *_: 0)
    post(client, entity("post", "late"))
    late = client.get("/v1/feed/status").json()
    assert (late["offset"], late["log_end"], late["lag"]) == (events, events + 1, 1)


def test_a_promoted_version_serves_after_reload(home: Home) -> None:
    with service(home, follow_seconds=600.0) as client:
        assert client.post("/v1/feed/reload").json() == {"surface": "feed", "model": None, "changed": False}
        version = publish(home, FEED)
        assert client.post("/v1/feed/reload").json() == {"surface": "feed", "model": version, "changed": True}
        assert client.post("/v1/feed/reload").json()["changed"] is False
        assert client.post("/v1/feed/recommend", json={"viewer": "m0"}).json()["model"] == version
        assert client.get("/v1/feed/status").json()["model"] == version


def test_a_version_that_does_not_fit_is_refused_and_the_old_one_serves(home: Home) -> None:
    with service(home, follow_seconds=600.0) as client:
        version = publish(home, FEED)
        client.post("/v1/feed/reload")
        data = FEED.to_dict()
        data["actions"] = [*data["actions"], {"name": "share", "utility": 1.0, "passive": False}]
        other = Recommender.from_dict(data)
        assert Action("share").worth(1) in other.actions
        publish(home, other)
        answer = client.post("/v1/feed/reload")
        assert answer.status_code == 409
        assert "share" in answer.json()["error"]
        assert client.post("/v1/feed/recommend", json={"viewer": "m0"}).json()["model"] == version


@pytest.mark.parametrize("path", ["definition", "status", "reload"])
def test_unknown_surfaces_are_404(client: Client, path: str) -> None:
    answer = client.request("POST" if path == "reload" else "GET", f"/v1/fed/{path}")
    assert answer.status_code == 404
    assert answer.json()["write"] == "one of: feed, pymk"


def test_readiness_waits_for_the_state(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, original = threading.Event(), StateConsumer.catch_up

    def slow(consumer: StateConsumer, *arguments: object) -> int:
        assert go_on.wait(10)
        return original(consumer)

    seen = []

    def ask(client: Client) -> None:
        answer = client.get("/readyz")
        seen.append((answer.status_code, answer.json()))
        seen.append((client.get("/healthz").status_code, {}))
        go_on.set()

    monkeypatch.setattr(StateConsumer, "catch_up", slow)
    with home, client_of(create_app(home, ["feed", "pymk"])) as client:
        ask(client)
    assert seen == [(503, {"status": "waiting", "waiting": ["feed", "pymk"]}), (200, {})]
