from fourfold.definition import TwoHop, TwoTower
from fourfold.surfaces import pymk


def test_members_for_members_over_an_edge() -> None:
    definition = pymk(edge="knows", mutual=True)
    assert definition.viewer == definition.item
    assert [filter_.kind for filter_ in definition.filters] == ["own", "linked", "blocked", "excluded", "seen"]
    assert definition.sources[0] == TwoHop(edge="knows")
    assert [getattr(stage, "edge", None) for stage in (*definition.sources, *definition.filters[:3])] == [
        *("knows", "knows", None, "knows", "blocks"),
    ]
    assert [(edge.name, edge.mutual) for edge in definition.edges] == [("knows", True), ("blocks", False)]
    assert definition.positive == ("connect",)


def test_a_retrieval_model_brings_its_source_and_the_early_ranker() -> None:
    assert pymk().early_ranker is None
    definition = pymk(retrieval=TwoTower())
    assert definition.early_ranker is not None
    assert definition.sources[-1].kind == "embedding_retrieval"
