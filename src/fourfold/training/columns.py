"""Training rows as named columns: what checks of the data read, each input by the name that its definition gives it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fourfold.features.inputs import Floats, IdField, Ids, Schema, id_columns
from fourfold.features.table import Int
from fourfold.training.examples import Examples

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class InputColumns:
    """N examples, column by column.

    `numbers` holds features, NaN where one is missing; `categories` the hashed ids of attributes and context, 0 where one is
    missing, in as many columns as an attribute has values.
    """

    numbers: dict[str, Floats]  # (N,) each
    categories: dict[str, Ids]  # (N, width) each
    labels: Floats  # (N, A)
    viewer: Int  # (N,)
    item: Int  # (N,)
    request: Int  # (N,)

    def __len__(self) -> int:
        return len(self.request)


def input_columns(rows: Examples, schema: Schema, most: int) -> InputColumns:
    """The columns of the examples among some rows, evenly spaced if there are more than `most` of them."""
    sequences = rows.sequences
    used = np.flatnonzero(sequences.weight > 0)
    used = used[:: max(1, -(-len(used) // most))]
    sequence = np.searchsorted(np.cumsum(sequences.lengths), used, side="right")
    numbers = [*zip(schema.early, sequences.early[used].T, strict=True), *zip(schema.late, sequences.late[used].T, strict=True)]
    categories = [
        *_named("item", schema.item, sequences.items[used]),
        *_named("viewer", schema.viewer, sequences.viewers[sequence]),
        *_named("context", schema.context, sequences.context[used]),
    ]
    return InputColumns(
        numbers=dict(numbers),
        categories={name: ids for name, ids in categories if name != "item.id"},
        labels=sequences.labels[used],
        viewer=rows.viewer[used],
        item=rows.item[used],
        request=rows.request[used],
    )


def _named(side: str, fields: Sequence[IdField], ids: Ids) -> Iterator[tuple[str, Ids]]:
    for field, columns in zip(fields, id_columns(fields), strict=True):
        yield f"{side}.{field.name}", ids[:, columns]
