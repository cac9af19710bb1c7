"""How fast and how steady slates come over HTTP: cold, warm, and at three times the rate, with one worker and with two.

A generated world of 12,000 items and 1,000 members with histories of 20 to 1,000 impressions; the ranker is the default one,
and scores 300 candidates. Who asks follows Zipf's law, those with the longest histories most often. The servers are ``fourfold
serve`` on loopback, the load comes from another process, and all share this machine's cores.

Before anything is timed, slates over HTTP are compared with those that this process computes without a cache: the same items in
the same order, scores equal to 1e-5 (`equal`). Then, for each number of workers:

- `cold`: the first request of each of some members, one after the other: their histories are encoded whole.
- `capacity`: as many answers as come with a request more under way than there are workers.
- `warm`: requests arrive at random (Poisson) at half of the capacity (`rate`, per second), and one in five slates is followed
  by a click that is posted as an event. A time counts from when the request was due, so waiting counts. Stage by stage, the
  medians of what the slates' traces say; `outside` is the rest, waiting included.
- `overload`: three times that rate. Which share is served, how long these took, how many of the others were told 429 and when
  to come back, and private memory of all processes before and after. Then the rate again: `recovery_s` is when the last request
  was due that was not served, or took longer than the warm 99th percentile and 20 ms; 0 if there is none.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import numpy as np
import torch

from benchmarks.serving.load import Plan, Sent
from benchmarks.serving.server import TIMEOUT, Server
from benchmarks.serving.world import FULL, QUICK, Sizes, make_home, viewers
from fourfold.lab.benchmark import Benchmark, BenchmarkError, Say
from fourfold.modes.clock import wall_clock
from fourfold.modes.home import Home
from fourfold.modes.online import Online
from fourfold.pipeline.slate import Request, Slate

ROOT = Path(__file__).resolve().parents[1]
OVERLOAD, CLICKS, SLACK_MS = 3, 0.2, 20.0


@dataclass(frozen=True)
class Times:
    """How long everything goes on, in seconds, and with how many workers."""

    workers: tuple[int, ...]
    compared: int
    cold: int
    capacity_s: float
    warm_s: float
    overload_s: float
    recovery_s: float


LONG, SHORT = Times((1, 2), 20, 60, 12, 30, 12, 10), Times((1,), 3, 5, 0.5, 1, 1, 1)


def run(*, quick: bool, folder: Path, say: Say) -> Benchmark:
    """Make the world, compare answers, and put each number of workers under load."""
    torch.set_num_threads(1)
    sizes, times = (QUICK, SHORT) if quick else (FULL, LONG)
    say("making the world")
    make_home(folder / "home", sizes, wall_clock(), say).close()
    equal, detail = True, dict[str, float | int | str]()
    for workers in times.workers:
        with Server(folder / "home", workers) as server:
            say(f"{workers} workers: comparing answers")
            equal &= same_slates(folder / "home", server.port, viewers(sizes, times.compared, seed=1))
            measured = Load(folder, server, sizes, workers).measured(times, say)
        detail |= {(name if workers == 1 else f"{workers}_workers_{name}"): value for name, value in measured.items()}
    return Benchmark(name="serve", equal=equal, detail=detail)


def same_slates(home: Path, port: int, asked: Sequence[str]) -> bool:
    """Whether slates over HTTP are those computed here, and again when the service has encoded the histories before."""
    now, alike = wall_clock(), True
    with Home.existing(home) as opened, Online(opened, "feed") as online:
        for viewer in asked:
            body = {"viewer": viewer, "time": now, "budget_ms": 60_000}
            wanted = online.pipeline.recommend(msgspec.convert(body, Request), now)
            for _ in range(2):
                answer = httpx.post(f"http://127.0.0.1:{port}/v1/feed/recommend", json=body, timeout=TIMEOUT)
                alike &= same(msgspec.json.decode(answer.raise_for_status().content, type=Slate), wanted)
    return alike


def same(one: Slate, other: Slate) -> bool:
    """Whether two slates hold the same items in the same order, with scores equal to 1e-5."""
    items, others = ([item.item for item in slate.items] for slate in (one, other))
    scores, theirs = ([item.score for item in slate.items] for slate in (one, other))
    return items == others and len(items) > 0 and np.allclose(scores, theirs, rtol=0, atol=1e-5)


class Load:
    """All measurements of one server."""

    def __init__(self, folder: Path, server: Server, sizes: Sizes, workers: int) -> None:
        self._folder, self._server, self._sizes, self._workers, self._plans = folder, server, sizes, workers, 0

    def measured(self, times: Times, say: Say) -> dict[str, float | int | str]:
        """Cold, capacity, warm, overload and recovery, in this order."""
        say(f"{self._workers} workers: cold, then as fast as it goes")
        cold = self._sent(Plan(port=self._server.port, viewers=[f"m{member}" for member in range(times.cold)]))
        many = viewers(self._sizes, 100_000, seed=2)
        self._sent(Plan(port=self._server.port, viewers=many, at_once=self._workers + 1, seconds=times.capacity_s))
        full = self._sent(Plan(port=self._server.port, viewers=many, at_once=self._workers + 1, seconds=times.capacity_s))
        capacity = len(_served(full)) / (max(one.due + one.ms / 1e3 for one in full) or 1.0)
        rate = capacity / 2
        say(f"{self._workers} workers: {rate:.1f} requests per second")
        warm = self._open(rate, times.warm_s, seed=3, clicks=CLICKS)
        before = self._server.memory_mb()
        say(f"{self._workers} workers: {OVERLOAD} times that")
        over = self._open(OVERLOAD * rate, times.overload_s, seed=4)
        after = self._server.memory_mb()
        again = self._open(rate, times.recovery_s, seed=5)
        usual = _percentile(_served(warm), 99) + SLACK_MS
        return {
            "cold_p50_ms": _percentile(_served(cold), 50),
            "cold_p99_ms": _percentile(_served(cold), 99),
            "capacity": round(capacity, 1),
            "rate": round(rate, 1),
            "requests": len(warm),
            "served_share": _share(warm),
            "clicks": sum(one.clicked == 202 for one in warm),
            "p50_ms": _percentile(_served(warm), 50),
            "p99_ms": _percentile(_served(warm), 99),
            **_stages(_served(warm)),
            "overload_rate": round(OVERLOAD * rate, 1),
            "overload_served_share": _share(over),
            "overload_served_per_s": round(len(_served(over)) / times.overload_s, 1),
            "overload_p50_ms": _percentile(_served(over), 50),
            "overload_p99_ms": _percentile(_served(over), 99),
            "overload_told_429_with_retry_after": sum(one.status == 429 and one.retry_after for one in over),
            "overload_other_answers": sum(one.status not in {200, 429} for one in over),
            "memory_before_mb": round(before),
            "memory_after_mb": round(after),
            "recovery_s": round(max((one.due for one in again if one.status != 200 or one.ms > usual), default=0.0), 2),
        }

    def _open(self, rate: float, seconds: float, seed: int, clicks: float = 0.0) -> list[Sent]:
        due = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds * 2) + 10).cumsum()
        due = due[due < seconds]
        asked = viewers(self._sizes, len(due), seed)
        return self._sent(Plan(port=self._server.port, viewers=asked, due=due.tolist(), clicks=clicks))

    def _sent(self, plan: Plan) -> list[Sent]:
        """What the process that loads the server says."""
        asked, answered = self._folder / "plan.json", self._folder / "sent.json"
        asked.write_bytes(msgspec.json.encode(plan))
        command = [sys.executable, "-m", "benchmarks.serving.load", str(asked), str(answered)]
        done = subprocess.run(command, check=False, cwd=ROOT, text=True, stderr=subprocess.PIPE)
        if done.returncode:
            raise BenchmarkError(f"the load ended with exit code {done.returncode}; it wrote: {done.stderr[-2000:]}")
        return msgspec.json.decode(answered.read_bytes(), type=list[Sent])


def _served(sent: Sequence[Sent]) -> list[Sent]:
    return [one for one in sent if one.status == 200]


def _share(sent: Sequence[Sent]) -> float:
    return round(len(_served(sent)) / max(len(sent), 1), 4)


def _percentile(sent: Sequence[Sent], percent: float) -> float:
    return round(float(np.percentile([one.ms for one in sent], percent)), 1) if sent else float("nan")


def _stages(sent: Sequence[Sent]) -> dict[str, float]:
    """The median of each stage's time; `outside` is what is spent before and after the stages, waiting included."""
    names = dict.fromkeys(name for one in sent for name in one.stages)
    medians = {f"stage_{name}_ms": float(np.median([one.stages.get(name, 0.0) for one in sent])) for name in names}
    outside = [one.ms - sum(one.stages.values()) for one in sent]
    return {name: round(ms, 2) for name, ms in (medians | {"outside_ms": float(np.median(outside or [0.0]))}).items()}
