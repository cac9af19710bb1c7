"""Lines for machines and for people, with the id of the request they belong to, and nothing secret in them."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fourfold.modes.online as online
from fourfold.api.logs import write_logs
from tests.api.samples import make_home, post, service, world

KEY = "k" * 32


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, server = logging.getLogger(), logging.getLogger("uvicorn")
    before = root.handlers[:], root.level, server.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    server.setLevel(before[2])


def logs_to(stream: io.StringIO) -> None:
    """As a process does whose logging nobody has set up."""
    logging.getLogger().handlers[:] = []
    write_logs(stream)


def written(stream: io.StringIO, event: str) -> list[dict[str, Any]]:
    """The lines of JSON that say something."""
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]


def test_a_line_is_json_with_when_who_and_how_grave() -> None:
    stream = io.StringIO()
    logs_to(stream)
    logging.getLogger("fourfold.some").warning("%d of %s\nfailed", 3, "five", extra={"stage": "ranker"})
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("timestamp").endswith("Z")
    assert found == {"event": "3 of five\nfailed", "level": "warning", "logger": "fourfold.some", "stage": "ranker"}
    logging.getLogger("fourfold").info("kept")
    logging.getLogger("fourfold").debug("left out")
    logging.getLogger("uvicorn.error").info("left out")
    assert len(stream.getvalue().splitlines()) == 2


def test_an_error_carries_its_traceback_in_the_same_line() -> None:
    stream = io.StringIO()
    logs_to(stream)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("fourfold").exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError: division by zero" in json.loads(line)["exception"]


def test_a_person_reads_names_and_values() -> None:
    stream = Terminal()
    logs_to(stream)
    logging.getLogger("fourfold").info("request", extra={"status": 200})
    assert "request" in stream.getvalue()
    assert "status" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def test_what_is_set_up_already_stays() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs_to(first)
    write_logs(second)
    logging.getLogger("fourfold").info("where?")
    assert ("where?" in first.getvalue(), second.getvalue()) == (True, "")


def test_each_request_is_one_line_without_secrets(tmp_path: Path) -> None:
    stream = io.StringIO()
    with service(make_home(tmp_path / "home"), keys=[KEY]) as client:
        logs_to(stream)
        headers = {"Authorization": f"Bearer {KEY}", "X-Request-Id": "abc-1"}
        answer = client.post("/v1/feed/recommend", json={"viewer": "secret-viewer"}, headers=headers)
        client.get("/v1/sneaky%0Aline/status", headers=headers)
        client.get("/not/there", headers={"Authorization": f"Bearer {KEY}", "X-Request-Id": "a\tb"})
        client.request("SNEAK", "/v1/surfaces", headers={"Authorization": "Bearer sneaky"})
    assert answer.headers["X-Request-Id"] == "abc-1"
    first, second, third, fourth = written(stream, "request")
    assert first.pop("ms") > 0
    assert first.pop("timestamp")
    assert first == {
        "event": "request",
        "level": "info",
        "logger": "fourfold.api.requests",
        "method": "POST",
        "route": "/v1/{surface}/recommend",
        "surface": "feed",
        "status": 200,
        "caller": "configured-1",
        "degraded": first["degraded"],
        "request_id": "abc-1",
    }
    assert "viewer" in first["degraded"]
    assert (second["route"], second["status"], "surface" in second) == ("/v1/{surface}/status", 404, False)
    assert (third["route"], len(third["request_id"])) == ("-", 32)
    assert (fourth["method"], fourth["status"], "caller" in fourth) == ("-", 401, False)
    ours = "".join(line for line in stream.getvalue().splitlines() if '"httpx"' not in line)
    assert not [word for word in (KEY, "secret-viewer", "sneaky") if word in ours]


def test_what_fails_on_the_way_is_logged_under_the_id_of_its_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        logging.getLogger("fourfold.deep").warning("inside")
        raise ZeroDivisionError("inner words")

    stream = io.StringIO()
    with service(make_home(tmp_path / "home")) as client:
        logs_to(stream)
        monkeypatch.setattr(online.Online, "recommend", fail)
        assert client.post("/v1/feed/recommend", json={"viewer": "m0"}, headers={"X-Request-Id": "r7"}).status_code == 500
    lines = [written(stream, event)[0] for event in ("inside", "request failed", "request")]
    assert [line["request_id"] for line in lines] == ["r7"] * 3
    assert "inner words" in lines[1]["exception"]


@pytest.mark.parametrize(("share", "lines"), [(0.0, 1), (1.0, 5)])
def test_a_share_of_what_went_well_is_logged_and_all_that_did_not(tmp_path: Path, share: float, lines: int) -> None:
    stream = io.StringIO()
    with service(make_home(tmp_path / "home"), log_share=share) as client:
        logs_to(stream)
        post(client, world())
        for _ in range(3):
            client.get("/v1/surfaces")
        client.get("/nothing")
    assert len(written(stream, "request")) == lines
