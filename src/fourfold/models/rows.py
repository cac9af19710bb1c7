"""Rows of ids and raw numbers as tensors: the part of the network that every ranker shares, and the check at its door.

Shape suffixes: N rows, W id columns, D width, F numbers after normalisation (two per raw number).
"""
# ruff: noqa: N806, N815  # shape suffixes are upper case

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fourfold.features.inputs import MOMENTS, History, IdField, Rows, Schema, id_columns
from fourfold.models.embeddings import IdEmbeddings
from fourfold.models.normalizer import Normalizer

CONTEXT_WIDTH = 16
"""Length of the vector of a request's context: a few categories of few values each."""


@dataclass(frozen=True)
class RowTensors:
    """What the network knows of N rows."""

    item_ND: Tensor
    early_NF: Tensor
    late_NF: Tensor

    def __len__(self) -> int:
        return len(self.item_ND)


class RowEncoder(nn.Module):
    """Turns `Rows` into an item vector, early numbers (moments included) and late numbers."""

    def __init__(self, schema: Schema, width: int, id_dropout: float) -> None:
        super().__init__()
        self.schema = schema
        self.items = IdEmbeddings(schema.item, width, id_dropout)
        self.early, self.late = Normalizer(len(schema.early)), Normalizer(len(schema.late))
        self.moments = Normalizer(len(MOMENTS))
        self.context = IdEmbeddings(schema.context, CONTEXT_WIDTH) if schema.context else None
        self.early_width = 2 * (len(schema.early) + len(MOMENTS)) + (CONTEXT_WIDTH if schema.context else 0)
        self.late_width = 2 * len(schema.late)

    @property
    def fitted(self) -> bool:
        """Whether the ranks of the numbers were learned."""
        return bool(self.early.fitted)

    def fit(self, rows: Rows) -> None:
        """Learn the ranks of the numbers from training rows."""
        check_rows(rows, self.schema)
        for normalizer, values in ((self.early, rows.early), (self.late, rows.late), (self.moments, rows.moments)):
            normalizer.fit(values)

    def forward(self, rows: Rows) -> RowTensors:
        """Encode rows, on the device and in the precision of the weights."""
        check_rows(rows, self.schema)
        like = self.early.knots_FK
        early_NF, moments_NF = (float_tensor(values, like) for values in (rows.early, rows.moments))
        early = [self.early(early_NF), self.moments(moments_NF)]
        if self.context is not None:
            early.append(self.context(id_tensor(rows.context, like)).to(like.dtype))
        return RowTensors(
            item_ND=self.items(id_tensor(rows.items, like)).to(like.dtype),
            early_NF=torch.cat(early, dim=1),
            late_NF=self.late(float_tensor(rows.late, like)),
        )


def float_tensor(values: NDArray[np.floating], like: Tensor) -> Tensor:
    """An array on the device and in the precision of `like`."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(like)


def id_tensor(values: NDArray[np.integer], like: Tensor) -> Tensor:
    """An integer array as int64 on the device of `like`."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device, torch.int64)


def check_rows(rows: Rows, schema: Schema) -> None:
    """Raise `ValueError` unless the columns of `rows` are those of `schema`."""
    expected = {
        "items": _width(schema.item),
        "context": _width(schema.context),
        "early": len(schema.early),
        "late": len(schema.late),
        "moments": len(MOMENTS),
    }
    if isinstance(rows, History):
        expected |= {"actions": len(schema.actions), "values": len(schema.values)}
    for name, columns in expected.items():
        shape = getattr(rows, name).shape
        if shape != (len(rows), columns):
            raise ValueError(f"{name} has shape {shape}; the schema asks for ({len(rows)}, {columns})")


def check_viewers(viewers: NDArray[np.integer], schema: Schema, count: int) -> None:
    """Raise `ValueError` unless `viewers` holds `count` rows of the viewer's id columns."""
    if viewers.shape != (count, _width(schema.viewer)):
        raise ValueError(f"viewers have shape {viewers.shape}; the schema asks for ({count}, {_width(schema.viewer)})")


def check_seen(seen: NDArray[np.integer], position: NDArray[np.integer]) -> None:
    """Raise `ValueError` if an entry claims to see itself or what came after it."""
    wrong = np.flatnonzero((seen > position) | (seen < 0))
    if len(wrong):
        at = wrong[0]
        raise ValueError(f"seen[{at}] is {seen[at]}; entry {position[at]} of a window sees 0 to {position[at]} entries")


def _width(fields: Sequence[IdField]) -> int:
    columns = id_columns(fields)
    return columns[-1].stop if columns else 0
