"""The stages of a request, as data: sources and filters. Their code lives in `candidates` and `pipeline`."""

from typing import Annotated, Literal

from pydantic import Field

from fourfold.definition.expression import parse
from fourfold.definition.part import Duration, Name, Positive, part

Weight = Annotated[float, Field(gt=0.0, le=1_000.0)]
"""What a place in a source's proposal is worth beside the same place in another's, where no model orders candidates."""


@part
class Trending:
    """Items with the most recent positive actions, or new edges towards them, each worth half after `half_life`."""

    keep: Positive = 200
    half_life: Duration = "2d"
    edge: Name | None = None
    weight: Weight = 1.0
    kind: Literal["trending"] = "trending"


@part
class InNetwork:
    """Items that the viewer's neighbours over `edge` recently made, or acted on with positive utility."""

    keep: Positive = 200
    edge: Name = "follows"
    weight: Weight = 1.0
    kind: Literal["in_network"] = "in_network"


@part
class TwoHop:
    """Neighbours of neighbours over `edge`, most common neighbours first, each damped by its degree (Adamic-Adar)."""

    keep: Positive = 400
    edge: Name = "follows"
    weight: Weight = 1.0
    kind: Literal["two_hop"] = "two_hop"


@part
class EmbeddingRetrieval:
    """Items nearest to the viewer in the retrieval model's space: works from text alone for new members and items."""

    keep: Positive = 400
    weight: Weight = 1.0
    kind: Literal["embedding_retrieval"] = "embedding_retrieval"


@part
class ItemToItem:
    """Items that the same members liked as the viewer's `recent` last positive ones (cosine of co-occurrence)."""

    keep: Positive = 200
    recent: Positive = 20
    weight: Weight = 1.0
    kind: Literal["item_to_item"] = "item_to_item"


Source = Annotated[
    Trending | InNetwork | TwoHop | EmbeddingRetrieval | ItemToItem,
    Field(discriminator="kind"),
]


@part
class Seen:
    """Drop items that the viewer had an impression of, within the last `within` or ever."""

    within: Duration | None = None
    kind: Literal["seen"] = "seen"


@part
class Expired:
    """Drop items older than their entity's lifetime, and those whose own moment `until`, if they have one, has come.

    `until` names a moment attribute: the first moment at which the item may not be shown any more.
    """

    until: Name | None = None
    kind: Literal["expired"] = "expired"


@part
class Hidden:
    """Drop items on which the viewer did one of these actions, such as hide or report."""

    actions: Annotated[tuple[Name, ...], Field(min_length=1)] = ("hide",)
    kind: Literal["hidden"] = "hidden"


@part
class Own:
    """Drop the viewer's own items, and the viewer."""

    kind: Literal["own"] = "own"


@part
class Blocked:
    """Drop items of, or which are, members with a block edge to or from the viewer."""

    edge: Name = "blocks"
    kind: Literal["blocked"] = "blocked"


@part
class Linked:
    """Drop members whom an edge already links to the viewer: nobody is recommended to follow whom they follow."""

    edge: Name = "follows"
    kind: Literal["linked"] = "linked"


@part
class Excluded:
    """Drop the items on the request's exclusion list."""

    kind: Literal["excluded"] = "excluded"


@part
class Where:
    """Keep only items for which a condition holds, such as ``language == viewer.language and length < 60``."""

    expression: str
    kind: Literal["where"] = "where"

    def __post_init__(self) -> None:
        parse(self.expression, "expression")


@part
class FrequencyCap:
    """Drop what the viewer had `times` impressions of within the last `within`: the item, or all with a value of `by`.

    `by` names a category attribute, such as the author. A slate holds no more items of one value than are left of the cap.
    """

    times: Positive
    within: Duration
    by: Name | None = None
    kind: Literal["frequency_cap"] = "frequency_cap"


Filter = Annotated[
    Seen | Expired | Hidden | Own | Blocked | Linked | Excluded | Where | FrequencyCap,
    Field(discriminator="kind"),
]


def name_of(stage: Source | Filter) -> str:
    """What traces call a source or filter: its kind, and for a frequency cap also what it counts by."""
    by = getattr(stage, "by", None)
    return str(stage.kind) if by is None else f"{stage.kind}/{by}"
