"""What every mode must keep, however it answers: a full and valid slate, no look-ahead, one answer to one question.

A mode inherits `SlateContract` and says how a definition, a log and models are served.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.definition import Recommender
from fourfold.events.types import (
    Action,
    EdgeAdded,
    EntityDelete,
    EntityUpsert,
    Event,
    Impression,
)
from fourfold.pipeline.models import Models, Untrained
from fourfold.pipeline.slate import Request, Slate
from tests.pipeline.eligible import check_full
from tests.pipeline.samples import BARE, FULL, POINTWISE, items, random_models, said
from tests.strategies import HOUR, MEMBERS, POSTS, START, logs, times

# Every mode's class runs the inherited properties, which hypothesis would take for one test on changing objects.
PROPERTY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
NOON = START + 12 * HOUR

requests = st.builds(
    Request,
    viewer=st.sampled_from([*MEMBERS, "stranger"]),
    size=st.sampled_from([None, 1, 2, 5, 1000]),
    exclude=st.lists(st.sampled_from([*POSTS, "nothing"]), max_size=3),
)


class Serving(Protocol):
    """One surface, served in some mode."""

    def ask(self, request: Request, now: int) -> Slate: ...

    def post(self, events: Sequence[Event]) -> None: ...


def setups() -> st.SearchStrategy[tuple[Recommender, bool]]:
    """A definition, and whether its models are trained."""
    return st.sampled_from([(BARE, False), (FULL, False), (FULL, True), (POINTWISE, True)])


def models_of(setup: tuple[Recommender, bool]) -> Models:
    return random_models(setup[0]) if setup[1] else Untrained()


def same(left: Slate, right: Slate) -> None:
    """Two slates are equal: ids in order, scores to 1e-5."""
    assert items(left) == items(right)
    np.testing.assert_allclose([i.score for i in left.items], [i.score for i in right.items], atol=1e-5)


class SlateContract(ABC):
    """Inherit, give `serving`, and every promise is checked."""

    @abstractmethod
    def serving(self, definition: Recommender, events: Sequence[Event], models: Models) -> AbstractContextManager[Serving]:
        """A log served."""

    @given(setups(), logs(), requests, times())
    @PROPERTY
    def test_the_slate_is_full_and_valid(
        self, setup: tuple[Recommender, bool], log: list[Event], request_: Request, time: int
    ) -> None:
        with self.serving(setup[0], log, models_of(setup)) as served:
            check_full(setup[0], log, request_, time, served.ask(request_, time))

    @given(setups(), logs(), requests, times())
    @PROPERTY
    def test_nothing_looks_ahead(self, setup: tuple[Recommender, bool], log: list[Event], request_: Request, time: int) -> None:
        past = [event for event in log if event.time < time]
        with (
            self.serving(setup[0], log, models_of(setup)) as whole,
            self.serving(setup[0], past, models_of(setup)) as then,
        ):
            same(whole.ask(request_, time), then.ask(request_, time))

    @given(setups(), logs(), requests, times(), st.randoms(use_true_random=False))
    @PROPERTY
    def test_the_order_of_arrival_does_not_matter(
        self, setup: tuple[Recommender, bool], log: list[Event], request_: Request, time: int, rng: Any
    ) -> None:
        shuffled = [*log, *log[:3]]
        rng.shuffle(shuffled)
        with (
            self.serving(setup[0], log, models_of(setup)) as one,
            self.serving(setup[0], shuffled[: len(log) // 2], models_of(setup)) as other,
        ):
            other.ask(request_, time)
            other.post(shuffled[len(log) // 2 :])
            same(one.ask(request_, time), other.ask(request_, time))

    @given(setups(), logs(), requests, times())
    @PROPERTY
    def test_the_same_request_gets_the_same_slate(
        self, setup: tuple[Recommender, bool], log: list[Event], request_: Request, time: int
    ) -> None:
        with self.serving(setup[0], log, models_of(setup)) as served:
            first, second = served.ask(request_, time), served.ask(request_, time)
        assert first.items == second.items
        assert first.degradations == second.degradations
        assert first.trace.dropped == second.trace.dropped

    @given(st.sampled_from([FULL, POINTWISE]), logs(), requests, times())
    @PROPERTY
    def test_what_is_excluded_changes_no_probability_of_others(
        self, definition: Recommender, log: list[Event], request_: Request, time: int
    ) -> None:
        with self.serving(definition, log, random_models(definition)) as served:
            alone = served.ask(request_, time)
            everything = served.ask(Request(viewer=request_.viewer, size=1000), time)
        found = {item.item: item.probabilities for item in everything.items}
        for item in alone.items:
            assert list(item.probabilities) == list(found[item.item])
            np.testing.assert_allclose(list(item.probabilities.values()), list(found[item.item].values()), atol=1e-5)

    @pytest.mark.parametrize(
        ("event", "gone"),
        [
            (Impression(id="new", time=NOON, viewer="m0", item="p0", surface="feed"), {"p0"}),
            (Action(id="new", time=NOON, viewer="m0", item="p1", name="hide", surface="feed"), {"p1"}),
            (EntityDelete(id="new", time=NOON, type="post", key="p2"), {"p2"}),
            (EdgeAdded(id="new", time=NOON, kind="blocks", source="m0", target="m1"), {"p0", "p1"}),
            (EdgeAdded(id="new", time=NOON, kind="blocks", source="m2", target="m0"), {"p2", "p3"}),
            (EntityUpsert(id="new", time=NOON, type="post", key="p3", attributes={"author": "m0"}), {"p3"}),
            (EntityUpsert(id="new", time=NOON, type="post", key="p0", attributes={"created": START - HOUR}), {"p0"}),
        ],
    )
    @pytest.mark.parametrize("trained", [False, True])
    def test_an_event_takes_its_items_out_of_the_next_slate(self, event: Event, gone: set[str], trained: bool) -> None:
        request = Request(viewer="m0", size=9)
        with self.serving(FULL, small_world(), models_of((FULL, trained))) as served:
            assert set(items(served.ask(request, NOON + 1))) == set(POSTS)
            served.post([event])
            assert set(items(served.ask(request, NOON))) == set(POSTS)
            assert set(items(served.ask(request, NOON + 1))) == set(POSTS) - gone

    def test_a_like_and_a_new_item_are_in_the_next_slate(self) -> None:
        with self.serving(FULL, small_world(), random_models()) as served:
            before = served.ask(Request(viewer="m0"), NOON + 1)
            assert before.trace.history == 0
            like = Action(id="like", time=NOON, viewer="m0", item="p0", name="like", surface="feed")
            words = EntityUpsert(id="p9", time=NOON, type="post", key="p9", attributes={"title": "red bird"})
            served.post([like, words])
            after = served.ask(Request(viewer="m0", size=9), NOON + 1)
        assert after.trace.history == 1
        found = {item.item: item for item in after.items}
        assert found["p9"].sources == ["embedding_retrieval"]
        assert (found["p9"].title, found["p9"].reason) == ("red bird", "Close to your taste")
        assert "item_to_item" in found["p1"].sources
        assert said(after) <= {"select", "backfill"}

    def test_a_viewer_made_anew_starts_anew(self) -> None:
        past: list[Event] = [
            Impression(id="1", time=START + 2 * HOUR, viewer="m0", item="p0", surface="feed"),
            Action(id="2", time=START + 2 * HOUR, viewer="m0", item="p1", name="hide", surface="feed"),
            EdgeAdded(id="3", time=START + 2 * HOUR, kind="blocks", source="m0", target="m2"),
        ]
        request = Request(viewer="m0", size=9)
        with self.serving(FULL, [*small_world(), *past], random_models()) as served:
            assert items(served.ask(request, NOON)) == []
            served.post([EntityDelete(id="4", time=START + 3 * HOUR, type="member", key="m0")])
            deleted = served.ask(request, NOON)
            assert set(items(deleted)) == set(POSTS)
            assert "viewer" in said(deleted)
            served.post([Impression(id="5", time=START + 4 * HOUR, viewer="m0", item="p3", surface="feed")])
            assert set(items(served.ask(request, NOON))) == {"p0", "p1", "p2"}
            served.post([EntityUpsert(id="6", time=START + 5 * HOUR, type="member", key="m0")])
            again = served.ask(request, NOON)
            assert set(items(again)) == {"p0", "p1", "p2"}
            assert "viewer" not in said(again)

    def test_an_empty_catalogue_gives_an_empty_slate_and_says_so(self) -> None:
        for setup in ((BARE, False), (FULL, True)):
            with self.serving(setup[0], [], models_of(setup)) as served:
                slate = served.ask(Request(viewer="m0"), NOON)
            assert slate.items == []
            assert {"viewer", "select"} <= said(slate)


def small_world() -> list[Event]:
    """Four posts, two by m1 and two by m2, one member m0 to be served."""
    authors = {"p0": "m1", "p1": "m1", "p2": "m2", "p3": "m2"}
    posts: list[Event] = [
        EntityUpsert(id=post, time=START + HOUR, type="post", key=post, attributes={"author": author, "title": f"blue {post}"})
        for post, author in authors.items()
    ]
    return [*posts, EntityUpsert(id="m0", time=START, type="member", key="m0", attributes={"country": "dk"})]
