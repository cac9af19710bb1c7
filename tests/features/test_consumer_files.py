"""Large runs in files: mapped, replaced, removed, and never lost, whatever happens during a commit."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fourfold.features.consumer as module
from fourfold.durable.environment import StorageFullError
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import EntityUpsert, Event, batch_of
from fourfold.features.consumer import MANIFEST, StateConsumer
from fourfold.features.saved import StateLostError, write_merged
from fourfold.stores.consumer import ConsumerStore, StaleConsumerError
from tests.features.consumers import answers, expected, files, filled, kept, manifest, opened, shown
from tests.strategies import START, TINY, logs


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[LmdbLog, ConsumerStore]]:
    with opened(tmp_path) as both:
        yield both


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files from a few rows on."""
    monkeypatch.setattr(module, "LARGE_RUN", 4)


@settings(max_examples=15)
@given(logs(), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_backlog_is_settled_on_the_way(events: list[Event], every: int, rows: int, commits: bool) -> None:
    with TemporaryDirectory() as folder, opened(Path(folder)) as (log, store), pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "SETTLE_EVENTS", every)
        patched.setattr(module, "LARGE_RUN", rows)
        patched.setattr("fourfold.events.lmdb_log.READ_ROWS", 3)
        log.append(batch_of(events), START)
        consumer = StateConsumer(TINY, log, store, commits=commits)
        consumer.catch_up()
        assert answers(consumer.state.view()) == expected(events)
        assert commits or not store.offset
        assert files(store) == (set() if not store.offset else manifest(store).files)


@pytest.mark.usefixtures("small_files")
def test_large_runs_are_mapped_and_files_that_no_manifest_names_are_removed(home: tuple[LmdbLog, ConsumerStore]) -> None:
    consumer = filled(home, 300)
    log, store = home
    for number in range(300, 330):
        log.append(batch_of([shown(number)]), START)
        consumer.catch_up()
        consumer.commit()
        assert files(store) == manifest(store).files
        assert kept(store) == {MANIFEST, *manifest(store).keys}
    table = consumer.state.view().table("impression")
    mapped = [run for run in table.runs if run.mapped]
    assert sum(len(run) for run in table.runs if not run.mapped) < 4
    assert all(len(older) >= 2 * len(newer) for older, newer in itertools.pairwise(mapped))
    again = StateConsumer(TINY, log, store).state.view()
    assert [run.mapped for run in again.table("impression").runs] == [run.mapped for run in table.runs]
    assert [run.newest for run in again.table("impression").runs] == [run.newest for run in table.runs]
    assert answers(again) == expected([shown(n) for n in range(330)])


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("commits", [True, False])
def test_a_backlog_does_not_stay_in_memory(
    home: tuple[LmdbLog, ConsumerStore], monkeypatch: pytest.MonkeyPatch, commits: bool
) -> None:
    monkeypatch.setattr(module, "SETTLE_EVENTS", 40)
    monkeypatch.setattr("fourfold.events.lmdb_log.READ_ROWS", 10)
    log, store = home
    log.append(batch_of(shown(number) for number in range(95)), START)
    consumer = StateConsumer(TINY, log, store, commits=commits)
    consumer.catch_up()
    assert store.offset == (80 if commits else 0)
    assert len(files(store)) == len(manifest(store).files if commits else ())
    table = consumer.state.view().table("impression")
    assert sum(len(run) for run in table.runs if not run.mapped) == 15
    assert answers(consumer.state.view()) == expected([shown(n) for n in range(95)])


@pytest.mark.usefixtures("small_files")
def test_who_maps_a_file_keeps_it_when_another_process_commits(tmp_path: Path) -> None:
    with opened(tmp_path) as home, opened(tmp_path) as reading:
        writer = filled(home, 40)
        reader = StateConsumer(TINY, *reading, commits=False)
        before = files(home[1])
        home[0].append(batch_of(shown(number) for number in range(40, 200)), START)
        writer.catch_up()
        writer.commit()
        assert not before & files(home[1])
        assert answers(reader.state.view()) == expected([shown(n) for n in range(40)])


