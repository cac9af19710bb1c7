"""Whether the parts of a recommender fit together; each check names the field and what to write instead."""

from typing import TYPE_CHECKING

from fourfold.definition.entities import Entity
from fourfold.definition.errors import DefinitionError
from fourfold.definition.features import (
    Age,
    AttributeValue,
    Count,
    Counted,
    Distinct,
    Last,
    Mean,
    Rate,
    Ratio,
    Sum,
    TimeSince,
    check_key,
)
from fourfold.definition.part import milliseconds
from fourfold.definition.stage_checks import check_stages, one_of

if TYPE_CHECKING:
    from fourfold.definition.recommender import Recommender


def check(definition: "Recommender") -> None:
    """Refuse a definition whose parts do not fit together.

    Raises
    ------
    DefinitionError
        For the first that does not.
    """
    for of in (_check_entities, _check_names, _check_edges, _check_features, _check_history, check_stages):
        of(definition)


def _check_entities(definition: "Recommender") -> None:
    if definition.viewer.name == definition.item.name and definition.viewer != definition.item:
        raise DefinitionError(
            "item", f"two different entities are named {definition.item.name!r}", "one entity for both, or two names"
        )


def _check_names(definition: "Recommender") -> None:
    for field in ("context", "actions", "edges", "features"):
        names = [thing.name for thing in getattr(definition, field)]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise DefinitionError(f"{field}[{index}].name", f"{name!r} is declared twice", "another name")
    for index, action in enumerate(definition.actions):
        if action.name == "impression":
            raise DefinitionError(f"actions[{index}].name", "'impression' is an event of its own", "another name")
    for index, attribute in enumerate(definition.context):
        if attribute.many:
            raise DefinitionError(f"context[{index}].many", f"{attribute.name!r} holds many values", "one value per request")
    milliseconds(definition.attribution)


def _check_edges(definition: "Recommender") -> None:
    types = [entity.name for entity in definition.entities]
    for index, edge in enumerate(definition.edges):
        for field in ("source", "target"):
            if getattr(edge, field) not in types:
                raise DefinitionError(f"edges[{index}].{field}", f"no entity is named {getattr(edge, field)!r}", one_of(types))
        if edge.mutual and edge.source != edge.target:
            raise DefinitionError(f"edges[{index}].mutual", "an edge between two types has a direction", "mutual=False")


def _check_features(definition: "Recommender") -> None:
    for index, feature in enumerate(definition.features):
        field = f"features[{index}]({feature.name})"
        match feature:
            case AttributeValue():
                _check_attribute(f"{field}.attribute", getattr(definition, feature.of), feature.attribute, ("number", "moment"))
            case Ratio():
                for name, count in (("of", feature.of), ("per", feature.per)):
                    _check_counted(definition, f"{field}.{name}", count)
            case Count() | TimeSince() | Distinct():
                _check_counted(definition, field, feature)
                if isinstance(feature, Distinct):
                    _check_by(definition, f"{field}.of", (feature.of,))
            case Rate() | Sum() | Mean() | Last():
                _check_by(definition, f"{field}.by", feature.by)
                _check_event(definition, f"{field}.action", feature.action, ())
            case Age():
                pass


def _check_history(definition: "Recommender") -> None:
    for index, name in enumerate(definition.history.values):
        field = f"history.values[{index}]"
        _check_event(definition, field, name, ())
        if name in definition.history.values[:index]:
            raise DefinitionError(field, f"{name!r} is there twice", "it once")


def _check_counted(definition: "Recommender", field: str, counted: Count | TimeSince | Distinct | Counted) -> None:
    _check_by(definition, f"{field}.by", counted.by)
    _check_event(definition, f"{field}.event", counted.event, ("impression",))


def _check_event(definition: "Recommender", field: str, event: str, others: tuple[str, ...]) -> None:
    known = [*others, *(action.name for action in definition.actions)]
    if event not in known:
        raise DefinitionError(field, f"no action is named {event!r}", one_of(known))


def _check_by(definition: "Recommender", field: str, by: tuple[str, ...]) -> None:
    check_key(field, by)
    for key in by:
        side, _, attribute = key.partition(".")
        if side == "context":
            names = [declared.name for declared in definition.context]
            if attribute not in names:
                raise DefinitionError(field, f"no context is named {attribute!r}", one_of(names))
        elif attribute:
            entity = definition.viewer if side == "viewer" else definition.item
            _check_attribute(field, entity, attribute, ("category",))
            if entity.many(attribute):
                raise DefinitionError(field, f"{attribute!r} holds many values", "an attribute with one value")


def _check_attribute(field: str, entity: Entity, name: str, kinds: tuple[str, ...]) -> None:
    fitting = [attribute.name for attribute in entity.attributes if attribute.kind in kinds]
    if name not in fitting:
        raise DefinitionError(field, f"{entity.name!r} has no {' or '.join(kinds)} attribute {name!r}", one_of(fitting))
