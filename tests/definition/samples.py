"""A definition that uses every part once."""

from fourfold.definition import (
    Action,
    Age,
    AttributeValue,
    Blocked,
    Category,
    Count,
    Counted,
    Distinct,
    DotProduct,
    Edge,
    EmbeddingRetrieval,
    Entity,
    Excluded,
    Expired,
    FeedSR,
    Hidden,
    History,
    InNetwork,
    ItemToItem,
    Last,
    Linked,
    Mean,
    Moment,
    Number,
    Own,
    Rate,
    Ratio,
    Recommender,
    Seen,
    Slate,
    Sum,
    Text,
    TimeSince,
    Trending,
    TwoHop,
    TwoTower,
)

MEMBER = Entity("member", (Category("country"), Number("age"), Moment("joined"), Category("langs", many=True)))
POST = Entity(
    "post",
    (Text("title"), Category("author"), Category("topics", many=True), Number("length"), Moment("created")),
    title="title",
    owner="author",
    created="created",
    lifetime="30d",
)
CLICK, LIKE, HIDE = Action("click", 1.0, True), Action("like").worth(4), Action("hide").worth(-20)
FOLLOWS, BLOCKS = Edge("follows", "member", "member"), Edge("blocks", "member", "member")


def full() -> Recommender:
    """The feed; for `Linked` and `TwoHop`, which lead to members, see `people`."""
    return Recommender(
        surface="feed",
        viewer=MEMBER,
        item=POST,
        actions=(CLICK, LIKE, HIDE),
        edges=(FOLLOWS, BLOCKS),
        features=(
            Age("item_age"),
            AttributeValue("length", "item", "length"),
            AttributeValue("joined", "viewer", "joined"),
            Count("shown", ("item",), window="7d"),
            Rate("affinity", ("viewer", "item.author"), "like", late=False),
            Sum("read", ("item",), "click", window="7d", tile="1h"),
            Mean("dwell", ("viewer",), "click", half_life="7d"),
            Distinct("authors", ("viewer",), "item.author"),
            Last("last_read", ("viewer",), "click"),
            TimeSince("since_click", ("viewer",), "click"),
            Ratio("trend", Counted(("item",), "click", "1d"), Counted(("item",), "click", "7d")),
        ),
        history=History(impressions=100, block=25),
        sources=(Trending(), InNetwork(), EmbeddingRetrieval(), ItemToItem()),
        filters=(Seen(within="30d"), Expired(), Hidden(), Own(), Blocked(), Excluded()),
        retrieval=TwoTower(),
        early_ranker=DotProduct(keep=64),
        ranker=FeedSR(),
        selector=Slate(size=10, per_author=2),
    )


def people() -> Recommender:
    """Members for members."""
    return Recommender(
        surface="pymk",
        viewer=MEMBER,
        item=MEMBER,
        actions=(Action("connect").worth(1),),
        edges=(FOLLOWS,),
        sources=(TwoHop(), Trending(edge="follows")),
        filters=(Own(), Linked()),
    )
