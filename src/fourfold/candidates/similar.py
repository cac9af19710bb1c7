"""Sources that use what was trained: items near the viewer in embedding space, and items that go with those liked before."""

import numpy as np

from fourfold.candidates.source import NOBODY, Ask, Proposal, Unavailable
from fourfold.definition import EmbeddingRetrieval, ItemToItem
from fourfold.features.positives import liked


def embedding_retrieval(ask: Ask, source: EmbeddingRetrieval) -> Proposal:
    """The items nearest to the viewer in the retrieval model's space."""
    if ask.index is None:
        raise Unavailable("no retrieval model is trained yet")
    items, scores = ask.index.nearest(ask.context, source.keep)
    return Proposal(items, scores, np.full(len(items), NOBODY))


def item_to_item(ask: Ask, source: ItemToItem) -> Proposal:
    """Items that go with the viewer's last positive ones; the n-th last counts ``1 / sqrt(n)``."""
    if ask.neighbours is None:
        raise Unavailable("no item-to-item table is trained yet")
    recent = liked(ask.view, ask.context.entries, source.recent)
    if not len(recent):
        return Proposal.nothing()
    query, items, similarity = ask.neighbours.of(recent)
    return Proposal.best(ask.view, items, similarity / np.sqrt(1 + query), source.keep, recent[query])
