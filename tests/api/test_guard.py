"""The door: keys, hosts, headers, the log line, and failures of the code."""

import logging
import re
from collections.abc import Iterator

import pytest

import fourfold.modes.online as online
from fourfold.api.app import create_app
from fourfold.modes.home import Home
from tests.api.client import Client, client_of
from tests.api.samples import make_home, service

KEY, OTHER = "k" * 32, "o" * 32
ROUTES = [
    ("GET", "/v1/surfaces"),
    ("GET", "/v1/feed/definition"),
    ("GET", "/v1/feed/status"),
    ("POST", "/v1/feed/reload"),
    ("POST", "/v1/feed/recommend"),
    ("POST", "/v1/events"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing"),
    ("GET", "/healthz/"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("guard") / "home")


@pytest.fixture(scope="module")
def client(home: Home) -> Iterator[Client]:
    with service(home, keys=[KEY, OTHER]) as made:
        yield made


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with service(make_home(tmp_path_factory.mktemp("keyless") / "home")) as made:
        yield made


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_needs_a_key(client: Client, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Basic {KEY}"}, {"X-Api-Key": KEY}):
        answer = client.request(method, path, headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer KEY" in answer.json()["write"]
    for key in (KEY, OTHER):
        assert client.request(method, path, headers={"Authorization": f"Bearer {key}"}).status_code != 401


def test_two_authorization_headers_are_one_too_many(client: Client) -> None:
    headers = [("Authorization", f"Bearer {KEY}"), ("Authorization", "Bearer x")]
    assert client.get("/v1/surfaces", headers=headers).status_code == 401


def test_orchestrators_need_no_key(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive", "waiting": []}
    assert client.get("/readyz").json() == {"status": "ready", "waiting": []}
    assert client.get("/healthz", headers={"Host": "10.1.2.3:8000"}).status_code == 200


def test_without_keys_only_this_machine_is_served(keyless: Client) -> None:
    for host in ("127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:80"):
        assert keyless.get("/v1/surfaces", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil", ""):
        answer = keyless.get("/v1/surfaces", headers={"Host": host})
        assert answer.status_code == 421, host
        assert "FOURFOLD_API_KEYS" in answer.json()["write"]


def test_with_keys_any_name_is_served(client: Client) -> None:
    headers = {"Host": "recommender.internal", "Authorization": f"Bearer {KEY}"}
    assert client.get("/v1/surfaces", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/v1/surfaces", "/nothing", "/v1/events", "/v1/feed/status"])
def test_answers_carry_security_headers_and_no_cors(keyless: Client, path: str) -> None:
    headers = keyless.get(path, headers={"Origin": "https://evil.example"}).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not [name for name in headers if name.startswith("access-control")]


def test_each_request_is_one_line_without_secrets(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "X-Request-Id": "abc-1"}
    with caplog.at_level(logging.INFO):
        answer = client.post("/v1/feed/recommend", json={"viewer": "secret-viewer"}, headers=headers)
        client.get("/v1/sneaky%0Aline/status", headers=headers)
        client.get("/not/there", headers={"Authorization": f"Bearer {KEY}", "X-Request-Id": "a\tb"})
    assert answer.headers["X-Request-Id"] == "abc-1"
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert len(lines) == 3
    assert re.fullmatch(r"method=POST route=/v1/\{surface\}/recommend status=200 ms=\d+\.\d request_id=abc-1", lines[0]), lines[
        0
    ]
    assert lines[1].startswith("method=GET route=/v1/{surface}/status status=404 ")
    assert re.fullmatch(r"method=GET route=- status=404 ms=\d+\.\d request_id=[0-9a-f]{32}", lines[2])
    assert not [word for word in (KEY, "secret-viewer", "sneaky") if word in "".join(lines)]


def test_a_failure_of_the_code_is_answered_and_logged(
    keyless: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("inner words")

    with monkeypatch.context() as patched:
        patched.setattr(online.Online, "recommend", fail)
        answer = keyless.post("/v1/feed/recommend", json={"viewer": "m0"})
    assert answer.status_code == 500
    assert "inner words" not in answer.text
    assert answer.headers["X-Request-Id"] in answer.json()["write"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "ZeroDivisionError: inner words" in caplog.text
    assert keyless.post("/v1/feed/recommend", json={"viewer": "m0"}).status_code == 200


def test_keys_are_not_in_the_application(home: Home) -> None:
    with home, client_of(create_app(home, ["feed"], keys=[KEY])) as client:
        document = client.get("/openapi.json", headers={"Authorization": f"Bearer {KEY}"})
        assert KEY not in document.text
        assert document.json()["security"] == [{"key": []}]