@pytest.mark.usefixtures("small_files")
def test_a_commit_that_is_refused_leaves_no_file_and_keeps_the_state(tmp_path: Path) -> None:
    with opened(tmp_path) as home, opened(tmp_path) as other:
        first, second = StateConsumer(TINY, *home), StateConsumer(TINY, *other)
        home[0].append(batch_of(shown(number) for number in range(50)), START)
        for consumer in (first, second):
            consumer.catch_up()
        first.commit()
        for _ in range(2):
            with pytest.raises(StaleConsumerError):
                second.commit()
            assert files(home[1]) == manifest(home[1]).files
            assert answers(second.view()) == expected([shown(n) for n in range(home[0].end)])
            home[0].append(batch_of(shown(number) for number in range(50, 90)), START)
        second.catch_up()
        second.take_over()
        assert files(home[1]) == manifest(home[1]).files
        assert answers(StateConsumer(TINY, *home).state.view()) == expected([shown(n) for n in range(90)])


@pytest.mark.usefixtures("small_files")
def test_a_commit_without_room_for_a_file_can_be_made_again(
    home: tuple[LmdbLog, ConsumerStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = filled(home, 30)
    log, store = home
    log.append(batch_of(shown(number) for number in range(30, 90)), START)
    consumer.catch_up()
    writing, left = write_merged, iter([1, 1])

    def full(*given: Any) -> Any:
        if next(left, None) is None:
            raise StorageFullError("the disk takes no more")
        return writing(*given)

    before = files(store)
    with monkeypatch.context() as patched:
        patched.setattr(module, "write_merged", full)
        with pytest.raises(StorageFullError):
            consumer.commit()
    assert files(store) == before == manifest(store).files
    assert answers(consumer.state.view()) == expected([shown(n) for n in range(90)])
    consumer.commit()
    assert answers(StateConsumer(TINY, log, store).state.view()) == expected([shown(n) for n in range(90)])


@pytest.mark.usefixtures("small_files")
def test_what_arrives_during_a_commit_is_not_lost(home: tuple[LmdbLog, ConsumerStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """New events, and a late change of what is counted in the runs that are being put into files."""
    log, store = home
    events: list[Event] = [EntityUpsert(id="u", time=START, type="post", key="p0", attributes={"author": "m0"})]
    events += [shown(number) for number in range(1, 60)]
    log.append(batch_of(events), START)
    consumer, writing = StateConsumer(TINY, log, store), write_merged
    consumer.catch_up()
    late: list[Event] = [
        EntityUpsert(id="late", time=START + 30, type="post", key="p0", attributes={"author": "m1"}),
        *(shown(number) for number in range(60, 80)),
    ]

    def disturbed(*given: Any) -> Any:
        if log.end == len(events):
            log.append(batch_of(late), START)
            consumer.catch_up()
        return writing(*given)

    monkeypatch.setattr(module, "write_merged", disturbed)
    consumer.commit()
    assert (store.offset, consumer.state.offset) == (60, 81)
    assert answers(consumer.state.view()) == expected([*events, *late])
    assert answers(StateConsumer(TINY, log, store).state.view()) == expected(events)
    consumer.commit()
    assert answers(StateConsumer(TINY, log, store).state.view()) == expected([*events, *late])


@pytest.mark.usefixtures("small_files")
def test_a_missing_or_cut_off_file_is_named(home: tuple[LmdbLog, ConsumerStore]) -> None:
    filled(home, 30)
    name = sorted(files(home[1]))[0]
    path = home[1].files.folder / name
    whole = path.read_bytes()
    for damage, said in ((whole[:-8], "bytes and not"), (b"\0" * len(whole), "is damaged")):
        path.write_bytes(damage)
        with pytest.raises(StateLostError, match=f"{name}.*{said}.*remove the state's folder to compute it from the log again"):
            StateConsumer(TINY, *home)
    path.unlink()
    with pytest.raises(StateLostError, match="missing; remove the state's folder"):
        StateConsumer(TINY, *home, commits=False)
