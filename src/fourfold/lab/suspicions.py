"""What is rarely meant in a log of events: looked for in bulk, each with some examples and what it may mean."""

from collections.abc import Iterator, Sequence

import numpy as np

from fourfold.features.table import Int
from fourfold.features.view import NEVER, View
from fourfold.lab.description import ActionRate, AttributeUse, Suspicion
from fourfold.lab.event_rows import EventRows

HEAVY = 0.1
"""A member with this share of all events is no ordinary one."""

FEW = 10
"""With no more members than this, somebody always has a large share."""

_EXAMPLES = 5
_SPARSE = 0.1


def suspicions(
    view: View,
    shown: EventRows,
    acted: EventRows,
    actions: Sequence[ActionRate],
    attributes: Sequence[AttributeUse],
    newest_arrival: int,
) -> Iterator[Suspicion]:
    """Whatever looks wrong, nothing where all is well. `newest_arrival` is in milliseconds."""
    yield from _undeclared(view)
    yield from _future(view, shown, acted, newest_arrival)
    yield from _repeated(view, shown)
    yield from _never_shown(view, shown)
    yield from _unprompted(actions, len(acted))
    yield from _heavy(view, shown, acted)
    yield from _constant_actions(actions)
    yield from _useless_attributes(attributes)


def _undeclared(view: View) -> Iterator[Suspicion]:
    count = sum(view.ignored.values())
    if count:
        yield Suspicion(
            what="events or values that the definition does not declare",
            count=count,
            share=count / max(count + len(view.table("event")), 1),
            examples=[f"{number} {what}" for what, number in list(view.ignored.items())[:_EXAMPLES]],
            meaning="a surface, type, action or attribute is spelt otherwise in the data, or is left out of the definition",
        )


def _future(view: View, shown: EventRows, acted: EventRows, newest_arrival: int) -> Iterator[Suspicion]:
    times, viewers = np.concatenate([shown.time, acted.time]), np.concatenate([shown.viewer, acted.viewer])
    late = np.flatnonzero(times > newest_arrival)
    if len(late):
        yield Suspicion(
            what="impressions or actions later than the newest arrival",
            count=len(late),
            share=len(late) / len(times),
            examples=_members(view, viewers[late]),
            meaning="clocks that run ahead, or a wrong unit; they count for nothing until that time comes",
        )


def _repeated(view: View, shown: EventRows) -> Iterator[Suspicion]:
    """Impressions of an item to a viewer that another one precedes in the same request, or else in the same second."""
    dated = np.flatnonzero(shown.dated)
    grouped = shown.request[dated] != 0
    moment = np.where(grouped, shown.request[dated], (shown.time[dated] // 1_000).astype(np.uint64))
    keys = (moment, grouped, shown.item[dated], shown.viewer[dated])
    order = np.lexsort(keys)
    same = np.all([key[order][1:] == key[order][:-1] for key in keys], axis=0)
    again = dated[order[1:][same]] if len(dated) else dated
    if len(again):
        yield Suspicion(
            what="repeated impressions of an item within a request or second",
            count=len(again),
            share=len(again) / len(shown),
            examples=_pairs(view, shown.viewer[again], shown.item[again]),
            meaning="events sent twice under two ids, or a client that reports an item each time it scrolls by",
        )


def _never_shown(view: View, shown: EventRows) -> Iterator[Suspicion]:
    item = view.definition.item.name
    rows = view.all_rows(item)
    alive = view.alive(item, rows, np.full_like(rows, NEVER))
    never = rows[alive & (np.bincount(shown.item, minlength=len(rows))[: len(rows)] == 0)]
    if len(never) and len(shown):
        yield Suspicion(
            what="items that were never shown",
            count=len(never),
            share=len(never) / int(alive.sum()),
            examples=view.ids(item, never[:_EXAMPLES]),
            meaning="new or hidden items, or ids written otherwise in the log; models know them by their attributes only",
        )


def _unprompted(actions: Sequence[ActionRate], total: int) -> Iterator[Suspicion]:
    counts = [(action.name, action.unprompted) for action in actions if action.unprompted]
    if counts:
        count = sum(number for _, number in counts)
        yield Suspicion(
            what="actions on items that the viewer was not shown before",
            count=count,
            share=count / max(total, 1),
            examples=[f"{number} {name}" for name, number in counts[:_EXAMPLES]],
            meaning="impressions are missing, or come after their actions; such actions are history and no training labels",
        )


def _heavy(view: View, shown: EventRows, acted: EventRows) -> Iterator[Suspicion]:
    counts = np.bincount(np.concatenate([shown.viewer, acted.viewer]))
    heavy = np.flatnonzero(counts >= HEAVY * counts.sum()) if (counts > 0).sum() > FEW else counts[:0]
    if len(heavy):
        heavy = heavy[np.argsort(-counts[heavy])]
        yield Suspicion(
            what=f"members with {HEAVY:.0%} or more of all events",
            count=len(heavy),
            share=float(counts[heavy].sum() / counts.sum()),
            examples=_members(view, heavy),
            meaning="a crawler, a test account, or a default id of viewers who are not signed in; models learn their taste",
        )


def _constant_actions(actions: Sequence[ActionRate]) -> Iterator[Suspicion]:
    for rate, what, meaning in (
        (0.0, "actions that were never taken", "misspelt, not imported, or too rare yet: no model can learn them"),
        (1.0, "actions that were always taken", "there are rows only where it happened: import what was shown without it too"),
    ):
        names = [action.name for action in actions if action.rate == rate]
        if names:
            yield Suspicion(what=what, count=len(names), share=len(names) / len(actions), examples=names, meaning=meaning)


def _useless_attributes(attributes: Sequence[AttributeUse]) -> Iterator[Suspicion]:
    sparse = [f"{use.entity}.{use.name}" for use in attributes if use.present < _SPARSE]
    constant = [f"{use.entity}.{use.name}" for use in attributes if use.present >= _SPARSE and use.distinct == 1]
    for names, what, meaning in (
        (sparse, "attributes that nine of ten entities lack", "named otherwise in the data, or not imported"),
        (constant, "attributes with one value only", "they tell nothing apart"),
    ):
        if names:
            share = len(names) / len(attributes)
            yield Suspicion(what=what, count=len(names), share=share, examples=names[:_EXAMPLES], meaning=meaning)


def _members(view: View, viewers: Int) -> list[str]:
    first = np.sort(np.unique(viewers, return_index=True)[1])[:_EXAMPLES]
    return view.ids(view.definition.viewer.name, viewers[first])


def _pairs(view: View, viewers: Int, items: Int) -> list[str]:
    who = view.ids(view.definition.viewer.name, viewers[:_EXAMPLES])
    what = view.ids(view.definition.item.name, items[:_EXAMPLES])
    return [f"{viewer} saw {item}" for viewer, item in zip(who, what, strict=True)]
