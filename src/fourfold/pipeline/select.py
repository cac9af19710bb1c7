"""The selector: the best candidates within the per-author cap, and an honest word where the cap or the catalogue gives way."""

import numpy as np

from fourfold.definition import Slate
from fourfold.features.table import Int
from fourfold.pipeline.filters import Asked
from fourfold.pipeline.trace import Tracer


def select(asked: Asked, selector: Slate, items: Int, order: Int, size: int, tracer: Tracer) -> Int:
    """Indices of at most `size` candidates, best first.

    Parameters
    ----------
    items : int64 array, shape (C,)
        Item rows.
    order : int64 array
        Indices of the candidates that may be chosen, best first.
    """
    within = _within_cap(asked, selector, items, order)
    chosen = order[within][:size]
    if len(chosen) < min(size, len(order)):
        over = order[~within][: size - len(chosen)]
        tracer.degraded("select", "too few authors", f"{len(over)} items exceed the cap of {selector.per_author} per author")
        chosen = np.concatenate([chosen, over])
    if len(chosen) < size:
        tracer.degraded("select", "no more items are left for this viewer", f"{len(chosen)} of {size} items")
    return chosen


def _within_cap(asked: Asked, selector: Slate, items: Int, order: Int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which candidates of the order are among the first `per_author` of their author; items without one always are."""
    definition = asked.view.definition
    if selector.per_author is None or definition.item.owner is None:
        return np.ones(len(order), bool)
    times = np.full(len(order), asked.time)
    authors = asked.view.codes(definition.item.name, definition.item.owner, items[order], times)
    by_author = np.argsort(authors, kind="stable")
    grouped = authors[by_author]
    place = np.empty(len(order), np.int64)
    place[by_author] = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    within: np.ndarray[tuple[int], np.dtype[np.bool_]] = (place < selector.per_author) | (authors < 0)
    return within
