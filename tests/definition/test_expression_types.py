"""Conditions against what a definition declares: names exist, and like is compared with like."""

import pytest

from fourfold.definition import Category, DefinitionError, FrequencyCap, Recommender, Where
from fourfold.definition.expression import parse
from fourfold.definition.expression_types import check_expression
from tests.definition.samples import MEMBER, POST

SURFACE = Recommender(surface="feed", viewer=MEMBER, item=POST, context=(Category("tab"),))


@pytest.mark.parametrize(
    "text",
    [
        'author == "ada" and title != "x"',
        "length < 60 and created > 1600000000000 and not (length > viewer.age)",
        '"sport" in topics and author in ["a", "b"] and length in [1, 2]',
        "author in viewer.langs and viewer.country not in topics",
        'context.tab == "home" or context.tab == viewer.country or author == context.tab',
        '1 < 2 and "x" in viewer.langs',
        "author in [] and length in []",
    ],
)
def test_what_fits(text: str) -> None:
    check_expression(SURFACE, parse(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour == 1", "character 1: 'colour' is no attribute of the item; write one of: 'title', 'author'"),
        ("1 == viewer.colour", "character 6: 'colour' is no attribute of the viewer; write one of: 'country'"),
        ('context.device == "x"', "'device' is no part of the context; write one of: 'tab'"),
        ('length == "60"', "character 11: a number is compared with a text; write a number without quotes"),
        ("author == 1", "a text is compared with a number; write a text in quotes"),
        ('author < "b"', "< compares texts; write ==, != or in"),
        ('topics == "sport"', 'several values stand on the left; write one value, as in: "sport" in topics'),
        ('"sport" == topics', "character 12: == compares with several values; write in"),
        ("length == [1]", "character 11: == compares with several values; write in"),
        ('topics in ["sport"]', "several values stand on the left"),
        ('"a" in author', "in looks into one value"),
        ("1 in topics", "a number is looked for among texts"),
        ('author in [1, "a"]', "numbers and texts stand in one list"),
        ("author in [1]", "a text is looked for among numbers"),
        ("author == title", "two texts of the item are compared"),
        ("author in topics", "two texts of the item are compared"),
        ('author == "a" or (length < 1 and not nothing == 1)', "'nothing' is no attribute of the item"),
    ],
)
def test_what_does_not_fit(text: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        check_expression(SURFACE, parse(text))
    assert said in str(caught.value)


def test_a_definition_with_a_wrong_condition_fails_when_built() -> None:
    with pytest.raises(DefinitionError, match=r"Where\.expression: at character 9: the end does not fit here"):
        Where("length <")
    with pytest.raises(DefinitionError, match=r"filters\[0\]\(where\)\.expression: at character 1: 'colour' is no attribute"):
        Recommender(surface="feed", viewer=MEMBER, item=POST, filters=(Where("colour == 1"),))


def test_frequency_caps_may_count_by_several_things_each_once() -> None:
    caps = (FrequencyCap(times=2, within="1d"), FrequencyCap(times=3, within="7d", by="author"))
    assert Recommender(surface="feed", viewer=MEMBER, item=POST, filters=caps).filters == caps
    with pytest.raises(DefinitionError, match=r"filters\[2\]\(frequency_cap\): is there twice"):
        Recommender(surface="feed", viewer=MEMBER, item=POST, filters=(*caps, caps[1]))
