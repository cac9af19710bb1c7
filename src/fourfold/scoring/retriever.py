"""Retrieval by embedding: item vectors kept in step with a view, nearest items, and the early ranker's dot product."""

import threading
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fourfold.features.assembly import Context
from fourfold.features.encoding import Encoder
from fourfold.features.positives import liked
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.models.two_tower import TwoTowerModel

Vectors = NDArray[np.float32]
CHUNK = 8192


@dataclass(frozen=True)
class _Indexed:
    """Item vectors as of one state: `changed` says which version of each item a vector shows."""

    stamp: Hashable
    vectors: Vectors  # (I, D)
    changed: Int  # (I,), -1 where the item does not exist


class EmbeddingIndex:
    """The vectors of all items of one recommender under one retrieval model.

    An item that is new or changed is embedded when the next request comes; the others keep their vectors.
    """

    def __init__(self, model: TwoTowerModel) -> None:
        self._model, self._lock = model.eval(), threading.Lock()
        self._last = _Indexed(None, np.zeros((0, model.config.width), np.float32), np.zeros(0, np.int64))

    def at(self, view: View, encoder: Encoder, time: int) -> "Retriever":
        """The retriever over the items that a view knows as of a time."""
        stamp = _stamp(view, time)
        with self._lock:
            if self._last.stamp != stamp:
                self._last = self._refreshed(view, encoder, time, stamp)
            return Retriever(self._model, view, self._last.vectors, self._last.changed >= 0)

    def _refreshed(self, view: View, encoder: Encoder, time: int, stamp: Hashable) -> _Indexed:
        name = view.definition.item.name
        rows = view.all_rows(name)
        times = np.full(len(rows), time)
        changed = np.maximum(view.table(f"upsert/{name}").last_time(rows, times), 0)
        changed[~view.alive(name, rows, times)] = -1
        vectors = np.zeros((len(rows), self._model.config.width), np.float32)
        known = min(len(rows), len(self._last.vectors))
        vectors[:known] = self._last.vectors[:known]
        before = np.full(len(rows), -2)
        before[:known] = self._last.changed[:known]
        stale = np.flatnonzero((changed != before) & (changed >= 0))
        for start in range(0, len(stale), CHUNK):
            chunk = stale[start : start + CHUNK]
            vectors[chunk] = self._embed(encoder.items(view, chunk, times[chunk]))
        return _Indexed(stamp, vectors, changed)

    @torch.inference_mode()
    def _embed(self, ids: NDArray[np.int32]) -> Vectors:
        vectors: Vectors = self._model.item_vectors(ids).float().cpu().numpy()
        return vectors


@dataclass(frozen=True)
class Retriever:
    """The retrieval model over one state's items."""

    model: TwoTowerModel
    view: View
    vectors: Vectors  # (I, D)
    alive: NDArray[np.bool_]  # (I,)

    def nearest(self, context: Context, keep: int) -> tuple[Int, Vectors]:
        """Rows and scores of the `keep` nearest items that exist, best first."""
        scores = self.vectors @ self._query(context)
        scores[~self.alive] = -np.inf
        keep = min(keep, int(self.alive.sum()))
        best = np.argpartition(-scores, keep - 1)[:keep] if keep else np.zeros(0, np.int64)
        order = best[np.lexsort((best, -scores[best]))]
        return order, scores[order]

    def similarity(self, context: Context, items: Int) -> Vectors:
        """Inner products of the viewer with items (rows), shape (C,)."""
        products: Vectors = (self.vectors[items] * self._query(context)).sum(axis=1, dtype=np.float32)
        return products

    def _query(self, context: Context) -> Vectors:
        return viewer_vector(self.model, self.view, context, self.vectors)


@torch.inference_mode()
def viewer_vector(model: TwoTowerModel, view: View, context: Context, vectors: Vectors) -> Vectors:
    """The viewer's unit vector, shape (D,), from profile and recent positive items."""
    recent = liked(view, context.entries, model.config.recent)
    items = torch.from_numpy(vectors[recent])
    index = torch.full((1, max(len(recent), 1)), -1) if not len(recent) else torch.arange(len(recent))[None]
    vector: Vectors = model.viewer_vectors(context.viewer_ids, items, index)[0].float().cpu().numpy()
    return vector


def _stamp(view: View, time: int) -> Hashable:
    """Equal for two (view, time) between which no item came, went or changed."""
    name = view.definition.item.name
    tables = [view.table(f"{kind}/{name}") for kind in ("upsert", "delete", "mention")]
    newest = max((int(run.at.imag.max()) for table in tables for run in table.runs), default=-1)
    return (*(id(run) for table in tables for run in table.runs), view.size(name), min(time, newest + 1))
