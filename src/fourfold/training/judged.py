"""The examples that a ranker is judged on: a period, or what a log did not hold, known as freshly as was asked for.

Serving that computes features and histories once a day is judged here as it would have answered: with what was known at the
last midnight, however late in the day the request came.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from fourfold.features.assembly import NO_ENTRY, UNDATED, Asked, moments, previous_times, rows
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats, History, Rows, Sequences, concatenate
from fourfold.features.table import Int
from fourfold.features.timeline import Timeline, timeline
from fourfold.features.view import View
from fourfold.training.examples import Examples, Flags, Span, held, span_timelines, spans, windowed

DAY = 86_400_000

Freshness = Literal["request", "day"]
"""As of when features and histories are known: strictly before the request, or as of the midnight (UTC) before it."""


@dataclass(frozen=True)
class Period:
    """What belongs to a period: entries of the whole timelines of all viewers, which requests may not remember all of."""

    since: int
    before: int
    log: View | None
    entries: Timeline
    outcome: Floats  # (N, A), 1, 0 or NaN
    new: Flags  # (N,), dated entries of the period

    @classmethod
    def of(cls, view: View, since: int, before: int, log: View | None = None) -> "Period":
        """What was requested in ``[since, before)`` (ms); of a `log` given, only what it does not hold."""
        entries, outcome = span_timelines(view, Span(0, since, before), before)
        return cls(since, before, log, entries, outcome, _new(view, entries, since, before, log))

    @property
    def judged(self) -> Flags:
        """The impressions to judge, shape (N,)."""
        return self.new & self.entries.shown

    @property
    def first(self) -> int | None:
        """The time of the first request, or None if there is none."""
        return int(self.entries.request[self.new].min()) if self.new.any() else None


def period_examples(view: View, encoder: Encoder, period: Period, freshness: Freshness = "request") -> list[Examples]:
    """The impressions of a period as examples; with `freshness` ``"day"``, one part for each day (UTC)."""
    if freshness == "day":
        days = period.entries.request // DAY
        return [
            _as_of(view, encoder, period, np.flatnonzero(period.judged & (days == day)), int(day) * DAY)
            for day in np.unique(days[period.judged])
        ]
    if view.definition.memory is None:
        return [windowed(view, encoder, period.entries, period.outcome, period.judged)]
    return [_remembered(view, encoder, period, span) for span in spans(view, period.since, period.before)]


def _new(view: View, entries: Timeline, since: int, before: int, log: View | None) -> Flags:
    """Dated entries that were requested from `since` on, and that a log does not hold: shape (N,)."""
    new = entries.details.dated & (entries.request >= since)
    return new if log is None else new & ~held(log, view, entries, before)


def _remembered(view: View, encoder: Encoder, period: Period, span: Span) -> Examples:
    """The impressions of a span, behind histories that begin where those of its requests do."""
    entries, outcome = span_timelines(view, span, period.before)
    new = _new(view, entries, span.first, period.before, period.log)
    return windowed(view, encoder, entries, outcome, new & entries.shown & (entries.request < span.stop))


def _as_of(view: View, encoder: Encoder, period: Period, chosen: Int, midnight: int) -> Examples:
    """Some impressions, behind the history windows and with the features of a midnight before their requests."""
    entries = period.entries
    viewers, whose = np.unique(entries.viewer[chosen], return_inverse=True)
    past = timeline(view, viewers, np.full(len(viewers), midnight))
    start = view.definition.history.start(np.diff(past.starts))
    window = np.flatnonzero(np.arange(len(past)) >= (past.starts[:-1] + start)[past.viewer])
    lengths = np.diff(past.starts) - start
    tokens = _tokens(view, encoder, past, viewers, window, start)
    asked = _asked(view, encoder, entries, chosen, past, whose, midnight)
    nothing = np.full((len(chosen), past.values.shape[1]), np.nan, np.float32)
    shown = _history(asked, np.zeros_like(period.outcome[chosen]), nothing, lengths[whose])
    # Of each viewer first the window, then the impressions, which see the window and not each other.
    order = np.lexsort((np.repeat([0, 1], [len(window), len(chosen)]), np.append(past.viewer[window], whose)))
    packed, is_shown = concatenate([tokens, shown]), order >= len(window)
    entry = chosen[np.maximum(order - len(window), 0)]
    sequences = Sequences(
        **{field.name: getattr(packed, field.name)[order] for field in fields(History)},
        lengths=lengths + np.bincount(whose, minlength=len(viewers)),
        viewers=encoder.viewers(view, viewers, np.full(len(viewers), midnight)),
        labels=np.where(is_shown[:, None], period.outcome[entry], 0),
        weight=is_shown.astype(np.float32),
    )
    return Examples(sequences=sequences, viewer=entries.viewer[entry], item=entries.item[entry], request=entries.request[entry])


def _tokens(view: View, encoder: Encoder, past: Timeline, viewers: Int, window: Int, start: Int) -> History:
    """The entries of history windows, which start at the entry `start` of each viewer."""
    asked = Asked(
        viewers=viewers[past.viewer[window]],
        items=past.item[window],
        requests=past.request[window],
        previous=previous_times(past)[window],
        context=past.details.context[window],
        dated=past.details.dated[window],
    )
    made = rows(view, encoder, asked, late=False)
    seen = np.maximum(past.seen[window] - start[past.viewer[window]], 0)
    return _history(made, past.actions[window], past.values[window], seen)


def _asked(view: View, encoder: Encoder, entries: Timeline, chosen: Int, past: Timeline, whose: Int, midnight: int) -> Rows:
    """The inputs of impressions: what is counted as of midnight, and the request itself as it came."""
    last = past.starts[whose + 1] - 1
    none = past.starts[whose] > last
    dated = np.append(past.details.dated, False)[last]
    previous = np.where(none, NO_ENTRY, np.where(dated, np.append(past.time, 0)[last], UNDATED))
    asked = Asked(
        viewers=entries.viewer[chosen],
        items=entries.item[chosen],
        requests=np.full(len(chosen), midnight),
        previous=previous,
        context=entries.details.context[chosen],
        dated=np.ones(len(chosen), bool),
    )
    made = rows(view, encoder, asked)
    return replace(made, moments=moments(entries.request[chosen], previous, asked.dated))


def _history(made: Rows, actions: Floats, values: Floats, seen: Int) -> History:
    return History(
        items=made.items,
        context=made.context,
        early=made.early,
        late=made.late,
        moments=made.moments,
        actions=actions,
        values=values,
        seen=seen,
    )
