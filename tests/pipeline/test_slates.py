"""Selection inside whole requests: what it asks of sources, filters, models and the catalogue, and what the slate says."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fourfold.candidates import SOURCES, Ask, Proposal
from fourfold.definition import (
    Boost,
    Cap,
    Diversity,
    DotProduct,
    Explore,
    FrequencyCap,
    Pin,
    Promote,
    Recommender,
    Slate,
    Trending,
)
from fourfold.events.types import Action, EntityDelete, EntityUpsert, Event, Impression
from fourfold.pipeline.models import Untrained
from fourfold.pipeline.slate import Request
from fourfold.pipeline.slate import Slate as Answer
from tests.contract.slate_contract import NOON, small_world
from tests.pipeline.eligible import causes, check_trace
from tests.pipeline.places import Post, upserts
from tests.pipeline.samples import BARE, FULL, Serving, items, random_models
from tests.strategies import START

ASK = Request(viewer="m0")


def asked(
    definition: Recommender, posts: Sequence[Post], more: Sequence[Event] = (), request: Request = ASK, models: Any = None
) -> Answer:
    events = [*upserts(posts, NOON - 1000), EntityUpsert(id="m0", time=START, type="member", key="m0"), *more]
    slate = Serving(definition, events, models or Untrained()).ask(request, NOON)
    check_lasting(slate)
    return slate


def check_lasting(slate: Answer) -> None:
    assert len(set(items(slate))) == len(items(slate))
    assert all(item.sources and item.reason for item in slate.items)


@pytest.fixture
def proposed(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What trending proposes, best first."""
    found: dict[str, list[str]] = {}

    def proposing(ask: Ask, source: Any) -> Proposal:
        rows = ask.view.rows("post", found["posts"])
        return Proposal(rows, np.ones(len(rows), np.float32), np.full(len(rows), -1))

    monkeypatch.setitem(SOURCES, "trending", proposing)
    return found


def plain(**changes: Any) -> Recommender:
    return replace(BARE, sources=(Trending(),), **{"selector": Slate(size=3), **changes})


def said(slate: Answer) -> list[str]:
    return [f"{rule.rule}: {rule.effect}" for rule in slate.trace.rules]


def test_a_pinned_item_comes_in_though_no_source_proposes_it(proposed: dict[str, list[str]]) -> None:
    proposed["posts"] = ["p0", "p1", "p2"]
    posts: list[Post] = [(None, [])] * 5
    slate = asked(plain(rules=(Pin("news", item="p4", position=1),)), posts)
    assert items(slate) == ["p0", "p4", "p1"]
    pinned = slate.items[1]
    assert (pinned.rule, pinned.sources, pinned.reason) == ("news", ["pin"], "Placed here")
    assert said(slate) == ["news: at position 1"]
    stages = [stage.stage for stage in slate.trace.stages]
    assert stages == ["context", "sources", "pins", "filters", "select"]
    own = asked(plain(rules=(Pin("news", item="p0", position=1),)), posts)
    assert items(own) == ["p1", "p0", "p2"]
    assert own.items[1].sources == ["trending"]


@pytest.mark.parametrize(
    ("event", "effect"),
    [
        (EntityDelete(id="x", time=NOON - 1, type="post", key="p1"), "left out by deleted"),
        (Impression(id="x", time=NOON - 1, viewer="m0", item="p1", surface="feed"), "left out by seen"),
        (Action(id="x", time=NOON - 1, viewer="m0", item="p1", name="hide", surface="feed"), "left out by hidden"),
    ],
)
@pytest.mark.parametrize("meanwhile", [False, True])
def test_pins_pass_all_filters_also_while_the_request_runs(
    proposed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, event: Event, effect: str, meanwhile: bool
) -> None:
    definition = plain(rules=(Pin("news", item="p1"),))
    served = Serving(definition, [*upserts([(None, [])] * 4, NOON - 1000), *([] if meanwhile else [event])], Untrained())

    def posting(ask: Ask, source: Any) -> Proposal:
        if meanwhile:
            served.post([event])
        return Proposal(np.array([0, 1, 2]), np.ones(3, np.float32), np.full(3, -1))

    monkeypatch.setitem(SOURCES, "trending", posting)
    slate = served.ask(ASK, NOON)
    assert "p1" not in items(slate)
    assert len(slate.items) == 3
    assert said(slate) == [f"news: {effect}{' meanwhile' if meanwhile else ''}"]


