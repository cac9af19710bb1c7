"""Slates judged: metrics by hand, and a split that nothing crosses."""

from math import log2
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from fourfold.data.world import World
from fourfold.events.types import Action, EntityUpsert, Event, Impression
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.lab.slates import SlateMetrics, judge_slates, slate_metrics
from fourfold.pipeline.models import Untrained
from tests.features.samples import state_of
from tests.pipeline.samples import BARE, FULL, random_models
from tests.strategies import HOUR, START

SPLIT = START + 6 * HOUR


def rows(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


def test_metrics_by_hand() -> None:
    found = slate_metrics([rows(1, 2, 3, 4), rows(5), rows()], [rows(2, 9), rows(5), rows(1)], k=3, catalogue=10)
    assert (found.k, found.members) == (3, 3)
    assert found.recall.mean == pytest.approx((1 / 2 + 1 + 0) / 3)
    first = (1 / log2(3)) / (1 + 1 / log2(3))
    assert found.ndcg.mean == pytest.approx((first + 1 + 0) / 3)
    assert found.coverage == pytest.approx(4 / 10)  # 1, 2, 3 and 5; the fourth place is beyond k
    assert found.recall.low <= found.recall.mean <= found.recall.high
    assert found.recall.high - found.recall.low > 0.3


def test_more_liked_than_places_can_still_be_perfect() -> None:
    found = slate_metrics([rows(1, 2)], [rows(1, 2, 3, 4)], k=2, catalogue=4)
    assert (found.recall.mean, found.ndcg.mean, found.coverage) == (0.5, 1.0, 0.5)
    assert slate_metrics([], [], k=2, catalogue=0).members == 0


def post(name: str, hour: int = 0) -> Event:
    attributes: Any = {"author": "m9", "created": START}
    return EntityUpsert(id=f"{name}{hour}", time=START + hour * HOUR, type="post", key=name, attributes=attributes)


def show(hour: int, viewer: str, item: str, like: bool = True) -> list[Event]:
    common: Any = {"viewer": viewer, "item": item, "surface": "feed"}
    shown = Impression(id=f"s{hour}{viewer}{item}", time=START + hour * HOUR, **common)
    liked = Action(id=f"l{hour}{viewer}{item}", time=START + hour * HOUR + 1, name="like", **common)
    return [shown, liked] if like else [shown]


def judged(view: View, k: int = 2, seed: int = 0, members: int = 9, since: int = SPLIT) -> dict[str, SlateMetrics]:
    return judge_slates(view, Untrained(), since=since, members=members, k=k, seed=seed, on_member=lambda done, total: None)


PAST = [post("p0"), post("p1"), post("p2"), *show(1, "m3", "p0"), *show(2, "m3", "p1"), *show(2, "m4", "p1")]


def test_what_is_judged_lies_after_the_split_and_is_new() -> None:
    events = [
        *PAST,
        *show(5, "m0", "p0"),  # before
        *show(7, "m0", "p0"),  # after, but not for the first time
        *show(7, "m0", "p1"),  # counts, and p1 is the most popular
        *show(7, "m1", "p2", like=False),  # not liked
        *show(6, "m2", "p2"),  # at the split itself: counts, and is the least popular
        *(
            structs.replace(event, request="r") for event in show(5, "m6", "p1", like=False) + show(7, "m6", "p2")
        ),  # chosen before
        post("late", 7),
        *show(8, "m1", "late"),  # nobody could have proposed it
    ]
    found = judged(state_of(events, BARE).view(), k=1)
    assert set(found) == {"slate", "popularity", "trending", "in_network"}
    assert {metrics.members for metrics in found.values()} == {2}
    assert found["trending"].recall.mean == 0.5
    assert found["popularity"].recall.mean == 0.5
    assert found["in_network"].recall.mean == 0.0
    assert found["slate"].recall.mean == 0.5
    assert found["slate"].coverage == pytest.approx(2 / 3)


def test_what_comes_after_the_split_changes_no_slate() -> None:
    target = show(7, "m0", "p2")
    quiet = state_of([*PAST, *target], BARE).view()
    loud = state_of([*PAST, *target, *(event for hour in (8, 9) for event in show(hour, "m5", "p0", like=False))], BARE).view()
    assert judged(quiet) == judged(loud)


def test_the_seed_alone_decides() -> None:
    world = World(members=30, posts=40, days=3, sessions_per_day=3)
    batch = world.events
    state = State(FULL)
    state.apply(batch, len(batch))
    view, since = state.view(), world.start + 36 * HOUR
    progress: list[tuple[int, int]] = []

    def judge(seed: int) -> dict[str, SlateMetrics]:
        return judge_slates(
            view, random_models(), since=since, members=8, k=5, seed=seed, on_member=lambda *now: progress.append(now)
        )

    first = judge(1)
    assert set(first) == {"slate", "popularity", "trending", "in_network", "item_to_item", "embedding_retrieval"}
    assert progress == [(n + 1, 8) for n in range(8)]
    assert judge(1) == first
    assert judge(2) != first


def test_nobody_to_judge() -> None:
    assert judged(state_of(PAST, BARE).view()) == {}
