import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from fourfold.data.importing import ImportReport, Progress, RejectedRowError, run_import
from fourfold.data.movielens import movielens_reader
from fourfold.data.reading import ReadBatch, Rejected
from fourfold.events.types import Impression, batch_of, events_of
from tests.data.samples import csvs, official

BAD = tuple(Rejected(file="log.csv", row=n, reason="late" if n % 2 else "odd", raw={"n": n}) for n in range(1, 6))


class Numbered:
    """Batches of the sizes given; all but the first have rejected rows."""

    name = "numbered"

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def batches(self) -> Iterator[ReadBatch]:
        ids = count()
        for number, size in enumerate(self.sizes):
            shown = [Impression(id=str(next(ids)), time=1, viewer="v", item="i", surface="s") for _ in range(size)]
            yield ReadBatch(events=batch_of(shown), rejected=BAD if number else ())


def imported(reader: Numbered, **options: object) -> tuple[ImportReport, list[pa.RecordBatch]]:
    batches: list[pa.RecordBatch] = []
    seconds = count(0.0, 0.5)
    report = run_import(reader, batches.append, clock=lambda: next(seconds), **options)  # type: ignore[arg-type]  # as given
    return report, batches


def test_events_come_in_order_in_batches_of_the_size_asked_for() -> None:
    report, batches = imported(Numbered(3, 12, 0, 1), batch_events=5)
    assert [len(batch) for batch in batches] == [5, 5, 5, 1]
    assert [event.id for batch in batches for event in events_of(batch)] == [str(n) for n in range(16)]
    assert report.events == {"impression": 16}


def test_report_counts_by_kind_and_reason_and_takes_the_clock_of_the_caller(tmp_path: Path) -> None:
    progress: list[Progress] = []
    report, _ = imported(Numbered(2, 2), on_progress=progress.append)
    assert report.rejected == {"late": 3, "odd": 2}
    assert progress == [Progress(events=4, rejected=5, seconds=0.5)]
    assert (report.seconds, report.events_per_second) == (1.0, 4.0)
    batches: list[pa.RecordBatch] = []
    kinds = run_import(movielens_reader(official(tmp_path)), batches.append, clock=lambda: 0.0)
    assert kinds.events == {"impression": 3, "action": 3, "entity_upsert": 4}
    assert kinds.events_per_second == 0.0


def test_rejected_rows_are_set_aside_up_to_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "rejected" / "x.jsonl"
    report, _ = imported(Numbered(1, 1, 1), rejected=path, keep_rejected=7)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 3, 4, 5, 1, 2]
    assert rows[:2] == [
        {"file": "log.csv", "row": 1, "reason": "late", "raw": {"n": 1}},
        {"file": "log.csv", "row": 2, "reason": "odd", "raw": {"n": 2}},
    ]
    assert (report.rejected_path, report.rejected_written, sum(report.rejected.values())) == (path, 7, 10)
    assert [each.name for each in path.parent.iterdir()] == ["x.jsonl"]


def test_a_clean_import_removes_the_rejected_rows_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    imported(Numbered(1, 1), rejected=path)
    assert path.exists()
    report, _ = imported(Numbered(1), rejected=path)
    assert not path.exists()
    assert report.rejected_path is None


def test_a_failed_import_leaves_no_half_written_file(tmp_path: Path) -> None:
    def full(batch: pa.RecordBatch) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_import(Numbered(1, 1), full, clock=lambda: 0.0, rejected=tmp_path / "x.jsonl", batch_events=2)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_import_leaves_no_file_under_the_final_name_and_can_be_repeated(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from fourfold.data.importing import run_import
from tests.data.test_importing import Numbered
run_import(Numbered(1, 1), lambda _: os.kill(os.getpid(), signal.SIGKILL), clock=lambda: 0.0, rejected=Path(sys.argv[1]))
"""
    path = tmp_path / "x.jsonl"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    imported(Numbered(1, 1), rejected=path)
    assert [each.name for each in tmp_path.iterdir()] == ["x.jsonl"]
    assert len(path.read_text().splitlines()) == 5


def test_strict_stops_at_the_first_with_file_row_and_reason(tmp_path: Path) -> None:
    folder = csvs(tmp_path)
    with (folder / "ratings.csv").open("a") as file:
        file.write("7,1,bad,1000000000\n")
    with pytest.raises(RejectedRowError, match=r"ratings\.csv, row 3: rating: not a number: .*'bad'") as caught:
        run_import(movielens_reader(folder), lambda _: None, clock=lambda: 0.0, strict=True)
    assert caught.value.row.row == 3


def test_events_from_the_future_are_rejected(tmp_path: Path) -> None:
    class Ahead(Numbered):
        def batches(self) -> Iterator[ReadBatch]:
            for time in (1, 2, 3, 4):
                yield ReadBatch(events=batch_of([Impression(id=str(time), time=time, viewer="v", item="i", surface="s")]))

    report, batches = imported(Ahead(), latest=2, rejected=tmp_path / "x.jsonl")
    assert [event.time for batch in batches for event in events_of(batch)] == [1, 2]
    assert report.rejected == {"a time more than a day ahead of the clock": 2}
    aside = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [row["raw"]["time"] for row in aside] == [3, 4]
    with pytest.raises(RejectedRowError, match="ahead of the clock"):
        imported(Ahead(), latest=2, strict=True)
