"""Caps, variety, draws, rules, conditions and frequency caps keep the promises of slates: no look-ahead, one answer to one
question whatever order events arrived in, and nothing that a filter forbids.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from fourfold.definition import (
    Boost,
    Cap,
    Diversity,
    Explore,
    FrequencyCap,
    Pin,
    Promote,
    Recommender,
    Seen,
    Slate,
    Where,
)
from fourfold.events.types import Event, Impression
from fourfold.pipeline.models import Untrained
from fourfold.pipeline.slate import Request
from tests.contract.slate_contract import requests, same
from tests.features.oracle import Oracle
from tests.pipeline.eligible import eligible
from tests.pipeline.samples import BARE, FULL, Serving, items, random_models
from tests.strategies import HOUR, logs, times

RULES = (
    Pin("news", item="p1", position=1, where='not ("food" in topics)'),
    Pin("lead", item="p3", where="context.tab == viewer.country or size >= 0"),
    Promote("art", where='"art" in topics', first=2),
    Boost("m1", where='author == "m1"', factor=3.0),
)
FILTERS = (
    *(declared for declared in BARE.filters if not isinstance(declared, Seen)),
    Where('not (author == "m0" and size < 0)'),
    FrequencyCap(times=2, within="6h"),
    FrequencyCap(times=3, within="12h", by="author"),
)
SELECTOR = Slate(size=3, per_author=1, caps=(Cap("topics", 1),), diversity=Diversity(0.4), explore=Explore(0.4, 2))
VARIED = replace(BARE, filters=FILTERS, selector=SELECTOR, rules=RULES)
TRAINED = replace(FULL, filters=FILTERS, selector=SELECTOR, rules=RULES)


def served(definition: Recommender, log: list[Event]) -> Serving:
    return Serving(definition, log, random_models() if definition is TRAINED else Untrained())


definitions = st.sampled_from([VARIED, TRAINED])
PROPERTY = settings(max_examples=25)


@given(definitions, logs(), requests, times())
@PROPERTY
def test_nothing_looks_ahead(definition: Recommender, log: list[Event], request_: Request, time: int) -> None:
    past = [event for event in log if event.time < time]
    same(served(definition, log).ask(request_, time), served(definition, past).ask(request_, time))


@given(definitions, logs(), requests, times(), st.randoms(use_true_random=False))
@PROPERTY
def test_the_order_of_arrival_does_not_matter(
    definition: Recommender, log: list[Event], request_: Request, time: int, rng: Any
) -> None:
    shuffled = [*log, *log[:3]]
    rng.shuffle(shuffled)
    one, other = served(definition, log).ask(request_, time), served(definition, shuffled).ask(request_, time)
    same(one, other)
    for attribute in ("rule", "propensity", "reason"):
        assert [getattr(item, attribute) for item in one.items] == [getattr(item, attribute) for item in other.items]
    assert one.trace.rules == other.trace.rules
    assert one.degradations == other.degradations


@given(definitions, logs(), requests, times())
@PROPERTY
def test_a_naive_reader_finds_nothing_forbidden(
    definition: Recommender, log: list[Event], request_: Request, time: int
) -> None:
    slate, oracle = served(definition, log).ask(request_, time), Oracle(definition, log)
    shown = items(slate)
    assert len(set(shown)) == len(shown)
    viewer = request_.viewer
    assert set(shown) <= eligible(BARE, of_others(log), request_, time), "all but what was seen"
    since = oracle.deleted("member", viewer, time)
    past = [e for e in oracle.events if isinstance(e, Impression) and e.viewer == viewer and since < e.time < time]
    author = {post: oracle.attribute("post", post, "author", time) for post in {*shown, *(e.item for e in past)}}
    for post in shown:
        size = oracle.attribute("post", post, "size", time)
        assert not (author[post] == "m0" and isinstance(size, int | float) and size < 0)
        assert sum(e.item == post and e.time >= time - 6 * HOUR for e in past) < 2
        if author[post] is not None:
            spent = sum(author[e.item] == author[post] and e.time >= time - 12 * HOUR for e in past)
            assert spent + sum(author[other] == author[post] for other in shown) <= 3
    assert all(item.propensity is not None and 0 < item.propensity <= 1 for item in slate.items)


def of_others(log: list[Event]) -> list[Event]:
    """The log as if others had had all impressions: they make items known, and none of them is seen."""
    return [structs.replace(event, viewer="somebody") if isinstance(event, Impression) else event for event in log]


@pytest.mark.parametrize("definition", [VARIED, TRAINED])
def test_an_empty_log_gives_an_empty_slate(definition: Recommender) -> None:
    assert served(definition, []).ask(Request(viewer="m0"), HOUR).items == []
