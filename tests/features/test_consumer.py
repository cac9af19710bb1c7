"""The state consumer: what is committed is the state of the log up to its offset, however the process ended."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fourfold.features.consumer as module
from fourfold.data.world import World
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import EntityUpsert, Event, batch_of
from fourfold.features.consumer import MANIFEST, StateConsumer
from fourfold.features.saved import StateLostError
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.stores.consumer import ConsumerStore, StaleConsumerError
from fourfold.surfaces.presets import world
from tests.durable.children import Child
from tests.features.consumers import OTHER, answers, expected, files, filled, kept, manifest, opened, shown
from tests.strategies import START, TINY, logs


@settings(max_examples=25)
@given(logs(), st.lists(st.integers(0, 50), max_size=4), st.booleans(), st.sampled_from([2, 8, 1 << 15]))
def test_a_restart_goes_on_where_the_commit_was(
    events: list[Event], cuts: list[int], committed_at_end: bool, large: int
) -> None:
    with TemporaryDirectory() as folder, opened(Path(folder)) as (log, _), pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "LARGE_RUN", large)
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(events)], strict=True):
            log.append(batch_of(events[start:stop]), START)
            with ConsumerStore(Path(folder) / "state") as store:
                consumer = StateConsumer(TINY, log, store)
                consumer.catch_up()
                if committed_at_end or stop < len(events):
                    consumer.commit()
        with ConsumerStore(Path(folder) / "state") as store:
            consumer = StateConsumer(TINY, log, store)
            if committed_at_end:
                assert consumer.lag == 0
                assert consumer.state.offset == log.end
            assert answers(consumer.view()) == expected(events)


@settings(max_examples=10)
@given(logs(), st.integers(1, 9))
def test_catching_up_in_steps_is_catching_up(events: list[Event], step: int) -> None:
    with TemporaryDirectory() as folder, opened(Path(folder)) as (log, store):
        log.append(batch_of(events), START)
        consumer = StateConsumer(TINY, log, store)
        applied = []
        while consumer.lag:
            applied.append(consumer.catch_up(step))
        assert sum(applied) == len(events)
        assert all(count == step for count in applied[:-1])
        assert answers(consumer.view()) == expected(events)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[LmdbLog, ConsumerStore]]:
    with opened(tmp_path) as both:
        yield both


def test_a_commit_writes_what_is_new(home: tuple[LmdbLog, ConsumerStore], monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = filled(home, 4_000)
    log, store = home
    written: list[int] = []
    commit = store.commit

    def counted(offset: int, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), *, expected: int) -> None:
        written.append(sum(map(len, puts.values())))
        commit(offset, puts, deletes, expected=expected)

    monkeypatch.setattr(store, "commit", counted)
    for number in range(4_000, 4_064):
        log.append(batch_of([shown(number)]), START)
        consumer.catch_up()
        consumer.commit()
    whole = sum(len(value) for key, value in store.scan(b"run/"))
    assert sum(written) < whole
    consumer.commit()  # nothing is new
    assert len(written) == 64
    assert kept(store) == {MANIFEST, *manifest(store).keys}, "runs left behind"


def test_a_commit_of_nothing_writes_nothing(home: tuple[LmdbLog, ConsumerStore]) -> None:
    log, store = home
    with StateConsumer(TINY, log, store) as consumer:
        assert consumer.catch_up() == 0
    assert list(store.scan()) == []
    assert log.consumers() == {}


def test_a_consumer_commits_at_the_end_unless_it_failed(home: tuple[LmdbLog, ConsumerStore]) -> None:
    log, store = home
    log.append(batch_of([shown(1)]), START)
    consumer = StateConsumer(TINY, log, store)
    consumer.catch_up()
    consumer.__exit__(RuntimeError, RuntimeError(), None)
    assert store.offset == 0
    with StateConsumer(TINY, log, store) as consumer:
        consumer.catch_up()
    assert store.offset == 1
    assert log.consumers() == {"state-feed": 1}


def test_a_reader_leaves_the_store_alone(home: tuple[LmdbLog, ConsumerStore]) -> None:
    filled(home, 3)
    log, store = home
    before = dict(store.scan())
    log.append(batch_of([shown(3)]), START)
    for definition in (TINY, OTHER):
        with StateConsumer(definition, log, store, commits=False) as reader:
            assert reader.view().offset == 4
    assert dict(store.scan()) == before
    assert store.offset == 3


def test_the_state_of_another_definition_is_computed_anew(home: tuple[LmdbLog, ConsumerStore]) -> None:
    filled(home, 30)
    log, store = home
    with StateConsumer(OTHER, log, store) as consumer:
        assert consumer.state.offset == 0
        consumer.catch_up()
    assert answers(StateConsumer(OTHER, log, store).view()) == expected([shown(n) for n in range(30)], OTHER)
    assert kept(store) == {MANIFEST, *manifest(store).keys}


def test_a_log_that_lost_its_beginning_cannot_make_a_new_state(home: tuple[LmdbLog, ConsumerStore]) -> None:
    filled(home, 3)
    log, store = home
    log.append(batch_of([shown(3)]), START)
    log.retain(3)
    assert StateConsumer(TINY, log, store).view().offset == 4
    with pytest.raises(StateLostError, match="'feed' must be computed anew, but the log starts at offset 3"):
        StateConsumer(OTHER, log, store)
    assert StateConsumer(TINY, log, store).state.offset == 3, "the refused definition has destroyed what was there"


def test_a_replaced_log_is_noticed(tmp_path: Path) -> None:
    with opened(tmp_path) as home:
        filled(home, 3)
        with LmdbLog(tmp_path / "another") as shorter:
            shorter.append(batch_of([shown(0)]), START)
            with pytest.raises(StateLostError, match="reaches offset 3, but the log ends at 1"):
                StateConsumer(TINY, shorter, home[1])


def test_a_missing_run_is_named(home: tuple[LmdbLog, ConsumerStore]) -> None:
    filled(home, 3)
    log, store = home
    store.commit(3, {}, [b"run/0"], expected=3)
    with pytest.raises(StateLostError, match="lacks run/0"):
        StateConsumer(TINY, log, store)


def test_two_consumers_of_one_store(tmp_path: Path) -> None:
    with opened(tmp_path) as home, ConsumerStore(tmp_path / "state") as other_store:
        log, store = home
        first, second = StateConsumer(TINY, log, store), StateConsumer(TINY, log, other_store)
        log.append(batch_of([shown(0)]), START)
        for consumer in (first, second):
            consumer.catch_up()
        first.commit()
        with pytest.raises(StaleConsumerError):
            second.commit()
        assert answers(second.view()) == expected([shown(0)])


def test_loading_while_another_commits_takes_one_commit_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other consumer commits between any two reads of this one; the offset must fit the tables all the same."""
    with opened(tmp_path) as home, ConsumerStore(tmp_path / "state") as reading:
        writer = filled(home, 10)
        log = home[0]
        get, left = reading.get, iter(range(10, 16))

        def disturbed(key: bytes) -> bytes | None:
            value = get(key)
            number = next(left, None)
            if number is not None:
                log.append(batch_of([shown(number)]), START)
                writer.catch_up()
                writer.commit()
            return value

        monkeypatch.setattr(reading, "get", disturbed)
        reader = StateConsumer(TINY, log, reading, commits=False)
        assert answers(reader.view()) == expected([shown(n) for n in range(16)])


