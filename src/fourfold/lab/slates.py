"""Slates judged: what each source and the whole pipeline would have shown at the split, against what members liked after it.

The full catalogue competes, nothing is sampled but members, and popularity stands beside everything.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fourfold.candidates import SOURCES, Ask, Unavailable
from fourfold.features.assembly import context
from fourfold.features.encoding import Encoder
from fourfold.features.positives import positive
from fourfold.features.table import Int
from fourfold.features.timeline import timeline
from fourfold.features.view import View
from fourfold.pipeline.backfill import by_popularity
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.models import Models
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Request
from fourfold.training.examples import labels

BOOTSTRAPS = 1_000


class Measured(Struct, frozen=True, kw_only=True):
    """A mean over members with its 95 % interval (bootstrap over members)."""

    mean: float
    low: float
    high: float


class SlateMetrics(Struct, frozen=True, kw_only=True):
    """How good lists of `k` items are, over `members` members with something to find.

    `recall` is the share of what a member liked that the list holds; `ndcg` also looks at the order (binary gain);
    `coverage` is the share of the items that existed at the split that appears in any list.
    """

    k: int
    members: int
    recall: Measured
    ndcg: Measured
    coverage: float


@dataclass(frozen=True)
class _Truth:
    """What members liked after the split for the first time: `viewers` (V,), and a set of item rows for each."""

    viewers: Int
    liked: list[Int]


def judge_slates(
    view: View, models: Models, *, since: int, members: int, k: int, seed: int, on_member: Callable[[int, int], None]
) -> dict[str, SlateMetrics]:
    """Metrics at the split `since` (ms) of ``slate`` (the whole pipeline), ``popularity`` and each source by its kind.

    Members are drawn by seed from those who liked something new from the split on; slates are made as of the split.
    """
    truth = _truth(view, since, members, seed)
    encoder, popular = Encoder(view.definition), by_popularity(Asked(view, "", -1, since))
    lists: dict[str, list[Int]] = {}
    with ThreadPoolExecutor(len(view.definition.sources)) as executor:
        pipeline = Pipeline(view.definition, lambda: view, lambda: models, budget_ms=60_000, executor=executor)
        for done, viewer in enumerate(truth.viewers.tolist()):
            for name, items in _lists(view, models, pipeline, encoder, viewer, since, k, popular).items():
                lists.setdefault(name, []).append(items)
            on_member(done + 1, len(truth.viewers))
    known = view.alive(view.definition.item.name, popular, np.full(len(popular), since))
    return {name: slate_metrics(found, truth.liked, k, int(known.sum()), seed) for name, found in lists.items()}


def slate_metrics(lists: list[Int], liked: list[Int], k: int, catalogue: int, seed: int = 0) -> SlateMetrics:
    """Metrics of one list of items per member against what that member liked."""
    recall, ndcg = np.zeros(len(lists)), np.zeros(len(lists))
    discount = 1 / np.log2(np.arange(k) + 2)
    for row, (items, good) in enumerate(zip(lists, liked, strict=True)):
        hit = np.isin(items[:k], good)
        recall[row] = hit.sum() / len(good)
        ndcg[row] = (hit * discount[: len(hit)]).sum() / discount[: min(len(good), k)].sum()
    shown = np.unique(np.concatenate([np.zeros(0, np.int64), *(items[:k] for items in lists)]))
    return SlateMetrics(
        k=k,
        members=len(lists),
        recall=_measured(recall, seed),
        ndcg=_measured(ndcg, seed),
        coverage=len(shown) / max(catalogue, 1),
    )


def _measured(values: NDArray[np.float64], seed: int) -> Measured:
    if not len(values):
        return Measured(mean=0.0, low=0.0, high=0.0)
    draws = np.random.default_rng(seed).integers(0, len(values), (BOOTSTRAPS, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return Measured(mean=float(values.mean()), low=float(low), high=float(high))


def _truth(view: View, since: int, members: int, seed: int) -> _Truth:
    """New positive items from the split on, of members old and new; items unknown at the split cannot be asked for."""
    definition = view.definition
    viewers = view.all_rows(definition.viewer.name)
    end = view.newest_time + 1
    entries = timeline(view, viewers, np.full(len(viewers), end))
    good = positive(view, np.fmax(labels(view, entries, end), entries.actions))
    known = view.alive(definition.item.name, entries.item, np.full(len(entries), since))
    chosen = np.flatnonzero(good & (entries.request >= since) & known & entries.details.dated)
    pairs = np.unique(np.stack([entries.viewer[chosen], entries.item[chosen]], axis=1), axis=0)
    before = entries.time < since
    old = np.unique(np.stack([entries.viewer[before], entries.item[before]], axis=1), axis=0)
    width = max(view.size(definition.item.name), 1)
    pairs = pairs[~np.isin(pairs[:, 0] * width + pairs[:, 1], old[:, 0] * width + old[:, 1])]
    found = np.unique(pairs[:, 0])
    drawn = np.sort(np.random.default_rng(seed).permutation(found)[:members])
    return _Truth(drawn, [pairs[pairs[:, 0] == viewer, 1] for viewer in drawn])


def _lists(
    view: View, models: Models, pipeline: Pipeline, encoder: Encoder, viewer: int, time: int, k: int, popular: Int
) -> Mapping[str, Int]:
    definition = view.definition
    name = view.ids(definition.viewer.name, np.array([viewer]))[0]
    slate = pipeline.recommend(Request(viewer=name, size=k, time=time), time)
    lists = {"slate": view.rows(definition.item.name, [item.item for item in slate.items])}
    asked = Asked(view, name, viewer, time)
    lists["popularity"] = popular[kept(asked, definition.filters, popular)[0]][:k]
    known = context(view, encoder, viewer, time)
    ask = Ask(view, known, models.retriever(view, encoder, time), models.neighbours(view))
    for source in definition.sources:
        try:
            items = SOURCES[source.kind](ask, source).items
        except Unavailable:
            continue
        lists[source.kind] = items[kept(asked, definition.filters, items)[0]][:k]
    return lists
