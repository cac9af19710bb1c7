"""Metrics of recommended lists: what they found, how much of the catalogue they show, how unexpected and how varied they are.

The full catalogue competes and members are drawn for the intervals, as everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import Category
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.training.metrics import LEVEL, Interval

DRAWS = 1_000
"""How often members are drawn."""

ListMetrics: TypeAlias = dict[str, float | Interval | None]
"""Metrics by name and cut-off, such as ``recall@20``, each with its 95 % interval, such as ``recall@20_ci``."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """What is known of I items when lists are made.

    Parameters
    ----------
    exists : array of bool, shape (I,)
        Which items can be recommended.
    information : array, shape (I,)
        Bits that an impression of each is worth: ``-log2`` of its share of all impressions before, each item counted once
        more than it was shown.
    categories : array of int, shape (I, C)
        Codes of the attributes that have one value, -1 where there is none.
    """

    exists: NDArray[np.bool_]
    information: Values
    categories: Int

    @classmethod
    def of(cls, view: View, shown: Int, time: int) -> "Catalogue":
        """The items of a view as of `time`; `shown` are the items of all impressions before."""
        entity = view.definition.item
        rows = view.all_rows(entity.name)
        times = np.full(len(rows), time)
        counts = np.bincount(shown, minlength=len(rows)) + 1.0
        single = [one.name for one in entity.attributes if isinstance(one, Category) and not one.many]
        codes = [view.codes(entity.name, name, rows, times) for name in single]
        return cls(
            exists=view.alive(entity.name, rows, times),
            information=-np.log2(counts / max(counts.sum(), 1)),
            categories=np.array(codes, np.int64).reshape(len(single), len(rows)).T,
        )


def list_metrics(
    lists: Sequence[Int], liked: Sequence[Int], catalogue: Catalogue, *, cutoffs: Sequence[int], k: int, seed: int = 0
) -> ListMetrics:
    """Metrics of one list of items (rows, best first) per member against what that member liked.

    Parameters
    ----------
    lists, liked : sequence of Int
        For each member the list, and at least one item that was liked.
    catalogue : Catalogue
        What is known of the items.
    cutoffs : sequence of int
        Where recall is measured: the share of what a member liked that the first so many hold.
    k : int
        Where the others are measured, over the first `k`. NDCG has binary gains. Coverage is the share of the existing items
        that appear in any list. Novelty is the mean information of the items. Diversity is the mean distance of pairs of items:
        the share of categories in which they are not known to be alike; None without categories.
    seed : int
        Of the bootstrap over members.
    """
    tops = [items[:k] for items in lists]
    hits = [np.isin(items, good) for items, good in zip(lists, liked, strict=True)]
    found = {f"recall@{cut}": [hit[:cut].sum() / len(good) for hit, good in zip(hits, liked, strict=True)] for cut in cutoffs}
    found[f"ndcg@{k}"] = [ndcg(hit[:k], min(len(good), k)) for hit, good in zip(hits, liked, strict=True)]
    found[f"novelty@{k}"] = [float(catalogue.information[top].mean()) if len(top) else np.nan for top in tops]
    if catalogue.categories.shape[1]:
        found[f"diversity@{k}"] = [diversity(catalogue.categories[top]) for top in tops]
    shown = np.unique(np.concatenate([np.zeros(0, np.int64), *tops]))
    weights = _draws(len(lists), seed)
    metrics: ListMetrics = {"members": len(lists), f"coverage@{k}": len(shown) / max(int(catalogue.exists.sum()), 1)}
    for name, values in found.items():
        metrics[name], metrics[f"{name}_ci"] = _measured(np.array(values, np.float64), weights)
    return metrics


def ndcg(hits: NDArray[np.bool_], most: int) -> float:
    """Normalised discounted cumulative gain of one list: gains are 1, and `most` of them could have been had."""
    discount = 1 / np.log2(np.arange(max(len(hits), most)) + 2)
    return float((hits * discount[: len(hits)]).sum() / discount[:most].sum())


def diversity(categories: Int) -> float:
    """Mean distance of pairs of items, their categories given as codes (K, C); NaN for fewer than two."""
    count = len(categories)
    if count < 2:
        return np.nan
    alike = (categories[:, None] == categories[None]) & (categories[:, None] >= 0)
    distance = 1 - alike.mean(axis=2)
    return float(distance[np.triu_indices(count, 1)].mean())


def _draws(members: int, seed: int) -> Values:
    """How often each member is in each draw, shape (draws, members)."""
    random = np.random.default_rng(seed)
    drawn = [np.bincount(random.integers(0, members, members), minlength=members) for _ in range(DRAWS if members else 0)]
    return np.array(drawn, np.float64).reshape(len(drawn), members)


def _measured(values: Values, weights: Values) -> tuple[float | None, Interval | None]:
    """The mean over the members for whom a value is defined, and its interval."""
    defined = ~np.isnan(values)
    if not defined.any():
        return None, None
    weights = weights[:, defined]
    total = weights.sum(axis=1)
    means = (weights @ values[defined])[total > 0] / total[total > 0]
    low, high = np.quantile(means, LEVEL)
    return float(values[defined].mean()), (float(low), float(high))
