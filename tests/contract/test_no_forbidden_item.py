"""No slate holds an item that a filter forbids: very many generated requests against a naive oracle, in quiet and under change.

About 90 items are placed by a request. `FOURFOLD_TEST_REQUESTS` says how many requests there are, 800 otherwise:
``FOURFOLD_TEST_REQUESTS=1000000`` for the whole proof.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fourfold.candidates import SOURCES, Ask, Proposal
from fourfold.definition import Recommender
from fourfold.events import types as ev
from fourfold.events.types import batch_of
from fourfold.features.assembly import Context
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Candidates
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Request
from tests.contract.forbidden import CAPPED, END, HOUR, ITEMS, MEMBERS, SEEN_EVER, WANTED, Oracle, change, history, violations

REQUESTS = int(os.environ.get("FOURFOLD_TEST_REQUESTS", "800"))


@dataclass
class Unsteady:
    """Models of which the ranker prefers what it likes, and fails now and then, so that last slates and others stand in."""

    version: str | None = "unsteady"
    calls: int = 0
    scorer: Any = field(init=False)

    def __post_init__(self) -> None:
        self.scorer = self

    def retriever(self, view: View, encoder: Encoder, time: int) -> None:
        return None

    def neighbours(self, view: View) -> None:
        return None

    def score(self, context: Context, candidates: Candidates) -> Any:
        self.calls += 1
        if self.calls % 4 == 0:
            return np.full((len(candidates), 2), np.nan, np.float32)
        liked = (candidates.items.sum(axis=1) * 2_654_435_761 % 1009) / 1009
        return np.stack([liked, 0.1 * liked], axis=1).astype(np.float32)


class Served:
    """A surface over a state, and the oracle of everything that the state took."""

    def __init__(self, definition: Recommender, events: Sequence[ev.Event]) -> None:
        self.state, self.oracle, self.offset = State(definition), Oracle(definition), 0
        self.pipeline = Pipeline(definition, self.state.view, Unsteady, budget_ms=60_000)
        models = Unsteady()
        self.pipeline._models = lambda: models
        self.take(events)

    def take(self, events: Sequence[ev.Event]) -> None:
        self.offset += len(events)
        self.state.apply(batch_of(events), self.offset)
        for event in events:
            self.oracle.take(event)

    def checked(self, request: Request, wanted: int, time: int) -> list[str]:
        """The items of a slate, of which the oracle forbids none, whatever it took in before the slate was there."""
        slate = self.pipeline.recommend(request, time)
        shown = [item.item for item in slate.items]
        allowed = self.oracle.allowed(request.viewer, time, wanted, request.exclude)
        authors = [self.oracle.items[item].author if item in self.oracle.items else "gone" for item in shown]
        left = self.oracle.left(request.viewer, time) | {"gone": 0}
        assert violations(shown, allowed, authors, left) == [], (request, slate.trace, slate.degradations)
        return shown


def drawn(rng: np.random.Generator) -> tuple[Request, int]:
    """A request, and which of `WANTED` it brings."""
    wanted = int(rng.choice(len(WANTED), p=[0.7, 0.1, 0.1, 0.1]))
    request = Request(
        viewer=f"v{rng.integers(MEMBERS + 3)}",
        size=int(rng.choice([1, 5, 20, 100, 400], p=[0.1, 0.1, 0.3, 0.3, 0.2])),
        exclude=[f"i{number}" for number in rng.integers(0, ITEMS + 5, rng.choice([0, 3, 30]))],
        where=WANTED[wanted][0],
        request=f"r{rng.integers(1 << 40)}",
    )
    return request, wanted


@pytest.mark.parametrize("definition", [SEEN_EVER, CAPPED], ids=["seen_ever", "capped"])
def test_none_is_shown_as_the_world_goes_on(definition: Recommender) -> None:
    rng = np.random.default_rng(1)
    events = history(rng, 4000)
    served, placed, requests = Served(definition, events[:1500]), 0, 0
    steps = np.array_split(np.arange(1500, len(events)), 100)
    for step in steps:
        served.take([events[n] for n in step])
        for _ in range(max(REQUESTS // 2 // len(steps), 1)):
            request, wanted = drawn(rng)
            placed += len(served.checked(request, wanted, events[step[-1]].time + 1))
            requests += 1
    assert placed > 40 * requests, "slates are not empty"


def test_what_changes_while_a_request_runs_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of every request lets something happen: what it forbids is not in that slate any more."""
    rng = np.random.default_rng(2)
    served, trending, count = Served(SEEN_EVER, history(rng, 1500)), SOURCES["trending"], 0
    forbidden = 0

    def changing(ask: Ask, source: Any) -> Proposal:
        nonlocal count
        found = trending(ask, source)
        changes = [change(rng, f"while{count + n}", END + count + n) for n in range(3)]
        count += len(changes)
        ids = ask.view.ids("post", found.items[:5])
        viewer = ask.view.ids("member", np.array([max(ask.context.viewer, 0)]))[0]
        changes += [
            ev.Action(id=f"hide{count}{item}", time=END + count, viewer=viewer, item=item, name="hide", surface="feed")
            for item in ids
        ]
        served.take(changes)
        return found

    monkeypatch.setitem(SOURCES, "trending", changing)
    for _ in range(max(REQUESTS // 20, 50)):
        request, wanted = drawn(rng)
        before = served.oracle.allowed(request.viewer, END + HOUR, wanted, request.exclude).sum()
        served.checked(request, wanted, END + HOUR)
        forbidden += int(before > served.oracle.allowed(request.viewer, END + HOUR, wanted, request.exclude).sum())
    assert forbidden > 10, "something was forbidden meanwhile"


def forbidding(rng: np.random.Generator, count: int) -> Iterator[ev.Event]:
    """Changes that only take away, so that what is forbidden at the start of a request still is at its end."""
    for n in range(10**9):
        event = change(rng, f"load{n}", END + n % HOUR)
        gives = isinstance(event, ev.EdgeRemoved | ev.EntityUpsert)
        if not gives and count > 0:
            count -= 1
            yield event
        elif count <= 0:
            return


def test_none_is_shown_while_events_arrive_under_load() -> None:
    """Requests in two threads while a third lets things happen: what was acknowledged before a request holds in it."""
    rng = np.random.default_rng(3)
    served, done, lock = Served(SEEN_EVER, history(rng, 1500)), threading.Event(), threading.Lock()
    time = END + 2 * HOUR

    def write() -> int:
        written = 0
        for event in forbidding(np.random.default_rng(4), 4000):
            served.state.apply(batch_of([event]), served.offset + written)
            with lock:
                served.oracle.take(event)
            written += 1
            if done.is_set():
                break
        return written

    def ask(seed: int) -> int:
        mine, placed = np.random.default_rng(seed), 0
        for _ in range(max(REQUESTS // 20, 50)):
            request, wanted = drawn(mine)
            with lock:
                allowed = served.oracle.allowed(request.viewer, time, wanted, request.exclude)
            shown = [item.item for item in served.pipeline.recommend(request, time).items]
            assert violations(shown, allowed, [], {}) == []
            placed += len(shown)
        return placed

    with ThreadPoolExecutor(3) as executor:
        writer = executor.submit(write)
        placed = sum(executor.map(ask, (5, 6)))
        done.set()
        assert writer.result() > 10
    assert placed > 0


def test_the_oracle_knows_wrong_from_right() -> None:
    allowed = np.ones(ITEMS, bool)
    allowed[3] = False
    left = {"a": 1, "b": 5}
    cases: list[tuple[list[str], list[str], list[str]]] = [
        (["i1", "i2"], ["a", "b"], []),
        (["i3"], ["b"], ["i3"]),
        (["i1", "i1"], ["b", "b"], ["i1"]),
        (["i1", "i2"], ["a", "a"], ["a"]),
    ]
    for shown, authors, wrong in cases:
        assert violations(shown, allowed, authors, left) == wrong
