"""One request when things go wrong: sources, models and the catalogue fail, and the slate is full and says so."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from fourfold.candidates import SOURCES, Ask, Proposal, Unavailable
from fourfold.definition import Category, DotProduct, EmbeddingRetrieval, Entity, Excluded, Slate, Trending
from fourfold.events.types import Action, EntityDelete, EntityUpsert, Event, Impression
from fourfold.features.assembly import Context
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Candidates
from fourfold.features.view import View
from fourfold.pipeline.models import Untrained
from fourfold.pipeline.slate import Request
from tests.contract.slate_contract import NOON, small_world
from tests.pipeline.eligible import causes, check_full, check_trace
from tests.pipeline.samples import BARE, FULL, FixedModels, Serving, items, random_models, said
from tests.strategies import HOUR, POSTS, START

ASK = Request(viewer="m0", size=4)
Source = Callable[[Ask, Any], Proposal]


def proposing(*rows: int, score: float = 1.0) -> Source:
    found = Proposal(np.array(rows), np.full(len(rows), score, np.float32), np.full(len(rows), -1))
    return lambda ask, source: found


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, Source]:
    """The code of sources, to be replaced."""
    changed = dict(SOURCES)
    monkeypatch.setattr("fourfold.pipeline.sourcing.SOURCES", changed)
    return changed


def failing(ask: Ask, source: Any) -> Proposal:
    raise ZeroDivisionError


def unavailable(ask: Ask, source: Any) -> Proposal:
    raise Unavailable("it rests on Sundays")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (failing, "trending failed: ZeroDivisionError"),
        (unavailable, "trending: it rests on Sundays"),
        (proposing(0, 1, score=np.nan), "trending gave scores that are not numbers"),
        (proposing(0, score=np.inf), "trending gave scores that are not numbers"),
    ],
)
def test_a_source_that_fails_is_named_and_made_up_for(sources: dict[str, Source], source: Source, cause: str) -> None:
    sources["trending"] = source
    slate = Serving(FULL, small_world(), random_models()).ask(ASK, NOON)
    assert cause in causes(slate)
    assert not any("trending" in item.sources for item in slate.items)
    check_full(FULL, small_world(), ASK, NOON, slate)


def test_a_source_beyond_the_budget_is_left_out_and_the_others_are_still_ranked(sources: dict[str, Source]) -> None:
    done = threading.Event()

    def sleeping(ask: Ask, source: Any) -> Proposal:
        done.wait(20)
        return Proposal.nothing()

    sources["trending"] = sleeping
    served = Serving(FULL, small_world(), random_models(), budget_ms=500)
    start = time.perf_counter()
    slate = served.ask(ASK, NOON)
    assert time.perf_counter() - start < 5
    done.set()
    assert causes(slate) == {"trending did not answer within the budget", "too few authors"}
    assert all(item.probabilities for item in slate.items)
    check_full(FULL, small_world(), ASK, NOON, slate)


def test_a_budget_used_up_leaves_out_the_ranker(sources: dict[str, Source]) -> None:
    def slow(ask: Ask, source: Any) -> Proposal:
        time.sleep(0.02)
        return proposing(0, 1, 2, 3)(ask, source)

    sources["trending"] = slow
    slate = Serving(FULL, small_world(), random_models()).ask(Request(viewer="m0", size=4, budget_ms=1), NOON)
    assert "the budget was used up before it" in causes(slate)
    assert len(slate.items) == 4
    assert not any(item.probabilities for item in slate.items)


@pytest.mark.parametrize("definition", [BARE, FULL])
def test_rows_that_do_not_exist_are_dropped(sources: dict[str, Source], definition: Any) -> None:
    sources["trending"] = proposing(-1, 99, 0, 1 << 40, 0)
    slate = Serving(definition, small_world(), random_models()).ask(ASK, NOON)
    assert slate.trace.dropped["deleted"] == 3
    assert set(items(slate)) == set(POSTS)
    check_trace(slate)


def test_an_event_that_arrives_while_a_request_runs_takes_its_item_out(sources: dict[str, Source]) -> None:
    served = Serving(FULL, small_world(), random_models())

    def deleting(ask: Ask, source: Any) -> Proposal:
        served.post([EntityDelete(id="gone", time=NOON - 1, type="post", key="p0")])
        return proposing(0, 1)(ask, source)

    sources["trending"] = deleting
    definition = replace(FULL, selector=Slate(size=2), sources=(Trending(),))
    served.pipeline.definition = definition
    slate = served.ask(Request(viewer="m0"), NOON)
    # p0 leaves a gap that the catalogue fills, and what fills it is ranked like the others.
    assert len(slate.items) == 2
    assert "p0" not in items(slate)
    assert "p1" in items(slate)
    assert slate.trace.dropped == {"deleted meanwhile": 1}
    assert causes(slate) == {"sources and filters left too few candidates"}
    assert all(item.probabilities for item in slate.items)
    assert [item.score for item in slate.items] == sorted((item.score for item in slate.items), reverse=True)
    names = [stage.stage for stage in slate.trace.stages]
    assert names[names.index("late_filters") :] == ["late_filters", "backfill", "early_ranker", "features", "ranker", "select"]


def test_what_happens_meanwhile_at_the_time_of_the_request_or_later_is_not_looked_at(sources: dict[str, Source]) -> None:
    served = Serving(BARE, small_world(), Untrained())

    def deleting(ask: Ask, source: Any) -> Proposal:
        served.post([EntityDelete(id="gone", time=NOON, type="post", key="p0")])
        return proposing(0)(ask, source)

    sources["trending"] = deleting
    slate = served.ask(ASK, NOON)
    assert items(slate)[0] == "p0"
    check_trace(slate)


@dataclass
class Saying:
    """A ranker that says the same of everything, perhaps something that cannot be said."""

    value: Any

    def score(self, context: Context, candidates: Candidates) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return np.broadcast_to(np.asarray(self.value, np.float32), (len(candidates), np.shape(self.value)[-1]))


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (RuntimeError("no"), "it failed: RuntimeError"),
        ([0.1, np.nan, 0.1], "it gave scores that are not numbers, or not one for each action of each candidate"),
        ([0.1, np.inf, 0.1], "it gave scores that are not numbers, or not one for each action of each candidate"),
        ([0.1, 0.1], "it gave scores that are not numbers, or not one for each action of each candidate"),
    ],
)
def test_a_ranker_that_cannot_rank_leaves_the_early_order(value: Any, cause: str) -> None:
    models = random_models()
    models.scorer = Saying(value)  # type: ignore[assignment]  # a scorer by its shape
    served = Serving(FULL, small_world(), models)
    slate = served.ask(ASK, NOON)
    assert next(d for d in slate.degradations if d.stage == "ranker").cause == cause
    early = Serving(replace(FULL, ranker=None), small_world(), random_models()).ask(ASK, NOON)
    assert [(item.item, item.score) for item in slate.items] == [(item.item, item.score) for item in early.items]
    check_full(FULL, small_world(), ASK, NOON, slate)


def test_the_score_is_the_utility_of_the_probabilities() -> None:
    models = random_models()
    models.scorer = Saying([0.5, 0.25, 0.125])  # type: ignore[assignment]  # a scorer by its shape
    slate = Serving(FULL, small_world(), models).ask(ASK, NOON)
    assert {item.score for item in slate.items} == {0.5 + 4 * 0.25 - 20 * 0.125}
    assert slate.items[0].probabilities == {"click": 0.5, "like": 0.25, "hide": 0.125}
    # Equal scores stand by id, and one of each author before the second of any.
    assert items(slate) == ["p0", "p2", "p1", "p3"]


class Broken(FixedModels):
    """Models that cannot be asked for."""

    def retriever(self, view: View, encoder: Encoder, time: int) -> Any:
        raise OSError

    def neighbours(self, view: View) -> Any:
        raise OSError


def test_retrieval_models_that_fail_are_named() -> None:
    slate = Serving(FULL, small_world(), Broken(random_models().scorer, None, None)).ask(ASK, NOON)
    assert {"the retrieval model failed: OSError", "the item-to-item table failed: OSError"} <= causes(slate)
    check_full(FULL, small_world(), ASK, NOON, slate)


def test_an_early_ranker_without_numbers_leaves_the_order_of_sources(sources: dict[str, Source]) -> None:
    models = random_models()
    assert models.index is not None
    for parameter in models.index._model.viewer_tower.parameters():
        parameter.data.fill_(np.nan)
    sources["trending"] = proposing(3, 1, 2, 0)
    sources_ = (Trending(), EmbeddingRetrieval())
    definition = replace(FULL, sources=sources_, ranker=None, selector=Slate(size=4), early_ranker=DotProduct(keep=4))
    slate = Serving(definition, small_world(), models).ask(ASK, NOON)
    assert items(slate) == ["p3", "p1", "p2", "p0"]
    assert causes(slate) == {"it gave scores that are not numbers", "embedding_retrieval failed: FloatingPointError"}


def test_without_models_everything_missing_is_named() -> None:
    slate = Serving(FULL, small_world(), Untrained()).ask(ASK, NOON)
    assert causes(slate) == {
        "item_to_item: no item-to-item table is trained yet",
        "embedding_retrieval: no retrieval model is trained yet",
        "sources and filters left too few candidates",
        "no retrieval model is trained yet",
        "no model is trained yet",
        "too few authors",
    }
    assert slate.model is None


def test_the_catalogue_stands_behind_what_sources_propose() -> None:
    like = [
        Action(id=f"a{post}{n}", time=START + 2 * HOUR + n, viewer="m2", item=post, name=name, surface="feed")
        for post, name, times in (("p3", "like", 1), ("p1", "hide", 3))
        for n in range(times)
    ]
    definition = replace(BARE, selector=Slate(size=4))
    slate = Serving(definition, [*small_world(), *like], Untrained()).ask(ASK, NOON)
    # p3 is trending; of the others none is popular, hides do not make one so, and all are equally old.
    assert items(slate) == ["p3", "p0", "p1", "p2"]
    assert [item.sources for item in slate.items] == [["trending"], ["catalogue"], ["catalogue"], ["catalogue"]]
    assert [item.score for item in slate.items] == pytest.approx([1 / 61, 1 / 62, 1 / 63, 1 / 64])
    assert [item.reason for item in slate.items] == ["Trending now", *["To fill the slate"] * 3]


def test_the_cap_holds_as_long_as_the_catalogue_has_other_authors(sources: dict[str, Source]) -> None:
    sources["trending"] = proposing(0, 1)  # both by m1
    slate = Serving(BARE, small_world(), Untrained()).ask(Request(viewer="m0", size=2), NOON)
    assert items(slate) == ["p0", "p2"]
    assert causes(slate) == {"sources and filters left too few candidates"}
    slate = Serving(BARE, small_world(), Untrained()).ask(Request(viewer="m0", size=3), NOON)
    assert items(slate) == ["p0", "p2", "p1"]
    assert "too few authors" in causes(slate)


def test_a_popular_item_over_the_cap_does_not_fill_the_slate(sources: dict[str, Source]) -> None:
    like = Action(id="1", time=START + 2 * HOUR, viewer="m2", item="p1", name="like", surface="feed")
    sources["trending"] = proposing(0)
    slate = Serving(BARE, [*small_world(), like], Untrained()).ask(Request(viewer="m0", size=2), NOON)
    assert items(slate) == ["p0", "p2"]
    assert "too few authors" not in causes(slate)


def test_exclusions_hold_though_the_definition_has_no_such_filter() -> None:
    definition = replace(BARE, filters=())
    assert Excluded() not in definition.filters
    slate = Serving(definition, small_world(), Untrained()).ask(Request(viewer="m0", size=9, exclude=["p0", "p0", "x"]), NOON)
    assert set(items(slate)) == {"p1", "p2", "p3"}


def test_the_clock_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> float:
        raise AssertionError("the clock was read")

    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, forbidden)
    slate = Serving(FULL, small_world(), random_models()).ask(Request(viewer="m0", time=NOON), 0)
    assert (slate.time, len(slate.items)) == (NOON, 3)


def test_ages_modes_and_names() -> None:
    shown: list[Event] = [
        Impression(id="1", time=NOON - 50, viewer="m0", item="p0", surface="feed"),
        Impression(id="2", time=NOON - 20, viewer="m1", item="p0", surface="feed"),
    ]
    served = Serving(FULL, [*small_world(), *shown], random_models())
    slate = served.ask(ASK, NOON)
    assert (slate.trace.state_age_ms, slate.trace.viewer_age_ms, slate.trace.history) == (20, 50, 1)
    assert (slate.trace.offset, slate.mode, slate.model, slate.surface) == (7, "online", "random", "feed")
    assert (slate.request, slate.definition) == (f"feed-m0-{NOON}", FULL.hash)
    earlier = served.ask(ASK, NOON - 30)
    assert (earlier.trace.state_age_ms, earlier.trace.viewer_age_ms) == (None, 20)
    stranger = served.ask(Request(viewer="x"), NOON)
    assert (stranger.trace.viewer_age_ms, stranger.trace.history) == (None, 0)


def test_requests_of_a_long_viewer_have_names_that_differ() -> None:
    served = Serving(BARE, small_world(), Untrained())
    names = {
        served.ask(Request(viewer=viewer), now).request for viewer in ("v" * 256, "v" * 255 + "w") for now in (NOON, NOON + 1)
    }
    assert len(names) == 4
    assert all(len(name) <= 256 for name in names)


def test_members_for_members_leave_out_oneself() -> None:
    member = Entity("member", (Category("country"),))
    definition = replace(
        BARE, viewer=member, item=member, selector=Slate(), features=(), filters=BARE.filters[:1] + BARE.filters[3:]
    )
    people: list[Event] = [EntityUpsert(id=name, time=START, type="member", key=name) for name in ("m0", "m1", "m2")]
    slate = Serving(definition, people, Untrained()).ask(ASK, NOON)
    assert items(slate) == ["m1", "m2"]
    assert said(slate) == {"backfill", "select"}
