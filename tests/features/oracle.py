"""The naive truth: features, existence and timelines by their definition, in plain Python over a list of events.

Slow and obvious on purpose, and written without looking at arrays: what `fourfold.features` computes must equal it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fourfold.definition import Age, AttributeValue, Count, Feature, Rate, Recommender
from fourfold.definition.part import milliseconds
from fourfold.events import types as ev
from fourfold.features.names import hash64

HOUR = 3_600_000


def tie(event: ev.Event) -> int:
    return int(hash64([event.id])[0])


def knows(event: ev.Impression, action: str) -> bool:
    return event.known is None or action in event.known


@dataclass
class Entry:
    first: ev.Impression | ev.Action
    item: str
    time: int
    request: int | None
    seen: int = 0
    shown: bool = False
    actions: set[str] = field(default_factory=set)


class Oracle:
    def __init__(self, definition: Recommender, events: list[ev.Event]) -> None:
        self.definition = definition
        unique: dict[str, ev.Event] = {}
        for event in events:
            unique.setdefault(event.id, event)
        self.events = sorted(filter(self._speaks_of, unique.values()), key=lambda event: (event.time, tie(event)))

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

    def count(
        self,
        by: tuple[str, ...],
        event: str,
        window: str | None,
        viewer: str,
        item: str,
        time: int,
        context: Mapping[str, ev.ContextValue],
        known: str | None = None,
    ) -> int:
        """Events in the window; with `known`, impressions of which is known whether that action followed."""
        asked = self.key(by, viewer, item, time, context)
        since = time - milliseconds(window) if window else 0
        if "viewer" in by:
            since = max(since, self.deleted(self.definition.viewer.name, viewer, time) + 1)
        if "item" in by:
            since = max(since, self.deleted(self.definition.item.name, item, time) + 1)
        return sum(
            since <= e.time < time and asked is not None and self.key(by, e.viewer, e.item, e.time + 1, e.context) == asked
            for e in self.events
            if (isinstance(e, ev.Impression) and event == "impression" and (known is None or knows(e, known)))
            or (isinstance(e, ev.Action) and e.name == event)
        )

    def feature(self, feature: Feature, viewer: str, item: str, time: int, context: Mapping[str, ev.ContextValue]) -> float:
        about = viewer, item, time, context
        match feature:
            case Count():
                return float(self.count(feature.by, feature.event, feature.window, *about))
            case Rate():
                done = self.count(feature.by, feature.action, feature.window, *about)
                shown = self.count(feature.by, "impression", feature.window, *about, known=feature.action)
                return (done + feature.strength * feature.prior) / (shown + feature.strength)
            case Age():
                entity = getattr(self.definition, feature.of).name
                born = self.born(entity, viewer if feature.of == "viewer" else item, time)
                return math.nan if born is None else (time - born) / HOUR
            case AttributeValue():
                entity = getattr(self.definition, feature.of).name
                value = self.attribute(entity, viewer if feature.of == "viewer" else item, feature.attribute, time)
                return math.nan if value is None else float(value)  # type: ignore[arg-type]  # numbers by definition

    def timeline(self, viewer: str, time: int) -> list[Entry]:
        since = self.deleted(self.definition.viewer.name, viewer, time)
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
        for (cut, _), entry in entries.items():
            entry.request = cut if entry.request is None else entry.request
        for entry in entries.values():
            entry.seen = sum(other.time < (entry.request or 0) for other in entries.values())
        return list(entries.values())
