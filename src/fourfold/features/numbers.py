"""Feature values: every declared feature of (viewer, item) rows as of a time each.

This is the only place where a feature is computed. Training asks at the times of past requests, serving asks now.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import Age, AttributeValue, Count, Feature, Rate, Recommender
from fourfold.definition.part import milliseconds
from fourfold.features.counting import UNKNOWN_OUTCOME, CounterKey, counter_table
from fourfold.features.table import Float, Int
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
    asked = _Asked(view, viewers, items, times, context)
    values = np.empty((len(times), len(features)), np.float32)
    for column, feature in enumerate(features):
        values[:, column] = asked.value(feature)
    return values


class _Asked:
    """One set of rows, with the counts that several features share computed once."""

    def __init__(self, view: View, viewers: Int, items: Int, times: Int, context: Int | None) -> None:
        self.view, self.viewers, self.items, self.times, self.context = view, viewers, items, times, context
        self._keys: dict[tuple[str, ...], tuple[Int, Int]] = {}
        self._counts: dict[tuple[CounterKey, str | None], Int] = {}

    def value(self, feature: Feature) -> Float:
        match feature:
            case Count():
                return self._count((feature.by, feature.event), feature.window).astype(np.float64)
            case Rate():
                done = self._count((feature.by, feature.action), feature.window)
                shown = self._count((feature.by, "impression"), feature.window)
                shown = shown - self._count((feature.by, UNKNOWN_OUTCOME + feature.action), feature.window)
                rate: Float = (done + feature.strength * feature.prior) / (shown + feature.strength)
                return rate
            case Age():
                entity, rows = self._side(feature.of)
                born = self.view.born(entity, rows, self.times)
                return np.where(born > UNBORN, (self.times - born) / HOUR, np.nan)
            case AttributeValue():
                return self._attribute(feature)

    def _attribute(self, feature: AttributeValue) -> Float:
        entity, rows = self._side(feature.of)
        value = self.view.attribute(entity, feature.attribute, rows, self.times)
        declared = getattr(self.view.definition, feature.of).attribute(feature.attribute)
        return (self.times - value) / HOUR if declared.kind == "moment" else value

    def _side(self, side: str) -> tuple[str, Int]:
        definition = self.view.definition
        return (definition.viewer.name, self.viewers) if side == "viewer" else (definition.item.name, self.items)

    def _count(self, spec: CounterKey, window: str | None) -> Int:
        if (spec, window) not in self._counts:
            if not len(self.view.table(counter_table(spec))):
                return np.zeros(len(self.times), np.int64)
            keys, alive_since = self._key(spec[0])
            since = alive_since if window is None else np.maximum(alive_since, self.times - milliseconds(window))
            self._counts[spec, window] = self.view.table(counter_table(spec)).count(keys, since, self.times)
        return self._counts[spec, window]

    def _key(self, by: tuple[str, ...]) -> tuple[Int, Int]:
        if by not in self._keys:
            keys = self.view.keys(by, self.viewers, self.items, self.times, self.context)
            self._keys[by] = keys, self.view.since(by, self.viewers, self.items, self.times)
        return self._keys[by]
