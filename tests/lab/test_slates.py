"""Lists judged: who makes them, how deep, and a split that nothing crosses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fourfold.data.world import World
from fourfold.definition import InNetwork, Recommender, Trending
from fourfold.events.types import EdgeAdded, Event
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.lab.list_metrics import Catalogue, ListMetrics
from fourfold.lab.slates import judge_lists
from fourfold.lab.truth import Truth, after_split
from fourfold.pipeline.models import Models, Untrained
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Request, Slate
from fourfold.training.judged import Period
from tests.features.samples import state_of
from tests.lab.test_truth import PAST, SPLIT, post, show
from tests.pipeline.samples import BARE, FULL, random_models
from tests.strategies import START


def judged(
    view: View, models: Models | None = None, *, k: int = 2, seed: int = 0, members: int = 9, since: int = SPLIT, **more: Any
) -> dict[str, ListMetrics]:
    period = Period.of(view, since, view.newest_time + 1)
    truth = after_split(view, period, since, members=members, seed=seed)
    shown = period.entries.item[period.entries.shown & (period.entries.time < since)]
    known = {"on_member": lambda done, total: None, **more}
    return judge_lists(view, models or Untrained(), truth, Catalogue.of(view, shown, since), k=k, seed=seed, **known)


def state(events: list[Event], definition: Recommender = BARE) -> View:
    return state_of(events, definition).view()


def test_every_source_stands_beside_the_slate_and_popularity() -> None:
    found = judged(state([*PAST, *show(7, "m0", "p1"), *show(6, "m2", "p2")]), k=1)
    assert set(found) == {"slate", "popularity", "union", "trending", "in_network"}
    assert {metrics["members"] for metrics in found.values()} == {2}
    # p1 was liked most, by two; m2 liked what nobody had.
    for name in ("slate", "popularity", "trending", "union"):
        assert found[name]["recall@1"] == 0.5, name
    assert found["in_network"]["recall@1"] == 0.0
    assert set(found["slate"]) == {
        *("members", "recall@1", "recall@1_ci", "ndcg@1", "ndcg@1_ci", "coverage@1"),
        *("novelty@1", "novelty@1_ci", "diversity@1", "diversity@1_ci"),
    }
    assert found["trending"]["recall@500"] == 0.5
    assert found["popularity"]["recall@500"] == 1.0  # the whole catalogue is not that long


def test_sources_are_asked_beyond_what_they_keep_and_what_the_member_has_met() -> None:
    """Both sources keep two in serving; the member met the three most liked items, and liked the fourth."""
    shallow = replace(BARE, sources=(Trending(keep=2, half_life="6h"), InNetwork(keep=2)))
    posts = [post(f"p{n}") for n in range(5)]
    friends = [EdgeAdded(id=f"f{n}", time=START, kind="follows", source="m0", target=f"x{n}") for n in range(5)]
    likes = [event for n in range(5) for m in range(5 - n) for event in show(1 + m, f"x{m}", f"p{n}")]
    met = [event for n in range(3) for event in show(5, "m0", f"p{n}", like=False)]
    found = judged(state([*posts, *friends, *likes, *met, *show(7, "m0", "p3")], shallow), k=1)
    assert (found["trending"]["recall@1"], found["in_network"]["recall@1"]) == (1.0, 1.0)


def test_the_union_goes_by_the_best_place_in_any_source() -> None:
    world = World(members=30, posts=40, days=3, sessions_per_day=3)
    made = State(FULL)
    made.apply(world.events, len(world.events))
    found = judged(made.view(), random_models(), since=world.start + 36 * 3_600_000, members=12, k=5)
    best = max(found[name]["recall@500"] for name in ("trending", "in_network", "item_to_item", "embedding_retrieval"))  # type: ignore[type-var]
    assert found["union"]["recall@500"] >= best  # type: ignore[operator]


def test_what_comes_after_the_split_changes_no_list() -> None:
    target = show(7, "m0", "p2")
    loud = [event for hour in (8, 9) for event in show(hour, "m5", "p0", like=False)]
    assert judged(state([*PAST, *target])) == judged(state([*PAST, *target, *loud]))


def test_members_may_be_asked_at_different_times() -> None:
    """In leave-one-out each list sees what came before its own member's last item."""
    view = state([*PAST, *show(3, "m0", "p2"), *show(4, "m1", "p2")])
    rows, p2 = view.rows("member", ["m0", "m1"]), view.rows("post", ["p2"])
    times = np.array([SPLIT - 3 * 3_600_000, SPLIT - 2 * 3_600_000])
    catalogue = Catalogue.of(view, p2, SPLIT)
    found = judge_lists(view, Untrained(), Truth(rows, times, [p2, p2]), catalogue, k=2, on_member=lambda done, total: None)
    # When m0 is asked nobody has liked p2 yet; m0's like puts it among the three that m1 is offered, of which two fit.
    assert found["trending"]["recall@500"] == pytest.approx(1 / 2)


def test_the_seed_alone_decides() -> None:
    world = World(members=30, posts=40, days=3, sessions_per_day=3)
    made = State(FULL)
    made.apply(world.events, len(world.events))
    view, since = made.view(), world.start + 36 * 3_600_000
    progress: list[tuple[int, int | None]] = []

    def judge(seed: int) -> dict[str, ListMetrics]:
        record = {"on_member": lambda *now: progress.append(now)}
        return judged(view, random_models(), since=since, members=8, k=5, seed=seed, **record)

    first = judge(1)
    assert set(first) == {"slate", "popularity", "union", "trending", "in_network", "item_to_item", "embedding_retrieval"}
    assert progress == [(n + 1, 8) for n in range(8)]
    assert judge(1) == first
    assert judge(2) != first


def test_nobody_to_judge() -> None:
    assert judged(state(PAST)) == {}


def test_slates_are_asked_for_with_the_given_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    view = state([*PAST, *show(7, "m0", "p1"), *show(6, "m2", "p2")])
    asked, recommend = {}, Pipeline.recommend

    def noted(pipeline: Pipeline, request: Request, now: int) -> Slate:
        asked[request.viewer] = request.context
        return recommend(pipeline, request, now)

    monkeypatch.setattr(Pipeline, "recommend", noted)
    judged(view, contexts=[{"tab": "1"}, {"tab": "2"}])
    assert asked == {"m0": {"tab": "1"}, "m2": {"tab": "2"}}
    judged(view)
    assert asked == {"m0": {}, "m2": {}}
