"""Inputs that know the outcome: found by what no honest input does, whatever the path by which the future came in.

Features are computed strictly before each request, but what they are computed from is the user's: an attribute may hold
totals of the whole log, an action may be stamped before its impression, an upsert before it was known.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fourfold.definition import AttributeValue, Feature
from fourfold.features.inputs import Floats, Ids
from fourfold.features.numbers import numbers
from fourfold.features.table import Int
from fourfold.features.view import NEVER, View
from fourfold.training.columns import Flags, InputColumns
from fourfold.training.examples import Examples
from fourfold.training.manifest import Finding

FEWEST = 20
"""Outcomes of both kinds, or entities, below which a strong relation may be chance."""

IMPLAUSIBLE = 0.95
"""An area under the curve that one input alone does not reach."""

CORRELATED = 0.9
"""A rank correlation with what is still to come that no honest attribute reaches."""

SOON = 3_600_000
"""Milliseconds: how far before a request a leak's relation is looked for again, and how long after it upserts are counted."""

ROWS_PER_VALUE = 100
"""Examples per distinct value from which on a category cannot learn the outcomes by heart."""

CHECKED = 2_000
"""Examples that are computed again."""


def leaks(view: View, rows: Examples, columns: InputColumns) -> list[Finding]:
    """Inputs of examples that know what came after the request; `columns` are those of some of the `rows`."""
    outcomes = [
        _Outcome(action.name, ~np.isnan(label), label > 0)
        for action, label in zip(view.definition.actions, columns.labels.T, strict=True)
    ]
    told = [outcome for outcome in outcomes if min(outcome.positives, outcome.known.sum() - outcome.positives) >= FEWEST]
    return [
        *_look_ahead(view, columns),
        *_too_good(view, columns, told),
        *_totals(view, rows),
        *_changed_after(view, columns, told),
    ]


@dataclass(frozen=True)
class _Outcome:
    """Whether an action followed each of N examples, and of which of them that is known."""

    name: str
    known: Flags
    taken: Flags

    @property
    def positives(self) -> int:
        return int((self.known & self.taken).sum())


