"""Which events of the log a state takes: those that its definition speaks of, that come in time, and whose id is new."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.definition import Recommender
from fourfold.definition.part import milliseconds
from fourfold.events.types import EventKind
from fourfold.features.table import Column, Int, Run, Table

Mask = NDArray[np.bool_]

REMEMBERED = 1 << 52
"""Until when the ids of events count that are never too late: for ever."""


def spoken_of(definition: Recommender, batch: pa.RecordBatch) -> tuple[Mask, Counter[str]]:
    """The events that a definition speaks of, and the others, counted by what they are."""
    kind, surface, name = batch["kind"], batch["surface"], batch["name"]
    here = pc.fill_null(pc.equal(surface, definition.surface), False)
    entities = _one_of(name, [entity.name for entity in definition.entities])
    edges = _one_of(name, [edge.name for edge in definition.edges])
    masks = {
        EventKind.IMPRESSION: here,
        EventKind.ACTION: pc.and_(here, _one_of(name, [action.name for action in definition.actions])),
        EventKind.ENTITY_UPSERT: entities,
        EventKind.ENTITY_DELETE: entities,
        EventKind.EDGE_ADDED: edges,
        EventKind.EDGE_REMOVED: edges,
    }
    keep = np.zeros(batch.num_rows, bool)
    for value, mask in masks.items():
        keep |= pc.and_(pc.equal(kind, int(value)), mask).to_numpy(zero_copy_only=False)
    silent = pc.equal(kind, int(EventKind.REDACTED)).to_numpy(zero_copy_only=False)
    return keep, _counted(batch, ~keep & ~silent, "of another definition")


def clocks(batch: pa.RecordBatch, clock: int) -> Int:
    """Time of the newest event that the log held before each event, and after the last: shape (N + 1,)."""
    return np.maximum.accumulate(np.concatenate([[clock], batch["time"].to_numpy()]))


def in_time(definition: Recommender, batch: pa.RecordBatch, clock: Int) -> tuple[Mask, Counter[str]]:
    """All but the impressions and actions that come later than the definition allows; these are counted.

    `clock` (shape (N,)) is the time of the newest event that the log held before each event: the answer depends on the order
    of the log alone.
    """
    if definition.lateness is None:
        return np.ones(batch.num_rows, bool), Counter()
    late = is_interaction(batch) & (batch["time"].to_numpy() < clock - milliseconds(definition.lateness))
    return ~late, _counted(batch, late, f"more than {definition.lateness} late")


def is_interaction(batch: pa.RecordBatch) -> Mask:
    """Impressions and actions; lateness and memory are about these."""
    kind = batch["kind"].to_numpy()
    shown: Mask = (kind == EventKind.IMPRESSION) | (kind == EventKind.ACTION)
    return shown


def remembered_until(definition: Recommender, batch: pa.RecordBatch) -> Int:
    """The latest clock at which each event's id counts as known: from then on, a repeat of it is too late anyway."""
    until = np.full(batch.num_rows, REMEMBERED)
    if definition.lateness is not None:
        shown = is_interaction(batch)
        until[shown] = batch["time"].to_numpy()[shown] + milliseconds(definition.lateness)
    return until


def known_until(table: Table, hashes: Column, until: Int) -> Int:
    """Until which clock each id (its 64-bit hash) is known by what came before it, in the table or among these; or -1."""
    order = np.argsort(hashes, kind="stable")
    asked = hashes[order]
    known = np.full(len(asked), -1)
    for run in table.runs:
        # Rows of one hash stand in the order of until when they count: the last one decides.
        last = np.maximum(np.searchsorted(run.at, asked, side="right") - 1, 0)
        known = np.where(run.at[last] == asked, np.maximum(known, run.columns["tie"][last]), known)
    again = asked[1:] == asked[:-1]
    if again.any():
        # The running maximum of each group of equal hashes: complex numbers are ordered by group first.
        groups = np.cumsum(np.append(True, ~again)) + 1j * until[order]
        earlier = np.maximum.accumulate(groups)[:-1].imag.astype(np.int64)
        known[1:] = np.where(again, np.maximum(known[1:], earlier), known[1:])
    found = np.empty(len(asked), np.int64)
    found[order] = known
    return found


def with_ids(table: Table, hashes: Column, until: Int) -> Table:
    """The table with more ids, each counting until some clock."""
    if not len(hashes):
        return table
    order = np.lexsort((until, hashes))
    return table.joined(Run(hashes[order], {"tie": until[order]}, int(until.max())))


def _counted(batch: pa.RecordBatch, mask: Mask, why: str) -> Counter[str]:
    found: list[Mapping[str, int]] = pc.value_counts(batch["kind"].filter(pa.array(mask))).to_pylist()
    return Counter({f"{EventKind(row['values']).name.lower()} {why}": row["counts"] for row in found})


def _one_of(column: pa.Array, names: list[str]) -> pa.Array:
    return pc.is_in(column, value_set=pa.array(names, pa.string()))
