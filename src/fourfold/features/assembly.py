"""Assembly: a viewer's history and candidates as the arrays that models read. Training rows are made by the same function."""

from dataclasses import dataclass

import numpy as np

from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Candidates, Floats, History, Ids, Rows
from fourfold.features.numbers import early_features, late_features, numbers
from fourfold.features.table import Int
from fourfold.features.timeline import Timeline, timeline
from fourfold.features.view import View

HOUR = 3_600_000


@dataclass(frozen=True)
class Context:
    """What is known of one viewer as of a request: the model inputs that all candidates share."""

    viewer: int  # row, -1 if unknown
    time: int  # milliseconds
    history: History
    viewer_ids: Ids  # (1, columns)
    entries: Timeline  # the whole timeline; the history is its last window
    last_time: int  # time of the last entry, -1 if there is none


def rows(view: View, encoder: Encoder, viewers: Int, items: Int, requests: Int, previous: Int, late: bool = True) -> Rows:
    """Model inputs of N (viewer, item) rows as of `requests`; `previous` is the time of the viewer's entry before, or -1.

    Without `late`, the late features are left NaN: a history's tokens do not read them.
    """
    definition = view.definition
    lates = late_features(definition)
    return Rows(
        items=encoder.items(view, items, requests),
        early=numbers(view, early_features(definition), viewers, items, requests),
        late=numbers(view, lates, viewers, items, requests) if late else np.full((len(items), len(lates)), np.nan, np.float32),
        moments=moments(requests, previous),
    )


def moments(requests: Int, previous: Int) -> Floats:
    """The columns of `inputs.MOMENTS` for requests at those times."""
    gap = np.where(previous >= 0, np.log1p(np.maximum(requests - previous, 0) / 1000), 0.0)
    angle = (requests % (24 * HOUR)) / (24 * HOUR) * 2 * np.pi
    return np.stack([gap, np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


def previous_times(entries: Timeline, base: Int) -> Int:
    """Time of the last entry that each entry's request saw, or -1; `base` is the index of its viewer's first entry."""
    if not len(entries):
        return entries.time
    return np.where(entries.seen > 0, entries.time[np.maximum(base + entries.seen - 1, 0)], -1)


def context(view: View, encoder: Encoder, viewer: int, time: int) -> Context:
    """One viewer's history window as of `time`, ready to encode."""
    entries = timeline(view, np.array([viewer]), np.array([time]))
    start = view.definition.history.start(len(entries))
    window = slice(start, None)
    viewers = np.full(len(entries) - start, viewer)
    previous = previous_times(entries, np.zeros(len(entries), np.int64))[window]
    common = rows(view, encoder, viewers, entries.item[window], entries.request[window], previous, late=False)
    history = History(
        items=common.items,
        early=common.early,
        late=common.late,
        moments=common.moments,
        actions=entries.actions[window],
        seen=np.maximum(entries.seen[window] - start, 0),
    )
    viewer_ids = encoder.viewers(view, np.array([viewer]), np.array([time]))
    return Context(viewer, time, history, viewer_ids, entries, int(entries.time[-1]) if len(entries) else -1)


def candidates(view: View, encoder: Encoder, known: Context, items: Int) -> Candidates:
    """Items (rows, shape (C,)) as candidates of the viewer of `known`."""
    count = len(items)
    viewers, times = np.full(count, known.viewer), np.full(count, known.time)
    made = rows(view, encoder, viewers, items, times, np.full(count, known.last_time))
    return Candidates(items=made.items, early=made.early, late=made.late, moments=made.moments)
