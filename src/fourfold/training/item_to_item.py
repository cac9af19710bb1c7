"""Item-to-item similarity: the cosine of the sets of members who were positive about two items."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from safetensors.numpy import save_file

from fourfold.features.positives import positive
from fourfold.features.table import Int
from fourfold.features.timeline import timeline
from fourfold.features.view import View
from fourfold.training.examples import labels

NEIGHBOURS = 100
CHUNK = 2048


@dataclass(frozen=True)
class Similarities:
    """The N nearest of M items: rows of the view, positions of neighbours (-1 pads) and cosines, best first."""

    rows: Int  # (M,)
    neighbours: NDArray[np.int32]  # (M, N)
    similarity: NDArray[np.float32]  # (M, N)


def item_to_item(view: View, before: int, keep: int = NEIGHBOURS, shrink: float = 10.0) -> Similarities:
    """Similarities from all positive outcomes before a time.

    ``|A and B| / (sqrt(|A| |B|) + shrink)`` over the sets A and B of members who were positive about each of two items;
    `shrink` keeps pairs that few members share from looking certain.
    """
    viewers = view.all_rows(view.definition.viewer.name)
    entries = timeline(view, viewers, np.full(len(viewers), before))
    good = positive(view, np.fmax(labels(view, entries, before), entries.actions))
    rows, columns = np.unique(entries.item[good], return_inverse=True)
    shape = (len(viewers), len(rows))
    matrix = scipy.sparse.csr_array((np.ones(int(good.sum()), np.float32), (entries.viewer[good], columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    norm = np.sqrt(np.bincount(matrix.indices, minlength=len(rows)))
    return _nearest(rows, matrix, norm, keep, shrink)


def _nearest(rows: Int, matrix: scipy.sparse.csr_array, norm: NDArray[np.float64], keep: int, shrink: float) -> Similarities:
    by_item = matrix.T.tocsr()
    keep = min(keep, max(len(rows) - 1, 0))
    neighbours = np.full((len(rows), keep), -1, np.int32)
    similarity = np.zeros((len(rows), keep), np.float32)
    for start in range(0, len(rows) if keep else 0, CHUNK):
        chunk = slice(start, min(start + CHUNK, len(rows)))
        shared = (by_item[chunk] @ matrix).toarray()
        cosine = shared / (norm[chunk, None] * norm[None] + shrink)
        cosine[np.arange(len(cosine)), np.arange(chunk.start, chunk.stop)] = 0
        best = np.argsort(-cosine, axis=1, kind="stable")[:, :keep]
        value = np.take_along_axis(cosine, best, axis=1)
        neighbours[chunk], similarity[chunk] = np.where(value > 0, best, -1), value
    return Similarities(rows, neighbours, similarity)


def save(view: View, found: Similarities, folder: Path) -> None:
    """Write the table where `fourfold.scoring.item_table.ItemTable.load` reads it."""
    (folder / "item_to_item.json").write_text(json.dumps(view.ids(view.definition.item.name, found.rows)))
    arrays = {"neighbours": found.neighbours, "similarity": found.similarity}
    save_file(arrays, folder / "item_to_item.safetensors")
