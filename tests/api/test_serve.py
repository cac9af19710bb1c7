"""Real server processes: what was acknowledged survives SIGKILL and is in the next slate; what cannot be served says why."""

import json
import random
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from fourfold.api.serve import ServeError, serve
from fourfold.definition import DCNv2, DefinitionError
from fourfold.modes.home import Home, HomeError
from fourfold.stores.consumer import ConsumerStore
from fourfold.surfaces import feed
from fourfold.training.manifest import Manifest, TrainingData
from fourfold.training.registry import DefinitionMismatch
from tests.api.samples import FEED, PYMK, action, edge, impression, logged, make_home, post, service, slate, world
from tests.api.servers import Server

KEY = "k" * 32


def test_the_main_flow_on_a_real_server(tmp_path: Path) -> None:
    make_home(tmp_path / "home")
    with Server(tmp_path / "home", "feed,pymk", KEY) as server, server.client() as client:
        assert client.get("/v1/surfaces").status_code == 401
        client.headers["Authorization"] = f"Bearer {KEY}"
        assert client.get("/v1/surfaces").json() == {"surfaces": ["feed", "pymk"]}
        accepted = post(client, world())
        assert accepted["offset"] == len(world())
        assert len(slate(client, "m0")) == 10
        post(client, [action("m0", "p3", "hide"), edge("m0", "m4", "blocks"), impression("m0", "p5")])
        assert not {"p3", "p4", "p10", "p5"} & set(slate(client, "m0"))
        assert "m4" not in slate(client, "m0", "pymk")
        answer = client.post("/v1/feed/recommend", content=b"{", headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert "server" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        offset = post(client, impression("m0", "p6"))["offset"]
        assert server.stop(signal.SIGTERM) == 0
    for surface in ("feed", "pymk"):
        with ConsumerStore(tmp_path / "home" / "state" / surface) as store:
            assert store.offset == offset, "the state was not committed at shutdown"
    assert KEY not in server.log.read_text()
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if '"event": "request"' in line]
    assert {("POST", "/v1/events", 202), ("POST", "/v1/{surface}/recommend", 400)} <= {
        (line["method"], line["route"], line["status"]) for line in lines
    }


def post_until_dead(client: httpx.Client, run: int, worker: int, told: list[str]) -> None:
    """Post hides, note those that were acknowledged, and end when the server does."""
    turn = 0
    while True:
        batch = [action(f"v{worker}", f"p{(turn + n) % 12}", "hide") for n in range(turn % 3 + 1)]
        batch = [event | {"id": f"{run}-{worker}-{turn}-{n}"} for n, event in enumerate(batch)]
        try:
            answer = client.post("/v1/events", json=batch)
        except httpx.HTTPError:
            return
        assert answer.status_code == 202
        told += [event["id"] for event in batch]
        turn += 1


def test_acknowledged_events_survive_kills_and_are_in_the_next_slate(tmp_path: Path) -> None:
    home, chance, told = make_home(tmp_path / "home"), random.Random(11), list[str]()
    for run in range(3):
        with Server(tmp_path / "home") as server, server.client() as client:
            if run == 0:
                post(client, world())
            for hidden in range(run):
                assert f"p{hidden}" not in slate(client, "x"), "hidden before the kill"
            post(client, action("x", f"p{run}", "hide"))
            threads = [threading.Thread(target=post_until_dead, args=(client, run, worker, told)) for worker in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.1, 1.3))
            server.kill()
            for thread in threads:
                thread.join()
    with service(home) as survivor:
        ids = logged(home)
        assert len(told) > 30
        assert not set(told) - set(ids)
        assert not {"p0", "p1", "p2"} & set(slate(survivor, "x"))
        assert survivor.get("/v1/feed/status").json()["lag"] == 0
        assert survivor.post("/v1/feed/recommend", json={"viewer": "v0"}).json()["trace"]["offset"] == len(ids)


def test_two_servers_of_one_home_agree_and_one_goes_on_without_committing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = make_home(tmp_path / "home")
    with Server(tmp_path / "home", "feed") as server, server.client() as first:
        with service(home, ["feed"]) as second:
            post(first, world())
            assert slate(second, "m0") == slate(first, "m0")
            deadline = time.monotonic() + 20
            while all(client.get("/v1/feed/status").json()["commits"] for client in (first, second)):
                post(second, impression("y", "p0"))
                assert time.monotonic() < deadline
                time.sleep(0.1)
            post(first, action("m0", "p1", "hide"))
            assert "p1" not in slate(second, "m0")
            post(second, action("m0", "p2", "hide"))
            assert "p2" not in slate(first, "m0")
        assert server.stop(signal.SIGINT) == 0
    logs = server.log.read_text() + caplog.text
    assert logs.count("another process commits its state") == 1
    assert "Traceback" not in logs


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_other_hosts_need_keys(tmp_path: Path, host: str) -> None:
    with pytest.raises(ServeError, match=r"set FOURFOLD_API_KEYS or pass --api-key-file, or serve on 127\.0\.0\.1"):
        serve(make_home(tmp_path / "home"), ["feed"], host, 0)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with make_home(tmp_path / "home") as home, pytest.raises(ServeError, match=f"port {port} .*another with --port"):
            serve(home, ["feed"], port=port)


def test_an_unknown_surface_is_named(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="no surface 'fed'; it has one of: feed, pymk"):
        serve(make_home(tmp_path / "home"), ["fed"])
    (tmp_path / "home" / "definitions" / "feed.json").write_text("{")
    with pytest.raises(DefinitionError, match=r"feed\.json"):
        serve(Home(tmp_path / "home"), ["feed"])


def test_a_model_of_another_definition_is_not_served(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    other = feed(viewer=FEED.viewer, item=FEED.item, actions=FEED.actions, edges=FEED.edges, retrieval=None, ranker=DCNv2())
    manifest = Manifest(
        surface="feed",
        kind="dcnv2",
        created=0,
        definition_hash=other.hash,
        trained_hash=other.trained_hash,
        definition=other.to_dict(),
        data=TrainingData(events=0, first=0, last=0, offset=0),
        seed=0,
        code="0",
    )
    home.registry.promote("feed", home.registry.publish(manifest, lambda folder: None))
    with pytest.raises(DefinitionMismatch, match=r"(?s)trained for another definition.*ranker: .*-> null.*train it again"):
        serve(home, [PYMK.surface, "feed"], port=0)
