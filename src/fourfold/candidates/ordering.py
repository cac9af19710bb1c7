"""Orders that do not depend on how rows were numbered or how tables are cut into runs, both of which follow arrival."""

import numpy as np
from numpy.typing import NDArray

from fourfold.features.table import Column, Int, Run, Table
from fourfold.features.view import View


def best_first(view: View, items: Int, scores: NDArray[np.floating] | Int, keep: int | None = None) -> Int:
    """Indices of items (rows of a view), best score first, equal scores by item id; at most `keep` of them."""
    if keep is not None and 2 * keep < len(scores) and not np.isnan(last := -np.partition(-scores, keep - 1)[keep - 1]):
        chosen = np.flatnonzero(scores >= last)  # sorting all would cost more than finding these
        return chosen[best_first(view, items[chosen], scores[chosen])[:keep]]
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


def newest_of(table: Table, since: int, before: int, count: int) -> list[tuple[Run, slice]]:
    """Where the `count` newest rows with ``since <= time < before`` are in a table whose key is always 0, as ends of its runs.

    Equal times count by tie, as in `Table.slice`; but nothing is sorted, which for a long window takes longer than the rest of
    a request.
    """
    ends = [(run, *run.position(np.zeros(2, np.int64), np.array([since, before])).tolist()) for run in table.runs]
    parts = [(run, max(start, stop - count), stop) for run, start, stop in ends if start < stop]
    more = sum(stop - start for _, start, stop in parts) - count
    if more <= 0:
        return [(run, slice(start, stop)) for run, start, stop in parts]
    times = np.concatenate([run.at.imag[start:stop] for run, start, stop in parts])
    cut = float(np.partition(times, more)[more])
    ties = np.concatenate([run.columns["tie"][slice(*_at_time(run, start, stop, cut))] for run, start, stop in parts])
    newer = int((times > cut).sum())
    least = np.sort(ties)[len(ties) - (count - newer)]
    return [(run, slice(_first_from(run, *_at_time(run, start, stop, cut), least), stop)) for run, start, stop in parts]


def _at_time(run: Run, start: int, stop: int, time: float) -> tuple[int, int]:
    """Which of some rows of a run have a time."""
    times = run.at.imag[start:stop]
    return start + int(np.searchsorted(times, time)), start + int(np.searchsorted(times, time, side="right"))


def _first_from(run: Run, start: int, stop: int, tie: int) -> int:
    """The first of some rows of one time, sorted by tie, with at least that tie."""
    return start + int(np.searchsorted(run.columns["tie"][start:stop], tie))
