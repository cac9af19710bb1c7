"""Drafts are imported as they stand, uncorrected."""

import json
import random
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.data.draft import draft_mapping
from fourfold.data.mapping import Mapping
from fourfold.data.reading import DataError, Reader, Rejected
from fourfold.events.types import Action, EntityUpsert, Event, Impression
from tests.data.samples import read, real_data


def drafted(*paths: Path) -> tuple[str, list[Event], list[Rejected]]:
    text = draft_mapping(paths)
    reader = Mapping.from_toml(text).reader(paths[0].parent)
    return text, *read(reader)


def counted(reader: Reader) -> Counter[str]:
    """Events by kind and name, in bulk: these files are large."""
    counts: Counter[str] = Counter()
    for batch in reader.batches():
        assert batch.rejected == ()
        named = pc.binary_join_element_wise(batch.events["kind"].cast("string"), batch.events["name"].fill_null(""), ":")
        counts.update({row["values"]: row["counts"] for row in pc.value_counts(named).to_pylist()})
    return counts


def test_kuairand_as_published() -> None:
    folder = real_data("kuairand")
    stems = ("log_standard_4_25_to_5_05_pure", "user_features_pure", "video_features_basic_pure")
    text = draft_mapping([folder / f"{stem}.parquet" for stem in stems])
    ours = counted(Mapping.from_toml(text).reader(folder))
    log, *tables = [pq.read_table(folder / f"{stem}.parquet") for stem in stems]
    flags = {"long_view": "long_view"}
    flags |= {name: f"is_{name}" for name in ("click", "like", "follow", "comment", "forward", "hate", "profile_enter")}
    expected = {"0:": len(log), "2:member": len(tables[0]), "2:post": len(tables[1])}
    assert ours == expected | {f"1:{name}": pc.sum(log[column]).as_py() for name, column in flags.items()}
    assert tomllib.loads(text)["logs"][0]["context"] == {"tab": "tab"}


def test_movielens_as_published() -> None:
    folder = real_data("movielens-latest-small")
    text = draft_mapping([folder / "ratings.csv", folder / "movies.csv"])
    counts = counted(Mapping.from_toml(text).reader(folder))
    assert (counts["0:"], counts["2:post"]) == (100_836, 9_742)
    assert counts["1:like"] == 48_580
    attributes = tomllib.loads(text)["entities"][0]["attributes"]
    assert attributes["genres"] == {"column": "genres", "kind": "category", "split": "|"}
    assert attributes["title"]["kind"] == "text"


