"""Packed sequences as padded views by length: linear layers run on rows, and only attention pays for padding.

Shape suffixes: N rows, S sequences, B sequences of one bucket, T entries of the longest of them.
"""
# ruff: noqa: N803, N806, N815  # shape suffixes are upper case

from dataclasses import dataclass

import numpy as np

from fourfold.features.inputs import Counts
from fourfold.models.rows import check_seen

GROWTH = 1.25
"""Within a bucket the longest sequence is at most this much longer than the shortest (and rounding)."""


@dataclass(frozen=True)
class Bucket:
    """Sequences of similar length, padded by repeating their last entry, which no entry before it can see."""

    rows_BT: Counts
    seen_BT: Counts
    taken: Counts
    """Where the real entries are in the flattened view."""


@dataclass(frozen=True)
class Packing:
    """The padded views of one batch, and the way back to the packed rows."""

    buckets: tuple[Bucket, ...]
    inverse_N: Counts
    """Where each packed row is among the real entries of all buckets, in their order."""


def pack(lengths_S: Counts, seen_N: Counts) -> Packing:
    """Group sequences by length; raises `ValueError` if an entry claims to see itself or a later one."""
    starts_S = np.cumsum(lengths_S) - lengths_S
    check_seen(seen_N, np.arange(len(seen_N)) - np.repeat(starts_S, lengths_S))
    kinds_S = np.ceil(np.log(np.maximum(lengths_S, 1)) / np.log(GROWTH)).astype(int)
    kinds_S[lengths_S == 0] = -1
    buckets = tuple(
        _bucket(starts_S[kinds_S == kind], lengths_S[kinds_S == kind], seen_N) for kind in np.unique(kinds_S) if kind >= 0
    )
    order_N = np.concatenate([np.zeros(0, np.int64), *(bucket.rows_BT.ravel()[bucket.taken] for bucket in buckets)])
    return Packing(buckets, np.argsort(order_N))


def _bucket(starts_B: Counts, lengths_B: Counts, seen_N: Counts) -> Bucket:
    steps_T = np.arange(lengths_B.max())
    rows_BT = starts_B[:, None] + np.minimum(steps_T, lengths_B[:, None] - 1)
    return Bucket(rows_BT, seen_N[rows_BT], np.flatnonzero(steps_T < lengths_B[:, None]))
