"""Candidates: sources propose items for a viewer, each with a score and a reason."""

from collections.abc import Callable
from typing import Any

from fourfold.candidates.network import in_network, two_hop
from fourfold.candidates.similar import embedding_retrieval, item_to_item
from fourfold.candidates.source import Ask, ItemIndex, ItemNeighbours, Proposal, Unavailable
from fourfold.candidates.trending import trending

SOURCES: dict[str, Callable[[Ask, Any], Proposal]] = {
    "trending": trending,
    "in_network": in_network,
    "two_hop": two_hop,
    "embedding_retrieval": embedding_retrieval,
    "item_to_item": item_to_item,
}
"""The code of each source, by the `kind` of its declaration."""

__all__ = ["SOURCES", "Ask", "ItemIndex", "ItemNeighbours", "Proposal", "Unavailable"]
