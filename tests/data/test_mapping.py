import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fourfold.data.mapping import Mapping
from fourfold.data.reading import DataError
from fourfold.definition import DefinitionError
from fourfold.events.types import Action, EdgeAdded, EntityUpsert, Impression
from tests.data.samples import read

FULL = """
name = "shop"

[[logs]]
file = "views-*.csv"
viewer = "user"
item = "product"
time = { column = "when", format = "iso" }
position = "rank"
request = "page"
context = { tab = "tab", device = "phone" }
[logs.actions]
click = "clicked"
buy = { column = "amount", at_least = 0.01, value = "amount" }
deep = { column = "amount", per = "rank", at_least = 12.5 }

[[entities]]
type = "post"
file = "products.jsonl"
key = "product"
[entities.attributes]
title = { column = "name", kind = "text" }
tags = { column = "tags", split = ";" }
price = { column = "price", kind = "number" }

[[edges]]
kind = "follows"
file = "follows.parquet"
source = "from"
target = "to"
time = { column = "at", unit = "ms" }
"""

AT = 1_700_000_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "views-1.csv").write_text(
        "user,product,when,rank,page,clicked,amount,tab,phone\n"
        "u1,p:1,2023-11-14T22:13:20Z,0,a,true,0,1,\n"
        "u1,p2,2023-11-14T23:13:21.5+01:00,1,a,false,12.5,2,x\n"
    )
    products = [
        {"product": "p:1", "name": "Red, hat", "tags": ["x", "y"], "price": 3},
        {"product": "p2", "name": None, "price": "4.5"},
    ]
    lines = [json.dumps(product) for product in products]
    (tmp_path / "products.jsonl").write_text("\n".join([*lines, "{broken", ""]))
    follows = pa.table({"from": ["u1"], "to": ["u2"], "at": pa.array([AT + 500], pa.timestamp("ms"))})
    pq.write_table(follows, tmp_path / "follows.parquet")
    return tmp_path


def test_a_whole_mapping(shop: Path) -> None:
    events, rejected = read(Mapping.from_toml(FULL).reader(shop))
    assert [(row.file, row.row, row.reason) for row in rejected] == [("products.jsonl", 3, "not a JSON object")]
    assert [(e.type, e.key, e.attributes) for e in events if isinstance(e, EntityUpsert)] == [
        ("post", "p:1", {"title": "Red, hat", "tags": ["x", "y"], "price": 3.0}),
        ("post", "p2", {"price": 4.5}),
    ]
    shown = [e for e in events if isinstance(e, Impression)]
    assert [(e.viewer, e.item, e.time - AT, e.position, e.request) for e in shown] == [
        ("u1", "p:1", 0, 0, "a"),
        ("u1", "p2", 1_500, 1, "a"),
    ]
    contexts = {"p:1": {"tab": "1"}, "p2": {"tab": "2", "device": "x"}}
    assert all(e.context == contexts[e.item] for e in events if isinstance(e, Impression | Action))
    done = [(e.item, e.name, e.value) for e in events if isinstance(e, Action)]
    assert done == [("p:1", "click", None), ("p2", "buy", 12.5), ("p2", "deep", None)]
    assert [(e.source, e.target, e.time - AT) for e in events if isinstance(e, EdgeAdded)] == [("u1", "u2", 500)]
    assert [e.time for e in events] == sorted(e.time for e in events)


def named(tmp_path: Path, action: str) -> list[tuple[str, str]]:
    (tmp_path / "log.jsonl").write_text(
        '{"u": 1, "i": 2, "t": 1700000000, "e": "view"}\n{"u": 1, "i": 2, "t": 1700000001, "e": "Buy Now", "v": 2}\n'
    )
    text = f'name = "x"\n[[logs]]\nfile = "log.jsonl"\nviewer = "u"\nitem = "i"\ntime = {{ column = "t" }}\naction = {action}\n'
    events, rejected = read(Mapping.from_toml(text).reader(tmp_path))
    assert rejected == []
    names = {e.id: getattr(e, "name", "impression") for e in events}
    return [(names[e.id], e.item) for e in events if isinstance(e, Impression | Action)]


def test_an_action_column_with_impressions(tmp_path: Path) -> None:
    action = '{ column = "e", impression = "view", value = "v", names = { "Buy Now" = "buy" } }'
    assert named(tmp_path, action) == [("impression", "2"), ("buy", "2")]


