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
from fourfold.scoring.item_vectors import ItemVectors, Rows
from fourfold.scoring.nearest import Vectors

CHUNK = 8192


@dataclass(frozen=True)
class _Stamp:
    """What item vectors were made from. Runs are compared by identity, and kept, so that no other takes their address."""

    runs: tuple[Run, ...] = ()
    size: int = 0
    time: int = -1

    def same(self, other: "_Stamp") -> bool:
        """Whether no item came, went or changed between the two."""
        alike = (self.size, self.time, len(self.runs)) == (other.size, other.time, len(other.runs))
        return alike and all(mine is theirs for mine, theirs in zip(self.runs, other.runs, strict=True))

    def touched(self, other: "_Stamp") -> Int:
        """The rows (ascending) that may differ between the two: those that only one of them has events of."""
        mine, theirs = ({id(run): run for run in stamp.runs} for stamp in (self, other))
        early, late = sorted((self.time, other.time))
        keys = [np.arange(*sorted((self.size, other.size)))]
        keys += [
            run.at.real.astype(np.int64)
            for run in [*mine.values(), *theirs.values()]
            if (id(run) in mine) != (id(run) in theirs)
        ]
        for run in mine.values():
            if id(run) in theirs and early < late and run.newest >= early:
                keys.append(run.at.real[(run.at.imag >= early) & (run.at.imag < late)].astype(np.int64))
        return np.unique(np.concatenate(keys))


class EmbeddingIndex:
    """The vectors of all items of one recommender under one retrieval model.

    An item that is new or changed is embedded when the next request comes; the others keep their vectors. What is built to
    search them is built anew by `rebuild`, aside; until then the items that changed are searched beside it.
    """

    def __init__(self, model: TwoTowerModel) -> None:
        self._model, self._lock, self._rebuilds = model.eval(), threading.Lock(), threading.Lock()
        self._stamp, self._items = _Stamp(), ItemVectors.nothing(model.config.width)

    def at(self, view: View, encoder: Encoder, time: int) -> "Retriever":
        """The retriever over the items that a view knows as of a time."""
        stamp = _stamp(view, time)
        with self._lock:
            if not self._stamp.same(stamp):
                self._items = self._refreshed(view, encoder, time, self._stamp.touched(stamp))
                self._stamp = stamp
            return Retriever(self._model, view, self._items)

    @property
    def worn(self) -> bool:
        """Whether `rebuild` would pay, and is not under way."""
        return self._items.worn and not self._rebuilds.locked()

    def rebuild(self) -> bool:
        """Build anew what is searched, if it pays; returns whether it did. Requests go on meanwhile.

        It may take minutes for a million items, so it has no place in a request. One call at a time works; others return.
        """
        if not (self._items.worn and self._rebuilds.acquire(blocking=False)):
            return False
        try:
            items = self._items
            newer = items.folded(clustered=items.wants_clusters).built
            with self._lock:
                self._items = self._items.onto(newer, items)
        finally:
            self._rebuilds.release()
        return True

    def _refreshed(self, view: View, encoder: Encoder, time: int, rows: Int) -> ItemVectors:
        name, size = view.definition.item.name, view.size(view.definition.item.name)
        times = np.full(len(rows), time)
        now = Rows(
            vectors=np.zeros((len(rows), self._model.config.width), np.float32),
            version=_versions(view, rows, times),
            alive=view.alive(name, rows, times) & (rows < size),
        )
        known = np.flatnonzero(rows < self._items.size)
        before = self._items.of(rows[known])
        now.vectors[known] = before.vectors
        changed, differs = np.ones(len(rows), bool), np.ones(len(rows), bool)
        changed[known] = (now.version[known] != before.version).any(axis=1)
        differs[known] = changed[known] | (now.alive[known] != before.alive)
        # Items that do not exist have a vector too: the viewer may have liked one before it was deleted.
        stale = np.flatnonzero(changed & (rows < size))
        for start in range(0, len(stale), CHUNK):
            chunk = stale[start : start + CHUNK]
            now.vectors[chunk] = self._embed(encoder.items(view, rows[chunk], times[chunk]))
        return self._items.with_changed(rows[differs], now.take(differs))

    @torch.inference_mode()
    def _embed(self, ids: NDArray[np.int32]) -> Vectors:
        vectors: Vectors = self._model.item_vectors(ids).float().cpu().numpy()
        return vectors


@dataclass(frozen=True)
class Retriever:
    """The retrieval model over one state's items."""

    model: TwoTowerModel
    view: View
    items: ItemVectors

    def nearest(self, context: Context, keep: int) -> tuple[Int, Vectors]:
        """Rows and scores of the `keep` nearest items that exist, best first, equal scores by id.

        A search only finds the candidates; `similarity` orders them.

        Raises
        ------
        FloatingPointError
            If a vector holds NaN or infinity.
        """
        query = self._query(context)
        if not (self.items.finite and np.isfinite(query).all()):
            raise FloatingPointError("the retrieval model gives vectors that are not numbers; promote another version")
        rows = self.items.near(query, keep)
        scores = _products(self.items.vectors(rows), query)
        order = best_first(self.view, rows, scores, keep)
        return rows[order], scores[order]

    def similarity(self, context: Context, items: Int) -> Vectors:
        """Inner products of the viewer with items (rows), shape (C,)."""
        return _products(self.items.vectors(items), self._query(context))

    def item_vectors(self, items: Int) -> Vectors:
        """Vectors of items (rows), shape (C, D)."""
        return self.items.of(items).vectors

    def _query(self, context: Context) -> Vectors:
        recent = liked(self.view, context.entries, self.model.config.recent)
        return viewer_vector(self.model, context, self.items.vectors(recent))


@torch.inference_mode()
def viewer_vector(model: TwoTowerModel, context: Context, recent: Vectors) -> Vectors:
    """The viewer's unit vector, shape (D,), from the profile and the vectors of recent positive items, shape (R, D)."""
    index = torch.full((1, 1), -1) if not len(recent) else torch.arange(len(recent))[None]
    vector: Vectors = model.viewer_vectors(context.viewer_ids, torch.from_numpy(recent), index)[0].float().cpu().numpy()
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
