from typing import Any

import pytest

from fourfold.definition import Count, Counted, DefinitionError, Distinct, Mean, Rate, Ratio, Sum, TimeSince


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"by": ()}, "by"),
        ({"by": ("item", "viewer", "item.author")}, "by"),
        ({"by": ("post",)}, "by"),
        ({"by": ("item.Author",)}, "by"),
        ({"prior": 1.5}, "prior"),
        ({"prior": -0.1}, "prior"),
        ({"strength": 0}, "strength"),
        ({"window": "1 day"}, "window"),
        ({"name": "Rate"}, "name"),
    ],
)
def test_wrong_rates(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Rate(**({"name": "r", "by": ("item",), "action": "like"} | changes))
    assert f".{field}" in caught.value.field


def test_defaults() -> None:
    assert Count("c", ("item",)) == Count(name="c", by=("item",), event="impression", window=None, late=True)


@pytest.mark.parametrize("kind", [Count, Rate, Sum, Mean])
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"window": "1d", "half_life": "1d"}, "half_life"),
        ({"tile": "1h"}, "tile"),
        ({"tile": "2h", "window": "1h"}, "tile"),
        ({"half_life": "soon"}, "half_life"),
    ],
)
def test_wrong_spans(kind: type, changes: dict[str, Any], field: str) -> None:
    needed = {"name": "x", "by": ("item",)} | ({} if kind is Count else {"action": "like"})
    with pytest.raises(DefinitionError) as caught:
        kind(**(needed | changes))
    assert f".{field}" in caught.value.field
    kind(**needed, window="2h", tile="1h")


@pytest.mark.parametrize(
    ("changes", "field"), [({"of": "item"}, "of"), ({"newest": 1}, "newest"), ({"newest": 5000}, "newest")]
)
def test_wrong_distincts(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Distinct(**({"name": "d", "by": ("item",), "of": "viewer"} | changes))
    assert f".{field}" in caught.value.field


def test_the_counts_of_a_ratio_are_checked() -> None:
    with pytest.raises(DefinitionError) as caught:
        Ratio("r", of=Counted(("item",), window="1d", half_life="1d"), per=Counted(("item",)))
    assert "half_life" in caught.value.field
    assert TimeSince("t", ("item",)).event == "impression"
