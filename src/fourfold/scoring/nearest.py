"""Exact search by inner product: a cheap product over all vectors that leaves out none of the nearest."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fourfold.features.table import Int

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]

ROUNDING = 1e-5
"""More than two ways of summing an inner product of unit vectors can differ by."""

CHUNK = 65_536
"""How many vectors are rounded at a time, to keep what is needed meanwhile small."""

_LARGEST, _LOWEST = 127, -(1 << 31)


@dataclass(frozen=True)
class Hidden:
    """Rows of I vectors that a search must not find, such as items that were deleted."""

    size: int
    rows: Int = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def others(self) -> NDArray[np.uint8]:
        """The rows that may be found as bits, the first row lowest."""
        shown = np.ones(self.size, bool)
        shown[self.rows] = False
        return np.packbits(shown, bitorder="little")


class Finder(Protocol):
    """Finds what may be among the nearest of some vectors."""

    def near(self, query: Vectors, keep: int, hidden: Hidden) -> Int:
        """Rows among which the `keep` vectors of the largest inner products with `query` are, in any order.

        An exact finder leaves out none of them, nor what a sum rounded in another order could put there; another one may.
        """
        ...


class FloatProducts:
    """Exact, by a product in single precision."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def near(self, query: Vectors, keep: int, hidden: Hidden) -> Int:
        """See `Finder`."""
        scores = self._vectors @ query
        scores[hidden.rows] = -np.inf
        if keep >= len(scores) - len(hidden):
            return np.flatnonzero(scores > -np.inf)
        return np.flatnonzero(scores >= np.partition(scores, len(scores) - keep)[len(scores) - keep] - ROUNDING)


class ByteProducts:
    """Exact, by a product of vectors rounded to bytes: a quarter of the memory to read, which is what takes the time.

    With a vector v and the query q rounded to v' and q', the two products differ by at most ``|v - v'| |q| + |v'| |q - q'|``
    (Cauchy-Schwarz). So what is among the nearest has a rounded product at most twice that below the last of the nearest.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._scale = max(float(max(map(np.max, map(np.abs, _chunks(vectors))), default=0.0)), 1e-12) / _LARGEST
        codes = np.empty(vectors.shape, np.int8)
        self._lost, self._length, start = 0.0, 0.0, 0
        for part in _chunks(vectors):
            rounded = np.rint(part / self._scale)
            codes[start : start + len(part)] = rounded
            start += len(part)
            self._lost = max(self._lost, _longest(part - rounded * self._scale))
            self._length = max(self._length, _longest(rounded * self._scale))
        self._codes = torch.from_numpy(codes)

    def near(self, query: Vectors, keep: int, hidden: Hidden) -> Int:
        """See `Finder`."""
        scale = max(float(np.abs(query).max()), 1e-12) / _LARGEST
        rounded = np.rint(query / scale).astype(np.int8)
        scores = _byte_products(self._codes, torch.from_numpy(rounded))
        scores[hidden.rows] = _LOWEST
        lowest = _LOWEST + 1
        if keep < len(scores) - len(hidden):
            error = self._lost * _longest(query[None]) + self._length * _longest(query[None] - rounded * scale)
            slack = np.ceil((2 * error + ROUNDING) / (self._scale * scale))
            last = int(np.partition(scores, len(scores) - keep)[len(scores) - keep])
            lowest = max(lowest, last - int(slack))
        return np.flatnonzero(scores >= lowest)


def exact_finder(vectors: Vectors) -> Finder:
    """The fastest exact finder on this machine; `vectors`, shape (I, D), must be numbers."""
    return ByteProducts(vectors) if multiplies_bytes(vectors.shape[1]) else FloatProducts(vectors)


@cache
def multiplies_bytes(width: int) -> bool:
    """Whether PyTorch multiplies bytes exactly here: processors without VNNI may saturate halfway."""
    if width < 2:
        return False  # it takes a single column for a row
    try:
        codes = torch.full((256, width), _LARGEST, dtype=torch.int8)
        codes[1::2] = -_LARGEST
        found = _byte_products(codes, codes[0])
    except (AttributeError, RuntimeError) as error:
        logger.info("products of bytes are not to be had here (%s); items are searched in single precision", error)
        return False
    wanted = np.where(np.arange(256) % 2, -1, 1) * _LARGEST * _LARGEST * width
    return np.array_equal(found, wanted)


def _byte_products(codes: Tensor, query: Tensor) -> NDArray[np.int32]:
    """Inner products, shape (I,). The query comes first: PyTorch is many times slower the other way round."""
    products: NDArray[np.int32] = torch._int_mm(query[None], codes.t())[0].numpy()
    return products


def _chunks(vectors: Vectors) -> Iterator[Vectors]:
    return (vectors[start : start + CHUNK] for start in range(0, len(vectors), CHUNK))


def _longest(vectors: NDArray[np.floating]) -> float:
    """The length of the longest vector, rounded up."""
    return float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).max(initial=0.0))) * (1 + 1e-6)
