"""The recommender: the whole definition of one surface, checked as a whole, serialised, hashed and compared."""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import Field, TypeAdapter

from fourfold.definition.entities import Action, Category, Edge, Entity
from fourfold.definition.errors import DefinitionError, from_pydantic
from fourfold.definition.features import (
    Age,
    AttributeValue,
    Count,
    Counted,
    Distinct,
    Feature,
    Last,
    Mean,
    Rate,
    Ratio,
    Sum,
    TimeSince,
    check_key,
)
from fourfold.definition.models import DotProduct, Ranker, TwoTower
from fourfold.definition.part import Duration, Name, Positive, milliseconds, part
from fourfold.definition.stages import (
    Blocked,
    EmbeddingRetrieval,
    Excluded,
    Expired,
    Filter,
    Hidden,
    InNetwork,
    Linked,
    Seen,
    Slate,
    Source,
    Trending,
    TwoHop,
)

T = TypeVar("T", bound=Any)

TRAINED_FIELDS = (
    "surface",
    "viewer",
    "item",
    "context",
    "edges",
    "actions",
    "attribution",
    "lateness",
    "memory",
    "history",
    "features",
    "retrieval",
    "ranker",
)
"""The fields that a model's weights depend on. The others (sources, filters, utilities, slate) may change without training."""

STATE_FIELDS = ("surface", "viewer", "item", "context", "edges", "lateness", "memory", "features")
"""The fields that decide what is kept of events, beside the names of actions."""


