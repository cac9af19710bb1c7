"""Spans of a request and of the stages of its slate, by the exporter that keeps them in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind

from fourfold.api.tracing import Tracing, TracingError, tracing
from tests.api.samples import make_home, post, service, world

CALLERS = "4bf92f3577b34da6a3ce929d0e0e4736"  # pragma: allowlist secret


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(exporter))
    yield made
    made.shutdown()


def named(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = (span for span in exporter.get_finished_spans() if span.name == name)
    return found


def test_a_span_for_the_request_and_one_for_each_stage(
    tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    with service(make_home(tmp_path / "home"), tracing=Tracing(provider)) as client:
        post(client, world())
        exporter.clear()
        headers = {"X-Request-Id": "r1"}
        stages = client.post("/v1/feed/recommend", json={"viewer": "m0"}, headers=headers).json()["trace"]["stages"]
    request, *_ = (span for span in exporter.get_finished_spans() if span.parent is None)
    assert (request.name, request.kind) == ("POST /v1/{surface}/recommend", SpanKind.SERVER)
    assert request.attributes is not None
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/{surface}/recommend",
        "http.response.status_code": 200,
        "fourfold.request_id": "r1",
        "fourfold.surface": "feed",
    }
    children = [span for span in exporter.get_finished_spans() if span.parent == request.context]
    assert [span.name for span in children] == [stage["stage"] for stage in stages]
    assert request.start_time is not None
    assert request.end_time is not None
    for span, stage in zip(children, stages, strict=True):
        assert span.start_time is not None
        assert span.end_time is not None
        assert request.start_time <= span.start_time
        assert span.end_time <= request.end_time
        assert span.end_time - span.start_time == pytest.approx(stage["ms"] * 1e6, abs=1)
        assert span.attributes is not None
        assert span.attributes["given"] == stage["given"]


def test_a_callers_trace_goes_on(tmp_path: Path, exporter: InMemorySpanExporter, provider: TracerProvider) -> None:
    with service(make_home(tmp_path / "home"), tracing=Tracing(provider)) as client:
        client.get("/v1/surfaces", headers={"traceparent": f"00-{CALLERS}-00f067aa0ba902b7-01"})
        client.get("/v1/nowhere/status", headers={"traceparent": "nonsense"})
    context = named(exporter, "GET /v1/surfaces").context
    assert context is not None
    assert f"{context.trace_id:032x}" == CALLERS
    refused = named(exporter, "GET /v1/{surface}/status")
    assert refused.parent is None
    assert refused.attributes is not None
    assert "fourfold.surface" not in refused.attributes


def test_what_is_not_sampled_makes_no_spans(tmp_path: Path, exporter: InMemorySpanExporter) -> None:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with service(make_home(tmp_path / "home"), tracing=Tracing(provider)) as client:
        client.post("/v1/feed/recommend", json={"viewer": "m0"})
    assert exporter.get_finished_spans() == ()


def test_it_is_off_unless_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracing({}) is None
    assert tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
    found = tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert found is not None
    found.close()
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracingError, match=r"not installed; `pip install 'fourfold\[otel\]'`"):
        tracing({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"})
