import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fourfold.data.files import TextFormat
from fourfold.data.reading import DataError
from fourfold.data.sample import ColumnSample, FileSample, sample_file, words_of


def sampled(folder: Path, name: str, data: bytes) -> FileSample:
    (folder / name).write_bytes(data)
    return sample_file(folder / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("userId", ("user", "id")),
        ("USER_ID", ("user", "id")),
        ("HTTPCode", ("http", "code")),
        ("feat0", ("feat", "0")),
        ("created-at", ("created", "at")),
        ("имя", ()),
    ],
)
def test_words_of_a_name(name: str, words: tuple[str, ...]) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("values", "shape", "key"),
    [
        (pa.array([0, 1, None]), "flag", False),
        (pa.array(["true", "FALSE"]), "flag", False),
        (pa.array([True, None]), "flag", False),
        (pa.array(["12", " 7 "]), "integer", True),
        (pa.array([3.0, None]), "integer", True),
        (pa.array([-3, 7]), "integer", False),
        (pa.array(["1e3", "2.5"]), "number", False),
        (pa.array(["a1", "b-2", None]), "text", True),
        (pa.array(["a b", "c d"]), "text", False),
        (pa.array([None, ""]), "empty", False),
        (pa.array([[1], []]), "list", False),
        (pa.array([{"a": 1}]), "object", False),
        (pa.array([0], pa.timestamp("us")), "moment", False),
        (pa.array(["1"] * 99 + ["one"]), "flag", False),
        (pa.array(["1"] * 98 + ["one", "two"]), "text", True),
    ],
)
def test_shapes(values: pa.Array, shape: str, key: bool) -> None:
    column = ColumnSample("x", values)
    assert (column.shape, column.is_key) == (shape, key)


def test_unique_means_that_every_row_has_its_own() -> None:
    assert ColumnSample("x", pa.array(["a", "b"])).unique
    assert not ColumnSample("x", pa.array(["a", "a"])).unique
    assert not ColumnSample("x", pa.array(["a", None])).unique
    assert not ColumnSample("x", pa.array([], pa.string())).unique


@pytest.mark.parametrize(
    ("data", "names", "text"),
    [
        (b"u,i,t\n1,2,3\n", ("u", "i", "t"), None),
        (b"\xef\xbb\xbfu;i;t\r\n1;2,5;3\r\n", ("u", "i", "t"), TextFormat(delimiter=";")),
        (b"u\ti\n1\t2\n", ("u", "i"), TextFormat(delimiter="\t")),
        (b"196,242,3\n186,302,3\n", ("column1", "column2", "column3"), TextFormat(names=("column1", "column2", "column3"))),
        (b"a,a\nb,c\n", ("column1", "column2"), TextFormat(names=("column1", "column2"))),
        (b"a,2019-11-01 00:00:00 UTC\nb,c\n", ("column1", "column2"), TextFormat(names=("column1", "column2"))),
        (b'title,n\n"Kid, The",1\n"a\nb",2\n', ("title", "n"), None),
        (b"name,n\nCaf\xe9,1\n", ("name", "n"), TextFormat(encoding="latin-1")),
        (b"one\na|b\nc\n", ("one",), None),
    ],
)
def test_how_a_text_file_is_written(data: bytes, names: tuple[str, ...], text: TextFormat | None, tmp_path: Path) -> None:
    found = sampled(tmp_path, "a.csv", data)
    assert (found.names, found.text) == (names, text)


def test_a_character_cut_in_two_where_reading_stops_is_no_other_encoding(tmp_path: Path) -> None:
    head = b"name,n\n" + b"a" * ((64 << 10) - 8)
    assert sampled(tmp_path, "a.csv", head + "é,1\n".encode()).text is None


def test_keys_of_later_objects_and_typed_columns(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(row) for row in ({"a": 1}, {"b": "x", "a": 2}))
    assert sampled(tmp_path, "a.jsonl", lines.encode()).names == ("a", "b")
    pq.write_table(pa.table({"d": pa.array(["x", "y"]).dictionary_encode(), "n": [1, 2]}), tmp_path / "a.parquet")
    found = sample_file(tmp_path / "a.parquet")
    assert ([column.shape for column in found.columns], found.rows) == (["text", "integer"], 2)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "is empty; give a file with a header line"),
        ("a.csv", b"u,i,t\n", "has no rows"),
        ("a.jsonl", b"\n", "has no rows"),
        ("a.parquet", b"PAR", "is not a Parquet file"),
        ("a.txt", b"u", r"is of no known format; give a file of \.csv"),
    ],
)
def test_files_of_which_nothing_can_be_said(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        sampled(tmp_path, name, data)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"b\.csv is not there"):
        sample_file(tmp_path / "b.csv")
