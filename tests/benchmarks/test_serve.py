"""The benchmark of the service: its load against a tiny server, its figures by hand, and a quick run against a real one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks import serve
from benchmarks.serving.load import Plan, Sent, run
from benchmarks.serving.world import FULL, QUICK, lengths, viewers
from fourfold.pipeline.slate import Slate, SlateItem, Trace

SLATE = {"items": [{"item": "p7"}], "trace": {"stages": [{"stage": "ranker", "ms": 2.5}, {"stage": "ranker", "ms": 1.5}]}}


@contextmanager
def answering() -> Iterator[tuple[int, list[tuple[str, dict[str, object]]]]]:
    """A server that answers a slate, but "busy" with 429, and drops the connection of "rude"; what it was asked is listed."""
    asked = list[tuple[str, dict[str, object]]]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, body))
            if body["viewer"] == "rude":
                self.close_connection = True
                return
            answer = msgspec.json.encode(SLATE)
            self.send_response(429 if body["viewer"] == "busy" else 202 if self.path == "/v1/events" else 200)
            if body["viewer"] == "busy":
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = body["viewer"] == "last"

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_open_plan_tells_of_every_answer() -> None:
    with answering() as (port, asked):
        plan = Plan(port=port, viewers=["a", "busy", "rude", "b"], due=[0.0, 0.05, 0.1, 0.15], clicks=0.5)
        sent = sorted(asyncio.run(run(plan)), key=lambda one: one.due)
    assert [one.status for one in sent] == [200, 429, 0, 200]
    assert [one.retry_after for one in sent] == [False, True, False, False]
    assert [one.due for one in sent] == plan.due
    assert sent[0].stages == {"ranker": 4.0}
    assert [one.clicked for one in sent] == [None, None, None, 202]
    click = next(body for path, body in asked if path == "/v1/events")
    assert (click["viewer"], click["item"], click["name"]) == ("b", "p7", "click")


def test_a_connection_that_the_server_closed_meanwhile_is_no_lost_request() -> None:
    with answering() as (port, _):
        sent = asyncio.run(run(Plan(port=port, viewers=["last", "a"], due=[0.0, 0.2])))
    assert [one.status for one in sent] == [200, 200]


def test_waiting_counts_from_when_a_request_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering() as (port, _):
        # All are due before the first can be sent: none may look quicker for being sent late.
        sent = asyncio.run(run(Plan(port=port, viewers=["a"] * 3, due=[-1.0, -1.0, -1.0])))
    assert min(one.ms for one in sent) > 1_000


def test_a_closed_plan_ends_after_its_time_or_its_viewers() -> None:
    with answering() as (port, asked):
        assert len(asyncio.run(run(Plan(port=port, viewers=["a"] * 5, at_once=2)))) == 5
        assert len(asyncio.run(run(Plan(port=port, viewers=["a"] * 100_000, at_once=2, seconds=0.05)))) < 100_000
    assert {path for path, _ in asked} == {"/v1/feed/recommend"}


def sent(ms: float, status: int = 200, due: float = 0.0, **stages: float) -> Sent:
    return Sent(due=due, ms=ms, status=status, retry_after=status == 429, stages=stages)


def test_figures_by_hand() -> None:
    answers = [sent(10, ranker=4, sources=1), sent(30, ranker=6), sent(1, 429)]
    served = serve._served(answers)
    assert serve._share(answers) == pytest.approx(2 / 3, abs=1e-4)
    assert (serve._percentile(served, 50), serve._percentile(served, 100)) == (20, 30)
    assert serve._stages(served) == {"stage_ranker_ms": 5.0, "stage_sources_ms": 0.5, "outside_ms": 14.5}
    assert np.isnan(serve._percentile([], 50))


def test_slates_differ_by_items_order_and_scores() -> None:
    trace = Trace(stages=[], dropped={}, history=0, state_age_ms=None, viewer_age_ms=None, offset=0)

    def slate(*scored: tuple[str, float]) -> Slate:
        items = [SlateItem(item=item, score=score, probabilities={}, sources=[], reason="") for item, score in scored]
        about = {
            "request": "r",
            "surface": "feed",
            "viewer": "m",
            "time": 1,
            "mode": "online",
            "definition": "d",
            "model": "v1",
        }
        return msgspec.convert(
            {**about, "items": msgspec.to_builtins(items), "degradations": [], "trace": trace}, Slate, strict=False
        )

    one = slate(("a", 1.0), ("b", 0.5))
    assert serve.same(one, slate(("a", 1.000001), ("b", 0.5)))
    assert not serve.same(one, slate(("b", 0.5), ("a", 1.0)))
    assert not serve.same(one, slate(("a", 1.0), ("b", 0.6)))
    assert not serve.same(slate(), slate())


def test_histories_and_who_asks() -> None:
    assert (lengths(FULL)[0], lengths(FULL)[-1], len(lengths(FULL))) == (1_000, 20, 1_000)
    asked = viewers(QUICK, 2_000, seed=1)
    assert asked == viewers(QUICK, 2_000, seed=1)
    assert asked.count("m0") > 1.5 * asked.count("m1") > 2 * asked.count("m9") > 0


def test_a_quick_run_serves_the_slates_of_this_process_and_measures_all(tmp_path: Path) -> None:
    found = serve.run(quick=True, folder=tmp_path, say=lambda _: None)
    assert found.equal
    assert found.detail["clicks"]
    assert found.detail["overload_other_answers"] == 0
    assert float(found.detail["p50_ms"]) <= float(found.detail["p99_ms"])
    assert set(found.detail) >= {"cold_p50_ms", "rate", "p50_ms", "p99_ms", "stage_ranker_ms", "overload_p99_ms", "recovery_s"}
