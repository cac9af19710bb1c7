from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from fourfold.data.kuairand import USER_CATEGORIES, USER_NUMBERS, kuairand_reader
from fourfold.data.reading import DataError
from fourfold.events.types import Action, EntityUpsert, EventKind, Impression
from fourfold.surfaces import PRESETS
from tests.data.samples import read, real_data

START = 1_650_812_741_436
SIGNALS = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view", "is_profile_enter")


def folder(path: Path, suffix: str = "parquet", *, before: bool = False) -> Path:
    log = {
        "user_id": [1, 2, 1],
        "video_id": [5, 5, 6],
        "time_ms": [START + 20, START + 10, START],
        **{signal: [0, 0, 0] for signal in SIGNALS},
        "play_time_ms": [900, 0, 25_000],
        "duration_ms": [1_000, 9_000, 0],
        "tab": [1, 2, 1],
    }
    log |= {"is_click": [1, 0, 0], "long_view": [1, 0, 0], "is_hate": [0, 1, 0]}
    users: dict[str, list[object]] = {name: ["a", "b"] for name in USER_CATEGORIES}
    users.update({name: [3, 4] for name in USER_NUMBERS})
    users["user_id"] = [1, 2]
    users["onehot_feat4"] = ["4.0", ""] if suffix == "csv" else [4.0, None]
    videos = {
        "video_id": [5, 6],
        "author_id": [70, 71],
        "video_type": ["NORMAL", "AD"],
        "upload_dt": ["2022-04-10", "2022-04-09"],
        "upload_type": ["Web", "Kmovie"],
        "video_duration": [9_000.0, None],
        "music_id": [9155697141, 2],
        "music_type": [9.0, None],
        "tag": ["20,43", None],
    }
    tables = {"log_standard_x": log, "user_features_pure": users, "video_features_basic_pure": videos}
    path.mkdir(parents=True, exist_ok=True)
    for name, columns in tables.items():
        table = pa.table(columns)
        pa_csv.write_csv(table, path / f"{name}.csv") if suffix == "csv" else pq.write_table(table, path / f"{name}.parquet")
    if before:
        sequences = {
            "user_id": [1, 2],
            "last_time_ms": [START - 5_000, START + 7_000],
            "watch_seq": [[5, 6, 5], [6]],
            "like_seq": [[], [6]],
            "long_watch_seq": [[9, 5], []],
        }
        pq.write_table(pa.table(sequences), path / "user_sequences_before_x.parquet")
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_log_and_attributes(tmp_path: Path, suffix: str) -> None:
    events, rejected = read(kuairand_reader(folder(tmp_path, suffix)))
    assert rejected == []
    entities = {(e.type, e.key): dict(e.attributes) for e in events if isinstance(e, EntityUpsert)}
    assert entities["post", "5"] == {
        "author": "70",
        "music": "9155697141",
        "music_type": "9",
        "upload_type": "Web",
        "video_type": "NORMAL",
        "tag": "20",
        "length": "6",
        "tags": ["20", "43"],
        "duration_ms": 9_000.0,
        "words": "tag20 tag43 Web",
        "created": 1_649_548_800_000,
    }
    assert entities["post", "6"].keys() & {"music_type", "tag", "tags", "duration_ms", "length"} == set()
    assert entities["member", "1"]["onehot_feat4"] == "4"
    assert "onehot_feat4" not in entities["member", "2"]
    assert [(e.time - START, e.viewer, e.item) for e in events if isinstance(e, Impression)] == [
        (0, "1", "6"),
        (10, "2", "5"),
        (20, "1", "5"),
    ]
    assert [(e.time - START, e.context) for e in events if isinstance(e, Impression | Action)] == [
        (0, {"tab": "1"}),
        (0, {"tab": "1"}),
        (10, {"tab": "2"}),
        (10, {"tab": "2"}),
        *[(20, {"tab": "1"})] * 5,
    ]
    assert [(e.viewer, e.name, e.value) for e in events if isinstance(e, Action)] == [
        ("1", "watch_20s", None),
        ("2", "hate", None),
        ("1", "click", 900.0),
        ("1", "long_view", 900.0),
        ("1", "watch_half", None),
        ("1", "watch_most", None),
    ]


