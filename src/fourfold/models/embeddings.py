"""Vectors of hashed ids: one table per field, so that an item is known by what it is as well as by its own id.

Shape suffixes: N rows, W id columns, D width.
"""
# ruff: noqa: N803, N806  # shape suffixes are upper case

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fourfold.features.inputs import IdField, id_columns

UNKNOWN = 1
SPREAD = 0.05
"""Standard deviation of the first weights: small, so that a rare id starts near nothing."""


class IdEmbeddings(nn.Module):
    """One vector from the ids of several fields: the mean over each field's ids, side by side, projected to `width`.

    Parameters
    ----------
    fields : sequence of IdField
        The columns of the id matrix. Without fields every row is the same vector, the bias.
    width : int
        Length of the vector.
    id_dropout : float
        Probability that, in training, the first field's id of a row is replaced by "unknown", so that the other
        fields learn to stand in for it and an item never seen before is no surprise.
    """

    def __init__(self, fields: Sequence[IdField], width: int, id_dropout: float = 0.0) -> None:
        super().__init__()
        self.columns, self.id_dropout = id_columns(fields), id_dropout
        self.tables = nn.ParameterList(nn.Parameter(SPREAD * torch.randn(f.buckets + 2, width)) for f in fields)
        self.project = nn.Linear(len(fields) * width, width, bias=False) if fields else None
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, ids_NW: Tensor) -> Tensor:
        """Vectors of shape (N, D) for ids of shape (N, W), int64."""
        if self.project is None:
            return self.bias.expand(len(ids_NW), -1)
        parts = [
            functional.embedding_bag(ids_NW[:, columns], table, mode="mean", padding_idx=0)
            for columns, table in zip(self.columns, self.tables, strict=True)
        ]
        if self.training and self.id_dropout:
            drop_N1 = torch.rand(len(ids_NW), 1, device=ids_NW.device) < self.id_dropout
            parts[0] = torch.where(drop_N1, self.tables[0][UNKNOWN], parts[0])
        projected: Tensor = self.bias + self.project(torch.cat(parts, dim=1))
        return projected
