"""Late upserts and deletes: which events taken before they may change the attributes of, so that only those are looked at.

Nearly every upsert is a little late: somebody else's impression was taken while it was on its way.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fourfold.features.table import Column, Int, Run
from fourfold.features.view import NEVER, View

Changes = Mapping[str, Sequence[tuple[Int, Int]]]
"""Per entity type, rows of entities and the times (milliseconds) of their upserts and deletes."""


def late_rows(view: View, table: str, changed: Changes) -> dict[str, Column]:
    """The impressions or actions of a view whose viewer or item was changed at or before their time.

    Returns arrays ``viewer``, ``item`` and ``time``, and of actions ``name``.
    """
    sides = {"viewer": view.definition.viewer.name, "item": view.definition.item.name}
    since = {side: _earliest(view, entity, changed.get(entity, ())) for side, entity in sides.items()}
    first = min(times.min(initial=NEVER) for times in since.values())
    parts = [event_rows(run, _late(run, since)) for run in view.table(table).runs if run.newest >= first]
    names = ("viewer", "item", "time", "name") if table == "action" else ("viewer", "item", "time")
    return {name: np.concatenate([np.zeros(0, np.int64), *(part[name] for part in parts)]) for name in names}


def event_rows(run: Run, chosen: NDArray[np.bool_] | slice = slice(None)) -> dict[str, Column]:
    """Some rows of a run of impressions or actions: viewer, item, time and the run's other columns."""
    at, columns = run.at[chosen], {name: column[chosen] for name, column in run.columns.items()}
    return {"viewer": at.real.astype(np.int64), "time": at.imag.astype(np.int64), **columns}


def _earliest(view: View, entity: str, changes: Sequence[tuple[Int, Int]]) -> Int:
    """When each entity of a view was changed first, or `NEVER`."""
    earliest = np.full(view.size(entity), NEVER)
    for rows, times in changes:
        known = rows < len(earliest)
        np.minimum.at(earliest, rows[known], times[known])
    return earliest


def _late(run: Run, since: Mapping[str, Int]) -> NDArray[np.bool_]:
    viewers = run.at.real.astype(np.int64)
    late: NDArray[np.bool_] = run.at.imag >= np.minimum(since["viewer"][viewers], since["item"][run.columns["item"]])
    return late
