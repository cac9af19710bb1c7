"""States from lists of events, as tests want them."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from fourfold.definition import Recommender
from fourfold.events.types import Event, batch_of
from fourfold.features.state import State
from fourfold.features.view import View
from tests.strategies import MEMBERS, POSTS, TINY


def state_of(events: Sequence[Event], definition: Recommender = TINY, cuts: Iterable[int] = ()) -> State:
    """The state after a log, which arrives in several batches cut at some places."""
    state = State(definition)
    edges = [0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]
    for start, stop in itertools.pairwise(edges):
        state.apply(batch_of(events[start:stop]), stop)
    return state


def all_pairs(view: View, times: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[str, str, int]]]:
    """Every (member, post, time) of the tiny world: rows of a view, and their names."""
    asked = [(member, post, time) for member in (*MEMBERS, "stranger") for post in (*POSTS, "nothing") for time in times]
    members = view.rows("member", [a[0] for a in asked])
    posts = view.rows("post", [a[1] for a in asked])
    return members, posts, np.array([a[2] for a in asked]), asked
