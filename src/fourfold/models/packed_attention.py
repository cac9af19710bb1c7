"""Attention over many packed histories at once, as training needs it: gather by length, attend, scatter back.

Shape suffixes: N packed tokens, B sequences of a bucket, T entries, Q query tokens, K key tokens, H heads, P head width.
"""
# ruff: noqa: N803, N806, N815  # shape suffixes are upper case

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fourfold.features.inputs import Counts
from fourfold.models.attention import QueryBlock, history_mask, masked_attention
from fourfold.models.packing import Bucket, Packing
from fourfold.models.rows import id_tensor


@dataclass(frozen=True)
class _View:
    query_rows_BQ: Tensor
    key_rows_BK: Tensor
    taken: Tensor
    mask: list[QueryBlock]


class PackedAttention:
    """Attention of packed tokens, each to those of its own sequence that it may see.

    Parameters
    ----------
    packing : Packing
        How the entries group by length.
    like : Tensor
        Gives precision and device.
    posts_only : bool
        Whether the queries are the posts alone, one per entry: the last layer's, as nobody reads its actions.
    """

    def __init__(self, packing: Packing, like: Tensor, *, posts_only: bool = False) -> None:
        self._posts_only, self._like = posts_only, like
        self._views = [self._view(bucket) for bucket in packing.buckets]
        self._inverse_N = id_tensor(packing.inverse_N if posts_only else _both_tokens(packing.inverse_N), like)

    def __call__(self, q_NHP: Tensor, k_NHP: Tensor, v_NHP: Tensor) -> Tensor:
        """What the queries found, in their order and shape."""
        parts = []
        for view in self._views:
            q_BHQP, k_BHKP, v_BHKP = (
                _gathered(x, rows)
                for x, rows in ((q_NHP, view.query_rows_BQ), (k_NHP, view.key_rows_BK), (v_NHP, view.key_rows_BK))
            )
            found_BHQP = masked_attention(q_BHQP, k_BHKP, v_BHKP, view.mask)
            parts.append(functional.embedding(view.taken, found_BHQP.transpose(1, 2).flatten(0, 1).flatten(1)))
        return functional.embedding(self._inverse_N, torch.cat(parts)).view_as(q_NHP)

    def _view(self, bucket: Bucket) -> _View:
        key_rows = _both_tokens(bucket.rows_BT)
        query_rows, taken = (bucket.rows_BT, bucket.taken) if self._posts_only else (key_rows, _both_tokens(bucket.taken))
        tokens_Q = torch.arange(0, key_rows.shape[1], 2 if self._posts_only else 1, device=self._like.device)
        return _View(
            query_rows_BQ=id_tensor(query_rows, self._like),
            key_rows_BK=id_tensor(key_rows, self._like),
            taken=id_tensor(taken, self._like),
            mask=history_mask(tokens_Q, id_tensor(bucket.seen_BT, self._like), 0, self._like),
        )


def _both_tokens(entries: Counts) -> Counts:
    """Token indices of entries, post then action, along the last axis."""
    return (2 * entries[..., None] + np.arange(2)).reshape(*entries.shape[:-1], -1)


def _gathered(x_NHP: Tensor, rows_BK: Tensor) -> Tensor:
    # An embedding lookup, as its backward pass is several times faster than that of indexing.
    x_BKHP = functional.embedding(rows_BK, x_NHP.flatten(1)).view(*rows_BK.shape, *x_NHP.shape[1:])
    return x_BKHP.transpose(1, 2)
