"""The retrieval model: viewers and items as unit vectors whose inner product orders the whole catalogue.

Shape suffixes: B viewers, I items, R recent items, W id columns, D width.
"""
# ruff: noqa: N803, N806  # shape suffixes are upper case

import torch
from torch import Tensor, nn
from torch.nn import functional

from fourfold.definition.models import TwoTower
from fourfold.features.inputs import Ids, Schema
from fourfold.models.embeddings import IdEmbeddings
from fourfold.models.rows import id_tensor

FIRST_TEMPERATURE = 0.1


class TwoTowerModel(nn.Module):
    """The network of a `TwoTower` definition.

    Parameters
    ----------
    config : TwoTower
        Width and id dropout; `recent` is the business of whoever gathers the recent items.
    schema : Schema
        The id fields of viewers and items; nothing else of it is read.
    """

    def __init__(self, config: TwoTower, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        width = config.width
        self.items = IdEmbeddings(schema.item, width, config.id_dropout)
        self.viewers = IdEmbeddings(schema.viewer, width)
        self.item_tower = _tower(width, width)
        self.viewer_tower = _tower(2 * width + 1, width)
        self.log_temperature = nn.Parameter(torch.tensor(FIRST_TEMPERATURE).log())

    @property
    def temperature(self) -> Tensor:
        """What inner products are divided by before a softmax."""
        return self.log_temperature.exp()

    def item_vectors(self, items: Ids) -> Tensor:
        """Unit vectors (I, D) of items with ids (I, W)."""
        embedded_ID = self.items(id_tensor(items, self.log_temperature))
        return functional.normalize(embedded_ID + self.item_tower(embedded_ID), dim=-1)

    def viewer_vectors(self, viewers: Ids, item_vectors_ID: Tensor, recent_BR: Tensor) -> Tensor:
        """Unit vectors of viewers.

        Parameters
        ----------
        viewers : Ids
            Shape (B, columns of the viewer's fields).
        item_vectors_ID : Tensor
            What `item_vectors` gave for the items that `recent_BR` points at.
        recent_BR : Tensor
            Rows of `item_vectors_ID` that the viewer was positive about lately, int64, padded with -1.

        Returns
        -------
        Tensor
            Shape (B, D).
        """
        known_BR1 = (recent_BR >= 0)[..., None]
        count_B1 = known_BR1.sum(1).to(item_vectors_ID.dtype)
        padded_ID = functional.pad(item_vectors_ID, (0, 0, 1, 0))
        recent_BRD = functional.embedding(recent_BR + 1, padded_ID)
        mean_BD = recent_BRD.sum(1) / count_B1.clamp(min=1.0)
        embedded_BD = self.viewers(id_tensor(viewers, self.log_temperature))
        towered_BD = self.viewer_tower(torch.cat([embedded_BD, mean_BD, count_B1.log1p()], dim=1))
        return functional.normalize(mean_BD + towered_BD, dim=-1)


def _tower(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
