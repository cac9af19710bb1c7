"""The item-to-item table as it serves: neighbours of items, in the rows of one state."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from fourfold.features.table import Int
from fourfold.features.view import View


@dataclass(frozen=True)
class ItemTable:
    """For each of M items its N most similar ones, as positions in `ids`, and how similar; -1 pads."""

    ids: list[str]  # M item ids
    neighbours: NDArray[np.int32]  # (M, N)
    similarity: NDArray[np.float32]  # (M, N)

    @classmethod
    def load(cls, folder: Path) -> "ItemTable":
        """Read what `fourfold.training.item_to_item` wrote."""
        arrays = load_file(folder / "item_to_item.safetensors")
        return cls(json.loads((folder / "item_to_item.json").read_text()), arrays["neighbours"], arrays["similarity"])

    def at(self, view: View) -> "ItemNeighbours":
        """The table in rows of a view."""
        rows = view.rows(view.definition.item.name, self.ids)
        position = np.full(view.size(view.definition.item.name), -1)
        position[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        return ItemNeighbours(self, rows, position)


@dataclass(frozen=True)
class ItemNeighbours:
    """An `ItemTable` bound to a state: `rows` of its items, and each row's `position` in it (-1: not in it)."""

    table: ItemTable
    rows: Int
    position: Int

    def of(self, items: Int) -> tuple[Int, Int, NDArray[np.float32]]:
        """For items (rows): index into them, neighbour (row) and similarity of every stored pair."""
        inside = np.flatnonzero((items >= 0) & (items < len(self.position)))
        position = self.position[items[inside]]
        inside, position = inside[position >= 0], position[position >= 0]
        neighbours = self.table.neighbours[position]
        query, column = np.nonzero(neighbours >= 0)
        found = self.rows[neighbours[query, column]]
        known = found >= 0
        return inside[query][known], found[known], self.table.similarity[position[query], column][known]
