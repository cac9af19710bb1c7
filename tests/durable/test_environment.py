"""One environment per folder, growth while others read, processes that grow the map for each other, and full disks."""

import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from fourfold.durable.environment import DamagedError, Environment, StorageFullError, Transaction, open_environment
from tests.durable.children import Child

SMALL = 1 << 18


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    opened = opened_at(tmp_path)
    yield opened
    opened.close()


def opened_at(path: Path, max_bytes: int = 64 << 20) -> Environment:
    return open_environment(path / "env", databases=("things",), map_size=SMALL, max_bytes=max_bytes)


def put(environment: Environment, key: bytes, value: bytes) -> None:
    environment.write(lambda transaction: transaction.put(key, value, db=environment.db["things"]))


def get(environment: Environment, key: bytes) -> bytes | None:
    return environment.read(lambda transaction: transaction.get(key, db=environment.db["things"]))


def test_one_folder_is_one_environment_until_the_last_handle_is_closed(tmp_path: Path) -> None:
    first, second = opened_at(tmp_path), opened_at(tmp_path / "x" / "..")
    assert first is second
    first.close()
    put(second, b"a", b"1")
    second.close()
    third = opened_at(tmp_path)
    assert third is not first
    assert get(third, b"a") == b"1"
    third.close()


def test_opening_it_otherwise_is_refused(environment: Environment, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="open it with the same again"):
        opened_at(tmp_path, max_bytes=1 << 20)
    put(environment, b"a", b"1")


@pytest.mark.parametrize("damage", [b"\0" * 8192, b"\xc0\xde" * 4096])
def test_a_damaged_file_is_named_and_the_folder_can_be_opened_once_it_is_gone(tmp_path: Path, damage: bytes) -> None:
    opened = opened_at(tmp_path)
    put(opened, b"a", b"1")
    opened.close()
    file = tmp_path / "env" / "data.mdb"
    file.write_bytes(damage + file.read_bytes()[len(damage) :])
    with pytest.raises(DamagedError, match=r"env/data\.mdb is damaged .*; put a copy of its folder back"):
        opened_at(tmp_path)
    file.unlink()
    again = opened_at(tmp_path)
    assert get(again, b"a") is None
    again.close()


def test_an_exception_in_a_body_undoes_all(environment: Environment) -> None:
    def body(transaction: Transaction) -> None:
        transaction.put(b"a", b"1", db=environment.db["things"])
        raise KeyError("no")

    with pytest.raises(KeyError):
        environment.write(body)
    assert get(environment, b"a") is None


def test_the_map_grows_to_what_is_needed(environment: Environment) -> None:
    put(environment, b"a", b"x" * (20 * SMALL))
    assert get(environment, b"a") == b"x" * (20 * SMALL)
    assert environment.map_size == 32 * SMALL


def test_the_map_waits_for_readers_before_it_grows(environment: Environment) -> None:
    put(environment, b"a", b"1")
    reading, go_on, values = threading.Event(), threading.Event(), []

    def body(transaction: Transaction) -> bytes | None:
        reading.set()
        assert go_on.wait(10)
        return transaction.get(b"a", db=environment.db["things"])

    reader = threading.Thread(target=lambda: values.append(environment.read(body)))
    writer = threading.Thread(target=lambda: put(environment, b"b", b"x" * (4 * SMALL)))
    reader.start()
    assert reading.wait(10)
    writer.start()
    writer.join(0.2)
    assert writer.is_alive()
    assert environment.map_size == SMALL
    go_on.set()
    reader.join()
    writer.join()
    assert values == [b"1"]
    assert get(environment, b"b") == b"x" * (4 * SMALL)


def test_a_full_map_leaves_no_trace_and_smaller_things_still_fit(tmp_path: Path) -> None:
    environment = opened_at(tmp_path, max_bytes=4 * SMALL)
    put(environment, b"a", b"x" * SMALL)
    with pytest.raises(StorageFullError, match="reached its max_bytes of 1,048,576"):
        put(environment, b"b", b"x" * (4 * SMALL))
    assert get(environment, b"b") is None
    put(environment, b"c", b"x" * SMALL)
    assert get(environment, b"a") == get(environment, b"c") == b"x" * SMALL
    environment.close()


def fill(environment: Environment, size: int) -> None:
    for number in range(1000):
        put(environment, b"%d-%d" % (size, number), b"x" * size)


