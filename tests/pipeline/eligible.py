"""The naive truth of filters: which items a viewer may be shown, in plain Python over a list of events."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from fourfold.definition import Recommender
from fourfold.definition.part import milliseconds
from fourfold.events import types as ev
from fourfold.pipeline.slate import Request, Slate
from tests.features.oracle import Oracle
from tests.pipeline.samples import items, said
from tests.strategies import MEMBERS, POSTS


def eligible(definition: Recommender, events: Sequence[ev.Event], request: Request, time: int) -> set[str]:
    """Ids of posts that exist and that none of `BARE.filters` takes out."""
    oracle, viewer = Oracle(definition, list(events)), request.viewer
    since = oracle.deleted("member", viewer, time)
    mine = [
        e for e in oracle.events if isinstance(e, ev.Impression | ev.Action) and e.viewer == viewer and since < e.time < time
    ]
    gone = {e.item for e in mine if isinstance(e, ev.Impression) or e.name == "hide"} | set(request.exclude)
    blocked = oracle.neighbours("blocks", viewer, time)
    blocked |= {member for member in MEMBERS if viewer in oracle.neighbours("blocks", member, time)}
    assert definition.item.lifetime is not None
    lifetime = milliseconds(definition.item.lifetime)
    found = set()
    for post in POSTS:
        born = oracle.born("post", post, time)
        author = oracle.attribute("post", post, "author", time)
        fresh = born is None or born + lifetime > time
        if oracle.alive("post", post, time) and post not in gone and fresh and author not in blocked | {viewer}:
            found.add(post)
    return found


def check_full(definition: Recommender, events: Sequence[ev.Event], request: Request, time: int, slate: Slate) -> None:
    """A slate is valid, as long as can be, within its cap where that can be, and says where it cannot."""
    allowed, shown = eligible(definition, events, request, time), items(slate)
    size = request.size or definition.selector.size
    assert len(shown) == len(set(shown)) == min(size, len(allowed))
    assert set(shown) <= allowed
    assert ("no more items are left for this viewer" in causes(slate)) == (len(allowed) < size)
    oracle = Oracle(definition, list(events))
    assert ("viewer" in said(slate)) == (not oracle.alive("member", request.viewer, time))
    _check_cap(definition, oracle, allowed, time, slate, min(size, len(allowed)))
    for item in slate.items:
        assert item.sources
        assert item.reason
        assert all(0 <= value <= 1 for value in item.probabilities.values())
        if item.probabilities:
            utility = {action.name: action.utility for action in definition.actions}
            assert abs(item.score - sum(utility[name] * p for name, p in item.probabilities.items())) < 1e-4
    assert ("backfill" in said(slate)) >= any("catalogue" in item.sources for item in slate.items)
    check_trace(slate)


def _check_cap(definition: Recommender, oracle: Oracle, allowed: set[str], time: int, slate: Slate, length: int) -> None:
    cap = definition.selector.per_author
    assert cap is not None
    author = {post: oracle.attribute("post", post, "author", time) for post in allowed}
    counts = Counter(author.values())
    fits = sum(count if name is None else min(count, cap) for name, count in counts.items())
    used = Counter(author[post] for post in items(slate) if author[post] is not None)
    over = max(used.values(), default=0) > cap
    assert over == (fits < length) == ("too few authors" in causes(slate))
    scores = [item.score for item in slate.items]
    assert over or scores == sorted(scores, reverse=True)


def check_trace(slate: Slate) -> None:
    """Stages stand in order, hand on what they were given, and filters account for what is missing."""
    order = ["context", "sources", "filters", "backfill", "early_ranker", "features", "ranker", "late_filters", "select"]
    names = [stage.stage for stage in slate.trace.stages]
    assert names == [name for name in order if name in names]
    by_name = {stage.stage: stage for stage in slate.trace.stages}
    assert all(stage.ms >= 0 for stage in slate.trace.stages)
    dropped = sum(count for name, count in slate.trace.dropped.items() if not name.endswith("meanwhile"))
    assert by_name["filters"].taken - by_name["filters"].given == dropped
    chain = [stage for stage in slate.trace.stages if stage.stage != "context"]
    assert all(after.taken == before.given for before, after in pairwise(chain))
    assert by_name["select"].given == len(slate.items)
    assert by_name["context"].given == slate.trace.history


def causes(slate: Slate) -> set[str]:
    """What went differently, in words."""
    return {degradation.cause for degradation in slate.degradations}
