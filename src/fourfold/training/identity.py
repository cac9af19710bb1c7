"""A name for a set of training examples: equal sets have equal names, in whatever order and batches their events arrived."""

import hashlib

import numpy as np

from fourfold.features.names import hash64
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.training.examples import Examples


def examples_hash(view: View, rows: Examples) -> str:
    """SHA-256 over who was shown what when, what came of it, and how much it weighs, in hexadecimal.

    Inputs are left out: they follow from the definition and from events that the examples do not name.
    """
    used = np.flatnonzero(rows.sequences.weight > 0)
    definition, sequences = view.definition, rows.sequences
    labels = np.nan_to_num(sequences.labels[used], nan=2.0).astype(np.uint8)
    columns = [
        _named(view, definition.viewer.name, rows.viewer[used]),
        _named(view, definition.item.name, rows.item[used]),
        rows.request[used],
        sequences.weight[used],
        *labels.T,
    ]
    order = np.lexsort(columns[::-1])
    digest = hashlib.sha256(f"{len(used)} {labels.shape[1]} ".encode())
    for column in columns:
        digest.update(np.ascontiguousarray(column[order]).tobytes())
    return digest.hexdigest()


def _named(view: View, entity: str, rows: Int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Hashes of the ids of entities, whose rows depend on the order of arrival."""
    found, place = np.unique(rows, return_inverse=True)
    return hash64(view.ids(entity, found))[place]
