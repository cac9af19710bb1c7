"""Sources that walk edges: what neighbours made or liked, and neighbours of neighbours."""

import numpy as np

from fourfold.candidates.ordering import newest
from fourfold.candidates.source import NOBODY, Ask, Proposal
from fourfold.definition import InNetwork, TwoHop
from fourfold.features.table import Int

NEIGHBOURS = 1_000
"""How many neighbours are read at most; of more, the first by id."""

PER_NEIGHBOUR = 50
"""How many recent actions of each neighbour are read."""


def in_network(ask: Ask, source: InNetwork) -> Proposal:
    """Items that neighbours own or acted on with positive utility; an item scores by how many neighbours and how good."""
    neighbours = _neighbours(ask, source.edge)
    made, makers = _made_by(ask, neighbours)
    liked, likers, weights = _liked_by(ask, neighbours)
    items, because = np.concatenate([made, liked]), np.concatenate([makers, likers])
    return Proposal.best(ask.view, items, np.concatenate([np.ones(len(made)), weights]), source.keep, because)


def two_hop(ask: Ask, source: TwoHop) -> Proposal:
    """Neighbours of neighbours by Adamic-Adar: the sum of ``1 / ln(1 + degree)`` over common neighbours."""
    middle = _neighbours(ask, source.edge)
    times = np.full(len(middle), ask.context.time)
    far = ask.view.neighbours(source.edge, middle, times)
    degree = np.bincount(far["query"], minlength=len(middle))
    weight = 1 / np.log(1 + np.maximum(degree, 1))
    return Proposal.best(ask.view, far["other"], weight[far["query"]], source.keep, middle[far["query"]])


def _neighbours(ask: Ask, edge: str) -> Int:
    found: Int = ask.view.neighbours(edge, ask.viewer, ask.time)["other"]
    if len(found) > NEIGHBOURS:
        target = next(declared.target for declared in ask.view.definition.edges if declared.name == edge)
        ids = ask.view.ids(target, found)
        found = found[sorted(range(len(found)), key=ids.__getitem__)[:NEIGHBOURS]]
    return found


def _made_by(ask: Ask, neighbours: Int) -> tuple[Int, Int]:
    definition, view = ask.view.definition, ask.view
    if definition.item.owner is None or not len(neighbours):
        return neighbours[:0], neighbours[:0]
    items = view.all_rows(definition.item.name)
    owners = view.codes(definition.item.name, definition.item.owner, items, np.repeat(ask.time, len(items)))
    names = view.names[f"value/{definition.item.name}/{definition.item.owner}"]
    codes = names.find_all(view.ids(definition.viewer.name, neighbours))
    maker = np.full(len(names) + 1, NOBODY)
    maker[codes] = neighbours
    maker[-1] = NOBODY
    made = np.flatnonzero(maker[owners] != NOBODY)
    return items[made], maker[owners[made]]


def _liked_by(ask: Ask, neighbours: Int) -> tuple[Int, Int, Int]:
    actions = ask.view.definition.actions
    times = np.full(len(neighbours), ask.context.time)
    since = np.maximum(ask.view.deleted(ask.view.definition.viewer.name, neighbours, times) + 1, ask.view.reach(times))
    acted = ask.view.table("action").slice(neighbours, since, times, newest=PER_NEIGHBOUR)
    if not len(acted["query"]):
        return neighbours[:0], neighbours[:0], neighbours[:0]
    acted = newest(acted, PER_NEIGHBOUR)
    utility = {action.name: max(action.utility, 0.0) for action in actions}
    weight = np.array([utility[name] for name in ask.view.names["action"].since(0)])[acted["name"]]
    good = (weight > 0) & (acted["time"] > ask.deleted(acted["item"]))
    return acted["item"][good], neighbours[acted["query"][good]], weight[good]
