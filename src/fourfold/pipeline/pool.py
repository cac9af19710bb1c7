"""The pool: the candidates of one request with where each came from, kept in arrays from the sources to the slate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fourfold.candidates import Proposal
from fourfold.features.table import Int


@dataclass(frozen=True)
class Pool:
    """C distinct candidates proposed by S sources."""

    sources: tuple[str, ...]
    items: Int  # (C,)
    ranks: Int  # (C, S), place in each source's proposal; NOT_PROPOSED where it was not
    because: Int  # (C, S), row that explains it, or -1
    weights: Mapping[str, float] = field(default_factory=dict)  # of sources; 1 where none is given

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def merge(cls, proposals: Mapping[str, Proposal], weights: Mapping[str, float] = MappingProxyType({})) -> "Pool":
        """One pool of all sources' proposals; `weights` say what the places of each are worth."""
        sources = tuple(proposals)
        items = np.unique(np.concatenate([np.zeros(0, np.int64), *(proposals[name].items for name in sources)]))
        ranks = np.full((len(items), len(sources)), NOT_PROPOSED)
        because = np.full((len(items), len(sources)), -1)
        for column, name in enumerate(sources):
            place = np.searchsorted(items, proposals[name].items)
            ranks[place, column] = np.arange(len(proposals[name]))
            because[place, column] = proposals[name].because
        return cls(sources, items, ranks, because, weights)

    def extended(self, source: str, items: Int) -> "Pool":
        """The pool with further items behind it, best first: their places count on from the last one of any source."""
        behind = 1 + self.ranks[self.ranks < NOT_PROPOSED].max(initial=-1)
        ranks = np.full((len(self) + len(items), len(self.sources) + 1), NOT_PROPOSED)
        ranks[: len(self), :-1], ranks[len(self) :, -1] = self.ranks, behind + np.arange(len(items))
        because = np.full(ranks.shape, -1)
        because[: len(self), :-1] = self.because
        return Pool((*self.sources, source), np.concatenate([self.items, items]), ranks, because, self.weights)

    def joined(self, source: str, items: Int) -> "Pool":
        """The pool with the proposal of one more source, best first; it replaces an earlier one of that name."""
        others = [column for column, name in enumerate(self.sources) if name != source]
        fresh = items[~np.isin(items, self.items)]
        ranks = np.full((len(self) + len(fresh), len(others) + 1), NOT_PROPOSED)
        because = np.full(ranks.shape, -1)
        ranks[: len(self), :-1], because[: len(self), :-1] = self.ranks[:, others], self.because[:, others]
        every = np.concatenate([self.items, fresh])
        order = np.argsort(every)
        ranks[order[np.searchsorted(every[order], items)], -1] = np.arange(len(items))
        return Pool((*(self.sources[column] for column in others), source), every, ranks, because, self.weights)

    def take(self, chosen: Int | NDArray[np.bool_]) -> "Pool":
        """The pool with some candidates only, in the given order."""
        return Pool(self.sources, self.items[chosen], self.ranks[chosen], self.because[chosen], self.weights)

    def source_scores(self) -> NDArray[np.float32]:
        """The order that sources alone give, shape (C,): a candidate that several propose early stands before others.

        Reciprocal rank fusion, the sum of ``weight / (60 + place)`` over sources, places from 1 (Cormack et al., SIGIR 2009,
        without weights).
        """
        weights = np.array([self.weights.get(source, 1.0) for source in self.sources])
        parts = np.where(self.ranks < NOT_PROPOSED, weights / (FUSION + 1.0 + self.ranks), 0.0)
        score: NDArray[np.float32] = parts.sum(axis=1).astype(np.float32)
        return score

    def places(self, source: str) -> Int:
        """Each candidate's place in one source's proposal, from 0; `NOT_PROPOSED` where it has none."""
        if source not in self.sources:
            return np.full(len(self), NOT_PROPOSED)
        return self.ranks[:, self.sources.index(source)]

    def origins(self, row: int) -> list[tuple[str, int]]:
        """The sources of one candidate with what explains it, its best place first."""
        found = np.flatnonzero(self.ranks[row] < NOT_PROPOSED)
        order = found[np.argsort(self.ranks[row, found], kind="stable")]
        return [(self.sources[column], int(self.because[row, column])) for column in order]


FUSION = 60
"""Tells how much the first places of a source are worth against those after them."""

NOT_PROPOSED = 1 << 30
"""The rank of a candidate in a source that did not propose it."""
