"""Whether an expression speaks of what a definition declares, and compares like with like."""

from typing import TYPE_CHECKING, Literal

from fourfold.definition.entities import Category
from fourfold.definition.expression import (
    Comparison,
    Constant,
    Constants,
    Expression,
    Operand,
    Reference,
    comparisons,
    fault,
)

if TYPE_CHECKING:
    from fourfold.definition.recommender import Recommender

Kind = Literal["number", "text", "numbers", "texts"]


def check_expression(definition: "Recommender", expression: Expression, field: str = "where") -> None:
    """Refuse an expression that names what is not declared, or compares what cannot be compared.

    Raises
    ------
    DefinitionError
        For the first comparison that does; `field` is what it calls the expression.
    """
    for comparison in comparisons(expression):
        _check(definition, comparison, field)


def is_many(definition: "Recommender", operand: Operand) -> bool:
    """Whether an operand is a category with several values."""
    return isinstance(operand, Reference) and kind_of(definition, operand, "where") == "texts"


def kind_of(definition: "Recommender", operand: Operand, field: str) -> Kind:
    """What an operand is: moments are numbers, and all that is written in quotes is text."""
    match operand:
        case Constant(value=value):
            return "text" if isinstance(value, str) else "number"
        case Constants(values=values):
            kinds = {isinstance(value, str) for value in values}
            if len(kinds) > 1:
                raise fault(field, operand.at, "numbers and texts stand in one list", "a list of one kind")
            return "numbers" if kinds == {False} else "texts"
        case Reference():
            return _declared(definition, operand, field)


def _declared(definition: "Recommender", reference: Reference, field: str) -> Kind:
    if reference.of == "context":
        names = [part.name for part in definition.context]
        found: object = reference.name if reference.name in names else None
    else:
        entity = definition.item if reference.of == "item" else definition.viewer
        names = [attribute.name for attribute in entity.attributes]
        found = entity.attribute(reference.name)
    if found is None:
        known = "one of: " + ", ".join(map(repr, names)) if names else "another name: none is declared"
        what = "part of the context" if reference.of == "context" else f"attribute of the {reference.of}"
        raise fault(field, reference.at, f"{reference.name!r} is no {what}", known)
    if isinstance(found, Category) and found.many:
        return "texts"
    return "number" if getattr(found, "kind", "") in ("number", "moment") else "text"


def _check(definition: "Recommender", comparison: Comparison, field: str) -> None:
    left, right = (kind_of(definition, side, field) for side in (comparison.left, comparison.right))
    if left in ("numbers", "texts"):
        raise fault(field, comparison.left.at, "several values stand on the left", 'one value, as in: "sport" in topics')
    if comparison.operator == "in":
        _check_in(comparison, left, right, field)
    elif right in ("numbers", "texts"):
        raise fault(field, comparison.right.at, f"{comparison.operator} compares with several values", "in")
    elif left != right:
        raise fault(field, comparison.right.at, f"a {left} is compared with a {right}", _alike(left))
    elif comparison.operator not in ("==", "!=") and left == "text":
        raise fault(field, comparison.at, f"{comparison.operator} compares texts", "==, != or in; only numbers have an order")
    if left == "text" and _of_item(comparison.left) and _of_item(comparison.right):
        raise fault(
            field, comparison.at, "two texts of the item are compared", "a text in quotes, or one of the viewer or the context"
        )


def _check_in(comparison: Comparison, left: Kind, right: Kind, field: str) -> None:
    if right not in ("numbers", "texts"):
        raise fault(field, comparison.right.at, "in looks into one value", "a list, or a category with several values")
    empty = isinstance(comparison.right, Constants) and not comparison.right.values
    if not empty and right != f"{left}s":
        raise fault(field, comparison.right.at, f"a {left} is looked for among {right}", _alike(left))


def _alike(left: Kind) -> str:
    return "a text in quotes" if left == "text" else "a number without quotes"


def _of_item(operand: Operand) -> bool:
    return isinstance(operand, Reference) and operand.of == "item"
