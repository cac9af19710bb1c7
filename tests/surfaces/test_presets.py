import pytest

from fourfold.definition import Recommender, Seen
from fourfold.surfaces import PRESETS


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_survive_a_round_trip(name: str) -> None:
    definition = PRESETS[name]()
    assert Recommender.from_json(definition.to_json()) == definition
    assert PRESETS[name]().hash == definition.hash


@pytest.mark.parametrize("name", ["movielens", "kuairand", "world"])
def test_feeds_are_ranked_and_never_show_what_was_seen(name: str) -> None:
    definition = PRESETS[name]()
    assert Seen() in definition.filters
    assert definition.ranker is not None
    assert definition.retrieval is not None
    assert definition.early_ranker is not None
    assert {source.kind for source in definition.sources} >= {"trending", "item_to_item", "embedding_retrieval"}


def test_kuairand_authors_are_not_members() -> None:
    definition = PRESETS["kuairand"]()
    assert "own" not in {filter_.kind for filter_ in definition.filters}
    assert definition.selector.per_author == 2


def test_musae_github_has_nothing_to_train() -> None:
    definition = PRESETS["musae_github"]()
    assert (definition.ranker, definition.retrieval) == (None, None)
    assert definition.edges[0].mutual
