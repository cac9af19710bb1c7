"""Two rankers in one slate: each picks in turn from its own, so that what viewers do with the items compares them."""

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from fourfold.definition import Pin, Recommender
from fourfold.features.view import View
from fourfold.pipeline.filters import Asked, sifted
from fourfold.pipeline.limits import fitting, limits
from fourfold.pipeline.slate import Degradation, Request, Slate, SlateItem, Trace


def team_draft(first: Sequence[str], second: Sequence[str], seed: int) -> list[tuple[str, int]]:
    """All items of two rankings in the order in which they are picked, each with the ranking (0 or 1) that picked it.

    The ranking with fewer picks takes its best item that is left; with as many, a coin made of the seed decides (Radlinski,
    Kurup and Joachims, How does clickthrough data reflect retrieval quality?, CIKM 2008).

    Parameters
    ----------
    first, second : sequence of str
        Items, best first, none twice.
    seed : int
        Below ``2 ** 128``.
    """
    left = [list(reversed(first)), list(reversed(second))]
    coins = np.random.Philox(key=seed).random_raw(len(first) + len(second)) >> np.uint64(63)
    picked, picks = dict[str, int](), [0, 0]
    for coin in coins.tolist():
        for ranking in left:
            while ranking and ranking[-1] in picked:
                ranking.pop()
        if not any(left):
            break
        turn = coin if picks[0] == picks[1] else int(picks[1] < picks[0])
        turn = turn if left[turn] else 1 - turn
        picked[left[turn].pop()] = turn
        picks[turn] += 1
    return list(picked.items())


def interleaved(
    definition: Recommender, view: View, slates: tuple[Slate, Slate], teams: tuple[str, str], request: Request, seed: int
) -> Slate:
    """One slate of two, by team draft; each item says its team.

    Pins keep their places and belong to no team. All filters are asked again, and caps hold for the whole slate. Where that
    leaves fewer items than of the first slate alone, that one stands alone, and says so. Nobody knows the chance with which an
    item is shown.

    Parameters
    ----------
    definition : Recommender
        What both slates answer.
    view : View
        The newest state.
    slates, teams : tuple
        Answers to one request, and what their items are called.
    request : Request
        That request.
    seed : int
        Of the draft, below ``2 ** 128``.
    """
    first, second = slates
    pins = {rule.name for rule in definition.rules if isinstance(rule, Pin)}
    places = {item.item: place for place, item in enumerate(first.items) if item.rule in pins}
    found = [{item.item: item for item in slate.items} for slate in slates]
    rankings = [[item.item for item in slate.items if item.item not in places] for slate in slates]
    drafted = [
        replace(found[turn][item], team=teams[turn], propensity=None)
        for item, turn in team_draft(rankings[0], rankings[1], seed)
    ]
    pinned = [replace(found[0][item], propensity=None) for item in places]
    asked = _asked(view, request, first.time)
    items, alone = (_fitting(asked, some, len(first.items)) for some in ([*pinned, *drafted], first.items))
    if len(items) < len(alone):
        cause, effect = "caps leave too few items of both rankers", f"the slate is that of {teams[0]} alone"
        short = Degradation(stage="interleave", cause=cause, effect=effect)
        return replace(first, items=alone, degradations=[*first.degradations, short])
    return replace(
        first,
        items=_placed(items, places),
        model="+".join(slate.model or "none" for slate in slates),
        degradations=[*first.degradations, *(one for one in second.degradations if one not in first.degradations)],
        trace=_both(first.trace, second.trace),
    )


def _asked(view: View, request: Request, time: int) -> Asked:
    row = int(view.rows(view.definition.viewer.name, [request.viewer])[0])
    return Asked(view, request.viewer, row, time, request.exclude, request.where, request.context)


def _fitting(asked: Asked, items: Sequence[SlateItem], size: int) -> list[SlateItem]:
    """The first items that may be shown and fit within the caps; soft caps give way where nothing else is left."""
    definition = asked.view.definition
    rows = asked.view.rows(definition.item.name, [item.item for item in items])
    keep = np.flatnonzero(sifted(asked, definition.filters, rows).keep)
    given = limits(asked, asked, definition.selector, definition.filters, rows[keep])
    return [items[place] for place in keep[fitting(given, len(keep), size)[0]].tolist()]


def _placed(items: Sequence[SlateItem], places: dict[str, int]) -> list[SlateItem]:
    """The items in order, those that have places of their own at them."""
    placed = [item for item in items if item.item not in places]
    for item in sorted((item for item in items if item.item in places), key=lambda item: places[item.item]):
        placed.insert(places[item.item], item)
    return placed


def _both(first: Trace, second: Trace) -> Trace:
    """The first trace, with the stages of both."""
    return replace(first, stages=[*first.stages, *second.stages])
