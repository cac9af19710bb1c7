import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import (
    Action,
    AttributeValue,
    Blocked,
    Count,
    Counted,
    DCNv2,
    DefinitionError,
    Distinct,
    Edge,
    EmbeddingRetrieval,
    Entity,
    Hidden,
    History,
    InNetwork,
    Last,
    Linked,
    Rate,
    Ratio,
    Recommender,
    Slate,
    Sum,
    TimeSince,
    Trending,
    TwoHop,
    difference,
)
from tests.definition.samples import CLICK, FOLLOWS, HIDE, LIKE, MEMBER, POST, full, people

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"surface": "My Feed"}, "surface", "lower-case letters"),
    ({"item": Entity("member")}, "item", "one entity for both, or two names"),
    ({"actions": (CLICK, CLICK)}, "actions[1].name", "another name"),
    ({"actions": (CLICK, Action("impression"))}, "actions[1].name", "another name"),
    ({"actions": (HIDE,), "features": ()}, "actions", "a utility above 0"),
    ({"attribution": "1 day"}, "attribution", "a whole number and a unit"),
    ({"edges": (Edge("follows", "member", "page"),)}, "edges[0].target", "one of: 'member', 'post'"),
    ({"edges": (Edge("follows", "page", "member"),)}, "edges[0].source", "one of: 'member', 'post'"),
    ({"edges": (Edge("saves", "member", "post", mutual=True),)}, "edges[0].mutual", "mutual=False"),
    ({"edges": (FOLLOWS, FOLLOWS)}, "edges[1].name", "another name"),
    ({"features": (Count("a", ("item",)), Count("a", ("viewer",)))}, "features[1].name", "another name"),
    (
        {"features": (Count("a", ("item",), event="tap"),)},
        "features[0](a).event",
        "one of: 'impression', 'click', 'like', 'hide'",
    ),
    ({"features": (Rate("a", ("item",), "tap"),)}, "features[0](a).action", "one of: 'click', 'like', 'hide'"),
    ({"features": (Count("a", ("item.colour",)),)}, "features[0](a).by", "one of: 'author', 'topics'"),
    ({"features": (Count("a", ("item.topics",)),)}, "features[0](a).by", "an attribute with one value"),
    ({"features": (Count("a", ("item", "item")),)}, "features[0](a).by", 'by=("item",)'),
    ({"features": (AttributeValue("a", "item", "author"),)}, "features[0](a).attribute", "one of: 'length', 'created'"),
    ({"features": (AttributeValue("a", "viewer", "length"),)}, "features[0](a).attribute", "one of: 'age', 'joined'"),
    ({"features": (Sum("a", ("item",), "tap"),)}, "features[0](a).action", "one of: 'click', 'like', 'hide'"),
    ({"features": (Last("a", ("item.colour",), "like"),)}, "features[0](a).by", "one of: 'author', 'topics'"),
    ({"features": (TimeSince("a", ("item",), "tap"),)}, "features[0](a).event", "one of: 'impression', 'click'"),
    ({"features": (Distinct("a", ("viewer",), "item.topics"),)}, "features[0](a).of", "an attribute with one value"),
    (
        {"features": (Ratio("a", Counted(("item",)), Counted(("item",), "tap")),)},
        "features[0](a).per.event",
        "one of: 'impression', 'click'",
    ),
    ({"history": History(values=("tap",))}, "history.values[0]", "one of: 'click', 'like', 'hide'"),
    ({"history": History(values=("click", "click"))}, "history.values[1]", "it once"),
    ({"sources": ()}, "sources", ""),
    (
        {"edges": (Edge("likes", "member", "post"),), "sources": (InNetwork(edge="likes"),), "filters": ()},
        "sources[0](in_network).edge",
        "an edge from 'member' to 'member'",
    ),
    ({"sources": (InNetwork(edge="knows"),)}, "sources[0](in_network).edge", "one of: 'follows', 'blocks', or declare it"),
    ({"sources": (Trending(), Trending(keep=5))}, "sources[1](trending)", "it once"),
    ({"sources": (TwoHop(),)}, "sources[0](two_hop).edge", "an edge to 'post'"),
    ({"filters": (Linked(),)}, "filters[0](linked).edge", "an edge to 'post'"),
    ({"filters": (Hidden(("report",)),)}, "filters[0](hidden).actions", "one of: 'click', 'like', 'hide'"),
    ({"filters": (Blocked(edge="bans"),)}, "filters[0](blocked).edge", "one of: 'follows', 'blocks', or declare it"),
    ({"sources": (EmbeddingRetrieval(),), "retrieval": None}, "retrieval", '{"kind": "two_tower"}, in Python TwoTower()'),
    ({"sources": (Trending(),), "retrieval": None}, "retrieval", '{"kind": "two_tower"}, in Python TwoTower()'),
    ({"item": dataclasses.replace(POST, owner=None)}, "selector.per_author", "an owner in the entity"),
    ({"unknown": 1}, "unknown", "only the documented fields"),
    ({"ranker": {"kind": "svd"}}, "ranker", "one of 'feed_sr', 'dcnv2'"),
    ({"ranker": {"width": 8}}, "ranker", 'a "kind" that says which'),
    ({"viewer": {}}, "viewer.name", "it"),
    ({"features": (Count("a", ("item",)), {"kind": "count", "name": "b", "by": ["topic"]})}, "features[1]", "item.author"),
    (
        {"edges": (), "sources": (InNetwork(),), "filters": ()},
        "sources[0](in_network).edge",
        "one that is declared under edges",
    ),
    ({"selector": {"size": 0}}, "selector.size", "at least 1"),
]


