"""Conditions as masks over items: an expression of `fourfold.definition.expression`, asked of one view at one time.

A comparison with something that is not set is false: so ``price > 5`` drops items without a price, and ``not (price > 5)``
keeps them. ``!=`` and ``not in`` are the contrary of ``==`` and ``in``.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourfold.definition.expression import Comparison, Constant, Constants, Every, Expression, Not, Operand, Reference, Some
from fourfold.events.types import ContextValue
from fourfold.features.names import Names
from fourfold.features.table import Float, Int
from fourfold.features.view import SEPARATOR, View
from fourfold.pipeline.values import Mask, Values

_ORDER: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class _Texts:
    """A text of every item: codes and what they stand for."""

    codes: Int  # (C,)
    names: Names

    def among(self, texts: Sequence[str]) -> Mask:
        """Which of them are one of some."""
        codes = self.names.find_all(texts)
        return np.isin(self.codes, codes[codes >= 0])


_Single = Float | float | _Texts | str | None
"""Numbers of items, one number (NaN where it is not set), texts of items, one text or none."""


@dataclass(frozen=True)
class Question:
    """Items (rows, shape (C,)) that conditions are asked about, and of whom and when."""

    view: View
    values: Values
    viewer: int  # row
    time: int
    context: Mapping[str, ContextValue]
    items: Int
    times: Int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", np.full(len(self.items), self.time))

    def holds(self, expression: Expression) -> Mask:
        """For which items a condition holds, shape (C,)."""
        match expression:
            case Not(of=inner):
                return ~self.holds(inner)
            case Every(of=parts):
                every: Mask = np.logical_and.reduce([self.holds(part) for part in parts])
                return every
            case Some(of=parts):
                some: Mask = np.logical_or.reduce([self.holds(part) for part in parts])
                return some
            case Comparison():
                found = np.broadcast_to(self._compared(expression), self.items.shape)
                return ~found if expression.operator == "!=" else found.copy()

    def _compared(self, asked: Comparison) -> NDArray[np.bool_] | bool:
        left = self._single(asked.left)
        if asked.operator == "in":
            return self._in(left, asked.right)
        right = self._single(asked.right)
        if isinstance(left, _Texts | str | None) or isinstance(right, _Texts | str | None):
            return _equal(left, right)
        # NaN compares as false, which is what "not set" is to mean.
        found: NDArray[np.bool_] | bool = _ORDER[asked.operator](left, right)
        return found

    def _in(self, left: _Single, right: Operand) -> NDArray[np.bool_] | bool:
        if isinstance(right, Reference) and right.of == "item":
            code = self.values.find(self.view, right.name, str(left)) if left is not None else -1
            return self.values.of(self.view, right.name, self.items, self.time).having(np.array([code]))
        values = right.values if isinstance(right, Constants) else self._of_viewer(right)
        if isinstance(left, _Texts):
            return left.among([str(value) for value in values])
        if isinstance(left, str | None):
            return left in values
        found: NDArray[np.bool_] = np.isin(left, [value for value in values if not isinstance(value, str)])
        return found

    def _of_viewer(self, right: Operand) -> tuple[str, ...]:
        text = self._single(right)
        return tuple(text.split(SEPARATOR)) if isinstance(text, str) else ()

    def _single(self, operand: Operand) -> _Single:
        match operand:
            case Constant(value=value):
                return value
            case Reference(of="context", name=name):
                return str(self.context[name]) if name in self.context else None
            case Reference(of="viewer", name=name):
                return self._attribute_of_viewer(name)
            case Reference(name=name):
                return self._attribute(name)
        raise TypeError(operand)

    def _attribute(self, name: str) -> _Single:
        entity = self.view.definition.item
        if getattr(entity.attribute(name), "kind", "") in ("number", "moment"):
            return self.view.attribute(entity.name, name, self.items, self.times)
        codes = self.view.codes(entity.name, name, self.items, self.times)
        return _Texts(codes, self.view.names[f"value/{entity.name}/{name}"])

    def _attribute_of_viewer(self, name: str) -> _Single:
        entity = self.view.definition.viewer
        row, time = np.array([self.viewer]), np.array([self.time])
        if getattr(entity.attribute(name), "kind", "") in ("number", "moment"):
            return float(self.view.attribute(entity.name, name, row, time)[0])
        code = int(self.view.codes(entity.name, name, row, time)[0])
        return None if code < 0 else self.view.names[f"value/{entity.name}/{name}"][code]


def _equal(left: _Single, right: _Single) -> NDArray[np.bool_] | bool:
    """Whether texts are equal; at most one side is of items."""
    if isinstance(right, _Texts):
        left, right = right, left
    if isinstance(left, _Texts):
        return left.among([right] if isinstance(right, str) else [])
    return left is not None and left == right
