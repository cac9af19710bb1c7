"""A viewer's timeline: impressions and actions folded into history entries, without looking ahead.

The timeline is cut at each request. In each cut, every item that was shown or acted on makes one entry, which carries all
actions on the item inside the cut. A request therefore sees only what happened strictly before it; what is in a cut is
settled when the next request starts, so an entry has the same content for every request that sees it, in training and in
serving. An action that comes after a later request (the viewer scrolled back) makes an entry of its own in that later cut.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fourfold.features.details import Known
from fourfold.features.table import Column, Int
from fourfold.features.values import MISSING, floats
from fourfold.features.view import NEVER, View


@dataclass(frozen=True)
class Timeline:
    """The history entries of some viewers as of a time each, in the order of (viewer, time, tie).

    `viewer` indexes the rows that were asked for. `request` is the time as of which an entry was, or could have been, chosen:
    the start of the request of its first impression, or else its first action. `seen` counts the viewer's entries before that
    time. `shown` tells impressions from entries made of actions alone. `values` are the last ones of the V actions that the
    definition's history names, NaN where there is none. `details` are those of an entry's first event.
    """

    viewer: Int  # (N,)
    item: Int  # (N,)
    time: Int  # (N,) first event of the entry
    request: Int  # (N,)
    seen: Int  # (N,)
    shown: NDArray[np.bool_]  # (N,)
    actions: NDArray[np.float32]  # (N, A)
    values: NDArray[np.float32]  # (N, V)
    details: Known  # (N,)
    starts: Int  # (V + 1,) entries of viewer v are starts[v] .. starts[v + 1]

    def __len__(self) -> int:
        return len(self.item)


def timeline(view: View, viewers: Int, before: Int, since: Int | None = None) -> Timeline:
    """The timelines of viewers (rows, shape (V,)) as of `before` (milliseconds, shape (V,)).

    They begin after the viewer's last deletion and at `since`, or else where histories as of `before` do.
    """
    deleted = view.deleted(view.definition.viewer.name, viewers, before)
    since = np.maximum(deleted + 1, view.history_start(before) if since is None else since)
    shown = view.table("impression").slice(viewers, since, before)
    acted = view.table("action").slice(viewers, since, before)
    events = _events(shown, acted)
    events["request"] = _requests(events)
    cut_viewer, cut_time = _cuts(events)
    cut = _rank(cut_viewer, cut_time, events["viewer"], events["time"], side="right")
    return _entries(view, events, cut, len(viewers))


def _events(shown: dict[str, Column], acted: dict[str, Column]) -> dict[str, Column]:
    """Impressions and actions as one table, sorted by (viewer, time, impressions first, tie)."""
    size, more = len(shown["query"]), len(acted["query"])
    empty = np.zeros(0, np.int64)
    events: dict[str, Column] = {
        "viewer": np.concatenate([shown["query"], acted["query"]]),
        "time": np.concatenate([shown["time"], acted["time"]]),
        "item": np.concatenate([shown.get("item", empty), acted.get("item", empty)]),
        "tie": np.concatenate([shown.get("tie", empty), acted.get("tie", empty)]).astype(np.uint64),
        "group": np.concatenate([shown.get("request", empty), np.zeros(more)]).astype(np.uint64),
        "name": np.concatenate([np.full(size, -1), acted.get("name", empty)]).astype(np.int64),
        "value": np.concatenate([np.full(size, MISSING), acted.get("value", np.full(more, MISSING))]).astype(np.int64),
        "details": np.concatenate([shown.get("details", empty), acted.get("details", empty)]),
    }
    order = np.lexsort((events["tie"], events["name"] >= 0, events["time"], events["viewer"]))
    return {name: column[order] for name, column in events.items()}


def _requests(events: dict[str, Column]) -> Int:
    """As of when each event's item was chosen: its request's first impression; `NEVER` for an action after an impression."""
    shown = events["name"] < 0
    request: Int = np.where(shown, events["time"], NEVER)
    grouped = shown & (events["group"] != 0)
    request[grouped] = _first(events["time"][grouped], events["viewer"][grouped], events["group"][grouped])
    first_shown = _first(np.where(shown, events["time"], NEVER), events["viewer"], events["item"])
    unprompted = ~shown & (first_shown > events["time"])
    return np.where(unprompted, events["time"], request)


def _first(values: Int, *keys: Column) -> Int:
    """The smallest value among the rows with the same keys, for each row."""
    if not len(values):
        return values
    order = np.lexsort((values, *keys))
    new = np.append(True, np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0))
    first = np.empty_like(values)
    first[order] = values[order][new][np.cumsum(new) - 1]
    return first


def _cuts(events: dict[str, Column]) -> tuple[Int, Int]:
    """The distinct request times of each viewer, sorted."""
    chosen = events["request"] < NEVER
    pairs = np.unique(np.stack([events["viewer"][chosen], events["request"][chosen]], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _rank(viewers: Int, times: Int, of_viewers: Int, of_times: Int, side: str) -> Int:
    """Positions of (viewer, time) pairs in sorted pairs."""
    sorted_pairs, wanted = viewers + 0j, of_viewers + 0j
    sorted_pairs.imag, wanted.imag = times, of_times
    return np.searchsorted(sorted_pairs, wanted, side=side)  # type: ignore[call-overload, no-any-return]


def _entries(view: View, events: dict[str, Column], cut: Int, viewers: int) -> Timeline:
    """Fold the events of one (viewer, cut, item) into an entry each."""
    order = np.lexsort((np.arange(len(cut)), events["item"], cut, events["viewer"]))
    viewer, item, when = events["viewer"][order], events["item"][order], cut[order]
    new = np.ones(len(order), bool)
    new[1:] = (viewer[1:] != viewer[:-1]) | (item[1:] != item[:-1]) | (when[1:] != when[:-1])
    entry = np.cumsum(new) - 1
    first = order[new]
    count = len(first)
    actions = np.zeros((count, len(view.definition.actions)), np.float32)
    name = events["name"][order]
    done = name >= 0
    actions[entry[done], _action_columns(view)[name[done]]] = 1
    values = _last_values(view, name, events["value"][order], entry, count)
    request = _first_request(events["request"][order], done, entry, count)
    shown = np.zeros(count, bool)
    shown[entry[~done]] = True
    by_time = np.lexsort((events["tie"][first], events["time"][first], events["viewer"][first]))
    details = view.details.of(events["details"][first[by_time]])
    found = actions[by_time], values[by_time], details
    return _ordered(first[by_time], request[by_time], shown[by_time], found, events, cut, viewers)


def _last_values(view: View, name: Int, value: Int, entry: Int, count: int) -> NDArray[np.float32]:
    """The last value of each action that histories read, in each entry."""
    wanted = view.definition.history.values
    found = np.full((count, len(wanted)), np.nan, np.float32)
    for column, action in enumerate(wanted):
        rows = np.flatnonzero((name == view.names["action"].find(action)) & (name >= 0) & (value != MISSING))
        found[entry[rows], column] = floats(value[rows])  # the last assignment stays
    return found


def _first_request(request: Int, acted: NDArray[np.bool_], entry: Int, count: int) -> Int:
    """The request of each entry's first impression, else of its first action that had none before, else `NEVER`.

    Not the earliest: a later event of the entry must not change what its first one was.
    """
    found = np.full(count, NEVER)
    for rows in (np.flatnonzero(acted & (request < NEVER)), np.flatnonzero(~acted)):
        # Backwards, because the last assignment stays.
        found[entry[rows[::-1]]] = request[rows[::-1]]
    return found


def _ordered(
    first: Int,
    request: Int,
    shown: Column,
    found: tuple[Column, Column, Known],
    events: dict[str, Column],
    cut: Int,
    viewers: int,
) -> Timeline:
    viewer, time = events["viewer"][first], events["time"][first]
    starts = np.searchsorted(viewer, np.arange(viewers + 1))
    cuts = _cuts(events)
    opened = cuts[1][cut[first] - 1] if len(first) else time
    request = np.where(request == NEVER, opened, request)
    seen = _rank(viewer, time, viewer, request, side="left") - starts[viewer] if len(first) else request
    return Timeline(viewer, events["item"][first], time, request, seen, shown, *found, starts)


def _action_columns(view: View) -> Int:
    """The column in the definition's order of each action name's code."""
    names = view.names["action"]
    order = {action.name: column for column, action in enumerate(view.definition.actions)}
    return np.array([order[names[code]] for code in range(len(names))], np.int64)