def test_who_takes_over_replaces_what_another_committed(tmp_path: Path) -> None:
    with opened(tmp_path) as home, opened(tmp_path) as again:
        # The two number their rows differently, because they took the events in other batches.
        events: list[Event] = [
            *(shown(n) for n in range(4)),
            EntityUpsert(id="u", time=START, type="post", key="p3", attributes={}),
        ]
        left, right = StateConsumer(TINY, *home), StateConsumer(TINY, *again, commits=False)
        for event in events:
            home[0].append(batch_of([event]), START)
            left.catch_up()
        left.commit()
        right.catch_up()
        assert (right.reached, right.commits) == (5, False)
        right.take_over()
        assert not right.commits, "there was nothing to commit"
        home[0].append(batch_of([shown(9)]), START)
        right.catch_up()
        right.take_over()
        assert (right.reached, right.commits, home[0].consumers()) == (6, True, {"state-feed": 6})
        left.catch_up()
        with pytest.raises(StaleConsumerError):
            left.commit()
        home[0].append(batch_of([shown(10)]), START)
        right.catch_up()
        right.commit()
        everything = expected([*events, shown(9), shown(10)])
        restored = StateConsumer(TINY, *home, commits=False)
        assert (restored.state.offset, answers(restored.state.view())) == (7, everything)
        assert kept(home[1]) == {MANIFEST, *manifest(home[1]).keys}, "something of the other is left"


def test_state_of_another_format_is_not_taken_over(tmp_path: Path) -> None:
    with opened(tmp_path) as home, opened(tmp_path) as again:
        older = StateConsumer(TINY, *again, commits=False)
        home[0].append(batch_of([shown(0), shown(1)]), START)
        home[1].commit(1, {MANIFEST: b'{"format":99}'}, expected=0)
        older.catch_up()
        older.take_over()
        assert (older.commits, older.reached) == (False, 1)


def test_state_of_another_definition_is_not_taken_over(tmp_path: Path) -> None:
    with opened(tmp_path) as home, opened(tmp_path) as again:
        home[0].append(batch_of([shown(0)]), START)
        newer, older = StateConsumer(OTHER, *home), StateConsumer(TINY, *again, commits=False)
        newer.catch_up()
        newer.commit()
        home[0].append(batch_of([shown(1)]), START)
        older.catch_up()
        older.take_over()
        assert not older.commits
        assert StateConsumer(OTHER, *home, commits=False).state.offset == 1


