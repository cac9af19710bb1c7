"""All impressions or actions of a state as arrays, to be counted in bulk."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fourfold.features.table import Int, pairs
from fourfold.features.view import NEVER, View


@dataclass(frozen=True)
class EventRows:
    """Impressions or actions, sorted by viewer and time.

    `request` is a hash, 0 where there is none; `name` the code of an action; `dated` is False where the time gives the order
    only; `unknown` says of which of the A actions nobody knows whether they followed.
    """

    viewer: Int  # (N,)
    item: Int  # (N,)
    time: Int  # (N,)
    request: NDArray[np.uint64]  # (N,)
    name: Int  # (N,)
    dated: NDArray[np.bool_]  # (N,)
    unknown: NDArray[np.bool_]  # (N, A)

    def __len__(self) -> int:
        return len(self.viewer)


def event_rows(view: View, table: str) -> EventRows:
    """All rows of the table ``impression`` or ``action``, those before a viewer's deletion too."""
    viewers = view.all_rows(view.definition.viewer.name)
    rows = view.table(table).slice(viewers, np.zeros_like(viewers), np.full_like(viewers, NEVER))
    count = len(rows["query"])
    none = np.full(count, -1)
    known = view.details.of(rows.get("details", none).astype(np.int64))
    return EventRows(
        viewer=rows["query"],
        item=rows.get("item", none).astype(np.int64),
        time=rows["time"],
        request=rows.get("request", np.zeros(count)).astype(np.uint64),
        name=rows.get("name", none).astype(np.int64),
        dated=known.dated,
        unknown=known.unknown,
    )


def last_shown(shown: EventRows, acted: EventRows) -> Int:
    """For each action, the row of the last impression of its item to its viewer at or before it; -1 where there is none."""
    viewer, item = np.concatenate([shown.viewer, acted.viewer]), np.concatenate([shown.item, acted.item])
    codes = np.unique(viewer * (int(item.max(initial=0)) + 1) + item, return_inverse=True)[1]
    at = pairs(codes[: len(shown)], shown.time)
    order = np.argsort(at, kind="stable")
    asked = codes[len(shown) :]
    place = np.searchsorted(at[order], pairs(asked, acted.time), side="right") - 1
    if not len(shown):
        return place
    row = order[np.maximum(place, 0)]
    return np.where((place >= 0) & (codes[row] == asked), row, -1)


def dated_by(shown: EventRows, acted: EventRows) -> EventRows:
    """The actions, dated as the impressions that they belong to."""
    last = last_shown(shown, acted)
    dated = np.append(shown.dated, True)[last]
    return replace(acted, dated=acted.dated & dated)
