"""Late upserts and deletes: which events taken before they may change the attributes of, so that only those are looked at.

Nearly every upsert is a little late: somebody else's impression was taken while it was on its way.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fourfold.features.table import Column, Int, Run
from fourfold.features.values import MISSING
from fourfold.features.view import NEVER, View

Changes = Mapping[str, Sequence[tuple[Int, Int]]]
"""Per entity type, rows of entities and the times (milliseconds) of their upserts and deletes."""

PIECE = 1 << 20
"""How many rows are looked at together, so that a large table does not have to fit into memory."""

_COLUMNS = {
    "viewer": np.int64,
    "item": np.int64,
    "time": np.int64,
    "tie": np.uint64,
    "details": np.int64,
    "name": np.int64,
    "value": np.int64,
}


def late_rows(view: View, changed: Changes) -> dict[str, Column]:
    """The impressions and actions of a view whose viewer or item was changed at or before their time.

    Returns arrays ``viewer``, ``item``, ``time``, ``tie``, ``details``, ``name`` (-1: an impression) and ``value``.
    """
    sides = {"viewer": view.definition.viewer.name, "item": view.definition.item.name}
    since = {side: _earliest(view, entity, changed.get(entity, ())) for side, entity in sides.items()}
    first = min(times.min(initial=NEVER) for times in since.values())
    runs = [run for name in ("impression", "action") for run in view.table(name).runs if run.newest >= first]
    parts = [_late(run, slice(start, start + PIECE), since) for run in runs for start in range(0, len(run), PIECE)]
    return {name: np.concatenate([np.zeros(0, dtype), *(part[name] for part in parts)]) for name, dtype in _COLUMNS.items()}


def _earliest(view: View, entity: str, changes: Sequence[tuple[Int, Int]]) -> Int:
    """When each entity of a view was changed first, or `NEVER`."""
    earliest = np.full(view.size(entity), NEVER)
    for rows, times in changes:
        known = rows < len(earliest)
        np.minimum.at(earliest, rows[known], times[known])
    return earliest


def _late(run: Run, piece: slice, since: Mapping[str, Int]) -> dict[str, Column]:
    at = run.at[piece]
    viewers, times = at.real.astype(np.int64), at.imag.astype(np.int64)
    columns = {name: column[piece] for name, column in run.columns.items()}
    late = times >= np.minimum(since["viewer"][viewers], since["item"][columns["item"]])
    neither = {"name": np.full(len(at), -1), "value": np.full(len(at), MISSING)}
    rows = {"viewer": viewers, "time": times, **neither, **columns}
    return {name: rows[name][late] for name in _COLUMNS}
