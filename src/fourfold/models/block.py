"""One layer of the sequential ranker: pre-norm attention and feed-forward, each rescaled before it is added.

Without pre-norm the published model collapses; the learnable scalar on each residual branch keeps it stable
(arXiv 2602.12354). What a token attends to is not the block's business: it is given as a function of the queries.

Shape suffixes: N tokens, D width, H heads, P width of a head.
"""
# ruff: noqa: N803, N806  # shape suffixes are upper case

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fourfold.models.attention import Rotation, rotate

FIRST_SCALE = 0.5
EXPANSION = 4


class Block(nn.Module):
    """Attention and feed-forward over packed tokens.

    Parameters
    ----------
    width, heads : int
        `width` splits into `heads` heads of even width.
    dropout : float
        Of both residual branches.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, EXPANSION * width), nn.GELU(), nn.Linear(EXPANSION * width, width))
        self.attention_scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        self.feed_forward_scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        self.dropout = nn.Dropout(dropout)

    def keys_values(self, x_ND: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """Keys (rotated to their positions) and values of tokens, each (N, H, P)."""
        keys_ND, values_ND = self.key_value(self.attention_norm(x_ND)).chunk(2, dim=-1)
        return rotate(self._heads(keys_ND), rotation), self._heads(values_ND)

    def forward(self, x_ND: Tensor, rotation: Rotation, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """Tokens after the layer; `attend` maps queries (N, H, P) to what they found, of the same shape."""
        q_NHP = rotate(self._heads(self.query(self.attention_norm(x_ND))), rotation)
        attended_ND = self.out(attend(q_NHP).flatten(1))
        x_ND = x_ND + self.attention_scale * self.dropout(attended_ND)
        fed_ND = self.feed_forward(self.feed_forward_norm(x_ND))
        added: Tensor = x_ND + self.feed_forward_scale * self.dropout(fed_ND)
        return added

    def _heads(self, x_ND: Tensor) -> Tensor:
        return x_ND.view(len(x_ND), self.heads, x_ND.shape[1] // self.heads)
