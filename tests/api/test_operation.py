"""A service of two real worker processes, as those see it who keep it running: metrics, keys, logs, slow clients, traces."""

import json
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from fourfold.api.key_file import KeyFile
from fourfold.api.roles import Role
from tests.api.samples import make_home, post, world
from tests.api.servers import TIMEOUT, Server
from tests.api.test_metrics import read, value


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Collector(BaseHTTPRequestHandler):
    """Takes what OpenTelemetry sends."""

    bodies: list[bytes] = []  # noqa: RUF012  # of the one server

    def do_POST(self) -> None:
        """Take a batch of spans."""
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The batches that a service sends from here on, all of its requests sampled."""
    server = HTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    return Collector.bodies


def test_two_workers_are_seen_and_governed_as_one(tmp_path: Path, collector: list[bytes]) -> None:
    home = make_home(tmp_path / "home")
    file = KeyFile(home.path / "keys.json")
    keys = {role: file.create(role, role, 0)[1] for role in Role}
    bearer = {role: {"Authorization": f"Bearer {key}"} for role, key in keys.items()}
    with Server(tmp_path / "home", "feed", workers=2) as server, server.client() as client:
        url = client.base_url
        # Without keeping connections alive, requests reach both workers.
        ask: dict[str, Any] = {"headers": bearer[Role.READ] | {"Connection": "close"}, "timeout": TIMEOUT}
        assert httpx.get(url.join("/v1/surfaces"), timeout=TIMEOUT).status_code == 401
        client.headers.update(bearer[Role.WRITE])
        post(client, world())
        for _ in range(20):
            assert httpx.post(url.join("/v1/feed/recommend"), json={"viewer": "m0"}, **ask).status_code == 200

        def scraped() -> dict[str, float]:
            answer = httpx.get(url.join("/metrics"), headers=bearer[Role.ADMIN], timeout=TIMEOUT)
            assert answer.status_code == 200
            found = read(answer.content)
            route = {"route": "/v1/{surface}/recommend", "surface": "feed", "outcome": "degraded"}
            slates = found.get(("fourfold_request_seconds_count", frozenset(route.items())), 0.0)
            return {
                "slates": slates,
                "workers": value(found, "fourfold_workers"),
                "events": value(found, "fourfold_events_accepted_total"),
                "lag": value(found, "fourfold_log_lag_events", surface="feed"),
            }

        expected = {"slates": 20.0, "workers": 2.0, "events": float(len(world())), "lag": 0.0}
        eventually(lambda: scraped() == expected)
        assert httpx.get(url.join("/metrics"), **ask).status_code == 403

        file.revoke("read")
        asked: list[Callable[[], int]] = [lambda: httpx.get(url.join("/v1/surfaces"), **ask).status_code] * 12
        eventually(lambda: {status() for status in asked} == {401})
        assert client.get("/v1/surfaces").status_code == 200
        eventually(lambda: b"POST /v1/{surface}/recommend" in b"".join(collector))
        assert server.stop() == 0
    text = server.log.read_text()
    assert not [key for key in keys.values() if key in text]
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert {line["caller"].partition("-")[0] for line in requests if "caller" in line} == {"read", "write", "admin"}
    assert b"".join(collector).count(b"m0") == 0, "ids of viewers are in no trace"


def test_bodies_that_trickle_in_hold_up_nobody(tmp_path: Path) -> None:
    make_home(tmp_path / "home")
    with Server(tmp_path / "home", "feed") as server, server.client() as client:
        address = (client.base_url.host, client.base_url.port or 0)
        slow = [socket.create_connection(address) for _ in range(40)]
        for one in slow:
            one.sendall(b"POST /v1/feed/recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
            one.sendall(b"Content-Length: 100\r\n\r\n{")
        for _ in range(5):
            assert client.post("/v1/feed/recommend", json={"viewer": "m0"}).status_code == 200
        for one in slow:
            one.close()
        eventually(lambda: value(read(client.get("/metrics").content), "fourfold_waiting_requests", pool="recommend") == 0)