@pytest.mark.parametrize(("changes", "field", "write"), WRONG, ids=[field for _, field, _ in WRONG])
def test_a_wrong_definition_fails_when_built_naming_field_and_cure(changes: dict[str, Any], field: str, write: str) -> None:
    parts = {f.name: getattr(full(), f.name) for f in dataclasses.fields(full())} | changes
    with pytest.raises(DefinitionError) as caught:
        Recommender(**parts)
    assert caught.value.field.startswith(f"Recommender.{field}")
    assert write in str(caught.value)


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (Edge("likes", "member", "post"), r"\(blocked\)\.edge: 'likes' joins two types"),
        (Edge("likes", "post", "post"), r"\(blocked\)\.edge: 'likes' starts at 'post'"),
    ],
)
def test_edges_of_the_wrong_types(edge: Edge, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Recommender(surface="s", viewer=MEMBER, item=POST, edges=(edge,), filters=(Blocked(edge="likes"),))


@pytest.mark.parametrize("definition", [full, people])
def test_round_trips(definition: Callable[[], Recommender]) -> None:
    built = definition()
    assert Recommender.from_json(built.to_json()) == built
    assert Recommender.from_dict(json.loads(json.dumps(built.to_dict()))) == built
    assert Recommender.from_json(built.to_json()).hash == built.hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Recommender: not valid JSON"),
        ("[" * 100_000, "Recommender: not valid JSON"),
        ("[]", "Recommender"),
        ('{"surface": "feed"}', r"Recommender\.viewer: .*\(and 1 more\)"),
    ],
)
def test_json_that_is_no_definition(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Recommender.from_json(text)


def test_another_version_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"Recommender\.version"):
        Recommender.from_dict(full().to_dict() | {"version": 2})


def test_the_hash_is_the_same_in_every_process() -> None:
    code = "from tests.definition.samples import full; print(full().hash, full().trained_hash)"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert runs == {f"{full().hash} {full().trained_hash}\n"}


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"selector": Slate(size=5)}, False),
        ({"filters": ()}, False),
        ({"sources": (Trending(),)}, False),
        ({"actions": (CLICK.worth(9), LIKE, HIDE)}, False),
        ({"actions": (CLICK.worth(-1), LIKE, HIDE)}, True),
        ({"ranker": DCNv2()}, True),
        ({"history": History(impressions=100, block=20)}, True),
        ({"features": ()}, True),
        ({"attribution": "2d"}, True),
    ],
)
def test_what_a_model_depends_on(changes: dict[str, Any], trained: bool) -> None:
    changed = dataclasses.replace(full(), **changes)
    assert changed.hash != full().hash
    assert (changed.trained_hash != full().trained_hash) == trained


def test_difference_tells_each_change_on_a_line() -> None:
    old, new = full().to_dict(), dataclasses.replace(full(), selector=Slate(size=5, per_author=2), filters=()).to_dict()
    lines = difference(old, new)
    assert "selector.size: 10 -> 5" in lines
    assert lines[0].startswith('filters[0]: {"within": "30d", "kind": "seen"} -> null')
    assert len(lines) == 7
    assert difference(old, old) == []


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 2), max_size=3)), st.data())
def test_difference_is_empty_only_between_equals(old: dict[str, list[int]], data: st.DataObject) -> None:
    new = data.draw(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 2), max_size=3)))
    same = {k: v for k, v in old.items() if v} == {k: v for k, v in new.items() if v}
    if same and old.keys() == new.keys():
        assert difference(old, new) == []
    elif not same:
        assert difference(old, new)


def test_entities_and_positive_actions() -> None:
    assert [entity.name for entity in full().entities] == ["member", "post"]
    assert people().entities == (MEMBER,)
    assert full().positive == ("click", "like")
    assert full().action("like") == LIKE
    assert full().action("tap") is None


@given(st.integers(1, 60), st.data())
def test_the_history_window_moves_by_whole_blocks(impressions: int, data: st.DataObject) -> None:
    block = data.draw(st.integers(1, max(1, impressions - 1)))
    if block >= impressions:
        return
    history = History(impressions=impressions, block=block)
    starts = [history.start(count) for count in range(5 * impressions)]
    for count, start in enumerate(starts):
        assert start % block == 0
        assert count - start <= impressions
        assert start == 0 or count - start > impressions - block


def test_a_block_leaves_some_history() -> None:
    with pytest.raises(DefinitionError, match=r"History\.block: 5 leaves no history of 5; write less than 5"):
        History(impressions=5, block=5)


def test_the_state_depends_on_whether_histories_read_values() -> None:
    definition = full()
    reads = dataclasses.replace(definition, history=dataclasses.replace(definition.history, values=("click",)))
    longer = dataclasses.replace(definition, history=dataclasses.replace(definition.history, impressions=120))
    assert reads.state_hash != definition.state_hash == longer.state_hash
    assert reads.trained_hash != definition.trained_hash
