"""The thread that keeps a surface in step: what fails is retried with a bound, and never ends the service."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourfold.api.service import FEW_ROUNDS, MAX_RETRY_SECONDS, SILENT_ROUNDS, Follower, Service
from fourfold.events.types import Impression, batch_of
from fourfold.features.consumer import StateConsumer
from fourfold.modes.home import Home, HomeError
from fourfold.modes.online import Online
from fourfold.stores.consumer import StaleConsumerError
from tests.api.samples import impression, make_home, post, service, slate, world


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "home") as made:
        yield made


def test_failures_are_retried_ever_more_slowly(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(Online(home, "feed", commits=True), 0.5)

    def fail(*_: object) -> int:
        raise OSError("the disk sulks")

    with monkeypatch.context() as patched:
        patched.setattr(StateConsumer, "catch_up", fail)
        pauses = [follower.pause]
        for _ in range(40):
            follower.round()
            pauses.append(follower.pause)
        assert not follower.ready
        assert follower.problem == "OSError: the disk sulks"
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert max(pauses) == MAX_RETRY_SECONDS
    assert "the disk sulks" in caplog.text
    follower.round()
    after: list[object] = [follower.ready, follower.problem, follower.pause]
    assert after == [True, None, 0.5]


def test_another_committer_is_said_once(home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(Online(home, "feed", commits=True))

    def stale(_: StateConsumer) -> None:
        raise StaleConsumerError("committed elsewhere")

    monkeypatch.setattr(StateConsumer, "commit", stale)
    for _ in range(3):
        follower.round()
    follower.start()
    follower.stop()
    assert caplog.text.count("another process commits") == 1
    assert not follower.online.consumer.commits
    assert follower.problem is None


def test_commits_go_on_once_who_took_them_over_has_ended(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(Online(home, "feed", commits=True))

    def happen(number: int) -> None:
        event = Impression(id=f"i{number}", time=number, viewer="m0", item="p0", surface="feed")
        home.log.append(batch_of([event]), 0)

    happen(0)
    other = home.consumer("feed", commits=True)
    for number in range(1, 4):
        other.catch_up()
        other.commit()
        happen(number)
        follower.round()
    assert not follower.online.consumer.commits
    other.catch_up()
    other.commit()
    for _ in range(2 * SILENT_ROUNDS):
        follower.round()
    assert not follower.online.consumer.commits, "there is nothing to commit"
    happen(4)
    for _ in range(SILENT_ROUNDS - 1):
        follower.round()
    other.catch_up()
    other.commit()
    happen(5)
    for _ in range(SILENT_ROUNDS):
        follower.round()
    assert home.log.consumers() == {"state-feed": 5}, "the other one is still at work"
    follower.round()
    assert home.log.consumers() == {"state-feed": 6}
    happen(6)
    follower.round()
    assert home.log.consumers() == {"state-feed": 7}
    assert caplog.text.count("this process does again") == 1


def test_a_running_service_outlives_failing_upkeep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with service(make_home(tmp_path / "home"), ["feed"]) as client:
        post(client, world())

        def fail(_: Online) -> None:
            raise OSError("the disk sulks")

        with monkeypatch.context() as patched:
            patched.setattr(Online, "follow", fail)
            wait_for(lambda: client.get("/v1/feed/status").json()["problem"] == "OSError: the disk sulks")
            post(client, impression("m0", "p0"))
            assert "p0" not in slate(client, "m0")
        wait_for(lambda: client.get("/v1/feed/status").json()["problem"] is None)


def test_the_state_is_committed_while_serving(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    with service(home, ["feed"]) as client:
        post(client, world())
        wait_for(lambda: home.log.consumers() == {"state-feed": len(world())})


def test_a_surface_without_definition_is_refused(home: Home) -> None:
    with pytest.raises(HomeError, match="no surface 'fed'"):
        Service(home, ["feed", "fed"])
    with pytest.raises(ValueError, match="name at least one"):
        Service(home, [])


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_logging_is_quiet_where_nothing_happens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fourfold.api.service"), service(make_home(tmp_path / "home")):
        time.sleep(0.2)
    assert not [record for record in caplog.records if record.name == "fourfold.api.service"]


def test_who_was_started_in_place_of_one_that_committed_does_so_soon(home: Home) -> None:
    """After a few rounds, and not after many; for others it takes long."""
    for soon, commits in ((False, False), (True, True)):
        with Service(home, ["feed"], follow_seconds=1_000, commits=False, stands_in_soon=soon) as made:
            follower = made.of("feed")
            home.log.append(batch_of([Impression(id=f"i{soon}", time=1, viewer="m0", item="p0", surface="feed")]), 0)
            for _ in range(FEW_ROUNDS + 1):
                follower.round()
            assert follower.online.consumer.commits == commits
