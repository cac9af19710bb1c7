"""What `fourfold events export` writes can be imported as a data set: the same events, in event time, each once."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fourfold.events.export as export
from fourfold.data.exported import ExportedReader
from fourfold.data.reading import DataError
from fourfold.events.export import DAY, export_parquet
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import Event, Impression, batch_of
from tests.data.samples import read
from tests.events.samples import events

TIMES = [DAY + 5, 5, DAY, 5, 3 * DAY, DAY + 5, 0]


def exported(folder: Path, written: list[Event]) -> Path:
    with LmdbLog(folder / "log") as log:
        log.append(batch_of(written), 9 * DAY)
        export_parquet(log, folder / "out")
    return folder / "out"


def shown() -> list[Event]:
    return [Impression(id=str(n), time=time, viewer="v", item="i", surface="feed") for n, time in enumerate(TIMES)]


def test_in_event_time_and_of_one_time_in_the_order_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FILE_ROWS", 2)
    found, rejected = read(ExportedReader(exported(tmp_path, shown())))
    assert rejected == []
    assert [event.id for event in found] == ["6", "1", "3", "2", "0", "5", "4"]


def test_of_one_time_across_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FILE_ROWS", 2)
    same = [Impression(id=str(n), time=DAY, viewer="v", item="i", surface="feed") for n in range(41)]
    assert [event.id for event in read(ExportedReader(exported(tmp_path, list(same))))[0]] == [str(n) for n in range(41)]


@given(st.lists(events(), min_size=1, max_size=6))
@settings(max_examples=30)
def test_every_kind_of_event_comes_back(written: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found, _ = read(ExportedReader(exported(Path(folder), written)))
    assert found == sorted(written, key=lambda event: event.time)


def test_files_that_other_tools_rewrote(tmp_path: Path) -> None:
    folder = exported(tmp_path, shown())
    table = pa.concat_tables(pq.read_table(path, partitioning=None) for path in sorted(folder.rglob("*.parquet")))
    (tmp_path / "one").mkdir()
    large = table.drop_columns("offset").cast(pa.schema([field.with_nullable(True) for field in table.schema][1:]))
    pq.write_table(large.set_column(0, "id", large["id"].dictionary_encode()), tmp_path / "one" / "all.parquet")
    found, _ = read(ExportedReader(tmp_path / "one"))
    assert {event.id for event in found} == {str(n) for n in range(len(TIMES))}


def test_a_folder_without_events(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no Parquet files; give a folder that `fourfold events export` wrote"):
        read(ExportedReader(tmp_path))
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet has no column 'kind'"):
        read(ExportedReader(tmp_path))
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"a\.parquet is no Parquet file of events"):
        read(ExportedReader(tmp_path))
