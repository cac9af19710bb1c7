"""States from lists of events, as tests want them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fourfold.definition import Recommender
from fourfold.events.types import ContextValue, Event, batch_of
from fourfold.features.details import context_codes
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


CONTEXTS: tuple[Mapping[str, ContextValue], ...] = ({}, {"tab": "home"}, {"tab": 1, "device": "phone", "weather": "rain"})
Asked = tuple[str, str, int, Mapping[str, ContextValue]]


def all_pairs(view: View, times: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Asked]]:
    """Every (member, post, time) of the tiny world, each with a context in turn: rows of a view, and their names."""
    every = itertools.product((*MEMBERS, "stranger"), (*POSTS, "nothing"), times)
    asked = [(*about, context) for about, context in zip(every, itertools.cycle(CONTEXTS), strict=False)]
    members = view.rows("member", [a[0] for a in asked])
    posts = view.rows("post", [a[1] for a in asked])
    return members, posts, np.array([a[2] for a in asked]), asked


def codes_of(view: View, asked: Sequence[Asked]) -> np.ndarray:
    """The contexts as codes of a view."""
    return np.array([context_codes(TINY, view.names, a[3]) for a in asked])