def test_an_action_column_without_impressions_makes_every_row_one(tmp_path: Path) -> None:
    assert named(tmp_path, '{ column = "e" }') == [("impression", "2"), ("view", "2"), ("impression", "2"), ("Buy Now", "2")]


def test_ids_hold_viewer_item_and_time_apart(tmp_path: Path) -> None:
    rows = ["a:b,c", "a,b:c", "a%3Ab,c", f"{'u' * 200},{'i' * 200}", f"{'u' * 200},{'j' * 200}"]
    (tmp_path / "views.csv").write_text("u,i,t\n" + "".join(f"{row},1700000000\n" for row in rows))
    text = 'name = "x"\n[[logs]]\nfile = "views.csv"\nviewer = "u"\nitem = "i"\ntime = { column = "t" }\n'
    events, _ = read(Mapping.from_toml(text).reader(tmp_path))
    assert len({e.id for e in events}) == 5
    assert max(len(e.id) for e in events) <= 256


def test_viewers_and_own_ids(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("u,i,t,key\n1,2,1700000000,k1\n3,2,1700000000,k1\n,2,1700000000,k2\n")
    text = 'name = "x"\n[[logs]]\nfile = "views.csv"\nviewer = "u"\nitem = "i"\n'
    text += 'id = "key"\nviewers = "member"\ntime = { column = "t" }\n'
    events, rejected = read(Mapping.from_toml(text).reader(tmp_path))
    assert [e.key for e in events if isinstance(e, EntityUpsert)] == ["1", "3"]
    assert [e.id for e in events if isinstance(e, Impression)] == ["x:k1", "x:k1"]
    assert [row.row for row in rejected] == [3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'viewer = "user"',
            'viewer = "usr"',
            r"no column 'usr', asked for by logs\[0\]\.viewer of the mapping; it has: user, prod",
        ),
        ('click = "clicked"', 'click = "klick"', r"'klick', asked for by logs\[0\]\.actions\.click"),
        ('column = "when"', 'column = "then"', r"'then', asked for by logs\[0\]\.time\.column"),
        ('value = "amount"', 'value = "sum"', r"'sum', asked for by logs\[0\]\.actions\.buy\.value"),
        ('source = "from"', 'source = "x"', r"'x', asked for by edges\[0\]\.source of the mapping; it has: from, to, at"),
        ('key = "product"', 'key = "sku"', r"'sku', asked for by entities\[0\]\.key of the mapping; it has: product, name"),
        ('"views-*.csv"', '"clicks.csv"', r"logs\[0\]\.file: 'clicks\.csv' is not in .*; there is: follows\.parquet, products"),
    ],
)
def test_a_wrong_column_or_file_is_named_with_what_there_is(shop: Path, old: str, new: str, message: str) -> None:
    assert old in FULL
    with pytest.raises(DataError, match=message):
        Mapping.from_toml(FULL.replace(old, new)).reader(shop)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", r"^mapping: not valid TOML"),
        ('name = "x"\nlog = 1', r"^mapping\.log: .*check the spelling"),
        (
            'name = "x"\n[[logs]]\nfile = "a.csv"',
            r'^mapping\.logs\[0\]\.viewer: is missing \(and 2 more\); write viewer = "\.\.\."$',
        ),
        (
            FULL.replace('time = { column = "when", format = "iso" }', ""),
            r'logs\[0\]\.time: is missing; write time = { column = "\.\.\." }$',
        ),
        (
            FULL.replace('file = "views-*.csv"', 'files = "v.csv"'),
            r"logs\[0\]\.files: 'v\.csv' is no list; write a list in brackets$",
        ),
        (
            FULL.replace('"number"', '"float"'),
            r"entities\[0\]\.attributes\.price\.kind: .*got 'float'; write 'category', 'number', .*",
        ),
        (
            FULL.replace("at_least = 0.01", "atleast = 0.01"),
            r"logs\[0\]\.actions\.buy\.atleast: Extra inputs are not permitted, got 0\.01; .*",
        ),
        (FULL.replace('click = "clicked"', "click = 1"), r"logs\[0\]\.actions\.click: Input should be a valid string, got 1"),
        (FULL.replace("click = ", "str = ").replace('"clicked"', "{ name = 1 }"), r"actions\.str\.column: is missing"),
        ('name = "No Name"', r"^mapping\.name: 'No Name' is not a name"),
        ('name = "x"\nat = 12', r"^mapping\.at: .*at least 315532800000"),
        (FULL.replace('unit = "ms"', 'unit = "minutes"'), r"^mapping\.edges\[0\]\.time\.unit: .*write 's', 'ms', 'us' or 'ns'"),
    ],
)
def test_a_wrong_mapping_names_the_key(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Mapping.from_toml(text)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names no files; write \[\[logs\]\]"):
        Mapping.from_toml('name = "x"').reader(tmp_path)


def test_untimed_files_need_a_time(shop: Path) -> None:
    text = 'name = "x"\n{}[[entities]]\ntype = "post"\nfile = "products.jsonl"\nkey = "product"\n'
    with pytest.raises(DataError, match=r"give the time of these events \(at"):
        read(Mapping.from_toml(text.format("")).reader(shop))
    events, _ = read(Mapping.from_toml(text.format(f"at = {AT}\n")).reader(shop))
    assert [e.time for e in events] == [AT - 2, AT - 2]


def test_a_log_whose_times_are_all_of_another_unit_says_so(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("u,i,t\n1,2,1700000000000\n")
    text = 'name = "x"\n[[logs]]\nfile = "views.csv"\nviewer = "u"\nitem = "i"\ntime = { column = "t" }\n'
    with pytest.raises(DataError, match=r"views\.csv: no row has a usable time in 't'; check the column, its unit"):
        read(Mapping.from_toml(text).reader(tmp_path))


def test_lines_inside_quotes_and_rows_of_a_wrong_length_keep_their_numbers(tmp_path: Path) -> None:
    rows = ['"a\nb",1,1700000000', "short", ",1,1700000000", "c,1,1700000000"]
    (tmp_path / "views.csv").write_bytes(b"\xef\xbb\xbfu,i,t\r\n" + "\r\n".join(rows).encode())
    text = 'name = "x"\n[[logs]]\nfile = "views.csv"\nviewer = "u"\nitem = "i"\ntime = { column = "t" }\n'
    events, rejected = read(Mapping.from_toml(text).reader(tmp_path))
    assert [e.viewer for e in events if isinstance(e, Impression)] == ["a\nb", "c"]
    assert sorted((row.row, row.reason) for row in rejected) == [(2, "1 columns where the file has 3"), (3, "u: missing id")]


def test_a_log_that_describes_its_items_says_each_thing_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.data.files.BLOCK_BYTES", 64)
    rows = [("i1", "red"), ("i2", ""), ("i1", "red"), ("i1", "blue"), ("", "x"), ("i2", ""), ("i1", "red")]
    lines = [f"u,{item},{1_700_000_000 + row},{brand}" for row, (item, brand) in enumerate(rows)]
    (tmp_path / "log.csv").write_text("\n".join(["u,i,t,brand", *lines]))
    text = 'name = "x"\n[[logs]]\nfile = "log.csv"\nviewer = "u"\nitem = "i"\ntime = { column = "t" }\n'
    text += '[[entities]]\ntype = "post"\nfile = "log.csv"\nkey = "i"\nattributes = { brand = "brand" }\n'
    events, rejected = read(Mapping.from_toml(text).reader(tmp_path))
    upserts = [(e.key, e.attributes) for e in events if isinstance(e, EntityUpsert)]
    assert upserts == [("i1", {"brand": "red"}), ("i2", {}), ("i1", {"brand": "blue"})]
    assert sum(isinstance(e, Impression) for e in events) == 6
    assert {(row.row, row.reason) for row in rejected} == {(5, "i: missing id")}


def test_a_file_without_a_header_line_and_with_a_long_delimiter(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("u::i:1::1700000000\nv::i:2::1700000001\n")
    text = 'name = "x"\n[[logs]]\nfile = "log.csv"\ndelimiter = "::"\ncolumns = ["who", "what", "when"]\n'
    text += 'viewer = "who"\nitem = "what"\ntime = { column = "when" }\n'
    events, rejected = read(Mapping.from_toml(text).reader(tmp_path))
    assert [(e.viewer, e.item) for e in events if isinstance(e, Impression)] == [("u", "i:1"), ("v", "i:2")]
    assert rejected == []
