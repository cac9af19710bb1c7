"""Back-fill: when sources and filters leave too few candidates, the catalogue fills the slate, popular and new items first."""

from collections.abc import Sequence

import numpy as np

from fourfold.definition import Filter
from fourfold.features.table import Int
from fourfold.pipeline.explain import CATALOGUE
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.pool import Pool

LATEST = 200_000
"""How many of the newest actions say what is popular."""


def backfill(asked: Asked, filters: Sequence[Filter], pool: Pool, size: int) -> Pool:
    """The pool with enough items of the catalogue behind it that at least `size` remain, as far as there are any."""
    items = by_popularity(asked)
    items = items[~np.isin(items, pool.items)]
    passing, _ = kept(asked, filters, items)
    fill = items[passing][: size - len(pool)]
    return pool.extended(CATALOGUE, fill)


def by_popularity(asked: Asked) -> Int:
    """All items: those with the most recent actions first, then the newest, then by id."""
    view, name = asked.view, asked.view.definition.item.name
    items = view.all_rows(name)
    recent = view.table("recent").slice(np.zeros(1, np.int64), np.zeros(1, np.int64), asked.times, newest=LATEST)
    actions = np.bincount(recent.get("item", items[:0]), minlength=len(items))
    born = view.born(name, items, np.repeat(asked.time, len(items)))
    ids = np.array(view.ids(name, items), dtype=str)
    return np.lexsort((ids, -born, -actions))
