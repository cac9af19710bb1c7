"""Assembly: a viewer's history and candidates as the arrays that models read. Training rows are made by the same function."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fourfold.events.types import ContextValue
from fourfold.features.details import context_codes
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Candidates, Floats, History, Ids, Rows
from fourfold.features.numbers import early_features, late_features, numbers
from fourfold.features.table import Int
from fourfold.features.timeline import Timeline, timeline
from fourfold.features.view import View

HOUR = 3_600_000
NO_ENTRY, UNDATED = -1, -2
"""What stands for the time of an entry that is not there, or whose time gives the order only."""


@dataclass(frozen=True)
class Context:
    """What is known of one viewer as of a request: the model inputs that all candidates share."""

    viewer: int  # row, -1 if unknown
    time: int  # milliseconds
    history: History
    viewer_ids: Ids  # (1, columns)
    entries: Timeline  # the whole timeline; the history is its last window
    request_context: Int  # (X,), codes
    request_context_ids: Ids  # (X,): a value that the log has not seen yet has an id, but no code
    previous: int  # time of the last entry, `NO_ENTRY` or `UNDATED`


@dataclass(frozen=True)
class Asked:
    """N questions about a viewer and an item each, as of the times of N requests."""

    viewers: Int  # (N,), rows
    items: Int  # (N,), rows
    requests: Int  # (N,), milliseconds
    previous: Int  # (N,), time of the viewer's entry before, `NO_ENTRY` or `UNDATED`
    context: Int  # (N, X), codes
    dated: NDArray[np.bool_]  # (N,)


def rows(view: View, encoder: Encoder, asked: Asked, late: bool = True) -> Rows:
    """Model inputs of N rows.

    Without `late`, the late features are left NaN: a history's tokens do not read them.
    """
    definition = view.definition
    lates = late_features(definition)
    about = asked.viewers, asked.items, asked.requests, asked.context
    return Rows(
        items=encoder.items(view, asked.items, asked.requests),
        context=encoder.context(view, asked.context),
        early=numbers(view, early_features(definition), *about),
        late=numbers(view, lates, *about) if late else np.full((len(asked.items), len(lates)), np.nan, np.float32),
        moments=moments(asked.requests, asked.previous, asked.dated),
    )


def moments(requests: Int, previous: Int, dated: NDArray[np.bool_]) -> Floats:
    """The columns of `inputs.MOMENTS` for requests at those times."""
    gap = np.where(previous >= 0, np.log1p(np.maximum(requests - previous, 0) / 1000), 0.0)
    gap[~dated | (previous == UNDATED)] = np.nan
    angle = np.where(dated, (requests % (24 * HOUR)) / (24 * HOUR) * 2 * np.pi, np.nan)
    return np.stack([gap, np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


def previous_times(entries: Timeline) -> Int:
    """Time of the last entry that each entry's request saw, `NO_ENTRY` or `UNDATED`."""
    if not len(entries):
        return entries.time
    last = np.maximum(entries.starts[entries.viewer] + entries.seen - 1, 0)
    return np.where(entries.seen == 0, NO_ENTRY, np.where(entries.details.dated[last], entries.time[last], UNDATED))


def context(
    view: View, encoder: Encoder, viewer: int, time: int, given: Mapping[str, ContextValue] = MappingProxyType({})
) -> Context:
    """One viewer's history window as of `time`, ready to encode; `given` is the request's context."""
    entries = timeline(view, np.array([viewer]), np.array([time]))
    start = view.definition.history.start(len(entries))
    window = slice(start, None)
    asked = Asked(
        viewers=np.full(len(entries) - start, viewer),
        items=entries.item[window],
        requests=entries.request[window],
        previous=previous_times(entries)[window],
        context=entries.details.context[window],
        dated=entries.details.dated[window],
    )
    common = rows(view, encoder, asked, late=False)
    history = History(
        items=common.items,
        context=common.context,
        early=common.early,
        late=common.late,
        moments=common.moments,
        actions=entries.actions[window],
        values=entries.values[window],
        seen=np.maximum(entries.seen[window] - start, 0),
    )
    viewer_ids = encoder.viewers(view, np.array([viewer]), np.array([time]))
    previous = NO_ENTRY
    if len(entries):
        previous = int(entries.time[-1]) if entries.details.dated[-1] else UNDATED
    codes = context_codes(view.definition, view.names, given)
    return Context(viewer, time, history, viewer_ids, entries, codes, encoder.request_context(given), previous)


def candidates(view: View, encoder: Encoder, known: Context, items: Int) -> Candidates:
    """Items (rows, shape (C,)) as candidates of the viewer of `known`."""
    count = len(items)
    asked = Asked(
        viewers=np.full(count, known.viewer),
        items=items,
        requests=np.full(count, known.time),
        previous=np.full(count, known.previous),
        context=np.tile(known.request_context, (count, 1)),
        dated=np.ones(count, bool),
    )
    made = rows(view, encoder, asked)
    ids = np.tile(known.request_context_ids, (count, 1))
    return Candidates(items=made.items, context=ids, early=made.early, late=made.late, moments=made.moments)
