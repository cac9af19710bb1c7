"""An exported log comes back as it was, laid out by day, in bounded pieces, and never half."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fourfold.events.export as module
from fourfold.events.export import DAY, ExportError, export_parquet, import_parquet
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.log import OffsetError
from fourfold.events.types import Event, Impression, batch_of
from tests.contract.log_contract import everything, id_list, numbered
from tests.events.samples import events, impressions

APRIL_25 = 1_650_844_800_000


def at(*times: int) -> pa.RecordBatch:
    return batch_of(
        Impression(id=f"t{number}", time=time, viewer="ann", item="post", surface="feed") for number, time in enumerate(times)
    )


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_ROWS", 4)


def test_days_are_those_of_event_time(tmp_path: Path) -> None:
    times = [APRIL_25 - 1, APRIL_25, APRIL_25 + DAY - 1, APRIL_25 + DAY, APRIL_25 + 1, 0]
    with LmdbLog(tmp_path / "log") as log:
        log.append(at(*times), APRIL_25 + 2 * DAY)
        export = export_parquet(log, tmp_path / "out")
    assert (export.start, export.end) == (0, 6)
    assert files_of(tmp_path / "out") == [
        "_fourfold.json",
        "day=1970-01-01/00000000000000000005.parquet",
        "day=2022-04-24/00000000000000000000.parquet",
        "day=2022-04-25/00000000000000000001.parquet",
        "day=2022-04-25/00000000000000000004.parquet",
        "day=2022-04-26/00000000000000000003.parquet",
    ]
    day = pq.read_table(tmp_path / "out" / "day=2022-04-25", partitioning=None)
    assert day["offset"].to_pylist() == [1, 2, 4]
    assert day["time"].to_pylist() == [APRIL_25, APRIL_25 + DAY - 1, APRIL_25 + 1]
    assert day["arrival"].to_pylist() == [APRIL_25 + 2 * DAY] * 3


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(events(), max_size=4), max_size=5))
def test_export_then_import_gives_the_same_log(tmp_path_factory: pytest.TempPathFactory, appends: list[list[Event]]) -> None:
    folder = tmp_path_factory.mktemp("export")
    with LmdbLog(folder / "log") as log, LmdbLog(folder / "copy") as copy:
        for arrival, given_events in enumerate(appends):
            log.append(batch_of(given_events), arrival)
        export_parquet(log, folder / "out")
        assert import_parquet(folder / "out", copy) == range(log.end)
        assert everything(copy).combine_chunks() == everything(log).combine_chunks()


def test_part_of_a_log_whose_beginning_was_dropped(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log, LmdbLog(tmp_path / "copy") as copy:
        for first in range(0, 12, 3):
            log.append(impressions(first, 3), first)
        log.retain(3)
        assert (export_parquet(log, tmp_path / "all").start, log.end) == (3, 12)
        export_parquet(log, tmp_path / "some", start=4, end=11)
        copy.append(impressions(0, 4), 0)
        assert import_parquet(tmp_path / "some", copy) == range(4, 11)
        assert id_list(copy) == numbered(0, 11)
        assert everything(copy, 4)["arrival"].to_pylist() == [3, 3, 6, 6, 6, 9, 9]
        for start, end, problem in ((2, 11, "no longer kept"), (4, 13, "ends at 12"), (9, 8, "not all there")):
            with pytest.raises(OffsetError, match=problem):
                export_parquet(log, tmp_path / "wrong", start=start, end=end)
            assert not (tmp_path / "wrong").exists()


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with LmdbLog(tmp_path / "log") as log, LmdbLog(tmp_path / "copy") as copy:
        log.append(impressions(0, 10), 1)
        export_parquet(log, tmp_path / "out", on_progress=lambda done, total: told.append((done, total)))
        assert told == [(4, 10), (8, 10), (10, 10)]
        told.clear()
        import_parquet(tmp_path / "out", copy, on_progress=lambda done, total: told.append((done, total)))
        assert told == [(4, 10), (8, 10), (10, 10)]


def test_nothing_appears_of_an_export_that_fails(tmp_path: Path) -> None:
    def fail(done: int, total: int | None) -> None:
        assert not (tmp_path / "out").exists()
        raise KeyboardInterrupt

    with LmdbLog(tmp_path / "log") as log:
        log.append(impressions(0, 10), 1)
        with pytest.raises(KeyboardInterrupt):
            export_parquet(log, tmp_path / "out", on_progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with LmdbLog(tmp_path / "log") as log, pytest.raises(ExportError, match="exists already; name a new folder"):
        export_parquet(log, tmp_path / "out")
    assert files_of(tmp_path / "out") == []


def test_files_compacted_and_sorted_by_others_still_give_the_order_back(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log, LmdbLog(tmp_path / "copy") as copy:
        log.append(at(*(APRIL_25 + (number % 3) * DAY - number for number in range(20))), 1)
        export_parquet(log, tmp_path / "out")
        for day in list((tmp_path / "out").glob("day=*")):
            rows = pq.read_table(day, partitioning=None).sort_by("time")
            for file in day.iterdir():
                file.unlink()
            pq.write_table(rows, day / "compacted.parquet")
        import_parquet(tmp_path / "out", copy)
        assert everything(copy).combine_chunks() == everything(log).combine_chunks()


@pytest.mark.parametrize("damage", ["missing", "twice"])
def test_an_export_that_is_not_whole_is_refused(tmp_path: Path, damage: str) -> None:
    with LmdbLog(tmp_path / "log") as log, LmdbLog(tmp_path / "copy") as copy:
        log.append(impressions(0, 10), 1)
        export_parquet(log, tmp_path / "out")
        file = tmp_path / "out" / "day=1970-01-01" / f"{4:020}.parquet"
        if damage == "twice":
            (file.parent / "again.parquet").write_bytes(file.read_bytes())
        else:
            file.unlink()
        with pytest.raises(ExportError, match="offsets 4 to 8, or has them twice; export it again"):
            import_parquet(tmp_path / "out", copy)


def test_a_folder_that_is_no_export_is_refused(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log:
        with pytest.raises(ExportError, match=r"has no _fourfold.json; name a folder that export_parquet wrote"):
            import_parquet(tmp_path, log)
        (tmp_path / "_fourfold.json").write_text("{")
        with pytest.raises(ExportError, match="damaged"):
            import_parquet(tmp_path, log)


def test_the_last_day_that_a_time_can_name(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log, LmdbLog(tmp_path / "copy") as copy:
        log.append(at((1 << 52) - 1), 1)
        export_parquet(log, tmp_path / "out")
        import_parquet(tmp_path / "out", copy)
        assert everything(copy) == everything(log)
