"""Which events a service takes: those about what its definitions declare, so that no misspelt name vanishes in the log."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fourfold.api.bodies import advice, has_control
from fourfold.api.errors import ApiError
from fourfold.definition import Category, DefinitionError, Moment, Number, Recommender, Text
from fourfold.definition.expression import parse
from fourfold.definition.expression_types import check_expression
from fourfold.events.log import MAX_ID
from fourfold.events.types import (
    Action,
    ContextValue,
    EdgeAdded,
    EdgeRemoved,
    EntityDelete,
    EntityUpsert,
    Event,
    Impression,
    Value,
)
from fourfold.features.state import LARGEST, LATEST

EARLIEST = 315_532_800_000
"""1980: an earlier time is in another unit."""

MAX_AHEAD_MS = 86_400_000
"""How far a clock of a client may run ahead of the service's."""

Attribute = Category | Number | Moment | Text
Fault = tuple[str, str, str]
"""The field, what is wrong with it, and what to write."""


class EventRules:
    """What the served definitions declare.

    Parameters
    ----------
    definitions : iterable of Recommender
        Of all surfaces that the service serves.
    """

    def __init__(self, definitions: Iterable[Recommender]) -> None:
        self._actions: dict[str, list[str]] = {}
        self.context: dict[str, list[str]] = {}
        self._edges: dict[str, None] = {}
        self._attributes: dict[str, defaultdict[str, list[Attribute]]] = {}
        for definition in definitions:
            self._actions[definition.surface] = [action.name for action in definition.actions]
            self.context[definition.surface] = [part.name for part in definition.context]
            self._edges |= dict.fromkeys(edge.name for edge in definition.edges)
            for entity in definition.entities:
                declared = self._attributes.setdefault(entity.name, defaultdict(list))
                for attribute in entity.attributes:
                    declared[attribute.name].append(attribute)

    def check(self, events: Sequence[Event], now: int) -> None:
        """Make sure that every event is about something declared, and not of the future; `now` is in milliseconds.

        Raises
        ------
        ApiError
            422, naming the first event that is not, by index and field.
        """
        for index, event in enumerate(events):
            fault = check_time(event.time, now) or _control(event) or self._undeclared(event)
            if fault is not None:
                field, problem, write = fault
                raise ApiError(422, f"events[{index}].{field}: {problem}", write)

    def _undeclared(self, event: Event) -> Fault | None:
        match event:
            case Impression():
                return _unknown("surface", event.surface, self._actions) or self._undeclared_details(event)
            case Action():
                return (
                    _unknown("surface", event.surface, self._actions)
                    or _unknown("name", event.name, self._actions[event.surface])
                    or check_context(event.context, self.context[event.surface])
                )
            case EntityUpsert():
                return _unknown("type", event.type, self._attributes) or self._misfit(event)
            case EntityDelete():
                return _unknown("type", event.type, self._attributes)
            case EdgeAdded() | EdgeRemoved():
                return _unknown("kind", event.kind, self._edges)

    def _undeclared_details(self, event: Impression) -> Fault | None:
        for name in event.known or ():
            fault = _unknown("known", name, self._actions[event.surface])
            if fault is not None:
                return fault
        return check_context(event.context, self.context[event.surface])

    def _misfit(self, event: EntityUpsert) -> Fault | None:
        declared = self._attributes[event.type]
        for name, value in event.attributes.items():
            if name not in declared:
                return _unknown("attributes", name, declared)
            for attribute in declared[name]:
                expected = _expected(attribute, value)
                if expected is not None:
                    return f"attributes.{name}", f"{_shown(value)} does not fit a {attribute.kind} attribute", expected
        return None


def check_context(given: Mapping[str, ContextValue], declared: Iterable[str]) -> Fault | None:
    """What is wrong with a request's context: it may hold the declared parts, each as a short text or a number."""
    for name, value in given.items():
        fault = _unknown("context", name, declared)
        if fault is not None:
            return fault
        text = str(value)
        if not 0 < len(text) <= MAX_ID or has_control(text):
            return f"context.{name}", f"{_shown(value)} is no value", advice("id")
    return None


def check_where(where: str | None, definition: Recommender) -> Fault | None:
    """What is wrong with a request's condition: it may speak of what the definition declares."""
    try:
        if where is not None:
            check_expression(definition, parse(where))
    except DefinitionError as error:
        return error.field, error.problem, error.write
    return None


def check_time(time: int, now: int) -> Fault | None:
    """What is wrong with a time, given the service's: it may lie at most a day ahead, and not before 1980."""
    if EARLIEST <= time <= now + MAX_AHEAD_MS:
        return None
    where = "before 1980" if time < EARLIEST else f"more than a day after the service's clock ({now})"
    problem = f"{time} lies {where}"
    return "time", problem, "milliseconds (not seconds, not microseconds) since 1970 UTC, and check the clock of the sender"


def _control(event: Event) -> Fault | None:
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if isinstance(value, str) and has_control(value):
            return field, "it holds a control character", advice("id")
    return None


def _unknown(field: str, name: str, known: Iterable[str]) -> Fault | None:
    names = list(known)
    if name in names:
        return None
    write = "one of: " + ", ".join(sorted(names)) if names else "none: the definitions served declare none"
    return field, f"{_shown(name)} is not declared", write


def _expected(attribute: Attribute, value: Value) -> str | None:
    """What to write instead of a value that does not fit an attribute; None if it fits."""
    if value is None:
        return None
    match attribute:
        case Text():
            return None if isinstance(value, str) else "text, or null"
        case Category(many=True):
            fits = isinstance(value, list) and not any(map(has_control, value))
            return None if fits else "a list of texts without control characters, or null"
        case Category():
            fits = isinstance(value, str) and not has_control(value)
            return None if fits else "one text without control characters, or null"
        case Number():
            fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
            return None if fits else f"a number between -{LARGEST:g} and {LARGEST:g}, or null"
        case Moment():
            fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < LATEST
            return None if fits else "whole milliseconds since 1970 UTC, or null"


def _shown(value: Value) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < LATEST else "a very large number"
    return text if len(text) <= 80 else f"{text[:77]}..."
