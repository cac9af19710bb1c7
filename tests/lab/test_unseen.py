"""A file's events beside a home's state: read whatever the form, taken once, in one order, and kept nowhere."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from fourfold.data.reading import DataError
from fourfold.events.export import export_parquet
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import Action, Event, Impression, batch_of
from fourfold.features.view import View
from fourfold.lab.unseen import Format, Unseen, reader_of_file, with_unseen
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY


def show(number: int, item: str = "p0", viewer: str = "m0") -> list[Event]:
    common: Any = {"viewer": viewer, "item": item, "surface": "feed", "time": START + number * HOUR}
    return [Impression(id=f"i{number}", **common), Action(id=f"a{number}", name="like", **common)]


HOME = [event for n in range(3) for event in show(n)]
FILE = [event for n in range(2, 6) for event in show(n, f"p{n % 3}", f"m{n}")]


def home() -> View:
    return state_of(HOME).view()


def lines(path: Path, events: Sequence[Event]) -> Path:
    path.write_bytes(b"\n".join(msgspec.json.encode(event) for event in events) + b"\n\n")
    return path


def taken(path: Path, format_: Format | None = None) -> Unseen:
    return with_unseen(home(), reader_of_file(path, format_, "feed"))


def rows_of(view: View) -> dict[str, list[Any]]:
    """Every table as lists, to compare two states bit by bit."""
    return {
        name: [(run.at.tolist(), {column: values.tolist() for column, values in run.columns.items()}) for run in table.runs]
        for name, table in view.tables.items()
    }


def test_events_are_taken_beside_the_home_and_once(tmp_path: Path) -> None:
    view = home()
    before = rows_of(view)
    found = with_unseen(view, reader_of_file(lines(tmp_path / "new.jsonl", FILE), None, "feed"))
    assert (found.taken.events, found.taken.new) == (8, 6)  # those of hour 2 are in the home
    assert len(found.view.table("impression")) == 6
    assert found.log is view
    assert rows_of(view) == before
    assert view.rows("member", ["m5"])[0] < 0
    assert found.view.rows("member", ["m5"])[0] >= 0
    everything = state_of([*HOME, *FILE]).view()
    assert {name: len(table) for name, table in everything.tables.items()} == {
        name: len(table) for name, table in found.view.tables.items()
    }


def test_shuffled_rows_give_the_very_same_state(tmp_path: Path) -> None:
    plain = taken(lines(tmp_path / "a.jsonl", FILE)).view
    shuffled = list(FILE)
    Random(3).shuffle(shuffled)
    other = taken(lines(tmp_path / "b.jsonl", shuffled)).view
    assert rows_of(other) == rows_of(plain)
    assert other.ids("member", other.all_rows("member")) == plain.ids("member", plain.all_rows("member"))


def test_of_rows_with_one_id_the_same_one_counts_whatever_comes_first(tmp_path: Path) -> None:
    """Two rows of a log may agree in member, item and time, and so in their id, but not in the rest."""
    twice = [Impression(id="x", time=START + HOUR * 9, viewer="m0", item=item, surface="feed") for item in ("p1", "p2")]
    one, other = (taken(lines(tmp_path / f"{n}.jsonl", events)).view for n, events in enumerate([twice, twice[::-1]]))
    assert rows_of(one) == rows_of(other)


def test_what_export_writes_can_be_judged(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log:
        log.append(batch_of(FILE), 1)
        export_parquet(log, tmp_path / "export")
    folder = taken(tmp_path / "export")
    assert (folder.taken.events, folder.taken.new) == (8, 6)
    file = next((tmp_path / "export").rglob("*.parquet"))
    assert rows_of(taken(file).view) == rows_of(folder.view)
    assert rows_of(taken(lines(tmp_path / "same.jsonl", FILE)).view) == rows_of(folder.view)


def kuairand(rows: int = 40) -> pa.Table:
    rng = np.random.default_rng(1)
    flags = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view", "is_profile_enter")
    columns: dict[str, Any] = {name: rng.integers(0, 2, rows) for name in flags}
    columns |= {"user_id": rng.integers(0, 5, rows), "video_id": rng.integers(0, 9, rows), "tab": rng.integers(0, 3, rows)}
    columns |= {"time_ms": START + rng.integers(0, 9, rows) * HOUR, "play_time_ms": rng.integers(0, 99, rows)}
    columns |= {"duration_ms": rng.integers(1_000, 9_999, rows)}
    return pa.table(columns)


def test_a_log_of_kuairand_as_csv_and_as_parquet(tmp_path: Path) -> None:
    table = kuairand()
    pa_csv.write_csv(table, tmp_path / "log.csv")
    pq.write_table(table.take(np.random.default_rng(2).permutation(len(table))), tmp_path / "log.parquet")
    found = [taken(tmp_path / name, "kuairand") for name in ("log.csv", "log.parquet")]
    assert rows_of(found[0].view) == rows_of(found[1].view)
    pairs = {tuple(row.values()) for row in table.select(["user_id", "video_id", "time_ms"]).to_pylist()}
    assert len(found[0].view.table("impression")) == 3 + len(pairs)
    assert found[0].taken.ignored  # TINY does not declare all of KuaiRand's actions


def test_a_mapping_says_how_to_read_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text(f"who,what,when,liked\nm7,p0,{START + 9 * HOUR},1\nm7,p1,{START + 9 * HOUR},0\n")
    (tmp_path / "map.toml").write_text(
        'name = "x"\nsurface = "feed"\n[[logs]]\nfiles = ["views.csv"]\nviewer = "who"\nitem = "what"\n'
        'time = { column = "when", unit = "ms" }\nactions = { like = "liked" }\n'
    )
    found = taken(tmp_path / "map.toml")
    assert (found.taken.events, found.taken.new) == (3, 3)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there; name a file of events"):
        taken(tmp_path / "no.parquet")
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="may be read in many ways: name its --format"):
        taken(tmp_path / "log.csv")
    pq.write_table(kuairand(), tmp_path / "log.parquet")
    with pytest.raises(DataError, match="has no column 'id'"):
        taken(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="has no column 'time_ms'"):
        taken(tmp_path / "log.csv", "kuairand")
    (tmp_path / "bad.jsonl").write_text('{"event": "impression"}\nnonsense\n')
    with pytest.raises(DataError, match="no events to judge; 1 rows: not an event"):
        taken(tmp_path / "bad.jsonl")


def test_bad_lines_are_counted_and_the_rest_is_taken(tmp_path: Path) -> None:
    path = lines(tmp_path / "some.jsonl", FILE)
    path.write_bytes(path.read_bytes() + b"nonsense\n")
    found = taken(path)
    assert found.taken.events == 8
    assert sum(found.taken.rejected.values()) == 1


def test_an_event_that_no_log_would_take_is_refused(tmp_path: Path) -> None:
    batch = batch_of(FILE)
    empty = pa.array(["", *batch["subject"].to_pylist()[1:]])
    batch = batch.set_column(batch.schema.get_field_index("subject"), batch.schema.field("subject"), empty)
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "events.parquet")
    with pytest.raises(DataError, match="column 'subject': is empty"):
        taken(tmp_path / "events.parquet")


def test_the_definition_stays_that_of_the_home(tmp_path: Path) -> None:
    assert taken(lines(tmp_path / "new.jsonl", FILE)).view.definition is TINY
