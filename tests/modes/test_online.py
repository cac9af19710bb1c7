"""The online mode: what the log has acknowledged is in the next slate, by the clock that the deployment names."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.definition import Age, DefinitionError, Explore, Slate
from fourfold.events.log import MAX_TIME, LogFullError
from fourfold.events.types import EntityUpsert, Impression, batch_of, events_of
from fourfold.modes.home import Home
from fourfold.modes.online import Online
from fourfold.pipeline.slate import Request
from fourfold.pipeline.slate import Slate as Answer
from fourfold.stores.consumer import ConsumerStore
from fourfold.training.registry import DefinitionMismatch
from tests.modes.samples import MADE, SMALL, made_home, train

LOGGING = '[feed]\nclock = "log"\nlog_impressions = true\nbudget_ms = 60000'


@contextmanager
def served(path: Path, deployment: str | None = None, commits: bool = False) -> Iterator[tuple[Home, Online]]:
    with made_home(path, *([deployment] if deployment else [])) as home, Online(home, "feed", commits=commits) as online:
        yield home, online


def ids(slate: Answer) -> list[str]:
    return [item.item for item in slate.items]


def logged(home: Home, since: int) -> list[Impression]:
    found = [event for _, batch in home.log.read(since) for event in events_of(batch)]
    assert all(isinstance(event, Impression) for event in found)
    return [event for event in found if isinstance(event, Impression)]


def test_an_acknowledged_event_is_in_the_next_slate(tmp_path: Path) -> None:
    with served(tmp_path) as (home, online):
        first = online.recommend(Request(viewer="m1"))
        assert first.items
        home.log.append(
            batch_of([Impression(id="s", time=first.time, viewer="m1", item=ids(first)[0], surface="feed")]), first.time
        )
        second = online.recommend(Request(viewer="m1"))
        assert ids(first)[0] not in ids(second)
        assert second.time == first.time + 1
        assert home.log.end == online.consumer.state.offset, "without log_impressions nothing is written"


def test_logged_impressions_carry_the_context_of_their_request(tmp_path: Path) -> None:
    with served(tmp_path, LOGGING) as (home, online):
        end = home.log.end
        slate = online.recommend(Request(viewer="m1", size=3, context={"tab": "home"}))
        assert [(shown.item, shown.context) for shown in logged(home, end)] == [(item, {"tab": "home"}) for item in ids(slate)]
        assert slate.items


def test_logged_impressions_keep_the_propensities_of_their_slate(tmp_path: Path) -> None:
    explores = replace(SMALL, selector=Slate(size=8, explore=Explore(0.5, 20)))
    with made_home(tmp_path, LOGGING) as home:
        home.define(explores)
        with Online(home, "feed") as online:
            end = home.log.end
            slates = [online.recommend(Request(viewer=f"m{n}")) for n in range(6)]
            items = [item for slate in slates for item in slate.items]
            assert [shown.propensity for shown in logged(home, end)] == [item.propensity for item in items]
            assert {item.rule for item in items} == {None, "explore"}
            assert all(0 < (item.propensity or 0) <= 1 for item in items)


def test_a_slate_is_the_same_when_it_is_asked_for_again_though_a_share_is_drawn(tmp_path: Path) -> None:
    explores = replace(SMALL, selector=Slate(size=8, explore=Explore(0.5, 20)))
    with made_home(tmp_path) as home:
        home.define(explores)
        with Online(home, "feed") as online:
            first, again = (online.recommend(Request(viewer="m1", time=MADE.end)) for _ in range(2))
            assert first.items == again.items
            others = [online.recommend(Request(viewer="m1", time=MADE.end, request=f"r{n}")) for n in range(5)]
            assert len({tuple(ids(slate)) for slate in others}) > 1


def test_the_log_clock_stands_just_after_the_newest_event(tmp_path: Path) -> None:
    with served(tmp_path) as (_, online):
        newest = online.consumer.state.view().newest_event_time
        assert online.now() == newest + 1
        assert online.recommend(Request(viewer="m1")).time == newest + 1
        assert online.recommend(Request(viewer="m1", time=MADE.start)).time == MADE.start


def test_an_event_at_the_end_of_time_does_not_stop_the_log_clock(tmp_path: Path) -> None:
    with served(tmp_path, LOGGING) as (home, online):
        last = Impression(id="s", time=MAX_TIME - 1, viewer="m1", item="post1", surface="feed")
        home.log.append(batch_of([last]), 0)
        slate = online.recommend(Request(viewer="m2"))
        assert slate.time == MAX_TIME - 1
        assert len(logged(home, MADE.events.num_rows + 1)) == len(slate.items) > 0


def test_the_wall_clock(tmp_path: Path) -> None:
    with served(tmp_path, "[feed]") as (_, online):
        before = time.time_ns() // 1_000_000
        assert before <= online.now() <= time.time_ns() // 1_000_000


def test_logged_impressions_are_seen(tmp_path: Path) -> None:
    with served(tmp_path, LOGGING) as (home, online):
        end = home.log.end
        first = online.recommend(Request(viewer="m1", size=5))
        found = logged(home, end)
        assert [event.item for event in found] == ids(first)
        assert [event.position for event in found] == list(range(5))
        assert {(event.viewer, event.surface, event.request, event.time) for event in found} == {
            ("m1", "feed", first.request, first.time)
        }
        second = online.recommend(Request(viewer="m1", size=5))
        assert not set(ids(first)) & set(ids(second))
        assert ids(online.recommend(Request(viewer="m2", size=5)))


def test_impressions_of_one_request_id_are_told_apart_and_a_replay_is_not(tmp_path: Path) -> None:
    """A client may use a request id for two pages, and two viewers' clients may choose the same one."""
    with served(tmp_path, LOGGING) as (home, online):
        end = home.log.end
        shown = [set(ids(online.recommend(Request(viewer=viewer, size=3, request="r")))) for viewer in ("m1", "m1", "m2")]
        assert not shown[0] & shown[1]
        events = logged(home, end)
        assert len({event.id for event in events}) == 9
        assert all(len(event.id) <= 256 for event in events)
        online.consumer.catch_up()
        before = len(online.consumer.state.view().table("impression"))
        again = online.recommend(Request(viewer="m3", size=3, request="r", time=MADE.end))
        assert ids(online.recommend(Request(viewer="m3", size=3, request="r", time=MADE.end))) == ids(again)
        online.consumer.catch_up()
        assert len(online.consumer.state.view().table("impression")) == before + 3


