"""The naive truth: features, existence and timelines by their definition, in plain Python over a list of events.

Slow and obvious on purpose, and written without looking at arrays: what `fourfold.features` computes must equal it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fourfold.definition import (
    Age,
    AttributeValue,
    Count,
    Counted,
    Distinct,
    Feature,
    Last,
    Mean,
    Rate,
    Ratio,
    Recommender,
    Sum,
    TimeSince,
)
from fourfold.definition.part import milliseconds
from fourfold.events import types as ev
from fourfold.features.names import hash64

HOUR = 3_600_000


def tie(event: ev.Event) -> int:
    return int(hash64([event.id])[0])


def knows(event: ev.Impression | ev.Action, action: str) -> bool:
    return isinstance(event, ev.Action) or event.known is None or action in event.known


About = tuple[str, str, int, Mapping[str, ev.ContextValue]]
Span = Count | Rate | Counted


def of_event(event: ev.Impression | ev.Action) -> About:
    """What an event is counted under: an upsert at its time counts for it."""
    return event.viewer, event.item, event.time + 1, event.context


def since(feature: Span | Sum | Mean | Distinct | Last, time: int) -> int:
    """When the feature's window as of a time begins."""
    if feature.window is None:
        return 0
    start = time - milliseconds(feature.window)
    return start if feature.tile is None else start - start % milliseconds(feature.tile)


