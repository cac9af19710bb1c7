"""Conditions over items against a naive reading of the same tree, one item at a time."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition.expression import Comparison, Constant, Constants, Every, Expression, Not, Some, parse
from fourfold.definition.expression_types import check_expression
from fourfold.events import types as ev
from fourfold.pipeline.predicate import Question
from fourfold.pipeline.values import Values
from tests.features.oracle import Oracle
from tests.features.samples import state_of
from tests.strategies import HOUR, MEMBERS, POSTS, START, TINY, logs, times

CONTEXT: Mapping[str, ev.ContextValue] = {"tab": "home"}
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def holds(tree: Expression, known: Mapping[str, Mapping[str, Any]]) -> bool:
    match tree:
        case Not(of=inner):
            return not holds(inner, known)
        case Every(of=parts):
            return all(holds(part, known) for part in parts)
        case Some(of=parts):
            return any(holds(part, known) for part in parts)
        case Comparison(operator=sign, left=left, right=right):
            one, other = value(left, known), value(right, known)
            if one is None or other is None:
                return sign == "!="
            if sign == "in":
                return one in other
            return bool({"==": one == other, "!=": one != other}.get(sign) if sign not in ORDER else ORDER[sign](one, other))


def value(part: Any, known: Mapping[str, Mapping[str, Any]]) -> Any:
    match part:
        case Constant(value=found):
            return found
        case Constants(values=found):
            return list(found)
    return known[part.of].get(part.name)


def known_of(oracle: Oracle, viewer: str, post: str, time: int) -> dict[str, dict[str, Any]]:
    names = [attribute.name for attribute in TINY.item.attributes]
    return {
        "item": {name: oracle.attribute("post", post, name, time) for name in names},
        "viewer": {"country": oracle.attribute("member", viewer, "country", time)},
        "context": dict(CONTEXT),
    }


COMPARISONS = st.sampled_from(
    [
        'author == "m0"',
        'author != "m1"',
        'author in ["m1", "nobody", "x"]',
        "author not in []",
        '"art" in topics',
        '"food" not in topics',
        '"sea" in topics',
        'title == "red fish"',
        "size > 0",
        "1.5 <= size",
        "size != 0",
        "size in [0, -3]",
        f"created < {START + 6 * HOUR}",
        "created >= size",
        'viewer.country == "dk"',
        "viewer.country == context.tab",
        'context.tab == "home"',
        'context.device != "phone"',
        'viewer.country in ["dk", "fr"]',
        "author == viewer.country",
        "viewer.country in topics",
        "context.device in topics",
        "2 < 1",
    ]
)
EXPRESSIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: "({}) {} ({})".format(*parts)),
    ),
    max_leaves=4,
)


@given(logs(), EXPRESSIONS, st.sampled_from([*MEMBERS, "stranger"]), times())
def test_masks_equal_the_naive_truth(log: list[ev.Event], text: str, viewer: str, time: int) -> None:
    check_expression(TINY, parse(text))
    view, oracle = state_of(log).view(), Oracle(TINY, log)
    items = view.rows("post", [*POSTS, "nothing"])
    row = int(view.rows("member", [viewer])[0])
    found = Question(view, Values(), row, time, CONTEXT, items).holds(parse(text))
    wanted = [holds(parse(text), known_of(oracle, viewer, post, time)) for post in [*POSTS, "nothing"]]
    assert found.dtype == bool
    assert found.tolist() == wanted


def test_the_example_of_the_documentation() -> None:
    given: dict[str, dict[str, ev.Value]] = {
        "p0": {"author": "m0", "size": 10, "topics": ["art"]},
        "p1": {"author": "m0", "size": 90, "topics": ["art"]},
        "p2": {"author": "m0", "topics": ["art", "food"]},
        "p3": {"size": 10},
    }
    posts = [ev.EntityUpsert(id=post, time=START, type="post", key=post, attributes=found) for post, found in given.items()]
    view = state_of(posts).view()

    def chosen(text: str) -> list[bool]:
        return list(Question(view, Values(), -1, START + 1, {}, np.arange(4)).holds(parse(text)))

    assert chosen('author == "m0" and size < 60 and "art" in topics') == [True, False, False, False]
    assert chosen("not (size > 60)") == [True, False, True, True], "what is not set is not greater"
    assert chosen("size <= 60") == [True, False, False, True], "what is not set is not smaller either"
    assert chosen('viewer.country == "dk"') == [False] * 4
    assert chosen('viewer.country != "dk"') == [True] * 4


@pytest.mark.parametrize("text", ['author == "m0"', "size < 1", '"art" in topics', "1 < 2"])
def test_no_items_and_an_empty_state(text: str) -> None:
    view = state_of([]).view()
    assert Question(view, Values(), -1, START, {}, np.zeros(0, np.int64)).holds(parse(text)).shape == (0,)
