"""A consumer's state and its offset move together, in one process at a time, and a kill never parts them."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fourfold.stores.consumer as module
from fourfold.durable.environment import StorageFullError
from fourfold.stores.consumer import ConsumerError, ConsumerStore, StaleConsumerError
from tests.durable.children import Child

keys = st.binary(min_size=1, max_size=4)
changes = st.lists(st.tuples(st.dictionaries(keys, st.binary(max_size=20), max_size=5), st.lists(keys, max_size=3)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_a_new_store_is_empty_at_offset_zero(path: Path) -> None:
    with ConsumerStore(path) as store:
        assert store.offset == 0
        assert store.get(b"a") is None
        assert list(store.scan()) == []


def test_state_and_offset_are_there_after_opening_anew(path: Path) -> None:
    with ConsumerStore(path) as store:
        store.commit(5, {b"a": b"1", b"b": b""}, expected=0)
        store.commit(7, {b"a": b"2"}, [b"b", b"nothing"], expected=5)
    with ConsumerStore(path) as store:
        assert store.offset == 7
        assert list(store.scan()) == [(b"a", b"2")]
        assert store.get(b"b") is None
        store.commit(8, {b"b": b"3"}, expected=7)
        assert store.get(b"b") == b"3"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=changes, prefix=st.binary(max_size=2), size=st.integers(1, 40))
def test_it_behaves_as_a_dictionary(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    history: list[tuple[dict[bytes, bytes], list[bytes]]],
    prefix: bytes,
    size: int,
) -> None:
    monkeypatch.setattr(module, "SCAN_BYTES", size)
    state: dict[bytes, bytes] = {}
    with ConsumerStore(tmp_path / "dictionary") as store:
        store.reset()
        for offset, (puts, deletes) in enumerate(history):
            store.commit(offset + 1, puts, deletes, expected=offset)
            state = {key: value for key, value in state.items() if key not in deletes} | puts
        assert store.offset == len(history)
        assert list(store.scan(prefix)) == sorted(item for item in state.items() if item[0].startswith(prefix))


def test_an_offset_may_stay_but_not_go_back(path: Path) -> None:
    with ConsumerStore(path) as store:
        store.commit(5, {b"a": b"1"}, expected=0)
        store.commit(5, {b"a": b"2"}, expected=5)
        with pytest.raises(ConsumerError, match=r"offset 4 lies before 5; to start over, call reset\(\) first"):
            store.commit(4, {b"a": b"3"}, expected=5)
        assert (store.offset, store.get(b"a")) == (5, b"2")
        store.commit(6, {}, expected=5)


def test_a_wrong_expectation_changes_nothing(path: Path) -> None:
    with ConsumerStore(path) as store:
        store.commit(5, {b"a": b"1"}, expected=0)
        with pytest.raises(StaleConsumerError, match=r"committed at offset 5 since this state \(offset 3\) was read"):
            store.commit(9, {b"a": b"2"}, expected=3)
        assert (store.offset, store.get(b"a")) == (5, b"1")


def test_who_has_not_seen_the_latest_commit_cannot_commit(path: Path) -> None:
    with ConsumerStore(path) as mine, ConsumerStore(path) as other:
        other.commit(0, {b"a": b"theirs"}, expected=0)
        # The offset alone is as expected: only the commit in between gives it away.
        with pytest.raises(StaleConsumerError):
            mine.commit(3, {b"a": b"mine"}, expected=0)
        assert (mine.offset, mine.get(b"a")) == (0, b"theirs")
        with ConsumerStore(path) as anew:
            anew.commit(3, {b"a": b"mine"}, expected=0)
        with pytest.raises(StaleConsumerError):
            other.commit(4, {}, expected=3)


def test_a_reset_takes_over(path: Path) -> None:
    with ConsumerStore(path) as mine, ConsumerStore(path) as other:
        other.commit(5, {b"a": b"1"}, expected=0)
        mine.reset()
        assert (mine.offset, list(mine.scan())) == (0, [])
        mine.commit(2, {b"b": b"2"}, expected=0)
        with pytest.raises(StaleConsumerError):
            other.commit(6, {}, expected=5)
    with ConsumerStore(path) as store:
        assert (store.offset, list(store.scan())) == (2, [(b"b", b"2")])


def test_a_scan_is_of_one_state(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN_BYTES", 1)
    with ConsumerStore(path) as store:
        store.commit(1, {b"a": b"1", b"b": b"1"}, expected=0)
        scan = store.scan()
        assert next(scan) == (b"a", b"1")
        store.commit(2, {b"b": b"2"}, expected=1)
        with pytest.raises(StaleConsumerError, match="during a scan"):
            next(scan)


def test_keys_of_any_allowed_length(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN_BYTES", 1)
    longest = b"\xff" * 511
    with ConsumerStore(path) as store:
        store.commit(1, {longest: b"1", b"\x00": b"2"}, expected=0)
        assert list(store.scan()) == [(b"\x00", b"2"), (longest, b"1")]
        assert list(store.scan(longest)) == [(longest, b"1")]
        for wrong in (b"", longest + b"x"):
            with pytest.raises(ValueError, match="keys of 1 to 511 bytes"):
                store.commit(2, {b"good": b"1", wrong: b"1"}, expected=1)
            with pytest.raises(ValueError, match="keys of 1 to 511 bytes"):
                store.commit(2, {b"good": b"1"}, [wrong], expected=1)
            with pytest.raises(ValueError, match="keys of 1 to 511 bytes"):
                store.get(wrong)
        assert store.get(b"good") is None


def test_it_grows_and_a_full_store_keeps_its_state(path: Path) -> None:
    with ConsumerStore(path, map_size=1 << 16, max_bytes=4 << 20) as store:
        store.commit(1, {b"a": b"x" * (1 << 20)}, expected=0)
        with pytest.raises(StorageFullError, match="max_bytes of 4,194,304"):
            store.commit(2, {b"a": b"y", b"b": b"x" * (4 << 20)}, expected=1)
        assert (store.offset, store.get(b"a")) == (1, b"x" * (1 << 20))
        store.commit(2, {b"c": b"1"}, expected=1)
        store.reset()
        assert list(store.scan()) == []


def test_a_closed_store_says_so(path: Path) -> None:
    store = ConsumerStore(path)
    store.close()
    store.close()
    for use in (lambda: store.offset, lambda: store.get(b"a"), store.scan, store.reset):
        with pytest.raises(ConsumerError, match="closed; open it again"):
            use()


def test_a_store_of_another_format_is_refused(path: Path) -> None:
    with ConsumerStore(path) as store:
        environment = store._environment
        environment.write(lambda t: t.put(b"format", (2).to_bytes(8), db=environment.db["consumer"]))
    with pytest.raises(ConsumerError, match="format 2 of a consumer's state, not 1"):
        ConsumerStore(path)


COMMIT_FOREVER = """
import sys
from pathlib import Path
from fourfold.stores.consumer import ConsumerStore
store = ConsumerStore(Path(sys.argv[1]), map_size=1 << 16)
offset = store.offset
print("ready", flush=True)
while True:
    # One key per event, and one that counts them: any half of a commit shows.
    step = offset % 5 + 1
    puts = {b"event%08d" % n: b"x" * (n % 3000) for n in range(offset, offset + step)}
    offset += step
    store.commit(offset, puts | {b"count": b"%d" % offset}, [b"only%d" % (offset - step)], expected=offset - step)
    print(offset, flush=True)