def test_the_tables_of_the_tutorial(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "docs" / "examples" / "magazine"
    subprocess.run([sys.executable, example / "generate.py", tmp_path / "magazine"], check=True)
    files = sorted((tmp_path / "magazine").glob("*.csv"))
    ours, theirs = tomllib.loads(draft_mapping(files)), tomllib.loads((example / "mapping.toml").read_text())
    # What is shown at once is left to a person, and the ends of a link are made entities.
    assert theirs["logs"][0].pop("request") == "visit"
    assert [ours["edges"][0].pop(key) for key in ("nodes", "undirected")] == ["member", False]
    assert ours == theirs


SHOP = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
PRODUCTS = {
    "1003461": "2053013555631882655,electronics.smartphone,xiaomi,489.07",
    "5000088": "2053013566100866035,appliances.sewing_machine,janome,293.65",
    "17302664": "2053013553853497655,,creed,28.31",
    "3601530": "2053013563810775923,appliances.kitchen.washer,lg,712.87",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    draw = random.Random(7)
    rows = []
    for second in range(200):
        product, event = draw.choice([*PRODUCTS]), draw.choices(["view", "cart", "purchase"], [90, 6, 4])[0]
        category, price = PRODUCTS[product].rsplit(",", 1)
        price = price if second % 9 else "100.0"
        time = f"2019-11-01 00:{second // 60:02}:{second % 60:02} UTC"
        rows.append(f"{time},{event},{product},{category},{price},{520_088_904 + draw.randrange(30)},{draw.getrandbits(64):x}")
    (tmp_path / "2019-Nov.csv").write_text("\n".join([SHOP, *rows, ""]))
    return tmp_path / "2019-Nov.csv"


def test_a_shop(shop: Path) -> None:
    text, events, rejected = drafted(shop)
    assert rejected == []
    kinds = Counter(event.name if isinstance(event, Action) else type(event).__name__ for event in events)
    assert set(kinds) == {"Impression", "cart", "purchase", "EntityUpsert"}
    assert kinds["Impression"] + kinds["cart"] + kinds["purchase"] == 200
    first = min(event.time for event in events if isinstance(event, Impression | Action))
    assert first == 1_572_566_400_000
    products = {e.key: e.attributes for e in events if isinstance(e, EntityUpsert)}
    assert kinds["EntityUpsert"] == len(PRODUCTS)
    assert products["1003461"] == {
        "category_id": "2053013555631882655",
        "category_code": "electronics.smartphone",
        "brand": "xiaomi",
    }
    assert '# request = "user_session"' in text
    assert "# not used: price: numbers from 28.31 to 712.87" in text


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {
            "ts": 1_700_000_000_000 + number,
            "user": f"u{number % 3}",
            "article": f"a{number % 4}",
            "event": ["Impression", "Click Through"][number % 2],
            "device": ["ios", "web"][number % 2],
            "rank": number % 5,
            "request_id": f"r{number // 5}",
        }
        for number in range(20)
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, events, rejected = drafted(tmp_path / "events.jsonl")
    assert rejected == []
    first, second = events[:2]
    assert isinstance(first, Impression)
    assert (first.viewer, first.item, first.time, first.position, first.request) == ("u0", "a0", 1_700_000_000_000, 0, "r0")
    assert first.context == {"device": "ios"}
    assert isinstance(second, Action)
    assert (second.name, second.viewer, second.context) == ("click_through", "u1", {"device": "web"})


def test_a_file_without_a_header(tmp_path: Path) -> None:
    rows = [f"{number % 7};{number % 5};{number % 4 + 1};{881_250_949 + number}" for number in range(30)]
    (tmp_path / "u.csv").write_text("\n".join(rows))
    text, events, rejected = drafted(tmp_path / "u.csv")
    assert (len(events), rejected) == (30, [])
    assert 'columns = ["column1", "column2", "column3", "column4"]' in text
    assert text.count("UNSURE") == 3


def test_logs_of_the_same_columns_are_one_table_and_folders_are_relative(tmp_path: Path) -> None:
    for day in ("d[1]", "d2"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "log.csv").write_text("user,item,time,clicked\nu,i,1700000000,1\nv,j,1700000001,0\n")
    text = draft_mapping([tmp_path / "d[1]" / "log.csv", tmp_path / "d2" / "log.csv"])
    (log,) = tomllib.loads(text)["logs"]
    assert log["files"] == ["d[[]1]/log.csv", "d2/log.csv"]
    events, rejected = read(Mapping.from_toml(text).reader(tmp_path))
    assert (len(events), rejected) == (6, [])
    assert f"--from {tmp_path}" in text


def test_a_table_is_of_viewers_if_their_ids_are_in_it(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item,time\nu1,i1,1700000000\nu2,i1,1700000001\n")
    (tmp_path / "about.csv").write_text("key,age\nu1,30\nu2,41\nu3,50\n")
    text = draft_mapping([tmp_path / "log.csv", tmp_path / "about.csv"])
    assert tomllib.loads(text)["entities"][0]["type"] == "member"
    assert "# UNSURE: neither a name nor a log says so" in text


def test_edges_alone_need_a_time_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("id_1,id_2\n10,11\n11,12\n")
    (tmp_path / "target.csv").write_text("id,label\n10,1\n11,0\n12,1\n")
    text, events, rejected = drafted(tmp_path / "edges.csv", tmp_path / "target.csv")
    assert rejected == []
    assert {event.time for event in events} == {946_684_800_000 - 1, 946_684_800_000 - 2}
    assert "at = 946684800000  # UNSURE: no file has times" in text
    assert tomllib.loads(text)["entities"][0]["type"] == "member"


def test_a_file_of_which_nothing_can_be_made_is_a_comment_beside_others_and_an_error_alone(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item,time\nu,i,1700000000\n")
    (tmp_path / "odd.csv").write_text("user,item,stars\nu,i,3\nu,i,4\n")
    text, events, _ = drafted(tmp_path / "log.csv", tmp_path / "odd.csv")
    assert len(events) == 1
    assert "# odd.csv: no column is a time" in text
    with pytest.raises(DataError, match=r"odd\.csv: no column is a time.*write the mapping by hand"):
        draft_mapping([tmp_path / "odd.csv"])


def test_names_that_would_be_the_same_and_letters_that_no_comment_may_hold(tmp_path: Path) -> None:
    rows = "".join(f"u{n % 3},i{n % 2},{1_700_000_000 + n},{n % 2},1,{n * n}.5\n" for n in range(9))
    (tmp_path / "log.csv").write_text(f"user,item,time,isClick,is_click,no\x1bte\n{rows}")
    log = tomllib.loads(draft_mapping([tmp_path / "log.csv"]))["logs"][0]
    assert log["actions"] == {"click": "isClick", "click_2": "is_click"}


HEADER = st.text(st.characters(exclude_characters='",\r\n\t;|', exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    names=st.lists(HEADER, min_size=1, max_size=4, unique=True), values=st.lists(st.sampled_from(["0", "1", "a"]), min_size=4)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_whatever_columns_are_called_the_draft_is_a_mapping(names: list[str], values: list[str], tmp_path: Path) -> None:
    lines = [f"u{row},i{row % 2},{1_700_000_000 + row}," + ",".join([value] * len(names)) for row, value in enumerate(values)]
    text = ",".join(["user_id", "item_id", "ts", *(f"is {name} '" for name in names)])
    (tmp_path / "log.csv").write_text("\n".join([text, *lines]))
    Mapping.from_toml(draft_mapping([tmp_path / "log.csv"])).reader(tmp_path)
