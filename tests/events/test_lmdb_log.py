"""What the embedded log promises beyond the contract: kills, other processes, grouped appends, and running out of room."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

import fourfold.events.lmdb_log as module
from fourfold.durable.environment import Transaction
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.log import LogError, LogFullError
from fourfold.events.types import SCHEMA
from tests.contract.log_contract import everything, id_list, numbered
from tests.durable.children import Child
from tests.events.samples import impressions

APPEND_FOREVER = """
import sys
from pathlib import Path
from fourfold.events.lmdb_log import LmdbLog
from tests.events.samples import impressions
log = LmdbLog(Path(sys.argv[1]), map_size=1 << 16)
print("ready", flush=True)
for turn in range(int(sys.argv[3])):
    prefix = f"{sys.argv[2]}-{turn}-"
    offsets = log.append(impressions(0, turn % 4 + 1, prefix), turn)
    print(prefix, offsets.start, offsets.stop, flush=True)
"""


def acknowledged(lines: list[str]) -> dict[str, range]:
    """The appends that a child was told are done: prefix of the ids, and offsets."""
    words = [line.split() for line in lines if line != "ready"]
    return {prefix: range(int(start), int(stop)) for prefix, start, stop in words}


def test_every_acknowledged_event_survives_a_kill(tmp_path: Path) -> None:
    chance, told = random.Random(7), dict[str, range]()
    for run in range(4):
        with Child(APPEND_FOREVER, tmp_path / "log", run, 1_000_000) as child:
            assert child.line() == "ready"
            told |= acknowledged([child.line()])
            told |= acknowledged(child.killed_after(chance.uniform(0.02, 0.3)))
    with LmdbLog(tmp_path / "log") as log:
        ids = id_list(log)
        assert len(ids) == log.end
        end = log.append(impressions(0, 2, "after"), 1)
        assert end == range(len(ids), len(ids) + 2)
    for prefix, offsets in told.items():
        assert ids[offsets.start : offsets.stop] == [f"{prefix}{n}" for n in range(len(offsets))]
    # Of each killed process at most the one append that was under way is there beside them, whole and in its place.
    more = len(ids) - sum(map(len, told.values()))
    assert 0 <= more <= 4 * 4
    turns = [(int(run), int(turn), int(n)) for run, turn, n in (event.split("-") for event in ids)]
    assert turns == sorted(set(turns))
    assert all(n == turn % 4 for (run, turn, n), after in zip(turns, [*turns[1:], (9, 0, 0)], strict=True) if after[2] == 0)


def test_processes_append_at_once(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log", map_size=1 << 16) as log, ExitStack() as stack:
        children = [stack.enter_context(Child(APPEND_FOREVER, tmp_path / "log", name, 60)) for name in "abc"]
        for child in children:
            assert child.line() == "ready"
        own = {f"own-{turn}-": log.append(impressions(0, 3, f"own-{turn}-"), turn) for turn in range(30)}
        told = own | {key: value for child in children for key, value in acknowledged(child.finished()).items()}
        ids = id_list(log)
    assert len(told) == 30 + 3 * 60
    assert sorted(offset for offsets in told.values() for offset in offsets) == list(range(len(ids)))
    for prefix, offsets in told.items():
        assert ids[offsets.start : offsets.stop] == [f"{prefix}{n}" for n in range(len(offsets))]


def blocked_appends(log: LmdbLog, batches: list[pa.RecordBatch]) -> list[range | LogError]:
    """Append from one thread each while another transaction holds the log up, the first batch alone and the rest after."""
    answers: dict[int, range | LogError] = {}
    holding, go_on = threading.Event(), threading.Event()

    def append(index: int) -> None:
        try:
            answers[index] = log.append(batches[index], 1)
        except LogError as error:
            answers[index] = error

    def hold(_: Transaction) -> None:
        holding.set()
        assert go_on.wait(10)

    holder = threading.Thread(target=log._environment.write, args=(hold,))
    holder.start()
    assert holding.wait(10)
    threads = [threading.Thread(target=append, args=(index,)) for index in range(len(batches))]
    threads[0].start()
    wait_for(lambda: log._commit.locked() and not log._queued)
    for thread in threads[1:]:
        thread.start()
    wait_for(lambda: len(log._queued) == len(batches) - 1)
    go_on.set()
    for thread in [holder, *threads]:
        thread.join()
    return [answers[index] for index in range(len(batches))]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def transactions(log: LmdbLog) -> int:
    return log._environment.read(lambda transaction: transaction.id())


def test_appends_that_wait_together_share_one_transaction(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log:
        before = transactions(log)
        answers = blocked_appends(log, [impressions(0, index + 1, f"{index}-") for index in range(8)])
        assert transactions(log) - before <= 3
        ids = id_list(log)
    assert len(ids) == sum(range(9))
    for index, answer in enumerate(answers):
        assert isinstance(answer, range)
        assert ids[answer.start : answer.stop] == [f"{index}-{n}" for n in range(index + 1)]


def test_what_does_not_fit_together_is_tried_alone(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log", map_size=1 << 16, max_bytes=1 << 20) as log:
        huge = impressions(0, 20_000, "huge")
        answers = blocked_appends(log, [impressions(0, 1), impressions(1, 1), huge, impressions(2, 1)])
        assert isinstance(answers[2], LogFullError)
        assert sum(isinstance(answer, range) for answer in answers) == 3
        assert sorted(id_list(log)) == numbered(0, 3)


def test_an_append_that_breaks_down_tells_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LmdbLog(tmp_path / "log") as log:

        def interrupt(batch: pa.RecordBatch) -> bytes:
            raise KeyboardInterrupt

        mine = module._Append(impressions(0, 1))
        log._queued.append(mine)
        monkeypatch.setattr(module, "_encode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            log.append(impressions(1, 1), 1)
        monkeypatch.undo()
        assert mine.error is not None
        assert "safe to send the same events again" in str(mine.error)
        assert log.append(impressions(0, 1), 1) == range(1)


def test_a_breakdown_among_appends_that_did_not_fit_together_tells_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LmdbLog(tmp_path / "log") as log:
        commit = LmdbLog._commit_events

        def breaks_down(self: LmdbLog, batch: pa.RecordBatch, expected: int | None) -> int:
            if len(batch) == 2:
                raise OSError("the disk sulks")
            if len(batch) > 3:
                raise LogFullError("no room for all at once")
            return commit(self, batch, expected)

        waiting = [module._Append(impressions(n, n)) for n in (1, 2, 3)]
        log._queued.extend(waiting)
        monkeypatch.setattr(LmdbLog, "_commit_events", breaks_down)
        with pytest.raises(OSError, match="sulks"):
            log.append(impressions(9, 1), 1)
        assert waiting[0].offsets == range(1)
        assert ["sulks" in str(append.error) for append in waiting[1:]] == [True, False]
        assert "an append before it failed; it is safe" in str(waiting[2].error)
        monkeypatch.undo()
        assert log.append(waiting[2].batch, 1) == range(1, 4)


def fill(log: LmdbLog) -> None:
    while True:
        log.append(impressions(log.end, 100), 1)


def test_the_log_grows_and_then_says_what_to_do(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log", map_size=1 << 16, max_bytes=1 << 20) as log:
        with pytest.raises(LogFullError, match=r"max_bytes of 1,048,576; or drop old events with retain"):
            fill(log)
        assert log.end > 1_000
        assert id_list(log) == numbered(0, log.end)


def test_a_full_log_can_always_make_room(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log", map_size=1 << 16, max_bytes=1 << 18) as log:
        for turn in range(12):
            with pytest.raises(LogFullError):
                fill(log)
            assert log.end >= (turn + 1) * 400
            log.acknowledge("features", log.end)
            assert id_list(log) == numbered(log.start, log.end)
            assert log.retain(log.end) == log.end
    assert (tmp_path / "log" / "data.mdb").stat().st_size < (1 << 18) + (1 << 17)


DISK_FULL = """
import resource, sys
from pathlib import Path
from fourfold.events.log import LogFullError
from fourfold.events.lmdb_log import LmdbLog
from tests.events.samples import impressions
log = LmdbLog(Path(sys.argv[1]), map_size=1 << 16)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, resource.RLIM_INFINITY))
refused = 0
while refused < 3:
    try:
        log.append(impressions(log.end, 200), 1)
    except LogFullError as error:
        assert "free some space" in str(error)
        refused += 1
