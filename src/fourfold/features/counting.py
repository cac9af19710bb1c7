"""Counting: under which keys impressions and actions are counted, in one table per key and event.

A counter's rows are found again by (key, time, tie), so that they can be moved when a late change gives an event another key.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np

from fourfold.definition import Count, Rate, Recommender
from fourfold.features.details import DetailsTable
from fourfold.features.names import Names
from fourfold.features.table import Column, Columns, Int
from fourfold.features.view import View

CounterKey = tuple[tuple[str, ...], str]

UNKNOWN_OUTCOME = "unknown:"
"""Before the name of an action: the impressions of which the log does not know whether the action followed."""

Rows: TypeAlias = dict[str, Column]
"""Impressions and actions: ``viewer``, ``item``, ``time``, ``tie``, ``details`` and ``name`` (-1: an impression), each (N,)."""

Counted: TypeAlias = Mapping[str, tuple[Int, Int, Columns]]
"""By event: which rows it counts, their times, and the columns of its table."""


def counters(definition: Recommender) -> tuple[CounterKey, ...]:
    """The distinct (key, event) pairs that the definition's features count."""
    found: dict[CounterKey, None] = {}
    for feature in definition.features:
        if isinstance(feature, Count):
            found[feature.by, feature.event] = None
        elif isinstance(feature, Rate):
            found[feature.by, "impression"] = found[feature.by, feature.action] = None
            found[feature.by, UNKNOWN_OUTCOME + feature.action] = None
    return tuple(found)


def counter_table(spec: CounterKey) -> str:
    """Name of the table that counts an event by a key."""
    return f"count/{spec[1]}/{'+'.join(spec[0])}"


class Counting:
    """What the counters of a definition count; `keys` holds the events of each key."""

    def __init__(self, definition: Recommender, names: Mapping[str, Names], details: DetailsTable) -> None:
        self._definition, self._names, self._details = definition, names, details
        self.keys: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for by, event in counters(definition):
            self.keys[by].append(event)

    def key(self, view: View, by: tuple[str, ...], rows: Rows) -> Int:
        """What each row is counted under in a view, -1: nothing. An upsert at the time of an event counts for it."""
        context = self._details.of(rows["details"]).context if self._definition.context else None
        return view.keys(by, rows["viewer"], rows["item"], rows["time"] + 1, context)

    def of_events(self, rows: Rows) -> Counted:
        """What each event that some counter counts is, among the rows."""
        events = dict.fromkeys(event for counted in self.keys.values() for event in counted)
        # Half of a tie is enough to tell the rows of one key and time apart, and counts do not depend on their order.
        ties = (rows["tie"] >> np.uint64(32)).astype(np.uint32)
        chosen = {event: np.flatnonzero(self._is(event, rows)) for event in events}
        return {event: (index, rows["time"][index], {"tie": ties[index]}) for event, index in chosen.items()}

    def under(self, by: tuple[str, ...], keys: Int, counted: Counted) -> Iterator[tuple[str, Int, Int, Columns]]:
        """For each counter by a key that counts any: its table, and the keys, times and columns of its rows."""
        for event in self.keys[by]:
            chosen, times, columns = counted[event]
            of_event = keys[chosen]
            known = of_event >= 0
            if not known.all():
                of_event, times = of_event[known], times[known]
                columns = {name: column[known] for name, column in columns.items()}
            if len(of_event):
                yield counter_table((by, event)), of_event, times, columns

    def _is(self, event: str, rows: Rows) -> Column:
        chosen: Column = rows["name"] < 0
        if event.startswith(UNKNOWN_OUTCOME):
            action = [action.name for action in self._definition.actions].index(event.removeprefix(UNKNOWN_OUTCOME))
            chosen &= self._details.of(rows["details"]).unknown[:, action]
        elif event != "impression":
            chosen = ~chosen & (rows["name"] == self._names["action"].find(event))
        return chosen
