"""Whether the stages of a recommender fit its entities, edges and actions."""

from typing import TYPE_CHECKING

from fourfold.definition.errors import DefinitionError
from fourfold.definition.expression import parse
from fourfold.definition.expression_types import check_expression
from fourfold.definition.part import milliseconds
from fourfold.definition.selection import Boost, Pin, Promote
from fourfold.definition.stages import (
    Blocked,
    EmbeddingRetrieval,
    Expired,
    Filter,
    FrequencyCap,
    Hidden,
    InNetwork,
    Linked,
    Source,
    Trending,
    TwoHop,
    Where,
    name_of,
)

if TYPE_CHECKING:
    from fourfold.definition.recommender import Recommender


def check_stages(definition: "Recommender") -> None:
    """Refuse sources, filters, a selector or rules that do not fit the rest of a definition."""
    for field, stages in (("sources", definition.sources), ("filters", definition.filters)):
        for index, stage in enumerate(stages):
            where = f"{field}[{index}]({stage.kind})"
            if name_of(stage) in [name_of(other) for other in stages[:index]]:
                raise DefinitionError(where, "is there twice", "it once")
            _check_stage_names(definition, where, stage)
            _check_stage_types(definition, where, stage)
            _check_attributes(definition, where, stage)
    _check_models(definition)
    check_selection(definition)


def _check_stage_names(definition: "Recommender", where: str, stage: Source | Filter) -> None:
    edges = [edge.name for edge in definition.edges]
    edge = getattr(stage, "edge", None)
    if edge is not None and edge not in edges:
        advice = (one_of(edges) + ", or declare it under edges") if edges else "one that is declared under edges"
        raise DefinitionError(f"{where}.edge", f"no edge is named {edge!r}", advice)
    for action in stage.actions if isinstance(stage, Hidden) else ():
        if definition.action(action) is None:
            advice = one_of([declared.name for declared in definition.actions])
            raise DefinitionError(f"{where}.actions", f"no action is named {action!r}", advice)


def _check_models(definition: "Recommender") -> None:
    if definition.retrieval is None:
        if any(isinstance(source, EmbeddingRetrieval) for source in definition.sources):
            raise DefinitionError(
                "retrieval",
                "embedding_retrieval needs a retrieval model",
                'a retrieval model: {"kind": "two_tower"}, in Python TwoTower()',
            )
        if definition.early_ranker is not None:
            raise DefinitionError(
                "retrieval",
                "dot_product needs a retrieval model",
                'a retrieval model: {"kind": "two_tower"}, in Python TwoTower()',
            )
    if (definition.ranker or definition.retrieval) and not definition.positive:
        raise DefinitionError("actions", "models need an action with a positive utility", "an action with a utility above 0")


def _check_stage_types(definition: "Recommender", where: str, stage: Source | Filter) -> None:
    edge = next((edge for edge in definition.edges if edge.name == getattr(stage, "edge", None)), None)
    viewer, item = definition.viewer.name, definition.item.name
    if isinstance(stage, TwoHop | Linked | Trending) and edge is not None and edge.target != item:
        raise DefinitionError(f"{where}.edge", f"{edge.name!r} leads to {edge.target!r}, not to items", f"an edge to {item!r}")
    if isinstance(stage, InNetwork | TwoHop | Blocked) and edge is not None and edge.source != edge.target:
        raise DefinitionError(f"{where}.edge", f"{edge.name!r} joins two types", f"an edge from {viewer!r} to {viewer!r}")
    if isinstance(stage, InNetwork | TwoHop | Linked | Blocked) and edge is not None and edge.source != viewer:
        raise DefinitionError(
            f"{where}.edge", f"{edge.name!r} starts at {edge.source!r}, not at viewers", f"an edge from {viewer!r}"
        )


def _check_attributes(definition: "Recommender", where: str, stage: Source | Filter) -> None:
    match stage:
        case Expired(until=str(name)):
            _check_attribute(definition, f"{where}.until", name, "moment")
        case FrequencyCap():
            _check_frequency_cap(definition, where, stage)
        case Where(expression=text):
            check_expression(definition, parse(text, "expression"), f"{where}.expression")


def _check_frequency_cap(definition: "Recommender", where: str, stage: FrequencyCap) -> None:
    if stage.by is not None:
        _check_attribute(definition, f"{where}.by", stage.by, "category")
    memory = definition.memory
    if memory is not None and milliseconds(stage.within) > milliseconds(memory):
        raise DefinitionError(f"{where}.within", f"{stage.within} reaches beyond the memory of {memory}", f"at most {memory}")


def check_selection(definition: "Recommender") -> None:
    """Refuse caps of attributes that are no categories, and rules that are not told apart or speak of what is not declared."""
    selector, item = definition.selector, definition.item
    if selector.per_author is not None and item.owner is None:
        raise DefinitionError(
            "selector.per_author", f"{item.name!r} names no owner", "an owner in the entity, or no per_author"
        )
    capped = [] if selector.per_author is None else [item.owner]
    for index, cap in enumerate(selector.caps):
        field = f"selector.caps[{index}].attribute"
        _check_attribute(definition, field, cap.attribute, "category")
        if cap.attribute in capped:
            raise DefinitionError(field, f"{cap.attribute!r} is capped twice", "it once")
        capped.append(cap.attribute)
    for index, rule in enumerate(definition.rules):
        _check_rule(definition, f"rules[{index}]({rule.name})", index, rule)


def _check_rule(definition: "Recommender", field: str, index: int, rule: Pin | Promote | Boost) -> None:
    if rule.name in [other.name for other in definition.rules[:index]]:
        raise DefinitionError(f"{field}.name", f"{rule.name!r} is declared twice", "another name")
    if rule.where is not None:
        check_expression(definition, parse(rule.where), f"{field}.where")


def _check_attribute(definition: "Recommender", field: str, name: str, kind: str) -> None:
    fitting = [attribute.name for attribute in definition.item.attributes if attribute.kind == kind]
    if name not in fitting:
        raise DefinitionError(field, f"{definition.item.name!r} has no {kind} attribute {name!r}", one_of(fitting))


def one_of(names: list[str]) -> str:
    """The advice to write one of some names."""
    return "one of: " + ", ".join(map(repr, names)) if names else "nothing like it: none is declared"
