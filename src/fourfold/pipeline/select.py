"""The selector: the best candidates within the per-author cap, and an honest word where the cap or the catalogue gives way."""

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import Slate
from fourfold.features.table import Int
from fourfold.pipeline.filters import Asked
from fourfold.pipeline.trace import Tracer


def select(asked: Asked, selector: Slate, items: Int, order: Int, size: int, tracer: Tracer) -> Int:
    """What `choose` gives, with a word where the cap or the catalogue gives way."""
    chosen = choose(asked, selector, items, order, size)
    over = int((~within_cap(asked, selector, items[chosen])).sum())
    if over:
        tracer.degraded("select", "too few authors", f"{over} items exceed the cap of {selector.per_author} per author")
    if len(chosen) < size:
        tracer.degraded("select", "no more items are left for this viewer", f"{len(chosen)} of {size} items")
    return chosen


def choose(asked: Asked, selector: Slate, items: Int, order: Int, size: int) -> Int:
    """Indices of at most `size` candidates, best first; those over the cap come last, and only to fill the slate.

    Parameters
    ----------
    items : int64 array, shape (C,)
        Item rows.
    order : int64 array
        Indices of the candidates that may be chosen, best first.
    """
    within = within_cap(asked, selector, items[order])
    return np.concatenate([order[within], order[~within]])[:size]


def within_cap(asked: Asked, selector: Slate, items: Int) -> NDArray[np.bool_]:
    """Which items (rows, best first) are among the first `per_author` of their author; items without one always are."""
    definition = asked.view.definition
    if selector.per_author is None or definition.item.owner is None:
        return np.ones(len(items), bool)
    authors = asked.view.codes(definition.item.name, definition.item.owner, items, np.full(len(items), asked.time))
    by_author = np.argsort(authors, kind="stable")
    grouped = authors[by_author]
    place = np.empty(len(items), np.int64)
    place[by_author] = np.arange(len(items)) - np.searchsorted(grouped, grouped)
    within: NDArray[np.bool_] = (place < selector.per_author) | (authors < 0)
    return within