def test_excluding_a_pinned_item_takes_it_out(proposed: dict[str, list[str]]) -> None:
    proposed["posts"] = ["p0"]
    request = Request(viewer="m0", exclude=["p1"], where="size < 3")
    slate = asked(plain(rules=(Pin("a", item="p1"), Pin("b", item="p3"))), [(None, [])] * 4, request=request)
    assert items(slate) == ["p0", "p2"]
    assert said(slate) == ["a: left out by excluded", "b: left out by request_where"]


def test_caps_of_topics_bring_in_the_catalogue_before_they_give_way(proposed: dict[str, list[str]]) -> None:
    proposed["posts"] = ["p0", "p1", "p2"]
    posts: list[Post] = [("m1", ["x"]), ("m2", ["x", "y"]), ("m1", ["x"]), (None, ["y"]), (None, ["z"])]
    capped = plain(selector=Slate(size=3, caps=(Cap("topics", 1),)))
    slate = asked(capped, posts)
    assert set(items(slate)) == {"p0", "p3", "p4"}
    assert causes(slate) == {"sources and filters left too few candidates"}
    check_trace(slate)
    four = asked(capped, posts, request=Request(viewer="m0", size=4))
    assert set(items(four)[:3]) == {"p0", "p3", "p4"}
    assert "too few values of topics" in causes(four)


def test_a_gap_that_several_caps_leave_is_filled_from_the_catalogue(proposed: dict[str, list[str]]) -> None:
    """By the sources' order p0 and p3 fit side by side; the ranking takes p1 first, beside which nothing proposed fits."""
    proposed["posts"] = ["p0", "p3", "p1"]
    posts: list[Post] = [("m1", ["x"]), ("m1", ["x", "y"]), (None, ["q"]), ("m2", ["y"])]
    definition = plain(selector=Slate(size=2, caps=(Cap("topics", 1),)), rules=(Boost("up", where="size == 1", factor=100.0),))
    slate = asked(definition, posts)
    assert items(slate) == ["p1", "p2"]
    assert slate.items[1].sources == ["catalogue"]
    assert causes(slate) == {"several caps together left too few candidates"}
    assert "refill" in [stage.stage for stage in slate.trace.stages]
    pinned = replace(definition, rules=(*definition.rules, Pin("news", item="p3", position=1)))
    assert items(asked(pinned, posts)) == ["p0", "p3"], "beside the pin p0 fits"


def test_what_is_left_of_a_frequency_cap_bounds_one_slate(proposed: dict[str, list[str]]) -> None:
    proposed["posts"] = ["p0", "p1", "p2"]
    posts: list[Post] = [("m1", []), ("m1", []), ("m1", []), ("m2", []), ("m2", [])]
    seen = [Impression(id="s", time=NOON - 5, viewer="m0", item="p0", surface="feed")]
    definition = plain(filters=(FrequencyCap(times=2, within="1h", by="author"),))
    assert items(asked(definition, posts, seen, Request(viewer="m0", size=4))) == ["p0", "p3", "p4"]
    assert items(asked(definition, posts, seen, Request(viewer="m1", size=9))) == ["p0", "p1", "p3", "p4"]


