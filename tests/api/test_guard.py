"""The door: keys, roles, limits, hosts, headers, and failures of the code."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

import fourfold.modes.online as online
from fourfold.api.app import create_app
from fourfold.api.key_file import KeyFile
from fourfold.api.limits import Rate
from fourfold.api.roles import Role
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
    ("GET", "/metrics"),
    ("GET", "/nothing"),
    ("GET", "/healthz/"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("guard") / "home")


@pytest.fixture(scope="module")
def roles(home: Home) -> dict[Role, str]:
    """A key of each role."""
    return {role: KeyFile(home.path / "keys.json").create(role, role, 0)[1] for role in Role}


@pytest.fixture(scope="module")
def client(home: Home, roles: dict[Role, str]) -> Iterator[Client]:
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


def test_each_role_opens_its_routes_and_no_others(client: Client, home: Home, roles: dict[Role, str]) -> None:
    routes = {
        ("POST", "/v1/feed/recommend"): Role.READ,
        ("GET", "/v1/feed/status"): Role.READ,
        ("POST", "/v1/events"): Role.WRITE,
        ("POST", "/v1/feed/reload"): Role.ADMIN,
        ("POST", "/v1/new"): Role.ADMIN,
    }
    for (method, path), needed in routes.items():
        for role, key in roles.items():
            answer = client.request(method, path, headers={"Authorization": f"Bearer {key}"})
            assert (answer.status_code == 403) is not role.allows(needed), (path, role)
            if answer.status_code == 403:
                assert answer.json()["write"] == f"a key that `fourfold keys create NAME --role {needed}` makes"


def test_a_revoked_key_is_refused_while_the_service_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.api.keys.LOOK_SECONDS", 0.0)
    home = make_home(tmp_path / "home")
    file = KeyFile(home.path / "keys.json")
    with service(home) as open_to_this_machine:
        assert open_to_this_machine.get("/v1/surfaces").status_code == 200
        _, key = file.create("app", Role.READ, 0)
        headers = {"Authorization": f"Bearer {key}", "Host": "recommender.internal"}
        assert open_to_this_machine.get("/v1/surfaces").status_code == 401
        assert open_to_this_machine.get("/v1/surfaces", headers=headers).status_code == 200
        file.revoke("app")
        assert open_to_this_machine.get("/v1/surfaces", headers=headers).status_code == 401


def test_a_key_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home"), keys=[KEY, OTHER], rate=Rate(requests=0.01)) as client:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert client.get("/v1/surfaces", headers=headers).status_code == 200
        answer = client.get("/v1/surfaces", headers=headers)
        assert answer.status_code == 429
        assert 90 <= int(answer.headers["Retry-After"]) <= 100
        assert client.get("/v1/surfaces", headers={"Authorization": f"Bearer {OTHER}"}).status_code == 200
        assert client.get("/v1/surfaces").status_code == 401, "who has no key learns nothing of limits"
        assert client.get("/healthz").status_code == 200


def test_bodies_count_against_the_limit(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home"), rate=Rate(bytes=10.0)) as client:
        assert client.post("/v1/feed/recommend", json={"viewer": "m" * 200}).status_code == 200
        answer = client.post("/v1/feed/recommend", json={"viewer": "m0"})
        assert (answer.status_code, int(answer.headers["Retry-After"]) > 10) == (429, True)


def test_compressed_bodies_are_refused_unread(keyless: Client) -> None:
    bomb = gzip.compress(b"[" + b" " * 1_000_000 + b"]")
    for path in ("/v1/feed/recommend", "/v1/events"):
        answer = keyless.post(path, content=bomb, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
        assert answer.status_code == 415
        assert answer.json()["write"] == "the same body without Content-Encoding"
    plain = {"Content-Type": "application/json", "Content-Encoding": "identity"}
    assert keyless.post("/v1/feed/recommend", content=b'{"viewer": "m0"}', headers=plain).status_code == 200


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