def decayed(values: list[tuple[int, float]], time: int, half_life: int, unit: int) -> float:
    """Values at times, halved with each half-life, in whole multiples of ``1 / unit`` at the start of their epochs."""
    total, current = 0.0, time // (8 * half_life)
    for epoch in (current - 2, current - 1, current):
        start = epoch * 8 * half_life
        ages = [(value, (when - start) / half_life) for when, value in values if when // (8 * half_life) == epoch]
        whole = sum(round(float(np.exp2(age)) * value * unit) for value, age in ages)
        total += whole * float(np.exp2((start - time) / half_life))
    return total / unit


@dataclass
class Entry:
    first: ev.Impression | ev.Action
    item: str
    time: int
    request: int | None
    seen: int = 0
    shown: bool = False
    actions: set[str] = field(default_factory=set)
    values: dict[str, float] = field(default_factory=dict)


class Oracle:
    def __init__(self, definition: Recommender, events: list[ev.Event]) -> None:
        self.definition = definition
        unique: dict[str, ev.Event] = {}
        newest = -1
        for event in events:
            if not self._too_late(event, newest):
                unique.setdefault(event.id, event)
            newest = max(newest, event.time)
        self.events = sorted(filter(self._speaks_of, unique.values()), key=lambda event: (event.time, tie(event)))

    def _too_late(self, event: ev.Event, newest: int) -> bool:
        lateness = self.definition.lateness
        shown_or_done = isinstance(event, ev.Impression | ev.Action)
        return lateness is not None and shown_or_done and newest - event.time > milliseconds(lateness)

    def history_start(self, time: int) -> int:
        """The first whole eighth of a memory that is not further back than a memory."""
        if self.definition.memory is None:
            return 0
        memory = milliseconds(self.definition.memory)
        step = math.ceil(memory / 8)
        return max(0, next(start for start in range((time - memory) // step * step, time + 1, step) if start >= time - memory))

    def _speaks_of(self, event: ev.Event) -> bool:
        return not isinstance(event, ev.Impression | ev.Action) or event.surface == self.definition.surface

    def deleted(self, entity: str, key: str, time: int) -> int:
        return max(
            (
                e.time
                for e in self.events
                if isinstance(e, ev.EntityDelete) and (e.type, e.key) == (entity, key) and e.time < time
            ),
            default=-1,
        )

    def upserts(self, entity: str, key: str, time: int) -> list[ev.EntityUpsert]:
        since = self.deleted(entity, key, time)
        return [
            e
            for e in self.events
            if isinstance(e, ev.EntityUpsert) and (e.type, e.key) == (entity, key) and since < e.time < time
        ]

    def mentions(self, entity: str, key: str, time: int) -> list[int]:
        found = []
        for e in self.events:
            if e.time >= time:
                continue
            if isinstance(e, ev.Impression | ev.Action):
                named = {(self.definition.viewer.name, e.viewer), (self.definition.item.name, e.item)}
            elif isinstance(e, ev.EdgeAdded | ev.EdgeRemoved):
                edge = next(edge for edge in self.definition.edges if edge.name == e.kind)
                named = {(edge.source, e.source), (edge.target, e.target)}
            else:
                continue
            if (entity, key) in named:
                found.append(e.time)
        return found

    def alive(self, entity: str, key: str, time: int) -> bool:
        if self.upserts(entity, key, time):
            return True
        return self.deleted(entity, key, time) < 0 and bool(self.mentions(entity, key, time))

    def attribute(self, entity: str, key: str, name: str, time: int) -> ev.Value:
        given = [e.attributes[name] for e in self.upserts(entity, key, time) if name in e.attributes]
        return given[-1] if given else None

    def born(self, entity: str, key: str, time: int) -> int | None:
        declared = next(e for e in self.definition.entities if e.name == entity)
        created = self.attribute(entity, key, declared.created, time) if declared.created else None
        if created is not None:
            return int(created)  # type: ignore[arg-type]  # the strategy sets whole moments
        upserts = self.upserts(entity, key, time)
        if upserts:
            return upserts[0].time
        # Once deleted, only an upsert makes it anew: being named by an event does not.
        named = self.mentions(entity, key, time)
        return named[0] if named and self.deleted(entity, key, time) < 0 else None

    def neighbours(self, edge: str, source: str, time: int) -> set[str]:
        last: dict[str, ev.EdgeAdded | ev.EdgeRemoved] = {}
        for e in self.events:
            if isinstance(e, ev.EdgeAdded | ev.EdgeRemoved) and (e.kind, e.source) == (edge, source) and e.time < time:
                last[e.target] = e
        gone = self.deleted("member", source, time)
        return {
            target
            for target, e in last.items()
            if isinstance(e, ev.EdgeAdded) and e.time > gone and e.time > self.deleted("member", target, time)
        }

    def key(
        self, by: tuple[str, ...], viewer: str, item: str, time: int, context: Mapping[str, ev.ContextValue]
    ) -> tuple[str, ...] | None:
        parts: list[str] = []
        for part in by:
            side, _, name = part.partition(".")
            if side == "context":
                if name not in context:
                    return None
                parts.append(str(context[name]))
                continue
            entity = getattr(self.definition, side).name
            key = viewer if side == "viewer" else item
            value = self.attribute(entity, key, name, time) if name else key
            if value is None:
                return None
            parts.append(str(value))
        return tuple(parts)

    def counted(
        self, by: tuple[str, ...], event: str, since: int, about: About, *, of: str | None = None
    ) -> list[ev.Impression | ev.Action]:
        """The events of a name under a key from a time on, in order; with `of`, those that have that key part."""
        viewer, item, time, context = about
        asked = self.key(by, viewer, item, time, context)
        if self.definition.memory is not None:
            since = max(since, time - milliseconds(self.definition.memory))
        for part, entity, key in (("viewer", self.definition.viewer, viewer), ("item", self.definition.item, item)):
            if part in by:
                since = max(since, self.deleted(entity.name, key, time) + 1)
        return [
            e
            for e in self.events
            if isinstance(e, ev.Impression | ev.Action)
            and (e.name if isinstance(e, ev.Action) else "impression") == event
            and since <= e.time < time
            and asked is not None
            and self.key(by, *of_event(e)) == asked
            and (of is None or self.key((of,), *of_event(e)) is not None)
        ]

    def count(self, by: tuple[str, ...], event: str, span: Span, about: About, known: str | None = None) -> float:
        """Events in the span; with `known`, impressions of which is known whether that action followed."""
        found = [e for e in self.counted(by, event, since(span, about[2]), about) if known is None or knows(e, known)]
        if span.half_life is None:
            return float(len(found))
        return decayed([(e.time, 1.0) for e in found], about[2], milliseconds(span.half_life), 1 << 24)

    def valued(self, feature: Sum | Mean | Last, about: About) -> list[tuple[int, float]]:
        """Times and values of the feature's actions that have one."""
        found = self.counted(feature.by, feature.action, since(feature, about[2]), about)
        clipped = [(e.time, min(max(e.value, -(2.0**31)), 2.0**31)) for e in found if e.value is not None]  # type: ignore[union-attr]
        return [(time, round(value * 65536) / 65536) for time, value in clipped]

    def sum(self, feature: Sum | Mean, about: About) -> float:
        found = self.valued(feature, about)
        if feature.half_life is None:
            return math.fsum(value for _, value in found)
        return decayed(found, about[2], milliseconds(feature.half_life), 1 << 12)

    def feature(self, feature: Feature, *about: *About) -> float:  # noqa: C901  # one case per kind
        viewer, item, time, _ = about
        match feature:
            case Count():
                return self.count(feature.by, feature.event, feature, about)
            case Rate():
                done = self.count(feature.by, feature.action, feature, about)
                shown = self.count(feature.by, "impression", feature, about, known=feature.action)
                return (done + feature.strength * feature.prior) / (shown + feature.strength)
            case Ratio():
                part, whole = (self.count(c.by, c.event, c, about) for c in (feature.of, feature.per))
                return (part + feature.strength * feature.prior) / (whole + feature.strength)
            case Sum():
                return self.sum(feature, about)
            case Mean():
                found = [(time, 1.0) for time, _ in self.valued(feature, about)]
                half_life = feature.half_life and milliseconds(feature.half_life)
                count = decayed(found, time, half_life, 1 << 24) if half_life else len(found)
                return (self.sum(feature, about) + feature.strength * feature.prior) / (count + feature.strength)
            case Distinct():
                events = self.counted(feature.by, feature.event, since(feature, time), about, of=feature.of)
                return float(len({self.key((feature.of,), *of_event(e)) for e in events[-feature.newest :]}))
            case Last():
                values = self.valued(feature, about)
                return values[-1][1] if values else math.nan
            case TimeSince():
                events = self.counted(feature.by, feature.event, 0, about)
                dated = [e.time for e in events if not (isinstance(e, ev.Impression) and e.undated)]
                return (time - dated[-1]) / HOUR if dated else math.nan
            case Age():
                entity = getattr(self.definition, feature.of).name
                born = self.born(entity, viewer if feature.of == "viewer" else item, time)
                return math.nan if born is None else (time - born) / HOUR
            case AttributeValue():
                entity = getattr(self.definition, feature.of).name
                value = self.attribute(entity, viewer if feature.of == "viewer" else item, feature.attribute, time)
                return math.nan if value is None else float(value)  # type: ignore[arg-type]  # numbers by definition

    def timeline(self, viewer: str, time: int) -> list[Entry]:
        since = max(self.deleted(self.definition.viewer.name, viewer, time), self.history_start(time) - 1)
        mine = [
            e for e in self.events if isinstance(e, ev.Impression | ev.Action) and e.viewer == viewer and since < e.time < time
        ]
        shown = [e for e in mine if isinstance(e, ev.Impression)]

        def chosen_at(e: ev.Impression) -> int:
            return min(o.time for o in shown if o is e or (e.request is not None and o.request == e.request))

        def prompted(e: ev.Action) -> bool:
            return any(o.item == e.item and o.time <= e.time for o in shown)

        requests = {e.id: chosen_at(e) for e in shown}
        requests |= {e.id: e.time for e in mine if isinstance(e, ev.Action) and not prompted(e)}
        cuts = sorted(set(requests.values()))
        entries: dict[tuple[int, str], Entry] = {}
        for e in sorted(mine, key=lambda e: (e.time, isinstance(e, ev.Action), tie(e))):
            cut = max(c for c in cuts if c <= e.time)
            entry = entries.setdefault((cut, e.item), Entry(e, e.item, e.time, None))
            if isinstance(e, ev.Impression):
                entry.request = entry.request if entry.shown else requests[e.id]
                entry.shown = True
            else:
                entry.request = requests.get(e.id) if entry.request is None else entry.request
                entry.actions.add(e.name)
                if e.value is not None:
                    entry.values[e.name] = float(np.float32(round(e.value * 65536) / 65536))
        for (cut, _), entry in entries.items():
            entry.request = cut if entry.request is None else entry.request
        for entry in entries.values():
            entry.seen = sum(other.time < (entry.request or 0) for other in entries.values())
        return list(entries.values())
