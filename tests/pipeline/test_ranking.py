"""The ladder: what stands in for a ranker that fails or is late, rung by rung, with every filter asked again."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from fourfold.candidates import SOURCES, Ask, Proposal
from fourfold.definition import DotProduct, Slate, Trending
from fourfold.definition.deployment import LADDER, Fallback
from fourfold.events.types import Action, EntityDelete, EntityUpsert, Event, Impression
from fourfold.features.assembly import Context
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Candidates
from fourfold.features.view import View
from fourfold.pipeline.last_slates import LastSlate, RecentSlates
from fourfold.pipeline.pipeline import RANKERS, Pipeline
from fourfold.pipeline.slate import Request
from fourfold.pipeline.slate import Slate as Answer
from tests.contract.slate_contract import NOON, small_world
from tests.pipeline.eligible import check_trace
from tests.pipeline.samples import FULL, FixedModels, Serving, items, random_models
from tests.strategies import START

ASK = Request(viewer="m0", size=4)
DEFINITION = replace(FULL, sources=(Trending(),), selector=Slate(size=4), early_ranker=DotProduct(keep=9))
FAILED = "it failed: RuntimeError"


@dataclass
class Ranker:
    """A ranker that prefers p2, p1, p3 and p0, in this order; it may fail, or not answer."""

    known: dict[bytes, int] = field(default_factory=dict)
    fails: bool = False
    hangs: threading.Event | None = None
    asked: list[int] = field(default_factory=list)

    def learn(self, view: View) -> None:
        rows = view.rows("post", ["p2", "p1", "p3", "p0"])
        ids = Encoder(DEFINITION).items(view, rows, np.full(len(rows), NOON))
        self.known = {row.tobytes(): place for place, row in enumerate(ids)}

    def score(self, context: Context, candidates: Candidates) -> Any:
        self.asked.append(len(candidates))
        if self.hangs is not None:
            self.hangs.wait(20)
        if self.fails:
            raise RuntimeError
        chances = [1.0 - self.known.get(row.tobytes(), 9) / 10 for row in candidates.items]
        return np.outer(chances, [1, 0, 0]).astype(np.float32)


class Ladder(Serving):
    """A served surface whose parts can be made to fail."""

    def __init__(self, fallback: Sequence[Fallback] = LADDER, events: Sequence[Event] = (), early: bool = True) -> None:
        trained = random_models()
        self.ranker = Ranker()
        models = FixedModels(self.ranker, trained.index if early else None, None)  # type: ignore[arg-type]  # a scorer by its shape
        super().__init__(DEFINITION, [*small_world(), *events], models)
        self.ranker.learn(self.state.view())
        self.pipeline = Pipeline(DEFINITION, self.state.view, lambda: models, budget_ms=60_000, fallback=fallback)


def said(slate: Answer) -> dict[str, tuple[str, str]]:
    return {degradation.stage: (degradation.cause, degradation.effect) for degradation in slate.degradations}


ABSENT = "it cannot stand in for the ranker"
LIKE: list[Event] = [
    Action(id=f"like{n}", time=START + 10_000_000 + n, viewer="m2", item=post, name="like", surface="feed")
    for n, post in enumerate(("p3", "p3", "p1"))
]


def test_the_first_rung_is_the_early_order() -> None:
    served = Ladder(events=LIKE)
    assert items(served.ask(ASK, NOON)) == ["p2", "p1", "p3", "p0"]
    served.ranker.fails = True
    slate = served.ask(ASK, NOON)
    assert said(slate)["ranker"] == (FAILED, "the early order stands in")
    early = Serving(replace(DEFINITION, ranker=None), [*small_world(), *LIKE], random_models()).ask(ASK, NOON)
    assert items(slate) == items(early)


def test_without_it_the_last_slate_stands_in_and_it_is_named() -> None:
    served = Ladder(events=LIKE, early=False)
    assert items(served.ask(ASK, NOON)) == ["p2", "p1", "p3", "p0"]
    served.ranker.fails = True
    slate = served.ask(ASK, NOON)
    assert items(slate) == ["p2", "p1", "p3", "p0"]
    found = said(slate)
    assert found["ranker"] == (FAILED, "the viewer's last slate stands in")
    assert ("it gave no order", ABSENT) in [(d.cause, d.effect) for d in slate.degradations if d.stage == "early_ranker"]
    assert [item.probabilities for item in slate.items] == [{}] * 4
    check_trace(slate)


def test_every_filter_is_asked_again_of_a_last_slate() -> None:
    served = Ladder(["last_slate"])
    assert items(served.ask(ASK, NOON))[0] == "p2"
    served.ranker.fails = True
    served.post(
        [
            Impression(id="s", time=NOON, viewer="m0", item="p2", surface="feed"),
            EntityDelete(id="d", time=NOON, type="post", key="p1"),
        ]
    )
    slate = served.ask(ASK, NOON + 1)
    assert items(slate) == ["p3", "p0"]
    assert "last_slate" in slate.items[0].sources
    assert items(served.ask(Request(viewer="m0", size=4, exclude=["p3"]), NOON + 1)) == ["p0"]
    assert items(served.ask(Request(viewer="m0", size=4, where='author == "m2"'), NOON + 1)) == ["p3"]


def test_a_last_slate_brings_nothing_back_that_went_while_the_request_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deleted leaves a gap, which the catalogue fills; when the candidates are put in order anew, it must stay away."""
    served = Ladder(["last_slate"], LIKE)
    assert items(served.ask(ASK, NOON)) == ["p2", "p1", "p3", "p0"]
    served.post([EntityUpsert(id="p4", time=NOON, type="post", key="p4")])
    served.ranker.fails = True

    def deleting(ask: Ask, source: Any) -> Proposal:
        served.post([EntityDelete(id="gone", time=NOON, type="post", key="p2")])
        return Proposal(np.arange(4), np.ones(4, np.float32), np.full(4, -1))

    monkeypatch.setitem(SOURCES, "trending", deleting)
    slate = served.ask(ASK, NOON + 1)
    assert items(slate) == ["p1", "p3", "p0", "p4"]
    assert slate.trace.dropped == {"deleted meanwhile": 1}


