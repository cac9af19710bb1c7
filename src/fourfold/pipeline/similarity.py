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
    values = [asked.values.of(asked.view, name, items, asked.time) for name in declared]

    def similarity(candidate: int) -> Float:
        return np.mean([_shared(of, candidate) for of in values], axis=0) if values else np.zeros(len(items))

    return similarity


def _shared(values: ItemValues, candidate: int) -> Float:
    mine, counts = values.of(candidate), np.diff(values.starts)
    common = np.bincount(values.items[np.isin(values.codes, mine)], minlength=len(values))
    either = counts + len(mine) - common
    return common / np.maximum(either, 1)


def relevance(scores: Sequence[float] | NDArray[np.floating]) -> Float:
    """Scores from 0 for the worst to 1 for the best."""
    wide = np.asarray(scores, np.float64)
    lowest, highest = wide.min(initial=np.inf), wide.max(initial=-np.inf)
    return (wide - lowest) / (highest - lowest) if highest > lowest else np.zeros(len(wide))
