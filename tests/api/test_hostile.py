"""What broken and hostile clients send: it is refused at the door, by field, and leaves nothing behind."""

import json
from collections.abc import Iterator

import pytest

from fourfold.modes.home import Home
from tests.api.client import Client
from tests.api.samples import action, entity, impression, logged, make_home, now, post, service, slate, world

DAY = 86_400_000
PLAIN = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("hostile") / "home")


@pytest.fixture(scope="module")
def client(home: Home) -> Iterator[Client]:
    with service(home) as made:
        post(made, world())
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(client: Client, home: Home) -> Iterator[None]:
    before = len(logged(home)), slate(client, "m1")
    yield
    assert (len(logged(home)), slate(client, "m1")) == before
    assert client.get("/v1/feed/status").json()["problem"] is None


def refused(client: Client, path: str, body: str | bytes, *statuses: int) -> str:
    """What a refusal of a body says is wrong."""
    answer = client.post(path, content=body, headers=PLAIN)
    assert answer.status_code in statuses, answer.text
    error: str = answer.json()["error"]
    assert len(error) < 500
    assert answer.json()["write"]
    return error


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999", "1" * 400])
def test_what_is_no_finite_number_is_no_number(client: Client, number: str) -> None:
    event = json.dumps(entity("post", "p1", now(), size="?")).replace('"?"', number)
    refused(client, "/v1/events", event, 400, 422)
    refused(client, "/v1/feed/recommend", f'{{"viewer": "m0", "size": {number}}}', 400, 422)
    refused(client, "/v1/feed/recommend", f'{{"viewer": "m0", "context": {{"tab": {number}}}}}', 400, 422)


@pytest.mark.parametrize(
    "text", ["", "x" * 257, "a\x00", "a\nb", "\x1b[31m", "\x7f", "\x85", "a\u2028b", "\u202eevil", "\u2066a", "\ud800"]
)
def test_ids_are_short_and_of_plain_characters(client: Client, text: str) -> None:
    for field in ("id", "viewer", "item"):
        refused(client, "/v1/events", json.dumps(impression("m0", "p0") | {field: text}), 400, 422)
    for field in ("viewer", "request"):
        refused(client, "/v1/feed/recommend", json.dumps({"viewer": "m0", field: text}), 400, 422)
    refused(client, "/v1/feed/recommend", json.dumps({"viewer": "m0", "exclude": ["p0", text]}), 400, 422)


@pytest.mark.parametrize(
    "text", ["x" * 256, "m 0", "käse", "日本語", "👩‍🚀", "עברית", "a/b?c#d", "<b>", "';--", "../..", "%00"]
)
def test_what_only_looks_strange_is_an_id_like_any_other(client: Client, text: str) -> None:
    answer = client.post("/v1/feed/recommend", json={"viewer": text, "exclude": [text]})
    assert (answer.status_code, answer.json()["viewer"]) == (200, text)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":['])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/feed/recommend"])
def test_depth_is_bounded(client: Client, path: str, opening: str) -> None:
    refused(client, path, opening * 200_000, 400, 422)
    for field in ("attributes", "context"):
        nested = json.dumps(entity("post", "p1", now()) | {field: "?"}).replace(
            '"?"', '{"title":' * 50_000 + "1" + "}" * 50_000
        )
        refused(client, path, nested, 400, 422)


@pytest.mark.parametrize("size", [0, -1, 1_001, 10**30, 2.5, "10", True])
def test_the_size_of_a_slate_is_bounded(client: Client, size: object) -> None:
    assert refused(client, "/v1/feed/recommend", json.dumps({"viewer": "m0", "size": size}), 422).startswith("size: ")


@pytest.mark.parametrize("time", [-1, 0, 1_700_000_000, (1 << 52) - 1, 1 << 63, 10**30, 1.5])
def test_times_in_other_units_and_far_away_are_refused(client: Client, time: float) -> None:
    assert "time" in refused(client, "/v1/events", json.dumps(action("m0", "p0") | {"time": time}), 422)
    assert "time" in refused(client, "/v1/feed/recommend", json.dumps({"viewer": "m0", "time": time}), 422)
    assert "more than a day after" in refused(
        client, "/v1/events", json.dumps(action("m0", "p0", at=now() + DAY + 60_000)), 422
    )


def test_a_key_that_comes_twice_is_taken_once(client: Client) -> None:
    answer = client.post("/v1/feed/recommend", content=b'{"viewer": "x", "viewer": "m0"}', headers=PLAIN)
    assert (answer.status_code, answer.json()["viewer"]) == (200, "m0")


def test_headers_do_not_choose_what_is_logged_or_answered(client: Client) -> None:
    for value in ("a b", "x" * 129, "a;b", "<a>", ""):
        answer = client.get("/v1/surfaces", headers={"X-Request-Id": value})
        assert (answer.status_code, len(answer.headers["X-Request-Id"])) == (200, 32)
    answer = client.get("/v1/surfaces", headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "127.0.0.1"})
    assert "evil" not in str(answer.headers) + answer.text
