"""What a viewer liked: entries that are good on balance, newest first. Retrieval and item-to-item start from them."""

import numpy as np
from numpy.typing import NDArray

from fourfold.features.inputs import Floats
from fourfold.features.table import Int
from fourfold.features.timeline import Timeline
from fourfold.features.view import View


def recent_positive(view: View, entries: Timeline, at: Int, recent: int, codes: Int) -> Int:
    """The last positive entries that each of some entries' requests saw: shape (len(at), recent), newest first, -1 pads.

    `codes` (shape (N,)) says what to return for an entry, such as its item.
    """
    good = np.flatnonzero(positive(view, entries.actions))
    if not len(good):
        return np.full((len(at), recent), -1)
    base = entries.starts[entries.viewer[at]]
    low, high = np.searchsorted(good, base), np.searchsorted(good, base + entries.seen[at])
    position = high[:, None] - 1 - np.arange(recent)
    return np.where(position >= low[:, None], codes[good[np.maximum(position, 0)]], -1)


def positive(view: View, actions: Floats) -> NDArray[np.bool_]:
    """Rows of a 0/1 action matrix that are good on balance: the utilities of their actions sum to more than 0."""
    utility = np.array([action.utility for action in view.definition.actions], np.float32)
    good: NDArray[np.bool_] = actions @ utility > 0
    return good


def liked(view: View, entries: Timeline, recent: int) -> Int:
    """One viewer's `recent` last positive items (rows), newest first: what a request as of the timeline's end sees."""
    return entries.item[np.flatnonzero(positive(view, entries.actions))[::-1][:recent]]