def test_impressions_that_arrive_meanwhile_count_for_frequency_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    posts: list[Post] = [("m1", []), ("m1", []), ("m2", [])]
    definition = plain(filters=(FrequencyCap(times=2, within="1h", by="author"),))
    served = Serving(definition, upserts(posts, NOON - 1000), Untrained())

    def seeing(ask: Ask, source: Any) -> Proposal:
        served.post([Impression(id="s", time=NOON - 1, viewer="m0", item="p0", surface="feed")])
        return Proposal(np.array([0, 1, 2]), np.ones(3, np.float32), np.full(3, -1))

    monkeypatch.setitem(SOURCES, "trending", seeing)
    assert items(served.ask(ASK, NOON)) == ["p0", "p2"]


def test_early_rankers_keep_what_rules_need(proposed: dict[str, list[str]]) -> None:
    proposed["posts"] = ["p0", "p1", "p2", "p3"]
    definition = replace(
        FULL,
        sources=(Trending(),),
        ranker=None,
        selector=Slate(size=1),
        early_ranker=DotProduct(keep=1),
    )
    models = random_models()
    free = items(Serving(definition, small_world(), models).ask(Request(viewer="m0", size=4), NOON))
    last = free[-1]
    ruled = replace(definition, rules=(Pin("pin", item=last),))
    assert items(Serving(ruled, small_world(), models).ask(ASK, NOON)) == [last]
    author = {"p0": "m1", "p1": "m1", "p2": "m2", "p3": "m2"}[last]
    promoted = replace(definition, rules=(Promote("author", where=f'author == "{author}"', first=1),))
    best = next(post for post in free if {"p0": "m1", "p1": "m1", "p2": "m2", "p3": "m2"}[post] == author)
    assert items(Serving(promoted, small_world(), models).ask(ASK, NOON)) == [best]


def test_variety_goes_by_vectors_where_a_model_serves(proposed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    proposed["posts"] = ["p0", "p1", "p2"]
    definition = replace(plain(selector=Slate(size=3, diversity=Diversity(0.9))), retrieval=FULL.retrieval)
    posts: list[Post] = [("m1", ["x"]), ("m2", ["y"]), ("m1", ["x"])]
    assert items(asked(definition, posts)) == ["p0", "p1", "p2"], "by categories p2 is like p0"
    vectors = np.array([[1, 0], [1, 0.1], [0, 1]], np.float32)
    path = "fourfold.scoring.retriever.Retriever.item_vectors"
    monkeypatch.setattr(path, lambda self, rows: vectors[rows])
    assert items(asked(definition, posts, models=random_models())) == ["p0", "p2", "p1"], "by vectors p1 is"
    monkeypatch.setattr(path, lambda self, rows: np.full((len(rows), 2), np.nan, np.float32))
    slate = asked(definition, posts, models=random_models())
    assert items(slate) == ["p0", "p1", "p2"]
    assert "the retrieval model gives no vectors" in causes(slate)


def test_vectors_of_a_real_model_are_those_of_its_items() -> None:
    definition = replace(FULL, selector=Slate(size=4, diversity=Diversity(0.5)))
    served = Serving(definition, small_world(), random_models())
    assert len(served.ask(ASK, NOON).items) == 4


def test_a_share_is_drawn_and_said(proposed: dict[str, list[str]]) -> None:
    proposed["posts"] = [f"p{n}" for n in range(9)]
    definition = plain(selector=Slate(size=3, explore=Explore(0.5, 3)))
    posts: list[Post] = [(None, [])] * 9
    slates = [asked(definition, posts, request=Request(viewer="m0", request=f"r{n}")) for n in range(30)]
    shown = {item.item for slate in slates for item in slate.items}
    assert shown == {f"p{n}" for n in range(6)}
    for item in (item for slate in slates for item in slate.items):
        assert (item.rule == "explore") == (int(item.item[1:]) >= 3)
        assert item.propensity == pytest.approx(0.5)
    again = asked(definition, posts, request=Request(viewer="m0", request="r7"))
    assert again.items == slates[7].items
