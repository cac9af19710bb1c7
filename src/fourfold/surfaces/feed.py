"""The feed: posts for members. What one does not say is filled in from what one did."""

from collections.abc import Sequence

from fourfold.definition import (
    Action,
    Age,
    Blocked,
    Category,
    DCNv2,
    DotProduct,
    Edge,
    EmbeddingRetrieval,
    Entity,
    Excluded,
    Expired,
    Feature,
    FeedSR,
    Filter,
    Hidden,
    History,
    InNetwork,
    ItemToItem,
    Own,
    Recommender,
    Seen,
    Slate,
    Source,
    Text,
    Trending,
    TwoTower,
)
from fourfold.surfaces.counters import counters

_PRIOR = 0.1


def feed(
    *,
    actions: Sequence[Action],
    viewer: Entity | None = None,
    item: Entity | None = None,
    context: Sequence[Category] = (),
    edges: Sequence[Edge] = (),
    features: Sequence[Feature] | None = None,
    sources: Sequence[Source] | None = None,
    filters: Sequence[Filter] | None = None,
    ranker: FeedSR | DCNv2 | None = FeedSR(),  # noqa: B008  # frozen data
    retrieval: TwoTower | None = TwoTower(),  # noqa: B008  # frozen data
    history: History = History(),  # noqa: B008  # frozen data
    attribution: str = "1d",
    selector: Slate | None = None,
    surface: str = "feed",
) -> Recommender:
    """A feed with one's own actions and attributes.

    Parameters
    ----------
    actions : sequence of Action
        What viewers do, each with its worth; at least one is worth something.
    viewer, item : Entity, optional
        By default a member without attributes, and a post with a title.
    context : sequence of Category
        What is known of a request beside its viewer.
    edges : sequence of Edge
        With an edge ``follows`` from viewers the feed has an in-network source, with ``blocks`` a block filter.
    features : sequence of Feature, optional
        By default counts and rates by item, viewer, author, and viewer and author, and the item's age.
    sources, filters : sequence, optional
        By default all that the entities, edges and actions allow.
    ranker, retrieval, history, attribution, selector, surface
        As in `Recommender`.

    Raises
    ------
    DefinitionError
        If the parts do not fit together.

    Examples
    --------
    >>> feed(actions=[Action("click").worth(1), Action("hide").worth(-20)]).filters[-1].actions
    ('hide',)
    """
    viewer = viewer or Entity("member")
    item = item or Entity("post", (Text("title"),), title="title")
    return Recommender(
        surface=surface,
        viewer=viewer,
        item=item,
        context=tuple(context),
        actions=tuple(actions),
        edges=tuple(edges),
        features=tuple(_features(actions, item) if features is None else features),
        history=history,
        attribution=attribution,
        sources=tuple(_sources(edges, viewer, retrieval) if sources is None else sources),
        filters=tuple(_filters(actions, edges, viewer, item) if filters is None else filters),
        retrieval=retrieval,
        early_ranker=DotProduct() if retrieval else None,
        ranker=ranker,
        selector=selector or Slate(per_author=2 if item.owner else None),
    )


def _features(actions: Sequence[Action], item: Entity) -> list[Feature]:
    rates = {action.name: _PRIOR for action in actions}
    found: list[Feature] = [Age("item_age")]
    found += counters(("item",), rates, ("1d", "7d", None))
    found += counters(("viewer",), rates, ("1d", None))
    if item.owner:
        found += counters((f"item.{item.owner}",), rates, ("7d",))
        found += counters(("viewer", f"item.{item.owner}"), rates, strength=3.0)
    return found


def _sources(edges: Sequence[Edge], viewer: Entity, retrieval: TwoTower | None) -> list[Source]:
    found: list[Source] = [Trending(), ItemToItem()]
    found += [InNetwork()] if _from_viewers("follows", edges, viewer) else []
    found += [EmbeddingRetrieval()] if retrieval else []
    return found


def _filters(actions: Sequence[Action], edges: Sequence[Edge], viewer: Entity, item: Entity) -> list[Filter]:
    harmful = tuple(action.name for action in actions if action.utility < 0)
    found: list[Filter] = [Seen(), Excluded()]
    found += [Expired()] if item.lifetime else []
    found += [Own()] if item.owner else []
    found += [Blocked()] if _from_viewers("blocks", edges, viewer) else []
    found += [Hidden(harmful)] if harmful else []
    return found


def _from_viewers(name: str, edges: Sequence[Edge], viewer: Entity) -> bool:
    return any(edge.name == name and edge.source == viewer.name for edge in edges)