def test_progress_is_told(home: tuple[LmdbLog, ConsumerStore]) -> None:
    log, store = home
    log.append(batch_of([shown(n) for n in range(5)]), START)
    told: list[tuple[int, int]] = []
    StateConsumer(TINY, log, store).catch_up(on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)


@pytest.mark.parametrize("limit", [None, 100])
def test_catching_up_ends_though_events_keep_coming(
    home: tuple[LmdbLog, ConsumerStore], monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    log, store = home
    log.append(batch_of([shown(0)]), START)
    consumer, taking = StateConsumer(TINY, log, store), State.apply

    def one_more(self: State, batch: pa.RecordBatch, offset: int | None = None) -> int:
        if log.end < 50:
            log.append(batch_of([shown(log.end)]), START)
        return taking(self, batch, offset)

    monkeypatch.setattr(State, "apply", one_more)
    assert [consumer.catch_up(limit), consumer.catch_up(limit)] == [1, 1]


def test_who_asks_with_a_limit_does_not_wait_for_who_works_off_a_backlog(
    home: tuple[LmdbLog, ConsumerStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store = home
    log.append(batch_of([shown(n) for n in range(5)]), START)
    consumer, inside, go_on = StateConsumer(TINY, log, store), threading.Event(), threading.Event()
    taking = State.apply

    def slowly(self: State, batch: pa.RecordBatch, offset: int | None = None) -> int:
        inside.set()
        assert go_on.wait(10)
        return taking(self, batch, offset)

    monkeypatch.setattr(State, "apply", slowly)
    with ThreadPoolExecutor(3) as threads:
        follower = threads.submit(consumer.catch_up)
        assert inside.wait(10)
        try:
            assert threads.submit(consumer.view, 4).result(5).offset == 0
            # Five more are no backlog: whoever was promised these waits.
            waiting = threads.submit(consumer.view, 5)
            assert not wait([waiting], 0.1).done
        finally:
            go_on.set()
        assert (follower.result(10), waiting.result(10).offset) == (5, 5)


STEP = 37
PROGRAM = """
import sys
from pathlib import Path
import fourfold.features.consumer as module
from fourfold.events.lmdb_log import LmdbLog
from fourfold.features.consumer import StateConsumer
from fourfold.stores.consumer import ConsumerStore
from fourfold.surfaces.presets import world

folder = Path(sys.argv[1])
module.LARGE_RUN = int(sys.argv[3])
with LmdbLog(folder / "log") as log, ConsumerStore(folder / "state") as store:
    consumer = StateConsumer(world(), log, store)
    while consumer.lag:
        consumer.catch_up(int(sys.argv[2]))
        consumer.commit()
        print(consumer.state.offset, flush=True)
"""


@pytest.mark.parametrize("large", [8, 1 << 15])
def test_a_killed_consumer_leaves_the_state_of_its_offset(tmp_path: Path, large: int) -> None:
    definition = world()
    made = World(members=40, posts=80, days=4, seed=1)
    with LmdbLog(tmp_path / "log") as log:
        log.append(made.events, None)
        offsets = [0]
        for _ in range(4):
            with Child(PROGRAM, tmp_path, STEP, large) as child:
                heard = [int(child.line()), *map(int, child.killed_after(0.05))]
            with ConsumerStore(tmp_path / "state") as store:
                consumer = StateConsumer(definition, log, store, commits=False)
                offsets.append(consumer.state.offset)
                assert offsets[-1] >= max(heard), "what was committed is lost"
                state = State(definition)
                for start in range(0, offsets[-1], STEP):
                    state.apply(made.events.slice(start, min(STEP, offsets[-1] - start)))
                assert tables(consumer.state.view()) == tables(state.view())
        assert 0 < offsets[1] < offsets[-1], offsets
        with ConsumerStore(tmp_path / "state") as store:
            log.append(made.events.slice(0, 1), None)
            with StateConsumer(definition, log, store) as consumer:
                consumer.catch_up()
            assert files(store) == manifest(store).files, "files of killed processes are left"
            assert bool(files(store)) == (large == 8)


def tables(view: View) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, sorted; entities are numbered alike, because the batches are the same."""
    by_name: dict[str, list[tuple[object, ...]]] = {}
    for name, table in view.tables.items():
        columns: list[Callable[[int], object]] = []
        rows: list[tuple[object, ...]] = []
        for run in table.runs:
            columns = [run.columns[key].tolist().__getitem__ for key in sorted(run.columns)]
            rows += [(at, *(column(row) for column in columns)) for row, at in enumerate(map(str, run.at.tolist()))]
        by_name[name] = sorted(rows, key=str)
    return by_name | {space: [tuple(view.names[space].since(0)[: view.sizes[space]])] for space in view.names}
