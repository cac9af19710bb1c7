import pyarrow as pa
import pytest

from fourfold.data.guess_values import attribute_of, follows
from fourfold.data.sample import ColumnSample

MANY = 40


@pytest.mark.parametrize(
    ("name", "values", "described"),
    [
        ("brand", ["acer", "apple", "acer", None], "brand"),
        ("title", [f"Film {number}" for number in range(9)], {"column": "title", "kind": "text"}),
        ("title", ["Moths at night", "Moths by day"] * 9, {"column": "title", "kind": "text"}),
        ("brand_name", ["acer", "apple"] * 5, "brand_name"),
        ("about", [f"a rather long text with the number {number}" for number in range(9)], {"column": "about", "kind": "text"}),
        ("genres", ["Drama|War", "War", "Drama|Sci-Fi", "Sci-Fi|War"], {"column": "genres", "kind": "category", "split": "|"}),
        ("tag", ["1,2", "2", "3,1", "2,3"], {"column": "tag", "kind": "category", "split": ","}),
        ("range", ["[1,5)", "[5,9)", "[1,5)"], "range"),
        ("views", ["1,234", "5,678", "9,012"] * 3, "views"),
        ("names", [f"Kid {number}, The" for number in range(9)], "names"),
        ("price", [1.5, 2.5], {"column": "price", "kind": "number"}),
        ("year", [1900 + number for number in range(MANY)], {"column": "year", "kind": "number"}),
        ("stars", [1, 2, 3, 4, 5, 5], "stars"),
        ("music_id", list(range(MANY)), "music_id"),
        ("active", [0, 1], "active"),
        ("upload_dt", ["2022-04-10", "2022-04-11"], {"column": "upload_dt", "kind": "moment", "format": "iso"}),
        ("at", [1_650_844_800, 1_650_844_900], {"column": "at", "kind": "moment", "unit": "s"}),
        ("tags", [["a"], ["b", "c"]], "tags"),
    ],
)
def test_kinds(name: str, values: list[object], described: object) -> None:
    attribute = attribute_of(ColumnSample(name, pa.array(values)))
    assert (attribute.described, attribute.skipped) == (described, "")


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("x", [None, None], "holds nothing"),
        ("x", ["a", "a"], "always 'a' in the first rows"),
        ("x", [{"a": 1}], "holds objects; make columns of them"),
        ("watch_seq", [[1], [2]], "a past of its own: as events it is worth more"),
        ("image", ["https://a/1", "https://a/2"], "addresses"),
    ],
)
def test_what_had_better_be_left_out(name: str, values: list[object], why: str) -> None:
    assert attribute_of(ColumnSample(name, pa.array(values))).skipped == why


def test_a_column_follows_a_key_if_rows_of_one_key_agree() -> None:
    key = ColumnSample("item", pa.array(["a", "a", "b", "b", "c"]))
    assert follows(ColumnSample("brand", pa.array(["x", "x", None, None, "z"])), key)
    assert not follows(ColumnSample("price", pa.array([1.0, 2.0, 3.0, 3.0, 4.0])), key)


def test_no_evidence_is_no_proof() -> None:
    once = ColumnSample("item", pa.array(["a", "b", "c"]))
    assert not follows(ColumnSample("brand", pa.array(["x", "y", "z"])), once)
    again = ColumnSample("item", pa.array([str(number // 2) for number in range(200)]))
    assert not follows(ColumnSample("stay", pa.array([0] * 190 + [7] * 10)), again)
