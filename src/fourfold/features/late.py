"""Late upserts and deletes: which events taken before they may change the attributes of, so that only those are looked at.

Nearly every upsert is a little late: somebody else's impression was taken while it was on its way.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fourfold.features.table import Column, Int, Run
from fourfold.features.view import NEVER, View

Changes = Mapping[str, Sequence[tuple[Int, Int]]]
"""Per entity type, rows of entities and the times (milliseconds) of their upserts and deletes."""


def late_rows(view: View, table: str, changed: Changes) -> dict[str, Column]:
    """The impressions or actions of a view whose viewer or item was changed at or before their time.

    Returns arrays ``viewer``, ``item``, ``time``, ``tie`` and ``details``, and of actions ``name``.
    """
    sides = {"viewer": view.definition.viewer.name, "item": view.definition.item.name}
    since = {side: _earliest(view, entity, changed.get(entity, ())) for side, entity in sides.items()}
    first = min(times.min(initial=NEVER) for times in since.values())
    parts = [_late(run, since) for run in view.table(table).runs if run.newest >= first]
    names = ("viewer", "item", "time", "tie", "details", *(("name",) if table == "action" else ()))
    return {name: np.concatenate([part[name] for part in parts]) if parts else np.zeros(0, np.int64) for name in names}


def _earliest(view: View, entity: str, changes: Sequence[tuple[Int, Int]]) -> Int:
    """When each entity of a view was changed first, or `NEVER`."""
    earliest = np.full(view.size(entity), NEVER)
    for rows, times in changes:
        known = rows < len(earliest)
        np.minimum.at(earliest, rows[known], times[known])
    return earliest


def _late(run: Run, since: Mapping[str, Int]) -> dict[str, Column]:
    viewers, times = run.at.real.astype(np.int64), run.at.imag.astype(np.int64)
    late = times >= np.minimum(since["viewer"][viewers], since["item"][run.columns["item"]])
    rows = {"viewer": viewers, "time": times, **run.columns}
    return {name: column[late] for name, column in rows.items()}
