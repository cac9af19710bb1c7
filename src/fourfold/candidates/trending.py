"""Trending: the items with the most recent positive actions, or new edges towards them, weighted by how fresh each is."""

import numpy as np

from fourfold.candidates.source import Ask, Proposal
from fourfold.definition import Trending
from fourfold.definition.part import milliseconds
from fourfold.features.table import Float, Int

REACH = 12
"""How many half-lives back events still count: beyond, one weighs less than 1/4096."""

LATEST = 200_000
"""How many events are read at most, newest first, so that a burst cannot slow a request down."""


def trending(ask: Ask, source: Trending) -> Proposal:
    """Items by the sum of ``utility * 2 ** (-age / half_life)`` over their positive actions before now."""
    half_life = milliseconds(source.half_life)
    since = np.maximum(ask.time - REACH * half_life, 0)
    items, times, weights = _edges(ask, source.edge, since) if source.edge else _actions(ask, since)
    return Proposal.best(items, weights * np.exp2((times - ask.context.time) / half_life), source.keep)


def _actions(ask: Ask, since: Int) -> tuple[Int, Int, Float]:
    actions = ask.view.definition.actions
    utility = {action.name: max(action.utility, 0.0) for action in actions}
    weight = np.array([utility[name] for name in ask.view.names["action"].since(0)])
    recent = ask.view.table("recent").slice(np.zeros(1, np.int64), since, ask.time, newest=LATEST)
    if not len(recent["query"]):
        return since[:0], since[:0], np.zeros(0)
    weights = weight[recent["name"]]
    return recent["item"][weights > 0], recent["time"][weights > 0], weights[weights > 0]


def _edges(ask: Ask, edge: str, since: Int) -> tuple[Int, Int, Float]:
    items = ask.view.all_rows(ask.view.definition.item.name)
    size = len(items)
    links = ask.view.table(f"edge/{edge}/in").slice(items, np.repeat(since, size), np.repeat(ask.time, size), newest=LATEST)
    if not len(links["query"]):
        return since[:0], since[:0], np.zeros(0)
    added = links["added"] > 0
    return items[links["query"][added]], links["time"][added], np.ones(int(added.sum()))
