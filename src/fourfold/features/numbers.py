"""Feature values: every declared feature of (viewer, item) rows as of a time each.

This is the only place where a feature is computed. Training asks at the times of past requests, serving asks now.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

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
from fourfold.features.aggregates import decayed, distinct, total
from fourfold.features.attributes import attributes
from fourfold.features.counting import Tally, tallies
from fourfold.features.table import Float, Int, pairs
from fourfold.features.values import SCALE
from fourfold.features.view import UNBORN, View

HOUR = 3_600_000


def early_features(definition: Recommender) -> tuple[Feature, ...]:
    """The features that join every token of a history."""
    return tuple(feature for feature in definition.features if not feature.late)


def late_features(definition: Recommender) -> tuple[Feature, ...]:
    """The features that join a sequence's output (late fusion)."""
    return tuple(feature for feature in definition.features if feature.late)


def numbers(
    view: View, features: Sequence[Feature], viewers: Int, items: Int, times: Int, context: Int | None = None
) -> NDArray[np.float32]:
    """Values of features for N rows: shape (N, features), NaN where there is none.

    Parameters
    ----------
    view : View
        The state to ask.
    features : sequence of Feature
        The columns of the answer.
    viewers, items : int64 array, shape (N,)
        Rows; -1 for an unknown entity.
    times : int64 array, shape (N,)
        As of when, in milliseconds: events at that time or later do not count.
    context : int64 array, shape (N, X), optional
        Codes of the requests' contexts, -1 where there is none.
    """
    asked = _Asked(view, features, viewers, items, times, context)
    values = np.empty((len(times), len(features)), np.float32)
    for column, feature in enumerate(features):
        values[:, column] = asked.value(feature)
    return values


class _Span(NamedTuple):
    """Which events before t count, and how much: see `fourfold.definition.Count`."""

    window: str | None
    tile: str | None
    half_life: str | None = None

    @classmethod
    def of(cls, feature: Count | Rate | Sum | Mean | Counted) -> Self:
        return cls(feature.window, feature.tile, feature.half_life)


class _Keys(NamedTuple):
    """The different questions about keys, in the order of (key, time): so tables answer them several times faster."""

    keys: Int  # (Q,)
    since: Int  # (Q,)
    before: Int  # (Q,)
    place: Int  # (N,), the question of each row


