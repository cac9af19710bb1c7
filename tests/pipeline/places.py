"""Candidates for selectors: posts with an author and topics, and what the selector needs to know of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fourfold.definition import Filter, Rule, Slate
from fourfold.events.types import EntityUpsert, Event
from fourfold.features.table import Int
from fourfold.pipeline.filters import Asked
from fourfold.pipeline.limits import limits
from fourfold.pipeline.rules import Rules
from fourfold.pipeline.select import Chosen, Selector
from fourfold.pipeline.similarity import by_categories
from fourfold.pipeline.trace import Tracer
from tests.features.samples import state_of
from tests.strategies import START

Post = tuple[str | None, list[str]]
"""Author and topics."""


def upserts(posts: Sequence[Post], time: int = START) -> list[Event]:
    """Posts ``p0``, ``p1`` ... as events, in this order, all at one time."""
    return [
        EntityUpsert(
            id=f"p{n}", time=time, type="post", key=f"p{n}", attributes={"author": author, "topics": topics, "size": n}
        )
        for n, (author, topics) in enumerate(posts)
    ]


def asked_of(posts: Sequence[Post], more: Sequence[Event] = (), **given: Any) -> tuple[Asked, Int]:
    """A request of m0 over these posts, and their rows."""
    view = state_of([*upserts(posts), *more]).view()
    row = int(view.rows("member", ["m0"])[0])
    return Asked(view, "m0", row, START + 1000, **given), view.rows("post", [f"p{n}" for n in range(len(posts))])


def choosing(
    posts: Sequence[Post],
    selector: Slate,
    size: int,
    *,
    scores: Sequence[float] | None = None,
    rules: Sequence[Rule] = (),
    filters: Sequence[Filter] = (),
    more: Sequence[Event] = (),
) -> Callable[[int], tuple[Chosen, Tracer]]:
    """What a selector makes of all these posts, which stand best first, by the seed of a request."""
    asked, items = asked_of(posts, more)
    given = limits(asked, asked, selector, filters, items)
    similarity = None if selector.diversity is None else by_categories(asked, items)
    ranked = np.arange(len(posts), 0.0, -1.0) if scores is None else np.array(scores, float)

    def choose(seed: int) -> tuple[Chosen, Tracer]:
        tracer, ruled = Tracer(1000), Rules(asked, {}, rules, items, size)
        return Selector(selector, ranked, given, ruled, similarity).choose(size, seed, tracer), tracer

    return choose


def chosen(posts: Sequence[Post], selector: Slate, size: int, **given: Any) -> tuple[Chosen, Tracer]:
    """The same for one request."""
    return choosing(posts, selector, size, **given)(0)
