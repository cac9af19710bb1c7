"""Orders that do not depend on how rows were numbered or how tables are cut into runs, both of which follow arrival."""

import numpy as np
from numpy.typing import NDArray

from fourfold.features.table import Column, Int
from fourfold.features.view import View


def best_first(view: View, items: Int, scores: NDArray[np.floating] | Int, keep: int | None = None) -> Int:
    """Indices of items (rows of a view), best score first, equal scores by item id; at most `keep` of them."""
    order = np.argsort(-scores, kind="stable")
    ordered = -scores[order]
    if keep is not None and keep < len(order):
        order = order[: np.searchsorted(ordered, ordered[keep - 1], side="right")]
        ordered = ordered[: len(order)]
    fresh = np.append(True, ordered[1:] != ordered[:-1])[: len(order)]
    tied = np.flatnonzero(~fresh | ~np.append(fresh[1:], True))
    group = np.cumsum(fresh)[tied].tolist()
    ids = view.ids(view.definition.item.name, items[order[tied]])
    order[tied] = order[tied[sorted(range(len(tied)), key=lambda place: (group[place], ids[place]))]]
    return order[:keep]


def newest(rows: dict[str, Column], count: int) -> dict[str, Column]:
    """The `count` newest rows of each query in what `Table.slice` gave, which may hold more of them."""
    query = rows["query"]
    if len(query) <= count:
        return rows
    recent = np.searchsorted(query, query, side="right") - np.arange(len(query)) <= count
    return {name: column[recent] for name, column in rows.items()}
