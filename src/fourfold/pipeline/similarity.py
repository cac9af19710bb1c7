"""How alike candidates are, for maximal marginal relevance: by their vectors, or by the categories that they share."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import Category
from fourfold.features.table import Float, Int
from fourfold.pipeline.filters import Asked
from fourfold.pipeline.values import ItemValues

Similarity = Callable[[int], Float]
"""How alike all candidates are to one of them (its index): shape (C,), from 0 to 1."""


def by_vectors(vectors: NDArray[np.float32]) -> Similarity:
    """Cosines of vectors, shape (C, D); where they point apart, 0."""
    wide = vectors.astype(np.float64)
    length = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    unit = np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)

    def similarity(candidate: int) -> Float:
        # A matrix product would round by the place of a row.
        cosine: Float = (unit * unit[candidate]).sum(axis=1)
        return np.clip(cosine, 0.0, 1.0)

    return similarity


def by_categories(asked: Asked, items: Int) -> Similarity:
    """The mean over an item's category attributes of the share of values in common: ``|A and B| / |A or B|``."""
    declared = [attribute.name for attribute in asked.view.definition.item.attributes if isinstance(attribute, Category)]
    shares = [_Shares(asked.values.of(asked.view, name, items, asked.time)) for name in declared]

    def similarity(candidate: int) -> Float:
        total = np.zeros(len(items))
        for share in shares:
            total += share.shared_with(candidate)
        return total / max(len(shares), 1)

    return similarity


class _Shares:
    """How many values of one attribute candidates have in common with one of them."""

    def __init__(self, values: ItemValues) -> None:
        distinct, local = np.unique(values.codes, return_inverse=True)
        self._values, self._size = ItemValues(values.starts, local), len(distinct)
        self._counts = np.diff(values.starts)

    def shared_with(self, candidate: int) -> Float:
        """The share of all values that either has which both have, shape (C,)."""
        mine, wanted = self._values.of(candidate), np.zeros(self._size, bool)
        wanted[mine] = True
        common = np.bincount(self._values.items[wanted[self._values.codes]], minlength=len(self._values))
        share: Float = common / np.maximum(self._counts + len(mine) - common, 1)
        return share


def relevance(scores: Sequence[float] | NDArray[np.floating]) -> Float:
    """Scores from 0 for the worst to 1 for the best."""
    wide = np.asarray(scores, np.float64)
    lowest, highest = wide.min(initial=np.inf), wide.max(initial=-np.inf)
    return (wide - lowest) / (highest - lowest) if highest > lowest else np.zeros(len(wide))
