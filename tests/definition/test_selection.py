"""How a slate is chosen, as data: what fits together, and what is refused naming the field."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fourfold.definition import (
    Boost,
    Cap,
    DefinitionError,
    Diversity,
    Expired,
    Explore,
    FrequencyCap,
    Pin,
    Promote,
    Recommender,
    Slate,
    Where,
)
from fourfold.definition.expression import comparisons, parse
from tests.definition.samples import full

VARIED = replace(
    full(),
    filters=(Expired(until="created"), Where("length < 60"), FrequencyCap(times=2, within="1d", by="author")),
    selector=Slate(per_author=2, caps=(Cap("topics", 3),), diversity=Diversity(0.5), explore=Explore(0.1, 20)),
    rules=(
        Pin("news", item="p1", position=3, where='viewer.country == "dk"'),
        Promote("short", where="length < 10", first=5, count=2),
        Boost("sport", where='"sport" in topics', factor=1.5),
    ),
)


def test_it_comes_back_from_json_and_needs_no_training() -> None:
    assert Recommender.from_json(VARIED.to_json()) == VARIED
    assert VARIED.trained_hash == full().trained_hash
    assert VARIED.state_hash == full().state_hash
    assert VARIED.hash != full().hash


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"filters": (Expired(until="length"),)}, "filters[0](expired).until", "one of: 'created'"),
    ({"filters": (Expired(until="author"),)}, "filters[0](expired).until", "no moment attribute 'author'"),
    (
        {"filters": (FrequencyCap(times=1, within="1d", by="length"),)},
        "filters[0](frequency_cap).by",
        "one of: 'author', 'topics'",
    ),
    ({"memory": "7d", "filters": (FrequencyCap(times=1, within="8d"),)}, "filters[0](frequency_cap).within", "at most 7d"),
    ({"selector": Slate(caps=(Cap("title", 1),))}, "selector.caps[0].attribute", "one of: 'author', 'topics'"),
    ({"selector": Slate(caps=(Cap("topics", 1), Cap("topics", 2)))}, "selector.caps[1].attribute", "it once"),
    ({"selector": Slate(per_author=1, caps=(Cap("author", 1),))}, "selector.caps[0].attribute", "capped twice"),
    ({"rules": (Boost("a", where="colour == 1", factor=2),)}, "rules[0](a).where", "'colour' is no attribute"),
    ({"rules": (Pin("a", item="x"), Promote("a", where="length < 1", first=1))}, "rules[1](a).name", "another name"),
    ({"selector": {"diversity": {"weight": 1}}}, "selector.diversity.weight", "less than 1"),
    ({"selector": {"explore": {"share": 0.6}}}, "selector.explore.share", "at most 0.5"),
    ({"selector": {"explore": {"share": 0}}}, "selector.explore.share", "more than 0"),
    ({"selector": {"caps": [{"attribute": "topics", "most": 0}]}}, "selector.caps[0].most", "at least 1"),
    ({"rules": [{"kind": "pin", "name": "a", "item": "x", "position": -1}]}, "rules[0].pin.position", "at least 0"),
    ({"rules": [{"kind": "pin", "name": "a", "item": ""}]}, "rules[0].pin.item", ""),
    ({"rules": [{"kind": "bury", "name": "a"}]}, "rules[0]", "one of 'pin', 'promote', 'boost'"),
]


@pytest.mark.parametrize(("changes", "field", "write"), WRONG, ids=[field for _, field, _ in WRONG])
def test_a_wrong_choice_fails_when_built(changes: dict[str, Any], field: str, write: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        replace(full(), **changes)
    assert caught.value.field == f"Recommender.{field}"
    assert write in str(caught.value)


def test_a_frequency_cap_may_reach_as_far_back_as_the_memory() -> None:
    assert replace(full(), memory="7d", filters=(FrequencyCap(times=1, within="7d"),)).memory == "7d"


def test_rules_that_cannot_be() -> None:
    with pytest.raises(DefinitionError, match=r"Promote\(a\)?.*count: 3 items do not fit into 2 places; write at most 2"):
        Promote(name="a", where="length < 1", first=2, count=3)
    with pytest.raises(DefinitionError, match="'explore' is what slates say of items that were drawn"):
        Pin(name="explore", item="x")
    with pytest.raises(DefinitionError, match="where: at character 9: the end does not fit here"):
        Boost(name="a", where="length <", factor=2)


def test_the_examples_of_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "slates.md").read_text()
    (selector,) = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert replace(full(), **json.loads(selector)).selector == Slate(explore=Explore())
    (condition,) = re.findall(r"^```text\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    assert len(list(comparisons(parse(condition)))) == 4
