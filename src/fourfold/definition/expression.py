"""A small, safe language of conditions on items, such as ``language == "de" and "sport" in topics``: its tree and its parser.

condition  = all { "or" all }
all        = one { "and" one }
one        = "not" one | "(" condition ")" | comparison
comparison = operand ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in" ) ( operand | list )
operand    = NUMBER | TEXT | NAME | "item." NAME | "viewer." NAME | "context." NAME
list       = "[" [ operand { "," operand } ] "]", of numbers or of texts
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, cast

from fourfold.definition.errors import DefinitionError

MAX_LENGTH = 1_000
MAX_DEPTH = 16
MAX_COMPARISONS = 50

Side = Literal["item", "viewer", "context"]
Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in"]

_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in")
_WORDS = ("and", "or", "not", "in")
_TOKEN = re.compile(
    r"""(?P<space>\ +)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))
      | (?P<text>"(?:[^"\\\x00-\x1f]|\\["\\])*"|'(?:[^'\\\x00-\x1f]|\\['\\])*')
      | (?P<name>[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?(?![A-Za-z0-9_.]))
      | (?P<sign>==|!=|<=|>=|[<>()\[\],])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Constant:
    """A number or a text that the expression holds; `at` is where it stands, as for all parts of the tree."""

    at: int
    value: float | str


@dataclass(frozen=True)
class Reference:
    """An attribute of the item or the viewer, or a part of the request's context."""

    at: int
    of: Side
    name: str


@dataclass(frozen=True)
class Constants:
    """A list of numbers, or of texts."""

    at: int
    values: tuple[float | str, ...]


Operand: TypeAlias = Constant | Reference | Constants


@dataclass(frozen=True)
class Comparison:
    """Two operands and what must hold between them."""

    at: int
    operator: Operator
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Not:
    """What holds where the other does not."""

    of: "Expression"


@dataclass(frozen=True)
class Every:
    """All of some hold."""

    of: tuple["Expression", ...]


@dataclass(frozen=True)
class Some:
    """At least one of some holds."""

    of: tuple["Expression", ...]


Expression: TypeAlias = Comparison | Not | Every | Some


@lru_cache(maxsize=1024)
def parse(text: str, field: str = "where") -> Expression:
    """The tree of an expression; `field` is what errors call it.

    Raises
    ------
    DefinitionError
        If it is not well formed, longer than `MAX_LENGTH`, deeper than `MAX_DEPTH` or of more than `MAX_COMPARISONS`
        comparisons; the message names the character, counted from 1.
    """
    if len(text) > MAX_LENGTH:
        raise DefinitionError(field, f"{len(text)} characters are too many", f"at most {MAX_LENGTH}")
    return _Parser(text, field).whole()


def comparisons(expression: Expression) -> Iterator[Comparison]:
    """The comparisons of a tree, from left to right."""
    match expression:
        case Comparison():
            yield expression
        case Not(of=inner):
            yield from comparisons(inner)
        case Every(of=parts) | Some(of=parts):
            for part in parts:
                yield from comparisons(part)


def fault(field: str, at: int, problem: str, write: str = "") -> DefinitionError:
    """The error for what stands at a character (from 0)."""
    return DefinitionError(field, f"at character {at + 1}: {problem}", write)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Recursive descent: one method per rule of the grammar."""

    def __init__(self, text: str, field: str) -> None:
        self.field, self.next, self.depth, self.compared = field, 0, 0, 0
        self.tokens = list(self._tokens(text))

    def whole(self) -> Expression:
        found = self._condition()
        if self._now.kind != "end":
            raise self._unexpected('"and" or "or" before it, or nothing')
        return found

    def _tokens(self, text: str) -> Iterator[_Token]:
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise fault(self.field, at, f"{text[at : at + 12]!r} cannot be read", _advice(text[at]))
            kind = str(match.lastgroup)
            if kind != "space":
                word = kind == "name" and match[0] in _WORDS
                yield _Token("word" if word else kind, match[0], at)
            at = match.end()
        yield _Token("end", "the end", len(text))

    @property
    def _now(self) -> _Token:
        return self.tokens[self.next]

    def _accept(self, *texts: str) -> _Token | None:
        """The present token if it is one of some words or signs, and on to the next one."""
        token = self._now
        if token.kind not in ("word", "sign") or token.text not in texts:
            return None
        self.next += 1
        return token

    def _expect(self, text: str) -> None:
        if self._accept(text) is None:
            raise self._unexpected(repr(text))

    def _unexpected(self, write: str) -> DefinitionError:
        token = self._now
        shown = token.text if token.kind == "end" else repr(token.text[:40])
        return fault(self.field, token.at, f"{shown} does not fit here", write)

    def _condition(self) -> Expression:
        parts = [self._all()]
        while self._accept("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _all(self) -> Expression:
        parts = [self._one()]
        while self._accept("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self) -> Expression:
        opened = self._accept("not", "(")
        if opened is None:
            return self._comparison()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise fault(self.field, opened.at, f"more than {MAX_DEPTH} levels deep", "a flatter expression")
        found: Expression = Not(self._one()) if opened.text == "not" else self._condition()
        if opened.text == "(":
            self._expect(")")
        self.depth -= 1
        return found

    def _comparison(self) -> Expression:
        left = self._operand()
        denied = self._accept("not")
        operator = self._accept("in") if denied else self._accept(*_OPERATORS)
        if operator is None:
            raise self._unexpected("in" if denied else "a comparison: ==, !=, <, <=, >, >=, in or not in")
        self.compared += 1
        if self.compared > MAX_COMPARISONS:
            raise fault(self.field, operator.at, f"more than {MAX_COMPARISONS} comparisons", "fewer; a list holds many values")
        right = self._constants() or self._operand()
        found = Comparison(left.at, cast(Operator, operator.text), left, right)
        return Not(found) if denied else found

    def _constants(self) -> Constants | None:
        opened = self._accept("[")
        if opened is None:
            return None
        values: list[float | str] = []
        while not self._accept("]"):
            if values:
                self._expect(",")
            token, operand = self._now, self._operand()
            if not isinstance(operand, Constant):
                raise fault(self.field, token.at, f"{token.text!r} stands in a list", "numbers or texts in quotes")
            values.append(operand.value)
        return Constants(opened.at, tuple(values))

    def _operand(self) -> Constant | Reference:
        token = self._now
        self.next += token.kind in ("number", "text", "name")
        match token.kind:
            case "number":
                return Constant(token.at, self._finite(token))
            case "text":
                return Constant(token.at, re.sub(r"\\(.)", r"\1", token.text[1:-1]))
            case "name":
                return self._reference(token)
        raise self._unexpected("an attribute, a number or a text in quotes")

    def _finite(self, token: _Token) -> float:
        number = float(token.text)
        if not math.isfinite(number):
            raise fault(self.field, token.at, f"{token.text[:40]} is too large", "a smaller number")
        return number

    def _reference(self, token: _Token) -> Reference:
        side, dot, name = token.text.rpartition(".")
        if dot and side not in ("item", "viewer", "context"):
            raise fault(self.field, token.at, f"there is no {side!r}", "item., viewer. or context. before a name, or nothing")
        return Reference(token.at, cast(Side, side or "item"), name)


def _advice(character: str) -> str:
    if character == "=":
        return "== to compare"
    if character in "\"'":
        return "the quote that ends the text on the same line, and \\ before a quote or a backslash inside"
    return "names of attributes, numbers, texts in quotes, and, or, not, in, parentheses and comparisons"
