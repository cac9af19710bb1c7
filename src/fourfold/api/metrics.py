"""What a service counts and measures, as Prometheus reads it. Everything comes from the edge: the answer and the slate's trace.

Labels come from code and definitions, never from what a client sends: no ids, no free text, and a bounded number of each.
"""

import os
import re
import tempfile
from collections import Counter as Counted
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from fourfold.pipeline.slate import Degradation, Slate

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder where the worker processes of one service put their numbers; unset for a service of one process."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MAX_VALUES = 64
OTHER = "other"

_PLAIN = re.compile(r"[a-z][a-z0-9_ -]{0,39}")
_CAUSES = (
    (re.compile(r"budget|in time|did not answer"), "late"),
    (re.compile(r"no .*(trained|model)"), "untrained"),
    (re.compile(r"\bnot numbers\b|\bnot one for each\b"), "invalid"),
    (re.compile(r"\bfull\b"), "full"),
    (re.compile(r"too few|no more items"), "short"),
    (re.compile(r"nothing is known"), "unknown"),
    (re.compile(r"gave no|gives no|no earlier|no item|nothing that"), "absent"),
    (re.compile(r"failed"), "failed"),
)
_STATUSES = {408: "late", 429: "overloaded", 499: "left", 503: "unready"}


class Metrics:
    """The counters and histograms of one service process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._seconds = Histogram(
            "fourfold_request_seconds",
            "Seconds from a request's head to its answer",
            ("route", "surface", "outcome"),
            registry=registry,
            buckets=SECONDS,
        )
        self._stage = Histogram(
            "fourfold_stage_seconds",
            "Seconds in each stage of a slate",
            ("surface", "stage", "outcome"),
            registry=registry,
            buckets=SECONDS,
        )
        self._items = Counter(
            "fourfold_items", "Items served, by every source that proposed them", ("surface", "source"), registry=registry
        )
        self._taken = Counter("fourfold_candidates", "Candidates that left a stage", ("surface", "stage"), registry=registry)
        self._proposed = Counter(
            "fourfold_proposed", "Candidates that a source proposed", ("surface", "source"), registry=registry
        )
        self._dropped = Counter(
            "fourfold_dropped", "Candidates that a filter took out", ("surface", "filter"), registry=registry
        )
        self._degraded = Counter(
            "fourfold_degradations",
            "Parts of slates that did not go as defined",
            ("surface", "stage", "cause"),
            registry=registry,
        )
        self._events = Counter("fourfold_events_accepted", "Events appended to the log", registry=registry)
        self._bounds = {name: _Bounded() for name in ("source", "stage", "filter")}
        self._events.inc(0)

    def answered(self, route: str, surface: str, status: int, seconds: float, slate: Slate | None) -> None:
        """Count a request that has its answer; `surface` must be one that is served, or ``-``."""
        outcome = "degraded" if slate is not None and slate.degradations else outcome_of(status)
        self._seconds.labels(route, surface, outcome).observe(seconds)
        if slate is not None:
            self._made(slate)

    def accepted(self, events: int) -> None:
        """Count events that were appended."""
        self._events.inc(events)

    def _made(self, slate: Slate) -> None:
        surface, bound = slate.surface, self._bounds
        degraded = {degradation.stage for degradation in slate.degradations}
        for stage in slate.trace.stages:
            name = bound["stage"](stage.stage)
            self._stage.labels(surface, name, "degraded" if stage.stage in degraded else "ok").observe(stage.ms / 1_000)
            self._taken.labels(surface, name).inc(max(stage.given, 0))
        for name, count in slate.trace.proposed.items():
            self._proposed.labels(surface, bound["source"](name)).inc(count)
        for name, count in slate.trace.dropped.items():
            self._dropped.labels(surface, bound["filter"](name.removesuffix(" meanwhile"))).inc(count)
        served = Counted(source for item in slate.items for source in item.sources)
        for source, count in served.items():
            self._items.labels(surface, bound["source"](source)).inc(count)
        for degradation in slate.degradations:
            self._degraded.labels(surface, bound["stage"](degradation.stage), cause_of(degradation)).inc()

    def text(self, *further: Collector) -> bytes:
        """All metrics of all worker processes, in Prometheus's text format, with what further collectors add."""
        registry, folder = CollectorRegistry(), os.environ.get(FOLDER)
        if folder is None:
            registry.register(_Part(self.registry))
        else:
            _bury(Path(folder))
            MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]  # untyped there
        for collector in further:
            registry.register(collector)
        return generate_latest(registry)


class _Part(Collector):
    """A registry within another."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


class _Bounded:
    """Lets a bounded number of plain words through, and calls the rest `OTHER`: what a name is made of is not ours to say."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= MAX_VALUES or not _PLAIN.fullmatch(value):
                return OTHER
            self._seen.add(value)
        return value


def outcome_of(status: int) -> str:
    """What a status means to whoever keeps a service running."""
    if status in _STATUSES:
        return _STATUSES[status]
    return "ok" if status < 400 else "refused" if status < 500 else "failed"


def cause_of(degradation: Degradation) -> str:
    """The class of a degradation's cause, which is a text for people."""
    return next((name for pattern, name in _CAUSES if pattern.search(degradation.cause)), OTHER)


@contextmanager
def shared_folder() -> Iterator[Mapping[str, str]]:
    """What to add to the environment of worker processes so that each tells of all; the folder is gone afterwards.

    The Prometheus client decides when it is imported how it counts, so a worker must have this from its start.
    """
    with tempfile.TemporaryDirectory(prefix="fourfold-metrics-") as folder:
        yield {FOLDER: folder}


def _bury(folder: Path) -> None:
    """Forget the gauges of processes that have ended. Their counts stay: a counter that falls is one that began anew."""
    for number in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}:
        if not Path("/proc", number).exists() and Path("/proc").exists():
            mark_process_dead(int(number), str(folder))  # type: ignore[no-untyped-call]  # untyped there
