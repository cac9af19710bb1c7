import pytest

from fourfold.definition import Action, Category, DefinitionError, Edge, Entity, Hidden, Recommender, Text
from fourfold.surfaces import feed

CLICK, HIDE = Action("click").worth(1), Action("hide").worth(-20)
POST = Entity("post", (Text("title"), Category("author")), title="title", owner="author", lifetime="7d")


def stages(definition: Recommender) -> tuple[set[str], set[str]]:
    return {source.kind for source in definition.sources}, {filter_.kind for filter_ in definition.filters}


def test_the_least_one_can_say() -> None:
    definition = feed(actions=[CLICK])
    assert stages(definition) == ({"trending", "item_to_item", "embedding_retrieval"}, {"seen", "excluded"})
    assert definition.ranker is not None
    assert definition.ranker.kind == "feed_sr"
    assert definition.early_ranker is not None
    assert definition.selector.per_author is None
    assert {"item_age", "item_impressions_1d", "item_click_rate", "viewer_click_rate_1d"} <= {
        f.name for f in definition.features
    }


def test_what_the_parts_allow_is_added() -> None:
    edges = [Edge("follows", "member", "member"), Edge("blocks", "member", "member")]
    definition = feed(actions=[CLICK, HIDE], item=POST, edges=edges)
    assert stages(definition) == (
        {"trending", "item_to_item", "embedding_retrieval", "in_network"},
        {"seen", "excluded", "expired", "own", "blocked", "hidden"},
    )
    assert definition.selector.per_author == 2
    assert ("viewer", "item.author") in [getattr(feature, "by", None) for feature in definition.features]


def test_only_harmful_actions_hide() -> None:
    definition = feed(actions=[CLICK, HIDE, Action("skip")])
    assert definition.filters[-1] == Hidden(("hide",))


def test_what_is_said_stays_as_said() -> None:
    definition = feed(actions=[CLICK], item=POST, features=(), filters=(), retrieval=None, ranker=None, surface="home")
    assert (definition.features, definition.filters, definition.early_ranker, definition.ranker) == ((), (), None, None)
    assert stages(definition)[0] == {"trending", "item_to_item"}
    assert definition.surface == "home"


def test_without_an_action_worth_something_it_fails() -> None:
    with pytest.raises(DefinitionError, match="actions: models need an action with a positive utility"):
        feed(actions=[HIDE])