def test_a_last_slate_of_before_the_viewers_deletion_does_not_stand_in() -> None:
    served = Ladder(["last_slate"])
    served.ask(ASK, NOON)
    served.ranker.fails = True
    served.post([EntityDelete(id="gone", time=NOON, type="member", key="m0")])
    assert said(served.ask(ASK, NOON + 1))["last_slate"][0] == "no earlier slate of this viewer is kept"


def test_a_last_slate_may_bring_back_what_no_source_proposes_now(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Ladder(["last_slate"])
    served.ask(Request(viewer="m0", size=4), NOON)
    served.ranker.fails = True
    only = Proposal(served.state.view().rows("post", ["p0"]), np.ones(1, np.float32), np.full(1, -1))
    monkeypatch.setitem(SOURCES, "trending", lambda ask, source: only)
    slate = served.ask(Request(viewer="m0", size=1), NOON)
    assert (items(slate), slate.items[0].reason) == (["p2"], "From an earlier slate")
    assert served.ask(Request(viewer="m0", size=4), NOON).items[3].sources == ["trending", "last_slate"]


def test_a_last_slate_of_a_later_time_or_of_nobody_does_not_stand_in() -> None:
    served = Ladder(["last_slate"], LIKE)
    served.ask(ASK, NOON + 1)
    served.ranker.fails = True
    for request, now in ((ASK, NOON), (Request(viewer="m9", size=4), NOON + 1)):
        slate = served.ask(request, now)
        assert said(slate)["last_slate"] == ("no earlier slate of this viewer is kept", ABSENT)
        assert said(slate)["ranker"] == (FAILED, "the sources' order stands in")
    served.post([EntityDelete(id=f"d{post}", time=NOON, type="post", key=post) for post in ("p0", "p1", "p2", "p3")])
    served.post([EntityUpsert(id="new", time=NOON, type="post", key="new")])
    slate = served.ask(ASK, NOON + 1)
    assert items(slate) == ["new"]
    assert said(slate)["last_slate"] == ("no item of the viewer's last slate may be shown any more", ABSENT)


def test_a_slate_that_no_ranker_made_is_not_kept() -> None:
    served = Ladder(["last_slate"])
    served.ranker.fails = True
    for _ in range(2):
        assert said(served.ask(ASK, NOON))["last_slate"][0] == "no earlier slate of this viewer is kept"


def test_then_what_is_trending_then_the_sources() -> None:
    served = Ladder(["last_slate", "trending"], LIKE)
    served.ranker.fails = True
    slate = served.ask(ASK, NOON)
    assert items(slate)[:2] == ["p3", "p1"]
    assert said(slate)["ranker"] == (FAILED, "what is trending stands in")
    assert "last_slate" in said(slate)
    quiet = Ladder(["trending"])
    quiet.ranker.fails = True
    slate = quiet.ask(ASK, NOON)
    assert said(slate)["trending"] == ("it proposed nothing that may be shown", ABSENT)
    assert said(slate)["ranker"] == (FAILED, "the sources' order stands in")
    assert len(slate.items) == 4
    bare = Ladder([])
    bare.ranker.fails = True
    assert said(bare.ask(ASK, NOON))["ranker"] == (FAILED, "the sources' order stands in")


def test_a_ranker_that_is_late_is_left_behind() -> None:
    served = Ladder()
    served.ranker.hangs = threading.Event()
    slate = served.ask(Request(viewer="m0", size=4, budget_ms=300), NOON)
    assert said(slate)["ranker"] == ("it did not answer within the budget", "the early order stands in")
    assert len(slate.items) == 4
    stages = list(slate.trace.stages)
    served.ranker.hangs.set()
    served.ranker.hangs = None
    assert items(served.ask(ASK, NOON)) == ["p2", "p1", "p3", "p0"]
    assert slate.trace.stages == stages


def test_rankers_that_hang_keep_nobody_from_an_early_order() -> None:
    served = Ladder()
    served.ranker.hangs = threading.Event()
    for n in range(RANKERS + 2):
        slate = served.ask(Request(viewer=f"x{n}", size=4, budget_ms=15), NOON)
        assert len(slate.items) == 4
    slate = served.ask(Request(viewer="m0", size=4, budget_ms=300), NOON)
    served.ranker.hangs.set()
    assert said(slate)["ranker"] == ("it did not answer within the budget", "the early order stands in")
    assert len(served.ranker.asked) <= RANKERS


def test_an_early_ranker_that_is_late_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    served, done = Ladder(), threading.Event()
    monkeypatch.setattr("fourfold.scoring.retriever.Retriever.similarity", lambda *_: done.wait(20))
    slate = served.ask(Request(viewer="m0", size=4, budget_ms=300), NOON)
    done.set()
    assert ("early_ranker", "it did not answer within the budget") in {(d.stage, d.cause) for d in slate.degradations}
    assert len(slate.items) == 4


def test_sources_that_use_up_the_budget_leave_no_time_for_rankers(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(ask: Ask, source: Any) -> Proposal:
        threading.Event().wait(0.05)
        return Proposal.nothing()

    monkeypatch.setitem(SOURCES, "trending", slow)
    served = Ladder()
    slate = served.ask(Request(viewer="m0", size=4, budget_ms=1), NOON)
    causes = {(d.stage, d.cause) for d in slate.degradations}
    assert ("early_ranker", "the budget was used up before it") in causes
    assert ("ranker", "the budget was used up before it") in causes
    assert served.ranker.asked == []
    assert len(slate.items) == 4


def test_slates_may_be_kept_elsewhere() -> None:
    kept = RecentSlates()
    models = random_models()
    served = Serving(DEFINITION, small_world(), models)
    served.pipeline = Pipeline(DEFINITION, served.state.view, lambda: models, last_slates=kept, budget_ms=60_000)
    slate = served.ask(Request(viewer="m0", size=4), NOON)
    assert kept.get("m0") == LastSlate(tuple(items(slate)), NOON)
