"""Approximate search for large catalogues: vectors in inverted lists, of which only those near the query are read."""

import logging
import math
from functools import cache
from importlib.util import find_spec

import numpy as np

from fourfold.features.table import Int
from fourfold.scoring.nearest import Hidden, Vectors

logger = logging.getLogger(__name__)

LISTS = 4.0
"""Lists of N vectors: this times sqrt(N), as a power of two."""

READ = 64
"""How many vectors are read for each one that is asked for."""

LEAST_LISTS = 48
"""How many lists are read in any case."""

ASKED = 1.6
"""How many times what is to be kept is ranked by exact products: bytes put some of the nearest a little behind."""

_TRAINED_ON, _ROUNDS = 40, 6


class Clusters:
    """Inverted lists around k-means centres, vectors in them as bytes (faiss: IVF with a scalar quantiser).

    Centres and lists follow from the vectors alone, not from how rows were numbered.

    Parameters
    ----------
    vectors : Vectors
        Shape (I, D).
    rows : Int
        The rows that can be found.
    """

    def __init__(self, vectors: Vectors, rows: Int) -> None:
        import faiss  # noqa: PLC0415  # an extra

        # Threads that contend for a core are many times slower than one; the setting is this thread's own.
        faiss.omp_set_num_threads(1)
        self._lists = 1 << max(round(math.log2(LISTS * math.sqrt(max(len(rows), 1)))), 0)
        rows = _in_order(vectors, rows)
        every = max(len(rows) // (_TRAINED_ON * self._lists), 1)
        self._index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(vectors.shape[1]),
            vectors.shape[1],
            self._lists,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            False,  # of the vectors, not of what is left of them beside their centre
        )
        self._index.cp.niter, self._index.cp.seed = _ROUNDS, 1
        self._index.cp.min_points_per_centroid = 1
        self._index.train(vectors[rows[::every]])
        self._index.add_with_ids(vectors[rows], rows)
        self._per_list = max(len(rows) / self._lists, 1.0)

    def near(self, query: Vectors, keep: int, hidden: Hidden) -> Int:
        """See `Finder`: nearly all of the `keep` nearest."""
        lists = max(round(READ * keep / self._per_list), LEAST_LISTS)
        found = self._search(query, keep, hidden, lists)
        return found if len(found) >= keep or lists >= self._lists else self._search(query, keep, hidden, self._lists)

    def _search(self, query: Vectors, keep: int, hidden: Hidden, lists: int) -> Int:
        import faiss  # noqa: PLC0415

        chosen = {"sel": faiss.IDSelectorBitmap(hidden.others)} if len(hidden) else {}
        asked = min(round(ASKED * keep), self._index.ntotal)
        parameters = faiss.SearchParametersIVF(nprobe=min(lists, self._lists), **chosen)
        found: Int = self._index.search(query[None], asked, params=parameters)[1][0]
        return found[found >= 0]


@cache
def available() -> bool:
    """Whether the extra is installed that approximate search needs; says once what is missing."""
    if find_spec("faiss") is not None:
        return True
    logger.warning("faiss is not installed, so a large catalogue is searched exactly; pip install 'fourfold[ann]' for speed")
    return False


def _in_order(vectors: Vectors, rows: Int) -> Int:
    """The rows in an order that follows from what they hold."""
    direction = np.random.default_rng(0).standard_normal((vectors.shape[1],), np.float32)
    along = np.concatenate([np.zeros(0, np.float32), *(_along(vectors, part, direction) for part in _parts(rows))])
    return rows[np.argsort(along, kind="stable")]


def _along(vectors: Vectors, rows: Int, direction: Vectors) -> Vectors:
    # A matrix product rounds by the place of a row.
    products: Vectors = (vectors[rows] * direction).sum(axis=1, dtype=np.float32)
    return products


def _parts(rows: Int) -> list[Int]:
    return np.array_split(rows, len(rows) // 65_536 + 1)