"""


def test_a_kill_never_parts_state_and_offset(path: Path) -> None:
    chance = random.Random(3)
    for _ in range(4):
        with Child(COMMIT_FOREVER, path) as child:
            assert child.line() == "ready"
            told = [int(child.line())]
            told += [int(line) for line in child.killed_after(chance.uniform(0.0, 0.3))]
        with ConsumerStore(path) as store:
            reached = store.offset
            assert told[-1] <= reached <= told[-1] + 5
            assert store.get(b"count") == b"%d" % reached
            events = dict(store.scan(b"event"))
        assert sorted(events) == [b"event%08d" % n for n in range(reached)]
        assert all(len(value) == int(key[5:]) % 3000 for key, value in events.items())


COMMIT_TOGETHER = """
import sys
from pathlib import Path
from fourfold.stores.consumer import ConsumerStore, StaleConsumerError
print("ready", flush=True)
done = 0
while done < 30:
    with ConsumerStore(Path(sys.argv[1]), map_size=1 << 16) as store:
        offset, count = store.offset, int(store.get(b"count") or b"0")
        try:
            store.commit(offset + 1, {b"count": b"%d" % (count + 1)}, expected=offset)
            done += 1
        except StaleConsumerError:
            print("stale", flush=True)
"""


def test_of_two_processes_that_commit_one_is_told_to_start_over(path: Path) -> None:
    with Child(COMMIT_TOGETHER, path) as one, Child(COMMIT_TOGETHER, path) as two:
        assert (one.line(), two.line()) == ("ready", "ready")
        one.finished()
        two.finished()
    with ConsumerStore(path) as store:
        assert (store.offset, store.get(b"count")) == (60, b"60")
