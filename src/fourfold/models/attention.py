"""The attention of the sequential ranker: which token sees which, computed without a quadratic mask where none is needed.

A history entry is two tokens, post then action. An entry sees the first `seen` entries and its own tokens; its action
sees its post. The positions of its tokens are ``2 * seen`` and ``2 * seen + 1``: entries of one request share them and do
not see each other, so a request is a set, and a candidate is a post that no action has followed yet.

Shape suffixes: N tokens, B sequences, T entries, H heads, P width of a head, Q query tokens, K key tokens, C candidates.
"""
# ruff: noqa: N803, N806, N815  # shape suffixes are upper case

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

ROPE_BASE = 10_000.0
QUERY_BLOCK = 256
"""Queries per masked call: keys after the last of them are skipped, so a long history costs little more than causal."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


class Rotation(NamedTuple):
    """Cosines and sines of rotary position embedding (arXiv 2104.09864), one row per token, shape (N, 1, P / 2)."""

    cos: Tensor
    sin: Tensor


def rotation_at(positions_N: Tensor, head_width: int, like: Tensor) -> Rotation:
    """The rotation of tokens at integer positions, for heads of even width, in the precision of `like`."""
    exponents = torch.arange(0, head_width, 2, device=like.device, dtype=torch.float64) / head_width
    angles = positions_N.double()[:, None, None] * ROPE_BASE**-exponents
    return Rotation(angles.cos().to(like.dtype), angles.sin().to(like.dtype))


def rotate(x_NHP: Tensor, rotation: Rotation) -> Tensor:
    """Turn each pair (p, p + P / 2) of a head by the angle of the token's position."""
    first, second = x_NHP.chunk(2, dim=-1)
    cos, sin = rotation
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class QueryBlock(NamedTuple):
    """Some of the queries, how many keys they may need, and the additive mask over these."""

    queries: slice
    keys: int
    mask_B1QK: Tensor


def history_mask(tokens_Q: Tensor, seen_BT: Tensor, first_entry: int, like: Tensor) -> list[QueryBlock]:
    """Masks for tokens of a history, block by block.

    Parameters
    ----------
    tokens_Q : Tensor
        Ascending index of each query token in its window; ``2 * i`` is the post of entry i, ``2 * i + 1`` its action.
    seen_BT : Tensor
        How many entries each entry sees; column 0 is entry `first_entry` of the window.
    first_entry : int
        Entries that were encoded before.
    like : Tensor
        Gives precision and device.
    """
    blocks = []
    for start in range(0, len(tokens_Q), QUERY_BLOCK):
        queries = slice(start, min(start + QUERY_BLOCK, len(tokens_Q)))
        token_Q1 = tokens_Q[queries, None]
        keys = int(token_Q1[-1]) + 1
        key_K = torch.arange(keys, device=like.device)
        earlier_BQK = key_K < 2 * seen_BT[:, tokens_Q[queries] // 2 - first_entry, None]
        own_QK = (key_K >= token_Q1 - token_Q1 % 2) & (key_K <= token_Q1)
        hidden_BQK = ~(earlier_BQK | own_QK)
        mask_BQK = torch.zeros(hidden_BQK.shape, dtype=like.dtype, device=like.device)
        blocks.append(QueryBlock(queries, keys, mask_BQK.masked_fill_(hidden_BQK, -torch.inf)[:, None]))
    return blocks


def masked_attention(q_BHQP: Tensor, k_BHKP: Tensor, v_BHKP: Tensor, mask: Sequence[QueryBlock]) -> Tensor:
    """Attention of history tokens under the mask of `history_mask`, shape (B, H, Q, P)."""
    parts = [
        functional.scaled_dot_product_attention(
            q_BHQP[:, :, block.queries], k_BHKP[:, :, : block.keys], v_BHKP[:, :, : block.keys], attn_mask=block.mask_B1QK
        )
        for block in mask
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def split_attention(q_HCP: Tensor, k_HKP: Tensor, v_HKP: Tensor, own_k_HCP: Tensor, own_v_HCP: Tensor) -> Tensor:
    """Attention of each candidate to the whole history and to itself, never to another candidate.

    The softmax over history and self is the two softmaxes merged by their log-sum-exp: with history result h and
    log-sum-exp z, own score s and own value v, the result is ``h + sigmoid(s - z) (v - h)``. Exact, and without a mask.

    Returns
    -------
    Tensor
        Shape (H, C, P).
    """
    if k_HKP.shape[1] == 0 or q_HCP.shape[1] == 0:
        return own_v_HCP
    attend = flash_attention if q_HCP.device.type == "cpu" else plain_attention
    history_HCP, log_sum_HC = attend(q_HCP, k_HKP, v_HKP)
    own_HC = (q_HCP * own_k_HCP).sum(-1) / q_HCP.shape[-1] ** 0.5
    return torch.lerp(history_HCP, own_v_HCP, torch.sigmoid(own_HC - log_sum_HC)[..., None])


def flash_attention(q_HCP: Tensor, k_HKP: Tensor, v_HKP: Tensor) -> tuple[Tensor, Tensor]:
    """Attention and its log-sum-exp, shapes (H, C, P) and (H, C), through PyTorch's fused kernel for CPUs."""
    attended, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q_HCP[None], k_HKP[None], v_HKP[None])
    return attended[0], log_sum[0]


def plain_attention(q_HCP: Tensor, k_HKP: Tensor, v_HKP: Tensor) -> tuple[Tensor, Tensor]:
    """The same as `flash_attention` on any device."""
    scores_HCK = q_HCP @ k_HKP.transpose(1, 2) / q_HCP.shape[-1] ** 0.5
    return scores_HCK.softmax(-1) @ v_HKP, scores_HCK.logsumexp(-1)
