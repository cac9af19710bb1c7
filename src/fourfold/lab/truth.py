"""What lists are judged against: the items that members were shown for the first time, and liked, after a point in time."""

from dataclasses import dataclass

import numpy as np

from fourfold.features.positives import positive
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.training.examples import Flags
from fourfold.training.judged import Period


class TargetError(ValueError):
    """An action that a surface does not have; the message lists those it has."""


@dataclass(frozen=True)
class Truth:
    """V members who are asked for lists as of a time each, and the items (rows) that each of them liked from then on."""

    viewers: Int  # (V,), rows
    times: Int  # (V,), milliseconds
    liked: list[Int]

    def __len__(self) -> int:
        return len(self.viewers)


def after_split(view: View, period: Period, since: int, *, members: int, seed: int, target: str | None = None) -> Truth:
    """What members liked in a period without having met it before `since` (ms): the split that nothing crosses.

    Parameters
    ----------
    view : View
        The state with the period in it.
    period : Period
        What counts.
    since : int
        The split. Items that did not exist then cannot be asked for.
    members, seed : int
        Members are drawn by seed from those who liked something, new ones among them.
    target : str, optional
        The action that means liking; else the utilities of an item's actions sum to more than 0.
    """
    entries = period.entries
    exists = view.alive(view.definition.item.name, entries.item, np.full(len(entries), since))
    chosen = np.flatnonzero(_liked(view, period, target) & period.new & exists)
    pairs = np.unique(np.stack([entries.viewer[chosen], entries.item[chosen]], axis=1), axis=0)
    met = entries.time < since
    width = max(view.size(view.definition.item.name), 1)
    pairs = pairs[~np.isin(pairs[:, 0] * width + pairs[:, 1], entries.viewer[met] * width + entries.item[met])]
    drawn = _drawn(np.unique(pairs[:, 0]), members, seed)
    starts = np.searchsorted(pairs[:, 0], np.append(drawn, drawn + 1))
    low, high = starts[: len(drawn)], starts[len(drawn) :]
    return Truth(drawn, np.full(len(drawn), since), [pairs[a:b, 1] for a, b in zip(low, high, strict=True)])


def leave_one_out(view: View, period: Period, *, members: int, seed: int, target: str | None = None) -> Truth:
    """Each member's last liked item that was new to them, asked for as of its own request.

    Members are asked at different times, and the models know what others did after that: these figures flatter.
    """
    entries = period.entries
    exists = view.alive(view.definition.item.name, entries.item, entries.request)
    good = _liked(view, period, target) & entries.details.dated & exists & _first_met(period)
    last = np.flatnonzero(good)[::-1]
    viewers, place = np.unique(entries.viewer[last], return_index=True)
    drawn = _drawn(viewers, members, seed)
    chosen = last[place[np.searchsorted(viewers, drawn)]]
    return Truth(drawn, entries.request[chosen], [entries.item[[row]] for row in chosen])


def _liked(view: View, period: Period, target: str | None) -> Flags:
    """Entries that the viewer liked: shape (N,)."""
    done = np.fmax(period.outcome, period.entries.actions)
    if target is None:
        return positive(view, done)
    actions = [action.name for action in view.definition.actions]
    if target not in actions:
        raise TargetError(f"{view.definition.surface!r} has no action {target!r}; write one of {', '.join(actions)}")
    liked: Flags = done[:, actions.index(target)] > 0
    return liked


def _first_met(period: Period) -> Flags:
    """Entries whose viewer met their item for the first time: shape (N,)."""
    entries = period.entries
    _, first = np.unique(np.stack([entries.viewer, entries.item], axis=1), axis=0, return_index=True)
    found = np.zeros(len(entries), bool)
    found[first] = True
    return found


def _drawn(viewers: Int, members: int, seed: int) -> Int:
    return np.sort(np.random.default_rng(seed).permutation(viewers)[:members])