class _Asked:
    """One set of rows, with the keys and counts that several features share computed once."""

    def __init__(
        self, view: View, features: Sequence[Feature], viewers: Int, items: Int, times: Int, context: Int | None
    ) -> None:
        self.view, self.viewers, self.items, self.times, self.context = view, viewers, items, times, context
        self._read = [feature for feature in features if isinstance(feature, AttributeValue)]
        self._attributes: dict[str, dict[str, Float]] = {}
        self._keys: dict[tuple[str, ...], _Keys] = {}
        self._counts: dict[tuple[Tally, _Span], Float] = {}

    def value(self, feature: Feature) -> Float:
        match feature:
            case Age():
                entity, rows = self._side(feature.of)
                born = self.view.born(entity, rows, self.times)
                return np.where(born > UNBORN, (self.times - born) / HOUR, np.nan)
            case AttributeValue():
                return self._attribute(feature)
            case Rate() | Mean() | Ratio():
                return self._smoothed(feature)
            case _:
                return self._asked_of_events(feature)

    def _asked_of_events(self, feature: Count | Sum | Distinct | Last | TimeSince) -> Float:
        match feature:
            case Count():
                return self._count(feature)
            case Sum():
                return self._sum(feature)
            case Distinct():
                return self._distinct(feature)
            case Last():
                return self._last(feature)
            case TimeSince():
                return self._time_since(feature)

    def _smoothed(self, feature: Rate | Mean | Ratio) -> Float:
        match feature:
            case Rate():
                shown, part, unknown = (self._counted(tally, _Span.of(feature)) for tally in tallies(feature))
                whole = shown - unknown
            case Mean():
                part = self._sum(feature)
                (whole,) = (self._counted(tally, _Span.of(feature)) for tally in tallies(feature))
            case Ratio():
                part, whole = self._count(feature.of), self._count(feature.per)
        smoothed: Float = (part + feature.strength * feature.prior) / (whole + feature.strength)
        return smoothed

    def _attribute(self, feature: AttributeValue) -> Float:
        if feature.of not in self._attributes:
            entity, rows = self._side(feature.of)
            names = [other.attribute for other in self._read if other.of == feature.of]
            self._attributes[feature.of] = attributes(self.view, entity, names, rows, self.times)
        value = self._attributes[feature.of][feature.attribute]
        declared = getattr(self.view.definition, feature.of).attribute(feature.attribute)
        return (self.times - value) / HOUR if declared.kind == "moment" else value

    def _side(self, side: str) -> tuple[str, Int]:
        definition = self.view.definition
        return (definition.viewer.name, self.viewers) if side == "viewer" else (definition.item.name, self.items)

    def _count(self, feature: Count | Counted) -> Float:
        return self._counted(Tally(feature.by, feature.event), _Span.of(feature))

    def _counted(self, tally: Tally, span: _Span) -> Float:
        if (tally, span) not in self._counts:
            table = self.view.table(tally.table)
            if not len(table):
                return np.zeros(len(self.times))
            if span.half_life is None:
                counts = self._answered(tally.by, span, table.count)
            else:
                half_life = milliseconds(span.half_life)
                counts = self._answered(tally.by, span, lambda k, s, b: decayed(table, k, s, b, half_life))
            self._counts[tally, span] = counts
        return self._counts[tally, span]

    def _sum(self, feature: Sum | Mean) -> Float:
        (tally,) = tallies(feature)
        table, span = self.view.table(tally.table), _Span.of(feature)
        if span.half_life is None:
            return self._answered(feature.by, span, lambda k, s, b: total(table, k, s, b))
        half_life = milliseconds(span.half_life)
        return self._answered(feature.by, span, lambda k, s, b: decayed(table, k, s, b, half_life, valued=True))

    def _distinct(self, feature: Distinct) -> Float:
        (tally,) = tallies(feature)
        table, span = self.view.table(tally.table), _Span(feature.window, feature.tile)
        return self._answered(feature.by, span, lambda k, s, b: distinct(table, k, s, b, feature.newest))

    def _last(self, feature: Last) -> Float:
        (tally,) = tallies(feature)
        table, span = self.view.table(tally.table), _Span(feature.window, feature.tile)
        return self._answered(feature.by, span, lambda k, s, b: table.last("value", k, s, b) / SCALE)

    def _time_since(self, feature: TimeSince) -> Float:
        (tally,) = tallies(feature)
        table = self.view.table(tally.table)

        def hours(keys: Int, since: Int, before: Int) -> Float:
            last = table.last_time(keys, before)
            return np.where(last >= since, (before - last) / HOUR, np.nan)

        return self._answered(feature.by, _Span(None, None), hours)

    def _answered(self, by: tuple[str, ...], span: _Span, ask: Callable[[Int, Int, Int], Float | Int]) -> Float:
        """What `ask` says of keys, and from when until when their events count."""
        of = self._of_key(by)
        since = of.since
        if span.window is not None:
            start = of.before - milliseconds(span.window)
            tile = 1 if span.tile is None else milliseconds(span.tile)
            since = np.maximum(since, start // tile * tile)
        return ask(of.keys, since, of.before).astype(np.float64)[of.place]

    def _of_key(self, by: tuple[str, ...]) -> _Keys:
        if by not in self._keys:
            keys = self.view.keys(by, self.viewers, self.items, self.times, self.context)
            since = self.view.since(by, self.viewers, self.items, self.times)
            # Since when a key counts depends on the key and the time alone.
            _, first, place = np.unique(pairs(keys, self.times), return_index=True, return_inverse=True)
            self._keys[by] = _Keys(keys[first], since[first], self.times[first], place)
        return self._keys[by]
