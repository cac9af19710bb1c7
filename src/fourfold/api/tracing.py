"""Sampled traces for OpenTelemetry: a span for each request, and one for each stage of its slate. Off unless asked for."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fourfold import __version__
from fourfold.api.exchange import Exchange
from fourfold.pipeline.slate import Slate

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The standard's variables that say where traces go; with neither, there are none."""

SHARE = 0.01
"""Of how many requests a trace is made, unless a caller's own trace or ``OTEL_TRACES_SAMPLER`` decides."""


class TracingError(RuntimeError):
    """Traces are asked for, but what makes them is not installed."""


class Tracing:
    """Turns what is known of a request when it has its answer into spans.

    Parameters
    ----------
    provider : TracerProvider
        Samples spans, and sends them.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  # an extra

        self._provider, self._propagator = provider, TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("fourfold", __version__)

    def record(self, exchange: Exchange, surface: str | None, seconds: float) -> None:
        """Make the spans of a request that took so many seconds."""
        from opentelemetry.trace import SpanKind, set_span_in_context  # noqa: PLC0415  # an extra

        end = exchange.began + int(seconds * 1e9)
        span = self._tracer.start_span(
            f"{exchange.method} {exchange.route}",
            self._propagator.extract(dict(exchange.headers)),
            SpanKind.SERVER,
            _attributes(exchange, surface),
            start_time=exchange.began,
        )
        if exchange.slate is not None and span.is_recording():
            self._record_stages(exchange.slate, set_span_in_context(span), end)
        span.end(end)

    def _record_stages(self, slate: Slate, parent: "Context", end: int) -> None:
        """A trace says how long stages took, not when they began: they are laid end to end, up to the answer."""
        degraded = {degradation.stage for degradation in slate.degradations}
        lengths = [int(stage.ms * 1e6) for stage in slate.trace.stages]
        start = end - sum(lengths)
        for stage, length in zip(slate.trace.stages, lengths, strict=True):
            attributes = {"taken": stage.taken, "given": stage.given, "degraded": stage.stage in degraded}
            span = self._tracer.start_span(stage.stage, parent, attributes=attributes, start_time=start)
            start += length
            span.end(start)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def tracing(environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """Tracing as the environment asks for it, by OpenTelemetry's own variables; None if it does not.

    Raises
    ------
    TracingError
        If it does, and the extra is not installed.
    """
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415
    except ImportError as error:
        names = " or ".join(ENDPOINTS)
        raise TracingError(f"{names} is set, and {error.name} is not installed; `pip install 'fourfold[otel]'`") from None
    sampler = None if environment.get("OTEL_TRACES_SAMPLER") else ParentBasedTraceIdRatio(SHARE)
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES stand before this.
    resource = Resource.create({} if environment.get("OTEL_SERVICE_NAME") else {"service.name": "fourfold"})
    provider = TracerProvider(sampler=sampler, resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def _attributes(exchange: Exchange, surface: str | None) -> dict[str, str | int]:
    found: dict[str, str | int | None] = {
        "http.request.method": exchange.method,
        "http.route": exchange.route,
        "http.response.status_code": exchange.status,
        "fourfold.request_id": exchange.id,
        "fourfold.surface": surface,
        "fourfold.model": exchange.slate.model if exchange.slate else None,
    }
    return {name: value for name, value in found.items() if value is not None}
