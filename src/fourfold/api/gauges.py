"""How a service is at the moment: how old and how far behind its state is, who waits, what its process and its disk hold."""

import logging
import re
import shutil
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fourfold import __version__
from fourfold.api.metrics import Metrics
from fourfold.api.service import Service
from fourfold.api.workers import Workers
from fourfold.lab.drift import load
from fourfold.modes.clock import wall_clock
from fourfold.scoring.history_cache import CacheCounts
from fourfold.scoring.local import LocalScorer

logger = logging.getLogger(__name__)

READ_SECONDS = 1.0

_ANONYMOUS = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


class Gauges(Collector):
    """Reads a service about every second, because a scrape reaches one of its processes only. Use it as a context manager.

    Parameters
    ----------
    metrics : Metrics
        Where the numbers go.
    service : Service
        What is read.
    pools : mapping of str to Workers
        The pools of threads, by name.
    """

    def __init__(self, metrics: Metrics, service: Service, pools: Mapping[str, Workers]) -> None:
        self._service, self._pools = service, pools
        self._trained: dict[tuple[str, str], int] = {}
        self._reading, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauges", daemon=True)

        def gauge(name: str, text: str, labels: tuple[str, ...], across: str) -> Gauge:
            return Gauge(f"fourfold_{name}", text, labels, registry=metrics.registry, multiprocess_mode=across)  # type: ignore[arg-type]  # a Literal there

        surface, pool = ("surface",), ("pool",)
        self._age = gauge("state_age_seconds", "How long ago the newest known impression or action was", surface, "livemax")
        self._lag = gauge("log_lag_events", "Events of the log that the state does not know yet", surface, "livemax")
        self._ready = gauge("ready", "1 if slates can be served", surface, "livemin")
        self._failing = gauge("upkeep_failing", "1 if the last round of upkeep failed", surface, "livemax")
        self._model = gauge("model_age_seconds", "How long ago the serving version was trained", surface, "livemax")
        self._running = gauge("running_requests", "Requests that are computed", pool, "livesum")
        self._waiting = gauge("waiting_requests", "Requests that are read or wait for a thread", pool, "livesum")
        self._memory = gauge("private_memory_bytes", "Memory that processes hold for themselves", (), "livesum")
        self._workers = gauge("workers", "Worker processes", (), "livesum")
        self._log = gauge("log_end", "The offset after the newest event", (), "livemax")
        self._free = gauge("disk_free_bytes", "What is free where the home lies", (), "livemin")
        self._disk = gauge("disk_bytes", "The size of the disk where the home lies", (), "livemax")
        self._cached = gauge("history_cache_bytes", "What encoded histories take that are kept", surface, "livesum")
        self._lookups = Counter(
            "fourfold_history_cache_lookups",
            "Histories that were found encoded (hit), in part (extended), or not (miss)",
            ("surface", "outcome"),
            registry=metrics.registry,
        )
        self._counted: dict[str, CacheCounts] = {}
        self._workers.set(1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def read(self) -> None:
        """Read everything now."""
        with self._reading:
            self._read()

    def _read(self) -> None:
        for name, pool in self._pools.items():
            self._running.labels(name).set(pool.running)
            self._waiting.labels(name).set(pool.waiting)
        for surface in self._service.surfaces:
            self._read_surface(surface)
        self._log.set(self._service.home.log.end)
        disk = shutil.disk_usage(self._service.home.path)
        self._free.set(disk.free)
        self._disk.set(disk.total)
        memory = private_memory()
        if memory is not None:
            self._memory.set(memory)

    def collect(self) -> Iterable[Metric]:
        """What any one process can tell of all: which versions serve, and how far what they are asked about has drifted."""
        models = InfoMetricFamily("fourfold_model", "The version that serves", labels=("surface",))
        drifted = GaugeMetricFamily(
            "fourfold_drift_psi", "The largest stability index beyond noise", labels=("surface", "kind")
        )
        for surface in self._service.surfaces:
            version = self._service.of(surface).online.models().version
            models.add_metric((surface,), {"version": version or "none"})
            found = load(self._service.home.path, surface)
            for kind in ("feature", "score"):
                largest = found.largest(kind) if found is not None and found.version == version else None
                if largest is not None:
                    drifted.add_metric((surface, kind), largest)
        return [models, drifted, InfoMetricFamily("fourfold_build", "What runs", value={"version": __version__})]

    def _read_surface(self, surface: str) -> None:
        follower = self._service.of(surface)
        online, now = follower.online, wall_clock()
        newest = online.consumer.state.view().newest_time
        self._lag.labels(surface).set(online.consumer.lag)
        self._ready.labels(surface).set(follower.ready)
        self._failing.labels(surface).set(follower.problem is not None)
        if newest >= 0:
            self._age.labels(surface).set(0.0 if online.deployment.clock == "log" else max(now - newest, 0) / 1_000)
        version = online.models().version
        if version is not None:
            self._model.labels(surface).set(max(now - self._trained_at(surface, version), 0) / 1_000)

        self._read_cache(surface, online.models().scorer)

    def _read_cache(self, surface: str, scorer: object) -> None:
        """The cache counts since its model was loaded; what is new since the last time is added."""
        if not isinstance(scorer, LocalScorer):
            return
        counts, before = scorer.cache.counts, self._counted.get(surface, CacheCounts())
        if counts.hits + counts.extended + counts.misses < before.hits + before.extended + before.misses:
            before = CacheCounts()
        for outcome in ("hits", "extended", "misses"):
            self._lookups.labels(surface, outcome).inc(max(getattr(counts, outcome) - getattr(before, outcome), 0))
        self._counted[surface] = counts
        self._cached.labels(surface).set(counts.bytes)

    def _trained_at(self, surface: str, version: str) -> int:
        key = (surface, version)
        if key not in self._trained:
            self._trained[key] = self._service.home.registry.load(surface, version)[0].created
        return self._trained[key]

    def _run(self) -> None:
        while not self._stop.wait(READ_SECONDS):
            try:
                self.read()
            except Exception:
                logger.exception("the service's gauges could not be read")


def private_memory(status: Path = Path("/proc/self/status")) -> int | None:
    """Bytes of memory that this process shares with nobody; None where the system does not say (it is not Linux)."""
    found = _ANONYMOUS.search(status.read_text()) if status.exists() else None
    return int(found[1]) << 10 if found else None
