from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.import_ import imported, log_equals_files, run
from fourfold.events.lmdb_log import LmdbLog


def test_a_quick_run(tmp_path: Path) -> None:
    found = run(quick=True, folder=tmp_path, say=lambda _: None)
    assert (found.name, found.equal, found.skipped) == ("import", True, {})
    detail = msgspec.to_builtins(found.detail)
    assert detail["events"] > 32_500 + 4_000
    assert detail["larger_events"] > 32_500 + 20_000
    assert min(detail.values()) > 0


@pytest.mark.parametrize("column", ["video_id", "time_ms", "is_like", "play_time_ms", "tab", None])
def test_a_log_that_differs_in_one_row_is_seen(column: str | None, once: Path) -> None:
    path = once / "log.parquet"
    rows = pq.read_table(path)
    changed = rows.slice(1)
    if column is not None:
        row = rows["is_click"].to_pylist().index(1)
        values = rows[column].to_pylist()
        values[row] = 1 - values[row] if column == "is_like" else values[row] + 1
        changed = rows.set_column(rows.schema.get_field_index(column), column, pa.array(values, rows[column].type))
    assert log_equals_files(once)
    pq.write_table(changed, path)
    try:
        assert not log_equals_files(once)
    finally:
        pq.write_table(rows, path)


@pytest.mark.parametrize("change", ["ids", "upserts", "order"])
def test_a_log_that_repeats_ids_lacks_upserts_or_is_out_of_order_is_seen(change: str, once: Path, tmp_path: Path) -> None:
    for name in ("log", "members", "videos"):
        (tmp_path / f"{name}.parquet").symlink_to(once / f"{name}.parquet")
    with LmdbLog(once / "home" / "log") as log, LmdbLog(tmp_path / "home" / "log") as other:
        events = pa.Table.from_batches([batch for _, batch in log.read(0)]).combine_chunks()
        if change == "ids":
            events = events.set_column(0, events.schema.field("id"), pa.array(["x"] * len(events)))
        elif change == "upserts":
            events = events.filter(pc.not_equal(events["name"].fill_null(""), "post"))
        else:
            events = events.take(pa.array(range(len(events) - 1, -1, -1)))
        other.append(events.combine_chunks().to_batches()[0], 0)
    assert not log_equals_files(tmp_path)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "small"
    imported(folder, 1_000)
    return folder