def test_a_full_log_degrades_the_slate_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, LOGGING) as (home, online):

        def full(*_: object) -> range:
            raise LogFullError("full")

        monkeypatch.setattr(home.log, "append", full)
        slate = online.recommend(Request(viewer="m1", size=3))
        assert len(slate.items) == 3
        assert [d.cause for d in slate.degradations if d.stage == "log_impressions"] == ["the log is full"]


def test_follow_applies_commits_and_picks_up_a_promotion(tmp_path: Path) -> None:
    with served(tmp_path, commits=True) as (home, online):
        assert online.recommend(Request(viewer="m1")).model is None
        train(home)
        assert online.recommend(Request(viewer="m1")).model is None
        post = EntityUpsert(id="u", time=MADE.end, type="post", key="fresh", attributes={"title": "fresh"})
        home.log.append(batch_of([post]), MADE.end)
        online.follow()
        assert online.recommend(Request(viewer="m1")).model == "v1"
        assert online.consumer.state.view().rows("post", ["fresh"])[0] >= 0
        with ConsumerStore(tmp_path / "state" / "feed") as store:
            assert store.offset == home.log.end


def test_only_the_one_that_commits_writes_state(tmp_path: Path) -> None:
    for commits, offset in ((False, 0), (True, len(MADE.events))):
        with served(tmp_path / str(commits), commits=commits):
            pass
        with ConsumerStore(tmp_path / str(commits) / "state" / "feed") as store:
            assert store.offset == offset


def test_a_model_of_another_definition_is_not_served(tmp_path: Path) -> None:
    with made_home(tmp_path) as home:
        train(home)
        home.define(replace(SMALL, features=(Age("another_age"),)))
        with pytest.raises(DefinitionMismatch, match=r"(?s)feed v1 was trained for another definition.*another_age"):
            Online(home, "feed")


def test_a_deployment_in_another_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="remote"):
        made_home(tmp_path, '[feed]\nmode = "remote"')


def test_the_same_log_and_model_make_the_same_slate(tmp_path: Path) -> None:
    slates = []
    for name in ("a", "b"):
        with made_home(tmp_path / name) as home:
            train(home)
            with Online(home, "feed") as online:
                slates.append([(i.item, i.score, i.probabilities) for i in online.recommend(Request(viewer="m1")).items])
    assert slates[0] == slates[1]
    assert len(slates[0]) > 5
