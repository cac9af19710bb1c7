"""The recommender: the whole definition of one surface, checked as a whole, serialised, hashed and compared."""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import Field, TypeAdapter

from fourfold.definition.checks import check
from fourfold.definition.entities import Action, Category, Edge, Entity
from fourfold.definition.errors import DefinitionError, from_pydantic
from fourfold.definition.features import Feature
from fourfold.definition.models import DotProduct, Ranker, TwoTower
from fourfold.definition.part import Duration, Name, Positive, part
from fourfold.definition.selection import Rule, Slate
from fourfold.definition.stages import Excluded, Expired, Filter, Seen, Source, Trending

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
"""The fields that a model's weights depend on. Others (sources, filters, utilities, slate, rules) change without training."""

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
    rules : tuple of Pin, Promote or Boost
        What editors place or raise in slates; the first one that applies to a place or an item comes first.

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
    rules: tuple[Rule, ...] = ()
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        check(self)

    @property
    def entities(self) -> tuple[Entity, ...]:
        """Viewer and item, once each."""
        return (self.viewer,) if self.viewer.name == self.item.name else (self.viewer, self.item)

    @cached_property
    def positive(self) -> tuple[str, ...]:
        """Names of the actions with a positive utility."""
        return tuple(action.name for action in self.actions if action.utility > 0)

    @cached_property
    def source_weights(self) -> dict[str, float]:
        """What the places of each source are worth, by its kind."""
        return {str(source.kind): source.weight for source in self.sources}

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
        except (ValueError, RecursionError) as error:
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
