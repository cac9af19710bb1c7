"""Back-fill: when sources and filters leave too few candidates, the catalogue fills the slate, popular and new items first."""

from collections.abc import Sequence

import numpy as np

from fourfold.candidates.ordering import best_first, newest
from fourfold.definition import Filter, Slate
from fourfold.features.table import Int
from fourfold.pipeline.explain import CATALOGUE
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.pool import Pool
from fourfold.pipeline.select import within_cap

LATEST = 200_000
"""How many of the newest actions say what is popular."""


def shortfall(asked: Asked, selector: Slate, pool: Pool, size: int) -> int:
    """How many of `size` places the pool cannot fill within the per-author cap."""
    return max(size - int(within_cap(asked, selector, pool.items).sum()), 0)


def backfill(asked: Sequence[Asked], filters: Sequence[Filter], selector: Slate, pool: Pool, size: int) -> Pool:
    """The pool with enough items of the catalogue behind it for `size` places, as far as there are any.

    Parameters
    ----------
    asked : sequence of Asked
        The request at one or more states; an item must pass the filters at each. The first says what is popular.
    selector : Slate
        Items within its cap come first, so that the cap gives way only where the whole catalogue leaves no choice.
    """
    items = by_popularity(asked[0])
    items = items[~np.isin(items, pool.items)]
    for one in asked:
        items = items[kept(one, filters, items)[0]]
    within = within_cap(asked[0], selector, np.concatenate([pool.items, items]))[len(pool) :]
    fill = items[within][: shortfall(asked[0], selector, pool, size)]
    over = items[~within][: max(size - len(pool) - len(fill), 0)]
    return pool.extended(CATALOGUE, np.concatenate([fill, over]))


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
