"""Retrieval by embedding: item vectors kept in step with a view, nearest items, and the early ranker's dot product."""

import threading
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fourfold.candidates.ordering import best_first
from fourfold.features.assembly import Context
from fourfold.features.encoding import Encoder
from fourfold.features.positives import liked
from fourfold.features.table import Int, Run
from fourfold.features.view import View
from fourfold.models.two_tower import TwoTowerModel

Vectors = NDArray[np.float32]
CHUNK = 8192
ROUNDING = 1e-5
"""More than two ways of summing an inner product of unit vectors can differ by."""


@dataclass(frozen=True)
class _Stamp:
    """What item vectors were made from. Runs are compared by identity, and kept, so that no other takes their address."""

    runs: tuple[Run, ...]
    size: int
    time: int

    def same(self, other: "_Stamp") -> bool:
        """Whether no item came, went or changed between the two."""
        alike = (self.size, self.time, len(self.runs)) == (other.size, other.time, len(other.runs))
        return alike and all(mine is theirs for mine, theirs in zip(self.runs, other.runs, strict=True))


@dataclass(frozen=True)
class _Indexed:
    """Item vectors as of one state: `version` says which version of each item a vector shows."""

    stamp: _Stamp
    vectors: Vectors  # (I, D)
    version: Int  # (I, 4)
    alive: NDArray[np.bool_]  # (I,)


class EmbeddingIndex:
    """The vectors of all items of one recommender under one retrieval model.

    An item that is new or changed is embedded when the next request comes; the others keep their vectors.
    """

    def __init__(self, model: TwoTowerModel) -> None:
        self._model, self._lock = model.eval(), threading.Lock()
        empty = np.zeros((0, model.config.width), np.float32)
        self._last = _Indexed(_Stamp((), 0, -1), empty, np.zeros((0, 4), np.int64), np.zeros(0, bool))

    def at(self, view: View, encoder: Encoder, time: int) -> "Retriever":
        """The retriever over the items that a view knows as of a time."""
        stamp = _stamp(view, time)
        with self._lock:
            if not self._last.stamp.same(stamp):
                self._last = self._refreshed(view, encoder, time, stamp)
            return Retriever(self._model, view, self._last.vectors, self._last.alive)

    def _refreshed(self, view: View, encoder: Encoder, time: int, stamp: _Stamp) -> _Indexed:
        name = view.definition.item.name
        rows = view.all_rows(name)
        times = np.full(len(rows), time)
        version = _versions(view, rows, times)
        vectors = np.zeros((len(rows), self._model.config.width), np.float32)
        known = min(len(rows), len(self._last.vectors))
        vectors[:known] = self._last.vectors[:known]
        # Items that do not exist have a vector too: the viewer may have liked one before it was deleted.
        stale = np.flatnonzero(
            np.append((version[:known] != self._last.version[:known]).any(axis=1), np.ones(len(rows) - known, bool))
        )
        for start in range(0, len(stale), CHUNK):
            chunk = stale[start : start + CHUNK]
            vectors[chunk] = self._embed(encoder.items(view, chunk, times[chunk]))
        return _Indexed(stamp, vectors, version, view.alive(name, rows, times))

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
        """Rows and scores of the `keep` nearest items that exist, best first, equal scores by id.

        The matrix product rounds by the place of a row, so it only finds the candidates; `similarity` orders them.

        Raises
        ------
        FloatingPointError
            If a vector holds NaN or infinity.
        """
        query, items = self._query(context), np.flatnonzero(self.alive)
        rough = (self.vectors @ query)[items]
        if not np.isfinite(rough).all():
            raise FloatingPointError("the retrieval model gives vectors that are not numbers; promote another version")
        if keep < len(items):
            items = items[rough >= np.partition(rough, len(items) - keep)[len(items) - keep] - ROUNDING]
        scores = _products(self.vectors[items], query)
        order = best_first(self.view, items, scores, keep)
        return items[order], scores[order]

    def similarity(self, context: Context, items: Int) -> Vectors:
        """Inner products of the viewer with items (rows), shape (C,)."""
        return _products(self.vectors[items], self._query(context))

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


def _products(vectors: Vectors, query: Vectors) -> Vectors:
    """Inner products that round the same way wherever a vector stands, shape (C,)."""
    products: Vectors = (vectors * query).sum(axis=1, dtype=np.float32)
    return products


def _versions(view: View, rows: Int, times: Int) -> Int:
    """Shape (I, 4): equal in two states of one log, as of whatever times, only if the same upserts and deletions count.

    The last time alone would miss what arrives late; with the count beside it, one set holds the other and is as large.
    """
    name = view.definition.item.name
    tables = [view.table(f"{kind}/{name}") for kind in ("upsert", "delete")]
    since = np.zeros(len(rows), np.int64)
    return np.stack(
        [part for table in tables for part in (table.count(rows, since, times), table.last_time(rows, times))], axis=1
    )


def _stamp(view: View, time: int) -> _Stamp:
    name = view.definition.item.name
    tables = [view.table(f"{kind}/{name}") for kind in ("upsert", "delete", "mention")]
    newest = max(table.newest for table in tables)
    return _Stamp(tuple(run for table in tables for run in table.runs), view.size(name), min(time, newest + 1))
