from typing import Any

import pytest

from fourfold.definition import Count, DefinitionError, Rate


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
