"""Counting: which tables the features of a definition read, which events each takes, and under what key.

A row of such a table is one event. It is found again by (key, time, tie), so that it can be moved when a late change gives the
event another key.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import Count, Distinct, Feature, Last, Mean, Rate, Ratio, Recommender, Sum, TimeSince
from fourfold.features.details import DetailsTable
from fourfold.features.names import Names
from fourfold.features.table import Column, Columns, Int
from fourfold.features.values import MISSING
from fourfold.features.view import View

UNKNOWN_OUTCOME = "unknown:"
"""Before the name of an action: the impressions of which the log does not know whether the action followed."""

Rows: TypeAlias = dict[str, Column]
"""Impressions and actions: ``viewer``, ``item``, ``time``, ``tie``, ``details``, ``name`` (-1: an impression) and, where
something reads it, ``value``; each (N,)."""

Holds = Literal["count", "value", "dated", "distinct"]

Place: TypeAlias = tuple[tuple[str, ...], str | None]
"""A key, and the key part whose different values are told apart under it, if any."""

Counted: TypeAlias = Mapping[tuple[str, Holds], tuple[Int, Int, Columns]]
"""By event and what is held of it: which rows these are, their times, and columns of the table."""


@dataclass(frozen=True)
class Tally:
    """One table: the events of one name under a key.

    A table that holds ``value`` takes actions that have one, and keeps it; ``dated`` takes events whose time is more than
    their order; ``distinct`` keeps the code of the key part `of`.
    """

    by: tuple[str, ...]
    event: str
    holds: Holds = "count"
    of: str | None = None

    @property
    def table(self) -> str:
        """The table's name."""
        name = f"{self.holds}/{self.event}/{'+'.join(self.by)}"
        return name if self.of is None else f"{name}/{self.of}"


def tallies(feature: Feature) -> Iterator[Tally]:
    """The tables that a feature reads."""
    match feature:
        case Count():
            yield Tally(feature.by, feature.event)
        case Ratio():
            yield Tally(feature.of.by, feature.of.event)
            yield Tally(feature.per.by, feature.per.event)
        case Rate():
            for event in ("impression", feature.action, UNKNOWN_OUTCOME + feature.action):
                yield Tally(feature.by, event)
        case Sum() | Mean() | Last():
            yield Tally(feature.by, feature.action, "value")
        case TimeSince():
            yield Tally(feature.by, feature.event, "dated")
        case Distinct():
            yield Tally(feature.by, feature.event, "distinct", feature.of)


class Counting:
    """What the features of a definition need counted.

    `places` holds the tables under each key, each once; `valued` says whether anything reads the values of actions.
    """

    def __init__(self, definition: Recommender, names: Mapping[str, Names], details: DetailsTable) -> None:
        self._definition, self._names, self._details = definition, names, details
        self.places: defaultdict[Place, list[Tally]] = defaultdict(list)
        for tally in dict.fromkeys(tally for feature in definition.features for tally in tallies(feature)):
            self.places[tally.by, tally.of].append(tally)
        self._events = dict.fromkeys((tally.event, tally.holds) for tallies in self.places.values() for tally in tallies)
        self.valued = bool(definition.history.values) or any(holds == "value" for _, holds in self._events)

    def keys(self, view: View, place: Place, rows: Rows) -> Int:
        """What each row is put under in a view, and its code if there is an `of`: shape (1 or 2, N), -1 where there is none.

        An upsert at the time of an event counts for it.
        """
        by, of = place
        context = self._details.of(rows["details"]).context if self._definition.context else None
        parts = (by,) if of is None else (by, (of,))
        return np.stack([view.keys(part, rows["viewer"], rows["item"], rows["time"] + 1, context) for part in parts])

    def of_events(self, rows: Rows) -> Counted:
        """What each event that some table takes is, among the rows."""
        # Half of a tie is enough to tell the rows of one key and time apart, and counts do not depend on their order.
        halves = (rows["tie"] >> np.uint64(32)).astype(np.uint32)
        found: dict[tuple[str, Holds], tuple[Int, Int, Columns]] = {}
        for event, holds in self._events:
            index = np.flatnonzero(self._takes(event, holds, rows))
            ties = rows["tie"] if holds in ("value", "distinct") else halves
            values = {"value": rows["value"][index]} if holds == "value" else {}
            found[event, holds] = index, rows["time"][index], {"tie": ties[index], **values}
        return found

    def under(self, place: Place, keys: Int, counted: Counted) -> Iterator[tuple[str, Int, Int, Columns]]:
        """For each table of a place that takes any: its name, and the keys, times and columns of its rows."""
        for tally in self.places[place]:
            chosen, times, columns = counted[tally.event, tally.holds]
            of_event = keys[:, chosen]
            columns = columns if tally.of is None else {**columns, "value": of_event[1]}
            known = (of_event >= 0).all(axis=0)
            if not known.all():
                of_event, times = of_event[:, known], times[known]
                columns = {name: column[known] for name, column in columns.items()}
            if len(times):
                yield tally.table, of_event[0], times, columns

    def _takes(self, event: str, holds: Holds, rows: Rows) -> NDArray[np.bool_]:
        chosen = self._is(event, rows)
        if holds == "value":
            chosen = chosen & (rows["value"] != MISSING)
        if holds == "dated":
            chosen = chosen & self._details.of(rows["details"]).dated
        return chosen

    def _is(self, event: str, rows: Rows) -> NDArray[np.bool_]:
        chosen: NDArray[np.bool_] = rows["name"] < 0
        if event.startswith(UNKNOWN_OUTCOME):
            action = [action.name for action in self._definition.actions].index(event.removeprefix(UNKNOWN_OUTCOME))
            chosen &= self._details.of(rows["details"]).unknown[:, action]
        elif event != "impression":
            chosen = ~chosen & (rows["name"] == self._names["action"].find(event))
        return chosen