def test_csv_and_parquet_give_the_same_events(tmp_path: Path) -> None:
    assert read(kuairand_reader(folder(tmp_path / "a", "csv")))[0] == read(kuairand_reader(folder(tmp_path / "b")))[0]


def test_earlier_exposures_end_before_the_log_and_keep_their_order(tmp_path: Path) -> None:
    events, _ = read(kuairand_reader(folder(tmp_path, before=True)))
    before = [e for e in events if isinstance(e, Impression) and ":before:" in e.id]
    assert [(e.viewer, e.item, e.time - START) for e in before] == [
        ("1", "5", -7_000),
        ("1", "6", -6_000),
        ("1", "5", -5_000),
        ("2", "6", -1_000),
    ]
    assert all(e.undated and e.known == ["long_view", "like"] for e in before)
    assert not any(e.undated or e.known is not None for e in events if isinstance(e, Impression) and e not in before)
    done = [(e.viewer, e.item, e.name, e.time - START) for e in events if isinstance(e, Action) and ":before:" in e.id]
    assert done == [("1", "5", "long_view", -5_000), ("2", "6", "like", -1_000)]
    times = [event.time for event in events]
    assert times == sorted(times)
    assert len({event.id for event in events}) == len(events)


def test_earlier_exposures_of_nobody_are_rejected(tmp_path: Path) -> None:
    path = folder(tmp_path, before=True) / "user_sequences_before_x.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "user_id", pa.array([None, 2.0])), path)
    events, rejected = read(kuairand_reader(tmp_path))
    assert [(row.row, row.reason) for row in rejected] == [(1, "user_id: missing id")]
    assert [e.viewer for e in events if isinstance(e, Impression) and ":before:" in e.id] == ["2"]


def test_without_prehistory(tmp_path: Path) -> None:
    events, _ = read(kuairand_reader(folder(tmp_path, before=True), with_prehistory=False))
    assert not [e for e in events if ":before:" in e.id]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (folder(tmp_path) / "user_features_pure.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks user_features_pure; expected .*log_standard_\*.*found log_standard_x.parquet"):
        kuairand_reader(tmp_path)


def test_the_preset_knows_every_attribute_and_action_that_is_read(tmp_path: Path) -> None:
    definition = PRESETS["kuairand"]()
    events, _ = read(kuairand_reader(folder(tmp_path)))
    read_ = {(e.type, name) for e in events if isinstance(e, EntityUpsert) for name in e.attributes}
    declared = {(entity.name, attribute.name) for entity in definition.entities for attribute in entity.attributes}
    assert read_ == declared
    assert all(definition.action(e.name) for e in events if isinstance(e, Action))


def test_kuairand_as_published() -> None:
    counts: dict[EventKind, int] = dict.fromkeys(EventKind, 0)
    clicks = 0
    columns: dict[str, list[pa.Array]] = {"subject": [], "id": []}
    for batch in kuairand_reader(real_data("kuairand"), with_prehistory=False).batches():
        assert not batch.rejected
        kinds = batch.events.column("kind").to_numpy()
        for kind in EventKind:
            counts[kind] += int((kinds == kind).sum())
        shown = batch.events.filter(pa.array(kinds == EventKind.IMPRESSION))
        for name, parts in columns.items():
            parts.append(shown.column(name))
        clicks += pc.sum(pc.equal(batch.events.column("name"), "click")).as_py() or 0
    viewers, seen = (len(pa.concat_arrays(parts).unique()) for parts in columns.values())
    assert counts[EventKind.IMPRESSION] == 185_061
    assert counts[EventKind.ENTITY_UPSERT] == 7_583 + 27_285
    assert (viewers, seen, clicks) == (24_448, 180_022, 81_878)
