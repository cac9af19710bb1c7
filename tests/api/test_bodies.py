"""The bounds on bodies, and errors that lead to the field."""

import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from starlette.requests import Request
from starlette.types import Message

import fourfold.api.bodies as module
from fourfold.api.bodies import JSON, NDJSON, decode_events, decode_request, read_body
from fourfold.api.errors import ApiError
from tests.api.client import Client
from tests.api.samples import START, impression, make_home, service


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with service(make_home(tmp_path_factory.mktemp("bodies") / "home")) as made:
        yield made


def refusal(kind: str, body: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        decode_events(kind, body)
    return caught.value


def test_the_wrong_event_is_named_in_lists_and_lines() -> None:
    sound = json.dumps(impression("m", "p", START))
    wrong = json.dumps(impression("m", "p", START) | {"viewer": 5})
    for kind, body in ((JSON, f"[{sound},{wrong}]"), (NDJSON, f"{sound}\n\n{wrong}\n")):
        error = refusal(kind, body.encode())
        assert (error.status, error.error) == (422, "events[1].viewer: Expected `str`, got `int`")
        assert error.write.startswith("text of 1 to 256 characters")
    assert refusal(JSON, wrong.encode()).error.startswith("events[0].viewer: ")


def test_missing_and_unknown_fields_are_named() -> None:
    sound = impression("m", "p", START)
    without = {key: value for key, value in sound.items() if key != "time"}
    error = refusal(JSON, json.dumps([sound, without]).encode())
    assert error.error == "events[1].time: Object missing required field `time`"
    assert "milliseconds" in error.write
    error = refusal(JSON, json.dumps(sound | {"itme": 1}).encode())
    assert error.error.startswith("events[0].itme: Object contains unknown field")
    assert "only the fields" in error.write
    assert refusal(JSON, b'{"event": "impresion"}').write.startswith("one of: impression, action")
    assert refusal(JSON, b"5").error.startswith("events[0]: ")


def test_a_propensity_is_a_chance() -> None:
    assert decode_events(JSON, json.dumps(impression("m", "p", START) | {"propensity": None}).encode())
    for wrong in (0, 1.5, "1"):
        error = refusal(JSON, json.dumps(impression("m", "p", START) | {"propensity": wrong}).encode())
        assert error.error.startswith("events[0].propensity: ")
        assert error.write.startswith("a number above 0 and at most 1")


def test_event_counts_are_bounded(client: Client) -> None:
    event = json.dumps(impression("m", "p", START)).encode()
    assert len(decode_events(NDJSON, b"\n".join([event] * 10_000))) == 10_000
    for kind, body in ((NDJSON, b"\n".join([event] * 10_001)), (JSON, b"[" + b",".join([event] * 10_001) + b"]")):
        answer = client.post("/v1/events", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 413
        assert answer.json()["write"] == "at most 10000 in a request"
    assert (refusal(JSON, b"[]").status, refusal(NDJSON, b"\n").status) == (422, 422)


def test_sizes_are_bounded_by_what_is_said_and_by_what_comes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.api.traffic.MAX_EVENT_BYTES", 1_000)
    monkeypatch.setattr("fourfold.api.traffic.MAX_REQUEST_BYTES", 1_000)
    for path in ("/v1/events", "/v1/feed/recommend"):
        said = client.post(path, content=b" " * 1_001, headers={"Content-Type": JSON})
        assert (said.status_code, "1000 bytes" in said.json()["error"]) == (413, True)
        lied = client.post(path, content=b" " * 1_001, headers={"Content-Type": JSON, "Content-Length": "5"})
        assert lied.status_code == 413
        assert client.post(path, content=b"{" + b" " * 999, headers={"Content-Type": JSON}).status_code == 400


def test_a_body_is_not_read_beyond_its_bound() -> None:
    asked = []

    async def receive() -> Message:
        asked.append(1)
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    with pytest.raises(ApiError) as caught:
        anyio.run(read_body, Request(scope, receive), 1_000, (JSON,))
    assert (caught.value.status, len(asked)) == (413, 11)


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.01)
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}

    async def receive() -> Message:
        await anyio.sleep(30)
        raise AssertionError

    with pytest.raises(ApiError) as caught:
        anyio.run(read_body, Request(scope, receive), 1_000, (JSON,))
    assert caught.value.status == 408


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
)
def test_other_content_types_are_refused(client: Client, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for path in ("/v1/events", "/v1/feed/recommend"):
        answer = client.post(path, content=b'{"viewer": "m0"}', headers=headers)
        assert answer.status_code == 415
        assert answer.json()["write"].startswith("Content-Type: application/json")
    lines = client.post("/v1/feed/recommend", content=b'{"viewer": "m0"}', headers={"Content-Type": NDJSON})
    assert lines.status_code == 415


def test_content_types_may_have_parameters_and_capitals(client: Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/feed/recommend", content=b'{"viewer": "m0"}', headers=headers).status_code == 200


def test_a_request_may_exclude_a_great_many(tmp_path: Path) -> None:
    body = json.dumps({"viewer": "m", "exclude": ["x" * 256] * 10_000}).encode()
    assert len(body) < module.MAX_REQUEST_BYTES
    assert len(decode_request(body).exclude) == 10_000
