"""Trending: the items with the most recent positive actions, or new edges towards them, weighted by how fresh each is.

What came before the last deletion of an item does not count for it any more.
"""

import numpy as np

from fourfold.candidates.ordering import newest, newest_of
from fourfold.candidates.source import Ask, Proposal
from fourfold.definition import Trending
from fourfold.definition.part import milliseconds
from fourfold.features.table import Float, Int

REACH = 12
"""How many half-lives back events still count: beyond, one weighs less than 1/4096."""

LATEST = 200_000
"""How many events are read at most, newest first, so that a burst cannot slow a request down."""


def trending(ask: Ask, source: Trending) -> Proposal:
    """Items by the sum of ``utility * 2 ** (-age / half_life)`` over their positive actions before now.

    With an edge, instead over the links towards them that stand now, each worth 1 at the time when it was made.
    """
    half_life = milliseconds(source.half_life)
    since = np.maximum(ask.time - REACH * half_life, 0)
    if source.edge is not None:
        items, times = _edges(ask, source.edge, since)
        return Proposal.best(ask.view, items, np.exp2((times - ask.context.time) / half_life), source.keep)
    total = _actions(ask, int(np.maximum(since, ask.view.reach(ask.time))[0]), half_life)
    found = np.flatnonzero(total)
    return Proposal.of_totals(ask.view, found, total[found], source.keep)


def _actions(ask: Ask, since: int, half_life: int) -> Float:
    """The sum for every item, 0 where nobody acted."""
    view, time = ask.view, ask.context.time
    utility = {action.name: max(action.utility, 0.0) for action in view.definition.actions}
    weight = np.array([utility[name] for name in view.names["action"].since(0)])
    size = view.size(view.definition.item.name)
    parts = newest_of(view.table("recent"), since, time, LATEST)
    if not parts:
        return np.zeros(size)
    items = np.concatenate([run.columns["item"][rows] for run, rows in parts])
    times = np.concatenate([run.at.imag[rows] for run, rows in parts])
    names = np.concatenate([run.columns["name"][rows] for run, rows in parts])
    scores = weight[names] * np.exp2((times - time) / half_life)
    if len(view.table(f"delete/{view.definition.item.name}")):
        scores[times <= ask.deleted(view.all_rows(view.definition.item.name))[items]] = 0
    total: Float = np.bincount(items, scores, minlength=size).astype(np.float64, copy=False)
    return total


def _edges(ask: Ask, edge: str, since: Int) -> tuple[Int, Int]:
    """The item and the time of each link that stands."""
    items = ask.view.all_rows(ask.view.definition.item.name)
    start = np.maximum(since, ask.deleted(items) + 1)
    links = ask.view.table(f"edge/{edge}/in").slice(items, start, np.repeat(ask.time, len(items)), newest=LATEST)
    if not len(links["query"]):
        return since[:0], since[:0]
    links = newest(links, LATEST)
    order = np.lexsort((np.arange(len(links["query"])), links["other"], links["query"]))
    item, other, time, added = (links[name][order] for name in ("query", "other", "time", "added"))
    last = np.append((item[1:] != item[:-1]) | (other[1:] != other[:-1]), True)
    source = next(declared.source for declared in ask.view.definition.edges if declared.name == edge)
    stands = last & (added > 0) & (time > ask.view.deleted(source, other, np.repeat(ask.time, len(other))))
    return items[item[stands]], time[stands]
