"""Point-in-time examples: every impression with its outcome, its features and the history that its request saw.

Nothing at or after an impression's request reaches its inputs; its labels are the actions that follow within the
definition's attribution window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fourfold.definition.part import milliseconds
from fourfold.features.assembly import Asked, previous_times, rows
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats, Rows, Sequences, concatenate
from fourfold.features.positives import positive, recent_positive
from fourfold.features.table import Column, Int, pairs
from fourfold.features.timeline import Timeline, timeline
from fourfold.features.view import View, history_step
from fourfold.training.retrieval_trainer import RetrievalExamples

Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Training or evaluation rows of all viewers, and what each row is about.

    `sequences` repeats entries of long histories: once as an example (`weight` 1) and wherever a later window reads them
    (`weight` 0). `viewer`, `item` and `request` (shape (N,)) say which impression each row is.
    """

    sequences: Sequences
    viewer: Int
    item: Int
    request: Int

    def __len__(self) -> int:
        return int((self.sequences.weight > 0).sum())


def examples(view: View, encoder: Encoder, since: int, before: int, *, undated: bool = False) -> Examples:
    """Impressions whose request time is in ``[since, before)``, as of that time; earlier ones are history only.

    Labels, too, end at `before`: what is known when training at that time. Undated impressions are examples only if asked for:
    a model may learn from them, but not be judged on them.
    """
    parts = [_of_span(view, encoder, span, before, undated) for span in spans(view, since, before)]
    if len(parts) == 1:
        return parts[0]
    about = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("viewer", "item", "request")}
    return Examples(sequences=concatenate([part.sequences for part in parts]), **about)


@dataclass(frozen=True)
class Span:
    """Times of requests, ``first <= time < stop``, whose histories all begin at `since`."""

    since: int
    first: int
    stop: int


def spans(view: View, since: int, before: int) -> list[Span]:
    """The times from `since` to `before` that have impressions, cut wherever the start of histories moves."""
    if view.definition.memory is None:
        return [Span(0, since, before)]
    memory, step = milliseconds(view.definition.memory), history_step(view.definition.memory)
    times = (run.times for run in view.table("impression").runs)
    starts = [np.unique(view.history_start(some[(some >= since) & (some < before)])) for some in times]
    found = np.unique(np.concatenate([np.zeros(0, np.int64), *starts])).tolist()
    firsts = [max(since, start + memory - step + 1) if start else since for start in found]
    stops = [min(start + memory + 1, before) for start in found]
    return [Span(*span) for span in zip(found, firsts, stops, strict=True)] or [Span(0, since, since)]


def span_timelines(view: View, span: Span, before: int) -> tuple[Timeline, Floats]:
    """The timelines of all viewers that requests of a span read, and their labels, which end at `before`."""
    viewers = view.all_rows(view.definition.viewer.name)
    # A request that began in the span may go on after it.
    until = min(before, span.stop + milliseconds(view.definition.memory)) if view.definition.memory else before
    deleted = view.deleted(view.definition.viewer.name, viewers, np.full(len(viewers), before))
    since = np.maximum(span.since, deleted + 1)
    entries = timeline(view, viewers, np.full(len(viewers), until), since)
    return entries, labels(view, entries, before, since, until)


def _of_span(view: View, encoder: Encoder, span: Span, before: int, undated: bool) -> Examples:
    entries, outcome = span_timelines(view, span, before)
    judged = entries.shown & (entries.request >= span.first) & (entries.request < span.stop)
    return windowed(view, encoder, entries, outcome, judged & (entries.details.dated | undated))


def labels(view: View, entries: Timeline, before: int, since: Int | None = None, until: int | None = None) -> Floats:
    """Which actions followed each entry within the attribution window and before `before`: shape (N, A), 0, 1 or NaN.

    NaN is where the log does not know; an action that it holds all the same did happen.
    `entries` are the timelines of all viewers as of `until`, or else `before`, and from `since`. An action belongs to the last
    impression of its item at or before it, and so to that impression's entry.
    """
    definition = view.definition
    viewers = view.all_rows(definition.viewer.name)
    times = np.full(len(viewers), before)
    if since is None:
        since = np.maximum(view.deleted(definition.viewer.name, viewers, times) + 1, view.history_start(times))
    shown, acted = (view.table(name).slice(viewers, since, times) for name in ("impression", "action"))
    out = np.where(entries.details.unknown, np.nan, np.float32(0)).astype(np.float32)
    if not len(shown["query"]) or not len(acted["query"]):
        return out
    impression = _last(_events(shown), _events(acted))
    lapse = acted["time"] - shown["time"][impression]
    counts = (impression >= 0) & (lapse < milliseconds(definition.attribution))
    counts &= shown["time"][impression] < (before if until is None else until)
    entry = _last((entries.viewer, entries.item, entries.time), _events(shown))[impression[counts]]
    order = {action.name: column for column, action in enumerate(definition.actions)}
    columns = np.array([order[name] for name in view.names["action"].since(0)], np.int64)
    out[entry, columns[acted["name"][counts]]] = 1
    return out


def retrieval_examples(view: View, encoder: Encoder, since: int, before: int, recent: int) -> RetrievalExamples:
    """Entries with a positive outcome in ``[since, before)``, each with the viewer's positive items that its request saw.

    Items are encoded as of the requests: one that changed in between has a row per version.
    """
    viewers = view.all_rows(view.definition.viewer.name)
    entries = timeline(view, viewers, np.full(len(viewers), before))
    good = positive(view, np.fmax(labels(view, entries, before), entries.actions))
    chosen = np.flatnonzero(good & (entries.request >= since))
    first, codes = _versions(view, entries)
    target, liked = codes[chosen], recent_positive(view, entries, chosen, recent, codes)
    item = entries.item[first]
    itself = (liked >= 0) & (item[liked] == item[target][:, None])
    return RetrievalExamples(
        items=encoder.items(view, item, entries.request[first]),
        viewers=encoder.viewers(view, entries.viewer[chosen], entries.request[chosen]),
        recent=np.where(itself, -1, liked),
        target=target,
    )


