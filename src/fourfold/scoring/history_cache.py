"""Encoded histories kept between requests: of a history that grew, only what is new is encoded."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fourfold.features.inputs import History
from fourfold.models.ranker import HistoryState
from fourfold.scoring.engine import ScoringEngine, taken

Content = NDArray[np.uint8]


@dataclass(frozen=True)
class CacheCounts:
    """What a cache did until now and what it holds.

    `hits` found the whole history encoded, `extended` a beginning of it, `misses` nothing of it.
    """

    hits: int = 0
    extended: int = 0
    misses: int = 0
    evicted: int = 0
    viewers: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class _Kept:
    content: Content  # (T, bytes of an entry)
    state: HistoryState

    @property
    def nbytes(self) -> int:
        return self.content.nbytes + self.state.nbytes


class HistoryCache:
    """The last encoded history of each viewer, the least recently used forgotten first. For any number of threads.

    What was encoded is compared, not a version or a time: after a late event, a deletion, or when the window moves, only the
    entries before the first that differs are used again. So an answer through the cache is the answer without it.

    Parameters
    ----------
    engine : ScoringEngine
        Of the one model version that the states belong to.
    max_bytes : int
        What may be kept, in bytes; 0 keeps nothing.
    """

    def __init__(self, engine: ScoringEngine, max_bytes: int) -> None:
        self._engine, self._max_bytes = engine, max_bytes
        self._lock, self._kept, self._bytes = threading.Lock(), OrderedDict[int, _Kept](), 0
        self._hits = self._extended = self._misses = self._evicted = 0

    @property
    def counts(self) -> CacheCounts:
        """What happened until now."""
        with self._lock:
            return CacheCounts(self._hits, self._extended, self._misses, self._evicted, len(self._kept), self._bytes)

    def state(self, viewer: int, history: History) -> HistoryState:
        """The encoded history of a viewer (any number that stands for one; the content decides what is used again)."""
        if not len(history) or not self._max_bytes:
            return self._engine.encode(history)
        content = _content(history)
        with self._lock:
            kept = self._kept.get(viewer)
        common = _common(kept.content, content) if kept is not None else 0
        state = self._engine.beginning(kept.state, common) if kept is not None and common else None
        if state is not None and common == len(content):
            self._used(viewer)
            return state
        whole = (
            self._engine.encode(history) if state is None else self._engine.extend(state, taken(history, slice(common, None)))
        )
        self._keep(viewer, _Kept(content, whole), extended=state is not None)
        return whole

    def _used(self, viewer: int) -> None:
        with self._lock:
            self._hits += 1
            if viewer in self._kept:
                self._kept.move_to_end(viewer)

    def _keep(self, viewer: int, kept: _Kept, *, extended: bool) -> None:
        with self._lock:
            self._extended += extended
            self._misses += not extended
            before = self._kept.pop(viewer, None)
            self._bytes += kept.nbytes - (before.nbytes if before else 0)
            self._kept[viewer] = kept
            while self._bytes > self._max_bytes:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
                self._evicted += 1


def _content(history: History) -> Content:
    """All that is known of each entry, as bytes."""
    parts = (np.ascontiguousarray(getattr(history, field.name)) for field in fields(history))
    return np.concatenate([(part[:, None] if part.ndim == 1 else part).view(np.uint8) for part in parts], axis=1)


def _common(one: Content, other: Content) -> int:
    """How many entries two histories have in common before the first that differs."""
    size = min(len(one), len(other))
    if one.shape[1] != other.shape[1]:
        return 0
    differs = (one[:size] != other[:size]).any(axis=1)
    return int(differs.argmax()) if differs.any() else size
