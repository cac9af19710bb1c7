"""People you may know: members for members, over the edges they already have."""

from collections.abc import Sequence

from fourfold.definition import (
    Action,
    Age,
    Blocked,
    DCNv2,
    DotProduct,
    Edge,
    EmbeddingRetrieval,
    Entity,
    Excluded,
    Feature,
    FeedSR,
    Linked,
    Own,
    Recommender,
    Seen,
    Source,
    Trending,
    TwoHop,
    TwoTower,
)
from fourfold.surfaces.counters import counters

_PRIOR = 0.05


def pymk(
    *,
    member: Entity | None = None,
    edge: str = "follows",
    mutual: bool = False,
    actions: Sequence[Action] = (Action("connect").worth(1),),
    features: Sequence[Feature] | None = None,
    seen_within: str = "30d",
    ranker: FeedSR | DCNv2 | None = None,
    retrieval: TwoTower | None = None,
    surface: str = "pymk",
) -> Recommender:
    """Members whom a member may know: neighbours of neighbours first, then who is gaining edges.

    Parameters
    ----------
    member : Entity, optional
        By default without attributes.
    edge : str
        The kind of edge that links members. An edge ``blocks`` is declared beside it.
    mutual : bool
        Whether an edge counts for both its ends.
    actions : sequence of Action
        By default `connect`.
    features : sequence of Feature, optional
        By default counts and rates by candidate and by viewer, and how long the candidate has been a member.
    seen_within : str
        How long an ignored suggestion stays away.
    ranker, retrieval
        Models; without them neighbours in common decide the order.

    Raises
    ------
    DefinitionError
        If the parts do not fit together.
    """
    member = member or Entity("member")
    sources: list[Source] = [TwoHop(edge=edge), Trending(edge=edge)]
    return Recommender(
        surface=surface,
        viewer=member,
        item=member,
        actions=tuple(actions),
        edges=(Edge(edge, member.name, member.name, mutual=mutual), Edge("blocks", member.name, member.name)),
        features=tuple(_features(actions) if features is None else features),
        attribution="7d",
        sources=tuple(sources + ([EmbeddingRetrieval()] if retrieval else [])),
        filters=(Own(), Linked(edge=edge), Blocked(), Excluded(), Seen(within=seen_within)),
        retrieval=retrieval,
        early_ranker=DotProduct() if retrieval else None,
        ranker=ranker,
    )


def _features(actions: Sequence[Action]) -> list[Feature]:
    rates = {action.name: _PRIOR for action in actions}
    found: list[Feature] = [Age("item_age")]
    found += counters(("item",), rates, ("30d", None))
    found += counters(("viewer",), rates, ("30d", None))
    return found
