"""Point-in-time examples: every impression with its outcome, its features and the history that its request saw.

Nothing at or after an impression's request reaches its inputs; its labels are the actions that follow within the
definition's attribution window.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fourfold.definition.part import milliseconds
from fourfold.features.assembly import previous_times, rows
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats, Rows, Sequences
from fourfold.features.positives import positive, recent_positive
from fourfold.features.table import Int, pairs
from fourfold.features.timeline import Timeline, timeline
from fourfold.features.view import View
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


def examples(view: View, encoder: Encoder, since: int, before: int) -> Examples:
    """Impressions whose request time is in ``[since, before)``, as of that time; earlier ones are history only.

    Labels, too, end at `before`: what is known when training at that time.
    """
    viewers = view.all_rows(view.definition.viewer.name)
    entries = timeline(view, viewers, np.full(len(viewers), before))
    base = entries.starts[entries.viewer]
    previous = previous_times(entries, base)
    common = rows(view, encoder, entries.viewer, entries.item, entries.request, previous)
    judged = entries.shown & (entries.request >= since)
    return _windowed(view, encoder, entries, common, labels(view, entries, before), judged)


def labels(view: View, entries: Timeline, before: int) -> Floats:
    """Which actions followed each entry within the attribution window and before `before`: shape (N, A), 0 or 1.

    An action belongs to the last impression of its item at or before it.
    """
    definition = view.definition
    viewers = np.arange(len(entries.starts) - 1)
    acted = view.table("action").slice(viewers, np.zeros(len(viewers), np.int64), np.full(len(viewers), before))
    out = np.zeros((len(entries), len(definition.actions)), np.float32)
    if not len(acted["query"]) or not len(entries):
        return out
    index = _last_shown(entries, acted["query"], acted["item"], acted["time"])
    valid = (index >= 0) & (acted["time"] - entries.time[index] < milliseconds(definition.attribution))
    order = {action.name: column for column, action in enumerate(definition.actions)}
    columns = np.array([order[name] for name in view.names["action"].since(0)], np.int64)
    out[index[valid], columns[acted["name"][valid]]] = 1
    return out


def retrieval_examples(view: View, encoder: Encoder, since: int, before: int, recent: int) -> RetrievalExamples:
    """Entries with a positive outcome in ``[since, before)``, each with the viewer's positive items that its request saw.

    Items are encoded as of the requests: one that changed in between has a row per version.
    """
    viewers = view.all_rows(view.definition.viewer.name)
    entries = timeline(view, viewers, np.full(len(viewers), before))
    good = positive(view, np.maximum(labels(view, entries, before), entries.actions))
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


def _last_shown(entries: Timeline, viewers: Int, items: Int, times: Int) -> Int:
    """Index of each viewer's last entry that showed an item at or before a time; -1 if there is none."""
    shown = np.flatnonzero(entries.shown)
    columns = (entries.viewer[shown], entries.item[shown], entries.time[shown], np.zeros(len(shown)))
    asked = (viewers, items, times, np.ones(len(times)))
    both = [np.concatenate(pair) for pair in zip(columns, asked, strict=True)]
    order = np.lexsort(both[::-1])
    is_entry = order < len(shown)
    last = np.maximum.accumulate(np.where(is_entry, np.arange(len(order)), -1))
    found = np.where(last >= 0, shown[order[np.maximum(last, 0)]], -1)
    index = np.empty(len(order), np.int64)
    index[order] = found
    index = index[len(shown) :]
    fits = (index >= 0) & (entries.viewer[index] == viewers) & (entries.item[index] == items)
    return np.where(fits, index, -1)


def _windowed(view: View, encoder: Encoder, entries: Timeline, common: Rows, outcome: Floats, judged: Flags) -> Examples:
    """Lay the entries out so that every example stands behind exactly the history window that serving would read.

    A sequence is the span of one (viewer, window start, version of the viewer's attributes).
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
    sequences = Sequences(
        **{field.name: getattr(common, field.name)[index] for field in fields(Rows)},
        actions=entries.actions[index],
        seen=np.maximum(entries.seen[index] - spans[span, 1], 0),
        lengths=lengths,
        viewers=encoder.viewers(view, spans[:, 0], entries.request[stop - 1]),
        labels=outcome[index],
        weight=(judged[index] & (keys[index] == spans[span]).all(axis=1)).astype(np.float32),
    )
    return Examples(sequences=sequences, viewer=entries.viewer[index], item=entries.item[index], request=entries.request[index])


def _viewer_versions(view: View, entries: Timeline) -> Int:
    """When each entry's viewer last changed as of its request, or -1."""
    name = view.definition.viewer.name
    changed = view.table(f"upsert/{name}").last_time(entries.viewer, entries.request)
    return np.maximum(changed, view.deleted(name, entries.viewer, entries.request))