@part
class History:
    """How much of a viewer's past a ranker reads.

    The window holds between ``impressions - block`` and `impressions` entries: its start moves by whole blocks and is a
    function of the number of entries alone, so that a cached history stays exact between two moves.

    Parameters
    ----------
    impressions, block : int
        The most entries of the window, and by how many its start moves.
    values : tuple of str
        Actions whose `value`, such as how long a click was watched, rankers read with the entry.
    """

    impressions: Positive = 200
    block: Positive = 50
    values: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        if self.block >= self.impressions:
            raise DefinitionError(
                "block", f"{self.block} leaves no history of {self.impressions}", f"less than {self.impressions}"
            )

    def start(self, count: T) -> T:
        """Index of the first entry in the window of a viewer with `count` entries: a number, or an array of them."""
        excess = count - self.impressions
        start: T = (excess > 0) * (-(-excess // self.block) * self.block)
        return start


@part
class Recommender:
    """The definition of one surface. Pure data, no I/O; everything that runs is made from it.

    Parameters
    ----------
    surface : str
        The place where slates are shown; events carry it.
    viewer, item : Entity
        Who the slate is for and what can be in it. In an edge-building surface they are the same entity.
    context : tuple of Category
        What is known of a request beside its viewer, such as the tab that was open. Impressions and requests carry it.
    actions : tuple of Action
        What viewers do; together with their utilities they define what a good slate is.
    edges : tuple of Edge
        The kinds of link that sources and filters read.
    features : tuple of Feature
        What rankers know of a viewer, an item or a pair at a point in time, beside attributes and text.
    history : History
        How many past impressions rankers read.
    attribution : str
        How long after an impression an action still counts as its outcome.
    lateness : str, optional
        How much older than the newest event that the log held before it an impression or action may be; one that is older is
        ignored, by training and serving alike. None: however late, it counts.
    memory : str, optional
        How far back impressions and actions count for features, histories, sources and filters. With a lateness too, serving
        need not keep what is older. None: for ever.
    sources, filters, early_ranker, ranker, selector
        The stages of a request. Without a ranker, and until one is trained, sources decide the order.
    retrieval : TwoTower, optional
        The model behind `EmbeddingRetrieval` and the early ranker.

    Raises
    ------
    DefinitionError
        If a part is wrong or two parts do not fit together; it names the field and what to write.
    """

    surface: Name
    viewer: Entity
    item: Entity
    context: tuple[Category, ...] = ()
    actions: tuple[Action, ...] = ()
    edges: tuple[Edge, ...] = ()
    features: tuple[Feature, ...] = ()
    history: History = History()
    attribution: Duration = "1d"
    lateness: Duration | None = None
    memory: Duration | None = None
    sources: Annotated[tuple[Source, ...], Field(min_length=1)] = (Trending(),)
    filters: tuple[Filter, ...] = (Seen(), Expired(), Excluded())
    retrieval: TwoTower | None = None
    early_ranker: DotProduct | None = None
    ranker: Ranker | None = None
    selector: Slate = Slate()
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        for check in (_check_entities, _check_names, _check_edges, _check_features, _check_history, _check_stages):
            check(self)

    @property
    def entities(self) -> tuple[Entity, ...]:
        """Viewer and item, once each."""
        return (self.viewer,) if self.viewer.name == self.item.name else (self.viewer, self.item)

    @cached_property
    def positive(self) -> tuple[str, ...]:
        """Names of the actions with a positive utility."""
        return tuple(action.name for action in self.actions if action.utility > 0)

    def action(self, name: str) -> Action | None:
        """The action of that name, or None."""
        return next((action for action in self.actions if action.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """The definition as plain data (dicts, lists, strings and numbers)."""
        data: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return data

    def to_json(self) -> str:
        """The definition as canonical JSON: equal definitions give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Any) -> "Recommender":
        """Build a definition from plain data, such as a parsed JSON file."""
        try:
            return _adapter().validate_python(data)
        except pydantic.ValidationError as error:
            raise from_pydantic("Recommender", error.errors()) from None

    @classmethod
    def from_json(cls, text: str | bytes) -> "Recommender":
        """Build a definition from JSON."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise DefinitionError(
                "Recommender", f"not valid JSON: {error}", "JSON such as `fourfold define movielens --show` prints"
            ) from None
        return cls.from_dict(data)

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits that name this definition."""
        return _digest(self.to_dict())

    @cached_property
    def trained_hash(self) -> str:
        """The same over `TRAINED_FIELDS` alone: a model serves any definition that agrees with it in these."""
        return _digest(self.trained_parts())

    @cached_property
    def state_hash(self) -> str:
        """The same over what the state of a surface depends on: with another, it is computed from the log anew."""
        data = {name: value for name, value in self.to_dict().items() if name in STATE_FIELDS}
        return _digest(data | {"actions": [action.name for action in self.actions], "values": self.history.values})

    def trained_parts(self) -> dict[str, Any]:
        """What a model's weights depend on, as plain data: `TRAINED_FIELDS`, without the utilities of actions."""
        data = {name: value for name, value in self.to_dict().items() if name in TRAINED_FIELDS}
        data["actions"] = [{**action, "utility": action["utility"] > 0} for action in data["actions"]]
        return data


def difference(old: Any, new: Any, path: str = "") -> list[str]:
    """What changed between two definitions as plain data, a line each: ``features[2].window: "7d" -> "1d"``."""
    return list(_differences(old, new, path))


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before, after = (side[index] if index < len(side) else None for side in (old, new))
            yield from _differences(before, after, f"{path}[{index}]")
    elif old != new:
        yield f"{path}: {json.dumps(old)} -> {json.dumps(new)}"


def _adapter() -> TypeAdapter[Recommender]:
    return TypeAdapter(Recommender)


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _check_entities(definition: Recommender) -> None:
    if definition.viewer.name == definition.item.name and definition.viewer != definition.item:
        raise DefinitionError(
            "item", f"two different entities are named {definition.item.name!r}", "one entity for both, or two names"
        )


def _check_names(definition: Recommender) -> None:
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


def _check_edges(definition: Recommender) -> None:
    types = [entity.name for entity in definition.entities]
    for index, edge in enumerate(definition.edges):
        for field in ("source", "target"):
            if getattr(edge, field) not in types:
                raise DefinitionError(f"edges[{index}].{field}", f"no entity is named {getattr(edge, field)!r}", _one_of(types))
        if edge.mutual and edge.source != edge.target:
            raise DefinitionError(f"edges[{index}].mutual", "an edge between two types has a direction", "mutual=False")


def _check_features(definition: Recommender) -> None:
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


def _check_history(definition: Recommender) -> None:
    for index, name in enumerate(definition.history.values):
        field = f"history.values[{index}]"
        _check_event(definition, field, name, ())
        if name in definition.history.values[:index]:
            raise DefinitionError(field, f"{name!r} is there twice", "it once")


def _check_counted(definition: Recommender, field: str, counted: Count | TimeSince | Distinct | Counted) -> None:
    _check_by(definition, f"{field}.by", counted.by)
    _check_event(definition, f"{field}.event", counted.event, ("impression",))


def _check_event(definition: Recommender, field: str, event: str, others: tuple[str, ...]) -> None:
    known = [*others, *(action.name for action in definition.actions)]
    if event not in known:
        raise DefinitionError(field, f"no action is named {event!r}", _one_of(known))


def _check_by(definition: Recommender, field: str, by: tuple[str, ...]) -> None:
    check_key(field, by)
    for key in by:
        side, _, attribute = key.partition(".")
        if side == "context":
            names = [declared.name for declared in definition.context]
            if attribute not in names:
                raise DefinitionError(field, f"no context is named {attribute!r}", _one_of(names))
        elif attribute:
            entity = definition.viewer if side == "viewer" else definition.item
            _check_attribute(field, entity, attribute, ("category",))
            if entity.many(attribute):
                raise DefinitionError(field, f"{attribute!r} holds many values", "an attribute with one value")


def _check_attribute(field: str, entity: Entity, name: str, kinds: tuple[str, ...]) -> None:
    fitting = [attribute.name for attribute in entity.attributes if attribute.kind in kinds]
    if name not in fitting:
        raise DefinitionError(field, f"{entity.name!r} has no {' or '.join(kinds)} attribute {name!r}", _one_of(fitting))


def _check_stages(definition: Recommender) -> None:
    for field, stages in (("sources", definition.sources), ("filters", definition.filters)):
        for index, stage in enumerate(stages):
            where = f"{field}[{index}]({stage.kind})"
            if stage.kind in [other.kind for other in stages[:index]]:
                raise DefinitionError(where, "is there twice", "it once")
            _check_stage_names(definition, where, stage)
            _check_stage_types(definition, where, stage)
    _check_models(definition)
    if definition.selector.per_author is not None and definition.item.owner is None:
        field, item = "selector.per_author", definition.item.name
        raise DefinitionError(field, f"{item!r} names no owner", "an owner in the entity, or no per_author")


def _check_stage_names(definition: Recommender, where: str, stage: Source | Filter) -> None:
    edges = [edge.name for edge in definition.edges]
    edge = getattr(stage, "edge", None)
    if edge is not None and edge not in edges:
        advice = (_one_of(edges) + ", or declare it under edges") if edges else "one that is declared under edges"
        raise DefinitionError(f"{where}.edge", f"no edge is named {edge!r}", advice)
    for action in stage.actions if isinstance(stage, Hidden) else ():
        if definition.action(action) is None:
            advice = _one_of([declared.name for declared in definition.actions])
            raise DefinitionError(f"{where}.actions", f"no action is named {action!r}", advice)


def _check_models(definition: Recommender) -> None:
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


def _check_stage_types(definition: Recommender, where: str, stage: Source | Filter) -> None:
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


def _one_of(names: list[str]) -> str:
    return "one of: " + ", ".join(map(repr, names)) if names else "nothing like it: none is declared"
