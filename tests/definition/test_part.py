import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import Action, Count, DefinitionError, Seen, Trending
from fourfold.definition.part import milliseconds

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@given(st.integers(1, 999_999_999), st.sampled_from(sorted(UNITS)))
def test_durations(number: int, unit: str) -> None:
    assert milliseconds(f"{number}{unit}") == number * UNITS[unit]


@given(st.text(max_size=6).filter(lambda text: not any(text.endswith(unit) and text[: -len(unit)].isdigit() for unit in UNITS)))
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(DefinitionError, match='write a whole number and a unit, such as "30m" or "7d"'):
        milliseconds(text)


@pytest.mark.parametrize("text", ["0d", "01d", "-1d", "1.5h", "1D", "1d ", "1w", "1234567890s", "\u0661d"])
def test_near_misses(text: str) -> None:
    with pytest.raises(DefinitionError):
        Seen(within=text)


@pytest.mark.parametrize("name", ["Like", "1st", "a-b", "a b", "", "\u00e9", "a" * 64, "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(DefinitionError, match=r"Action.*name: .* is not a name; write lower-case letters"):
        Action(name)


def test_the_longest_name() -> None:
    assert Action("a" * 63).name == "a" * 63


def test_parts_are_frozen_comparable_and_hashable() -> None:
    assert Trending() == Trending(keep=200)
    assert len({Trending(), Trending(), Trending(keep=1)}) == 2
    with pytest.raises(AttributeError):
        Trending().keep = 3  # type: ignore[misc]  # this must fail


def test_errors_name_positional_and_keyword_fields() -> None:
    with pytest.raises(DefinitionError, match=r"^Trending\.keep: "):
        Trending(0)
    with pytest.raises(DefinitionError, match=r"^Count\(shown\)\.window: 'soon' is not a duration"):
        Count(name="shown", by=("item",), window="soon")
    with pytest.raises(DefinitionError, match=r"^Trending\.kep: .*write only the documented fields, and check the spelling"):
        Trending(kep=3)  # type: ignore[call-arg]  # this must fail


def test_signatures_stay_readable() -> None:
    assert list(inspect.signature(Trending).parameters)[:3] == ["keep", "half_life", "edge"]