print(log.end)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append(impressions(log.end, 200), 1)
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with Child(DISK_FULL, tmp_path / "log") as child:
        taken = int(child.finished()[0])
    assert taken > 400
    with LmdbLog(tmp_path / "log") as log:
        assert id_list(log) == numbered(0, taken + 200)


def test_reading_joins_small_batches_and_bounds_large_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORED_ROWS", 3)
    monkeypatch.setattr(module, "READ_ROWS", 5)
    with LmdbLog(tmp_path / "log") as log:
        log.append(impressions(0, 8), 1)
        for first in range(8, 14):
            log.append(impressions(first, 1), 1)
        for offset in range(15):
            assert id_list(log, offset) == numbered(offset, 14)
        sizes = [len(batch) for _, batch in log.read(0)]
        assert max(sizes) <= 5
        assert len(sizes) <= 5
        assert log.retain(5) == 3
    monkeypatch.setattr(module, "READ_BYTES", 1)
    with LmdbLog(tmp_path / "log") as log:
        assert [len(batch) for _, batch in log.read(3)] == [3, 2, *[1] * 6]


def test_a_batch_can_be_cut_out_of_a_larger_one(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log:
        log.append(impressions(0, 10).slice(4, 3), 5)
        assert id_list(log) == numbered(4, 7)
        assert everything(log).schema == SCHEMA


def test_a_log_of_another_format_is_refused(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log:
        environment = log._environment
        environment.write(lambda t: t.put(b"format", (2).to_bytes(8), db=environment.db["log"]))
    with pytest.raises(LogError, match="format 2 of the log, not 1"):
        LmdbLog(tmp_path / "log")


def test_a_consumer_needs_a_name(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log:
        for name in ("", "x" * 257):
            with pytest.raises(ValueError, match="cannot name a consumer"):
                log.acknowledge(name, 0)