def _versions(view: View, entries: Timeline) -> tuple[Int, Int]:
    """The first entry of each distinct version of an item, and the version that each entry shows."""
    name = view.definition.item.name
    changed = view.table(f"upsert/{name}").last_time(entries.item, entries.request)
    changed = np.maximum(changed, view.deleted(name, entries.item, entries.request))
    _, first, codes = np.unique(pairs(entries.item, changed), return_index=True, return_inverse=True)
    return first, codes


def _events(rows: Mapping[str, Column]) -> tuple[Int, Int, Int]:
    return rows["query"], rows["item"], rows["time"]


def _last(rows: tuple[Int, Int, Int], asked: tuple[Int, Int, Int]) -> Int:
    """Index of the last of `rows` (viewer, item, time) with each asked viewer and item, at or before its time; or -1."""
    count = len(rows[0])
    viewer, item, time = (np.concatenate(pair) for pair in zip(rows, asked, strict=True))
    is_asked = np.arange(len(time)) >= count
    order = np.lexsort((is_asked, time, item, viewer))
    last = np.maximum.accumulate(np.where(is_asked[order], -1, np.arange(len(order))))
    index = np.empty(len(order), np.int64)
    index[order] = np.where(last >= 0, order[np.maximum(last, 0)], -1)
    index = index[count:]
    fits = (index >= 0) & (viewer[index] == asked[0]) & (item[index] == asked[1])
    return np.where(fits, index, -1)


def held(log: View, view: View, entries: Timeline, before: int) -> Flags:
    """Which entries a log knows, shape (N,): those with an impression in it or, if they were never shown, an action.

    `log` is an earlier state of `view`; `entries` are the timelines of all viewers as of `before`.
    """
    everyone = view.all_rows(view.definition.viewer.name)
    times = np.full(len(everyone), before)
    since = view.deleted(view.definition.viewer.name, everyone, times) + 1
    found = np.zeros(len(entries), bool)
    for name in ("impression", "action"):
        events = view.table(name).slice(everyone, since, times)
        if len(events["query"]):
            in_log = log.table(name).slice(everyone, np.zeros_like(since), times)
            again = np.isin(events["tie"], in_log.get("tie", events["tie"][:0]))
            entry = _last((entries.viewer, entries.item, entries.time), _events(events))[again]
            entry = entry[entry >= 0]  # events from before the timelines begin have none
            found[entry[entries.shown[entry] == (name == "impression")]] = True
    return found


def windowed(view: View, encoder: Encoder, entries: Timeline, outcome: Floats, judged: Flags) -> Examples:
    """Examples of the `judged` entries, each behind exactly the history window that serving would read.

    A sequence is the span of one (viewer, window start, version of the viewer's attributes). `entries` are the timelines of
    all viewers, `outcome` their labels.
    """
    start = view.definition.history.start(entries.seen)
    version = _viewer_versions(view, entries)
    wanted = np.flatnonzero(judged)
    keys = np.stack([entries.viewer, start, version], axis=1)
    spans, last = np.unique(keys[wanted][::-1], axis=0, return_index=True)
    stop = wanted[::-1][last] + 1
    first = entries.starts[spans[:, 0]] + spans[:, 1]
    lengths = stop - first
    index = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
    span = np.repeat(np.arange(len(spans)), lengths)
    common = _inputs(view, encoder, entries, index, judged)
    sequences = Sequences(
        **{field.name: getattr(common, field.name) for field in fields(Rows)},
        actions=entries.actions[index],
        values=entries.values[index],
        seen=np.maximum(entries.seen[index] - spans[span, 1], 0),
        lengths=lengths,
        viewers=encoder.viewers(view, spans[:, 0], entries.request[stop - 1]),
        labels=outcome[index],
        weight=(judged[index] & (keys[index] == spans[span]).all(axis=1)).astype(np.float32),
    )
    return Examples(sequences=sequences, viewer=entries.viewer[index], item=entries.item[index], request=entries.request[index])


def _inputs(view: View, encoder: Encoder, entries: Timeline, index: Int, judged: Flags) -> Rows:
    """Model inputs of some entries, which may repeat; late features only of the judged ones: tokens do not read them."""
    needed, place = np.unique(index, return_inverse=True)
    examples_first = np.argsort(~judged[needed], kind="stable")
    count = int(judged[needed].sum())
    parts = [
        rows(view, encoder, _asked(entries, needed[examples_first[:count]])),
        rows(view, encoder, _asked(entries, needed[examples_first[count:]]), late=False),
    ]
    common, where = concatenate(parts), np.argsort(examples_first)[place]
    return Rows(**{field.name: getattr(common, field.name)[where] for field in fields(Rows)})


def _asked(entries: Timeline, index: Int) -> Asked:
    return Asked(
        viewers=entries.viewer[index],
        items=entries.item[index],
        requests=entries.request[index],
        previous=previous_times(entries)[index],
        context=entries.details.context[index],
        dated=entries.details.dated[index],
    )


def _viewer_versions(view: View, entries: Timeline) -> Int:
    """When each entry's viewer last changed as of its request, or -1."""
    name = view.definition.viewer.name
    changed = view.table(f"upsert/{name}").last_time(entries.viewer, entries.request)
    return np.maximum(changed, view.deleted(name, entries.viewer, entries.request))