def _look_ahead(view: View, columns: InputColumns) -> Iterator[Finding]:
    """Features whose value in the examples is not the one strictly before the request."""
    chosen = np.arange(0, len(columns), max(1, len(columns) // CHECKED))
    for feature in _features(view):
        given, honest = columns.numbers[feature.name][chosen], _computed(view, columns, feature, chosen, 0)
        wrong = ~((given == honest) | (np.isnan(given) & np.isnan(honest)))
        if wrong.any():
            yield Finding(
                kind="look_ahead",
                subject=feature.name,
                problem=f"{wrong.mean():.1%} of its values are not those from strictly before the request",
                advice="they may hold the future: do not serve this model, and report how the examples were made",
            )


def _too_good(view: View, columns: InputColumns, outcomes: list[_Outcome]) -> Iterator[Finding]:
    features = {feature.name: feature for feature in _features(view)}
    for name, values in columns.numbers.items():
        area, outcome = _best(values, outcomes)
        if area > IMPLAUSIBLE:
            assert outcome is not None
            earlier = ""
            if name in features:
                before = _computed(view, columns, features[name], np.arange(len(columns)), SOON)
                earlier = f", {_best(before, [outcome])[0]:.2f} as of an hour before"
            yield _leak(name, outcome.name, area, earlier)
    for name, ids in columns.categories.items():
        if ids.shape[1] > 1 or len(np.unique(ids)) * ROWS_PER_VALUE > len(ids):
            continue
        area, outcome = max(((_category_area(ids[:, 0], one), one) for one in outcomes), key=_area, default=(0.5, None))
        if area > IMPLAUSIBLE:
            assert outcome is not None
            yield _leak(name, outcome.name, area, "")


def _leak(name: str, action: str, area: float, earlier: str) -> Finding:
    return Finding(
        kind="leak",
        subject=name,
        problem=f"tells {action} apart all alone (AUC {area:.2f}{earlier})",
        advice="see whether it is known before the impression; if it is made from outcomes, take it out, or stamp it later",
    )


def _totals(view: View, rows: Examples) -> Iterator[Finding]:
    """Attributes that rank entities as what happens to them later does: totals of the log, known too early."""
    used = rows.sequences.weight > 0
    labels, request = rows.sequences.labels[used], rows.request[used]
    for side, entities in (("viewer", rows.viewer[used]), ("item", rows.item[used])):
        features = [f for f in view.definition.features if isinstance(f, AttributeValue) and f.of == side]
        if not features:
            continue
        found, place = np.unique(entities, return_inverse=True)
        first = np.full(len(found), NEVER)
        np.minimum.at(first, place, request)
        values = numbers(view, features, found, found, first)
        later = {"impressions": np.bincount(place)}
        later |= {one.name: np.bincount(place, label > 0) for one, label in zip(view.definition.actions, labels.T, strict=True)}
        for feature, value in zip(features, values.T, strict=True):
            relation, name = max((abs(_rank_correlation(value, total)), name) for name, total in later.items())
            if relation > CORRELATED:
                yield Finding(
                    kind="leak",
                    subject=feature.name,
                    problem=f"ranks each {side} as the number of its later {name} does (correlation {relation:.2f})",
                    advice="it looks like a total of the whole log; stamp each value with when it was known, or take it out",
                )


def _changed_after(view: View, columns: InputColumns, outcomes: list[_Outcome]) -> Iterator[Finding]:
    """Attributes that are set again right after an outcome and hardly ever otherwise."""
    for side, entity in (("viewer", view.definition.viewer), ("item", view.definition.item)):
        rows = _side(columns, side)
        for attribute in entity.attributes:
            table = view.table(f"attribute/{entity.name}/{attribute.name}")
            changed = table.count(rows, columns.request, columns.request + SOON) > 0
            for outcome in outcomes:
                after, otherwise = changed[outcome.known & outcome.taken].mean(), changed[outcome.known & ~outcome.taken].mean()
                if after > 0.5 and after > 5 * otherwise:
                    yield Finding(
                        kind="follows_outcome",
                        subject=f"{side}.{attribute.name}",
                        problem=f"is set within an hour of {after:.0%} of {outcome.name}, and of {otherwise:.0%} without",
                        advice="it is made from outcomes: see that no value is stamped earlier than it was known",
                    )
                    break


def _features(view: View) -> list[Feature]:
    """The features that follow from viewer, item and time alone."""
    return [f for f in view.definition.features if not any(part.startswith("context.") for part in getattr(f, "by", ()))]


def _computed(view: View, columns: InputColumns, feature: Feature, chosen: Int, earlier: int) -> Floats:
    """A feature of some examples, as of their requests or so many milliseconds earlier."""
    times = columns.request[chosen] - earlier
    return numbers(view, [feature], columns.viewer[chosen], columns.item[chosen], times)[:, 0]


def _side(columns: InputColumns, side: str) -> Int:
    return columns.viewer if side == "viewer" else columns.item


def _best(values: Floats, outcomes: list[_Outcome]) -> tuple[float, _Outcome | None]:
    """The outcome that values tell apart best, in either direction; a missing value is lower than any other."""
    filled = np.nan_to_num(values, nan=-np.inf)
    ranks = rankdata(filled)
    found = (
        (_two_sided(ranks if one.known.all() else rankdata(filled[one.known]), one.taken[one.known]), one) for one in outcomes
    )
    return max(found, key=_area, default=(0.5, None))


def _category_area(ids: Ids, outcome: _Outcome) -> float:
    """The area of a category's values when each is scored by its own rate."""
    _, place = np.unique(ids[outcome.known], return_inverse=True)
    taken = outcome.taken[outcome.known]
    rate = np.bincount(place, taken) / np.bincount(place)
    return _two_sided(rankdata(rate[place]), taken)


def _area(found: tuple[float, _Outcome | None]) -> float:
    return found[0]


def _two_sided(ranks: NDArray[np.float64], taken: Flags) -> float:
    """Area under the curve from average ranks (Mann and Whitney, 1947), or 1 less it if that is more."""
    positives = int(taken.sum())
    area = (ranks[taken].sum() - positives * (positives + 1) / 2) / (positives * (len(taken) - positives))
    return float(max(area, 1 - area))


def _rank_correlation(value: Floats, total: NDArray[np.number]) -> float:
    """Spearman's correlation where both are known; 0 where there are too few entities or nothing varies."""
    known = ~np.isnan(value)
    first, second = rankdata(value[known]), rankdata(total[known])
    if known.sum() < FEWEST or not first.std() or not second.std():
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
