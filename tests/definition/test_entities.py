from typing import Any

import pytest

from fourfold.definition import Action, Category, DefinitionError, Entity, Moment, Text

ATTRIBUTES = (Text("title"), Category("author"), Category("tags", many=True), Moment("created"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": (Text("a"), Category("a"))}, r"attributes: 'a' is declared twice; write each attribute once"),
        ({"title": "author"}, r"title: 'author' is not a text attribute of 'post'; write one of: 'title'"),
        ({"owner": "title"}, r"owner: 'title' is not a category attribute of 'post'; write one of: 'author', 'tags'"),
        ({"owner": "tags"}, r"owner: 'tags' holds many values; write an attribute with one value"),
        ({"created": "title"}, r"created: 'title' is not a moment attribute of 'post'; write one of: 'created'"),
        ({"attributes": (), "title": "title"}, r"write one of: none yet: add a text attribute"),
        ({"lifetime": "soon"}, r"lifetime: 'soon' is not a duration"),
        (
            {"attributes": ({"kind": "colour", "name": "a"},)},
            r"attributes\[0\]: .*write one of 'category', 'number', 'moment', 'text'",
        ),
    ],
)
def test_wrong_entities(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Entity(**({"name": "post", "attributes": ATTRIBUTES} | changes))


def test_attributes_are_found_by_name() -> None:
    post = Entity("post", ATTRIBUTES)
    assert post.attribute("author") == Category("author")
    assert post.attribute("nothing") is None
    assert post.many("tags")
    assert not post.many("author")
    assert not post.many("title")


def test_worth_changes_the_utility_alone() -> None:
    action = Action("click", passive=True)
    assert action.worth(3) == Action("click", 3.0, True)
    assert action.utility == 0


@pytest.mark.parametrize("utility", [float("nan"), float("inf")])
def test_a_utility_is_finite(utility: float) -> None:
    with pytest.raises(DefinitionError, match=r"Action.*utility"):
        Action("click").worth(utility)
