import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.data.columns import Faults, ids, instants, numbers, texts, times


def faults_of(column: pa.Array, **how: str) -> list[str]:
    faults = Faults(len(column))
    times(column, "t", faults, **how)  # type: ignore[arg-type]  # units as text
    return [faults._reasons[row] if row >= 0 else "" for row in faults._rows]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, 22]), ["1", "22"]),
        (pa.array([1.0, 9155697141.0]), ["1", "9155697141"]),
        (pa.array([" a ", "b"]), ["a", "b"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
    ],
)
def test_ids_of_every_type(column: pa.Array, expected: list[str]) -> None:
    faults = Faults(len(column))
    assert ids(column, "u", faults).to_pylist() == expected
    assert faults.kept.all()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([None, 1]),
        pa.array([None, 1.0]),
        pa.array([1.5, 1.0]),
        pa.array([float("inf"), 1.0]),
        pa.array([" ", "a"]),
        pa.array(["x" * 257, "x" * 256]),
    ],
)
def test_ids_that_are_none(column: pa.Array) -> None:
    faults = Faults(2)
    ids(column, "u", faults)
    assert faults.kept.tolist() == [False, True]


def test_ids_of_a_wrong_type_are_rejected_whole() -> None:
    faults = Faults(2)
    ids(pa.array([True, None]), "u", faults)
    assert faults.kept.tolist() == [False, False]


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1_000), ("us", 10**6), ("ns", 10**9)])
def test_units(unit: str, scale: int) -> None:
    column = pa.array([1_700_000_000 * scale])
    for each in (column, column.cast(pa.string())):
        assert instants(each, unit=unit).to_pylist() == [1_700_000_000_000]  # type: ignore[arg-type]  # a unit


def test_times_in_other_types() -> None:
    moment = dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
    assert instants(pa.array([moment])).to_pylist() == [1_700_000_000_000]
    assert instants(pa.array([moment.date()])).to_pylist() == [1_699_920_000_000]
    assert instants(pa.array(["1700000000.25"])).to_pylist() == [1_700_000_000_250]
    assert instants(pa.array(["14/11/2023", "x"]), format_="%d/%m/%Y").to_pylist() == [1_699_920_000_000, None]
    iso = pa.array(["2023-11-14", "2023-11-14 22:13:20", "2023-11-14T23:13:20+01:00", "2023-13-01", "soon", None])
    assert instants(iso, format_="iso").to_pylist() == [
        1_699_920_000_000,
        1_700_000_000_000,
        1_700_000_000_000,
        None,
        None,
        None,
    ]


def test_wrong_times_say_why() -> None:
    texts_ = pa.array(["-5", "", "x", "1700000000", "1700000000000", "5", None, "1e300", "nan"])
    assert faults_of(texts_) == [
        "t: a negative time",
        "t: not a time",
        "t: not a time",
        "",
        "t: a time outside 1980 to 2100 (is its unit right?)",
        "t: a time outside 1980 to 2100 (is its unit right?)",
        "t: missing time",
        "t: not a time",
        "t: not a time",
    ]
    assert faults_of(pa.array([True])) == ["t: not a time"]


@given(st.lists(st.one_of(st.integers(-(10**15), 10**15).map(str), st.text(max_size=5)), max_size=30))
def test_numbers_agree_with_python(values: list[str]) -> None:
    parsed = numbers(pa.array(values, pa.string())).to_pylist()
    for text, number in zip(values, parsed, strict=True):
        if text.lstrip("-").isascii() and text.lstrip("-").isdigit():
            assert number == float(text)
        elif number is not None:
            assert text.strip().lower() in {"true", "false"} or float(text.strip()) == number


def test_numbers_of_flags_and_what_is_none() -> None:
    assert numbers(pa.array(["true", "FALSE", "1", "x", None, "inf"])).to_pylist() == [1, 0, 1, None, None, None]
    assert numbers(pa.array([True, None])).to_pylist() == [1, None]
    assert numbers(pa.array([[1]])).to_pylist() == [None]


def test_texts() -> None:
    assert texts(pa.array([4.0, None])).to_pylist() == ["4", None]
    assert texts(pa.array([4.5, 1.0])).to_pylist() == ["4.5", "1"]
    assert texts(pa.array(["4.0", "v4.0"])).to_pylist() == ["4", "v4.0"]
    assert texts(pa.array([" a", " ", None])).to_pylist() == ["a", None, None]


def test_iso_times_as_databases_and_python_write_them() -> None:
    written = ["2023-11-14T22:13:20.123456", "2023-11-14 22:13:20.123456+00", "2023-11-14 23:13:20+01", "2023-11-14 22:13:20.5"]
    assert instants(pa.array(written), format_="iso").to_pylist() == [
        1_700_000_000_123,
        1_700_000_000_123,
        1_700_000_000_000,
        1_700_000_000_500,
    ]
