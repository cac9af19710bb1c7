from datetime import UTC, datetime

import pyarrow as pa
import pytest

from fourfold.data.guess_time import TimeGuess, time_of
from fourfold.data.sample import ColumnSample

NOON = datetime(2022, 4, 25, 12, 30, tzinfo=UTC)
SECONDS = int(NOON.timestamp())


def guessed(name: str, values: list[object] | pa.Array) -> TimeGuess | None:
    return time_of(ColumnSample(name, values if isinstance(values, pa.Array) else pa.array(values)))


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
@pytest.mark.parametrize("as_text", [False, True])
def test_units_by_size(unit: str, factor: int, as_text: bool) -> None:
    numbers = [(SECONDS + second) * factor for second in range(3)]
    found = guessed("event_time", [str(number) for number in numbers] if as_text else list(numbers))
    assert found is not None
    assert (found.unit, found.format, found.named, found.doubt) == (unit, None, True, "")
    assert found.why == "2022-04-25T12:30:00 to 2022-04-25T12:30:02"
    assert found.described == {"column": "event_time", "unit": unit}


@pytest.mark.parametrize(
    ("text", "format_", "doubt"),
    [
        ("2022-04-25T12:30:00Z", "iso", ""),
        ("2022-04-25 12:30:00.123456+02:00", "iso", ""),
        ("2022-04-25", "iso", ""),
        ("2022-04-25 12:30:00 UTC", "%Y-%m-%d %H:%M:%S UTC", ""),
        ("25.04.2022 12:30", "%d.%m.%Y %H:%M", ""),
        ("25/04/2022", "%d/%m/%Y", ""),
        ("04/25/2022", "%m/%d/%Y", ""),
        ("04/05/2022", "%d/%m/%Y", "%m/%d/%Y fits as well"),
        ("25-Apr-2022", "%d-%b-%Y", ""),
    ],
)
def test_texts(text: str, format_: str, doubt: str) -> None:
    found = guessed("x", [text, text, None])
    assert found is not None
    assert (found.unit, found.format, found.doubt) == (None, format_, doubt)
    assert found.coarse == (":" not in text)


def test_a_date_in_digits_is_one_where_its_name_says_so() -> None:
    found = guessed("date", ["20220425", "20220426"])
    assert found is not None
    assert (found.format, found.coarse) == ("%Y%m%d", True)
    assert guessed("number", ["20220425", "20220426"]) is None
    assert guessed("date", [20220425, 20220426]) is None


def test_typed_times_need_neither_unit_nor_format() -> None:
    found = guessed("x", pa.array([SECONDS * 1_000], pa.timestamp("ms")))
    assert found is not None
    assert found.described == {"column": "x"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("user_id", [SECONDS, SECONDS + 1]),
        ("price", [SECONDS, SECONDS, SECONDS]),
        ("play_time_ms", [61_802, 1_184]),
        ("time", [0, 0]),
        ("title", ["Blade Runner 2049", "1917"]),
        ("time", ["12:30", "12:31"]),
        ("when", [None, ""]),
    ],
)
def test_what_is_no_time(name: str, values: list[object]) -> None:
    assert guessed(name, values) is None


def test_numbers_of_the_size_of_times_are_in_doubt_without_a_name() -> None:
    found = guessed("x", [SECONDS, SECONDS + 1])
    assert found is not None
    assert found.doubt == "its name does not say that it is a time"
