"""The language of conditions: what is read, and what is refused at which character."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import DefinitionError
from fourfold.definition.expression import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_LENGTH,
    Comparison,
    Constant,
    Constants,
    Every,
    Expression,
    Not,
    Reference,
    Some,
    comparisons,
    parse,
)


def shown(expression: Expression) -> str:
    """A tree with all its parentheses."""
    match expression:
        case Not(of=inner):
            return f"!{shown(inner)}"
        case Every(of=parts):
            return f"({' & '.join(map(shown, parts))})"
        case Some(of=parts):
            return f"({' | '.join(map(shown, parts))})"
        case Comparison(operator=operator, left=left, right=right):
            return f"{operand(left)}{operator}{operand(right)}"


def operand(part: Constant | Constants | Reference) -> str:
    match part:
        case Constant(value=value):
            return repr(value)
        case Constants(values=values):
            return repr(list(values))
        case Reference(of=side, name=name):
            return f"{side}.{name}"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('language == "de"', "item.language=='de'"),
        ("a<1 and b>=-2.5e1 or not c != 3", "((item.a<1.0 & item.b>=-25.0) | !item.c!=3.0)"),
        ("not a < 1 and b < 1", "(!item.a<1.0 & item.b<1.0)"),
        ("not (a < 1 and b < 1)", "!(item.a<1.0 & item.b<1.0)"),
        ("a<1 or b<1 and c<1", "(item.a<1.0 | (item.b<1.0 & item.c<1.0))"),
        ("(a<1 or b<1) and c<1", "((item.a<1.0 | item.b<1.0) & item.c<1.0)"),
        ('"sport" in topics', "'sport'initem.topics"),
        ('"sport" not in item.topics', "!'sport'initem.topics"),
        ("viewer.age in [1, 2]", "viewer.agein[1.0, 2.0]"),
        ("context.tab in []", "context.tabin[]"),
        (r"""a == "say \"no\\" """, "item.a=='say \"no\\\\'"),
        (r"a == 'it\'s'", 'item.a=="it\'s"'),
        ("not_a == 1", "item.not_a==1.0"),
        ("inn in ['x']", "item.innin['x']"),
    ],
)
def test_what_is_read(text: str, tree: str) -> None:
    assert shown(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("", 1, "the end does not fit here; write an attribute, a number or a text in quotes"),
        ("   ", 4, "the end does not fit here"),
        ("a", 2, "write a comparison: ==, !="),
        ("a = 1", 3, "write == to compare"),
        ("a == 1 b", 8, '\'b\' does not fit here; write "and" or "or" before it, or nothing'),
        ("a == 1)", 7, "')' does not fit here"),
        ("(a == 1", 8, "the end does not fit here; write ')'"),
        ("a == ", 6, "write an attribute"),
        ("a not == 1", 7, "write in"),
        ('a == "x', 6, "cannot be read; write the quote that ends the text"),
        ('a == "x\n"', 6, "cannot be read"),
        ("a == 1\tor b == 2", 7, "cannot be read"),
        ("a == 0x10", 6, "cannot be read"),
        ("a == 1e999", 6, "is too large; write a smaller number"),
        ("a in [1 2]", 9, "'2' does not fit here; write ','"),
        ("a in [1, b]", 10, "'b' stands in a list; write numbers or texts in quotes"),
        ("a in [,]", 7, "',' does not fit here"),
        ("a in [1", 8, "the end does not fit here"),
        ("page.a == 1", 1, "there is no 'page'; write item., viewer. or context."),
        ("a.b.c == 1", 1, "cannot be read"),
        ("A == 1", 1, "cannot be read"),
        ("__import__('os')", 1, "cannot be read"),
        ("a == 1; b == 2", 7, "cannot be read"),
        ("a == \u0661", 6, "cannot be read"),
        ("and == 1", 1, "'and' does not fit here"),
        ("a < b < c", 7, "'<' does not fit here"),
    ],
)
def test_what_is_refused_names_the_character(text: str, at: int, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse(text, "rule")
    assert str(caught.value).startswith(f"rule: at character {at}: ")
    assert said in str(caught.value)


def test_limits_hold_at_their_edges() -> None:
    assert parse("a == 1".ljust(MAX_LENGTH))
    with pytest.raises(DefinitionError, match=f"{MAX_LENGTH + 1} characters are too many; write at most {MAX_LENGTH}"):
        parse("a == 1".ljust(MAX_LENGTH + 1))
    for opening, closing in (("(", ")"), ("not ", "")):
        assert parse(opening * MAX_DEPTH + "a == 1" + closing * MAX_DEPTH)
        with pytest.raises(DefinitionError, match=f"more than {MAX_DEPTH} levels deep"):
            parse(opening * (MAX_DEPTH + 1) + "a == 1" + closing * (MAX_DEPTH + 1))
    many = " or ".join(["a == 1"] * MAX_COMPARISONS)
    assert len(list(comparisons(parse(many)))) == MAX_COMPARISONS
    assert parse(" or ".join(["(a == 1)"] * MAX_COMPARISONS)), "what is closed again is not deep"
    with pytest.raises(DefinitionError, match=f"more than {MAX_COMPARISONS} comparisons"):
        parse(many + " or a == 1")


@given(st.text(max_size=30) | st.text(alphabet="ab.()[]\"'=<>!, in not and or 12", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(DefinitionError):
        assert list(comparisons(parse(text)))