def test_upkeep_works_on_a_map_that_is_full_to_the_last_page(tmp_path: Path) -> None:
    environment = opened_at(tmp_path, max_bytes=32 * SMALL)
    for _ in range(2):
        for size in (1_000_000, 100_000, 10_000, 1_000):
            with pytest.raises(StorageFullError):
                fill(environment, size)
        environment.write(lambda transaction: transaction.drop(environment.db["things"], delete=False), upkeep=True)
        assert environment.map_size <= 33 * SMALL
        put(environment, b"a", b"x" * SMALL)
    environment.close()


GROW = """
import sys
from pathlib import Path
from fourfold.durable.environment import open_environment
environment = open_environment(Path(sys.argv[1]), databases=("things",), map_size=1 << 18, max_bytes=64 << 20)
environment.write(lambda t: t.put(b"big", b"x" * (8 << 20), db=environment.db["things"]))
"""


@pytest.mark.parametrize("use", ["read", "write"])
def test_a_map_that_another_process_grew_is_adopted(environment: Environment, use: str) -> None:
    put(environment, b"a", b"1")
    with Child(GROW, environment.path) as child:
        child.finished()
    if use == "write":
        put(environment, b"b", b"2")
    value = get(environment, b"big")
    assert value is not None
    assert len(value) == 8 << 20
    assert environment.map_size >= 8 << 20


def test_a_map_that_another_process_grows_during_opening_is_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_at(tmp_path).close()
    plain = lmdb.open

    def interrupted(path: str, map_size: int, max_dbs: int, max_readers: int) -> lmdb.Environment:
        opened = plain(path, map_size=map_size, max_dbs=max_dbs, max_readers=max_readers)
        with Child(GROW, path) as child:
            child.finished()
        return opened

    monkeypatch.setattr(lmdb, "open", interrupted)
    environment = opened_at(tmp_path)
    assert get(environment, b"big") == b"x" * (8 << 20)
    environment.close()


def test_every_commit_is_synced(environment: Environment) -> None:
    # No test here can cut the power, so this much is read off: the two flags that would skip the sync are not set.
    flags = environment._env.flags()
    assert flags["sync"]
    assert flags["metasync"]


def test_opening_a_small_map_with_many_databases_grows_it(tmp_path: Path) -> None:
    names = [f"database{number}" for number in range(40)]
    environment = open_environment(tmp_path, databases=names, map_size=1 << 14, max_bytes=1 << 20)
    assert list(environment.db) == names
    environment.close()


DISK = """
import resource, sys
from pathlib import Path
from fourfold.durable.environment import StorageFullError, open_environment
environment = open_environment(Path(sys.argv[1]), databases=("things",), map_size=1 << 18, max_bytes=64 << 20)
put = lambda n: environment.write(lambda t: t.put(b"%d" % n, b"x" * 100_000, db=environment.db["things"]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
for n in range(100):
    try:
        put(n)
        print(n, flush=True)
    except StorageFullError as error:
        assert "free some space" in str(error), error
        print("full", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
put(100)
print(100, flush=True)
"""


def test_a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room(environment: Environment) -> None:
    with Child(DISK, environment.path) as child:
        told = child.finished()
    assert "full" in told
    kept = [int(line) for line in told if line != "full"]
    assert 0 in kept
    assert kept[-1] == 100
    stored = environment.read(lambda t: [int(key) for key, _ in t.cursor(environment.db["things"])])
    assert sorted(stored) == kept


def test_after_a_fork_it_must_be_opened_anew(environment: Environment) -> None:
    put(environment, b"a", b"1")
    environment.pid -= 1  # As a forked child sees it.
    with pytest.raises(RuntimeError, match="open it after the fork"):
        get(environment, b"a")
    environment.pid += 1


READ_FOREVER = """
import sys, time
from pathlib import Path
from fourfold.durable.environment import open_environment
environment = open_environment(Path(sys.argv[1]), databases=("things",), map_size=1 << 18, max_bytes=1 << 20)
def body(transaction):
    print("reading", flush=True)
    time.sleep(60)
environment.read(body)
"""


def test_a_reader_that_was_killed_does_not_hold_space_back(tmp_path: Path) -> None:
    environment = opened_at(tmp_path, max_bytes=1 << 20)
    put(environment, b"a", b"x" * 150_000)
    with Child(READ_FOREVER, environment.path) as child:
        assert child.line() == "reading"
        child.killed_after(0)
    for _ in range(20):
        put(environment, b"a", b"x" * 150_000)
    environment.close()
