"""Back-fill: when sources and filters leave too few candidates, the catalogue fills the slate, popular and new items first."""

from collections.abc import Sequence

import numpy as np

from fourfold.candidates.ordering import best_first, newest
from fourfold.definition import Filter, Slate
from fourfold.features.table import Int
from fourfold.pipeline.explain import CATALOGUE
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.limits import fitting, limits
from fourfold.pipeline.pool import Pool

HEAD = 20
"""How many times the size of a slate of the catalogue is tried first: nearly always that is enough."""

LATEST = 200_000
"""How many of the newest actions say what is popular."""


def backfill(asked: Sequence[Asked], filters: Sequence[Filter], selector: Slate, pool: Pool, size: int) -> Pool:
    """The pool with enough items of the catalogue behind it for `size` places, as far as there are any.

    Parameters
    ----------
    asked : sequence of Asked
        The request at one or more states, the latest last; an item must pass the filters at each. The first says what is
        popular.
    selector : Slate
        Items within its caps come first, so that a cap gives way only where the whole catalogue leaves no choice.
    """
    items = by_popularity(asked[0])
    items = items[~np.isin(items, pool.items)]
    for one in asked:
        items = items[kept(one, filters, items)[0]]
    order = best_first(asked[0].view, pool.items, pool.source_scores())
    for head in (items[: HEAD * size], items):
        both = np.concatenate([pool.items[order], head])
        chosen, within = fitting(limits(asked[0], asked[-1], selector, filters, both), len(both), size)
        if within == size:
            break
    return pool.extended(CATALOGUE, both[chosen[chosen >= len(pool)]])


def is_short(asked: Sequence[Asked], filters: Sequence[Filter], selector: Slate, pool: Pool, size: int) -> bool:
    """Whether the pool cannot fill `size` places within the caps."""
    order = best_first(asked[0].view, pool.items, pool.source_scores())
    given = limits(asked[0], asked[-1], selector, filters, pool.items[order])
    return fitting(given, len(pool), size)[1] < size


def by_popularity(asked: Asked) -> Int:
    """All items: those with the most recent positive actions first, then the newest, then by id."""
    view, name = asked.view, asked.view.definition.item.name
    items = view.all_rows(name)
    times = np.repeat(asked.time, len(items))
    actions = np.bincount(_recent_positive(asked), minlength=len(items))
    _, rank = np.unique(actions + 1j * view.born(name, items, times), return_inverse=True)
    return best_first(view, items, rank)


def _recent_positive(asked: Asked) -> Int:
    """The item of each of the newest actions that are worth something and came after its item's last deletion."""
    view = asked.view
    recent = view.table("recent").slice(np.zeros(1, np.int64), view.reach(asked.times), asked.times, newest=LATEST)
    if not len(recent["query"]):
        return recent["query"]
    recent = newest(recent, LATEST)
    good = np.isin(recent["name"], view.names["action"].find_all(view.definition.positive))
    every = view.all_rows(view.definition.item.name)
    deleted = view.deleted(view.definition.item.name, every, np.repeat(asked.time, len(every)))
    items: Int = recent["item"][good & (recent["time"] > deleted[recent["item"]])]
    return items
