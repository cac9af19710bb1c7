"""One definition for each public data set, to start from; `fourfold.data` has their readers."""

from collections.abc import Callable
from dataclasses import replace

from fourfold.definition import (
    Action,
    Age,
    AttributeValue,
    Category,
    DotProduct,
    Edge,
    Entity,
    Excluded,
    Feature,
    Hidden,
    Moment,
    Number,
    Recommender,
    Seen,
    Text,
)
from fourfold.surfaces.counters import counters
from fourfold.surfaces.feed import feed
from fourfold.surfaces.pymk import pymk


def movielens() -> Recommender:
    """Films for members, in all formats of MovieLens. A film is rated once, so what was seen stays away for ever.

    A rating stands for an impression, but nobody was shown what they did not choose: the ranker learns what a member likes
    among the films that they watch, and retrieval which films those are. So retrieval hands on few: 40, chosen among 512, 100,
    40 and 20 on the last tenth of MovieLens-100k, which therefore is no fair test of that choice.
    """
    rates = {"like": 0.5, "love": 0.2, "dislike": 0.17}
    features: list[Feature] = [
        Age("item_age"),
        AttributeValue("year", "item", "year"),
        AttributeValue("age", "viewer", "age"),
        *counters(("item",), rates, ("30d", None)),
        *counters(("viewer",), rates, ("1d", None)),
        *counters(("item", "viewer.gender"), {"like": 0.5}),
        *counters(("item", "viewer.occupation"), {"like": 0.5}),
    ]
    attributes = (Text("title"), Category("genres", many=True, buckets=64), Number("year"), Moment("created"))
    about = (Number("age"), Category("gender", buckets=16), Category("occupation", buckets=64))
    films = feed(
        viewer=Entity("member", about),
        item=Entity("post", attributes, title="title", created="created"),
        actions=(Action("like").worth(1), Action("love").worth(1), Action("dislike").worth(-1)),
        features=features,
        filters=(Seen(), Excluded()),
    )
    return replace(films, early_ranker=DotProduct(keep=40))


def kuairand() -> Recommender:
    """Short videos for members, on KuaiRand-Pure.

    Authors have ids of their own, which are not those of members: there is no `Own` filter. The ranker has learned from what
    an earlier policy showed, so it is given few candidates to choose from: docs/results/kuairand.md has what more cost.
    """
    videos = feed(
        viewer=_kuairand_member(),
        item=_kuairand_video(),
        context=(Category("tab", buckets=32),),
        actions=(
            Action("click", passive=True).worth(1),
            Action("long_view", passive=True).worth(2),
            Action("like").worth(4),
            Action("follow").worth(6),
            Action("comment").worth(4),
            Action("forward").worth(5),
            Action("profile_enter").worth(2),
            Action("hate").worth(-20),
            *(Action(name, passive=True) for name in ("watch_half", "watch_most", "watch_20s")),
        ),
        features=_kuairand_features(),
        filters=(Seen(), Excluded(), Hidden(("hate",))),
    )
    weights = {"embedding_retrieval": 2.0}
    sources = tuple(replace(source, weight=weights.get(source.kind, 1.0)) for source in videos.sources)
    return replace(videos, sources=sources, early_ranker=DotProduct(keep=40))


def musae_github() -> Recommender:
    """Developers for developers, over the mutual follows of MUSAE GitHub. It has edges only, so no model is trained."""
    return pymk(mutual=True)


def world() -> Recommender:
    """The generated world of `fourfold.data.world`."""
    attributes = (Text("title"), Category("author"), Category("topic", buckets=64), Moment("created"))
    rates = {"click": 0.25, "long_view": 0.1, "like": 0.05}
    return feed(
        viewer=Entity("member", (Category("interest", buckets=64),)),
        item=Entity("post", attributes, title="title", owner="author", created="created", lifetime="3d"),
        edges=(Edge("follows", "member", "member"),),
        actions=(
            Action("click", passive=True).worth(1),
            Action("long_view", passive=True).worth(2),
            Action("like").worth(4),
            Action("hide").worth(-20),
        ),
        features=(
            Age("item_age"),
            *counters(("item",), rates, ("1d", None)),
            *counters(("viewer",), rates),
            *counters(("viewer", "item.topic"), rates, strength=3.0),
            *counters(("viewer", "item.author"), {"click": 0.25}, strength=3.0),
        ),
    )


PRESETS: dict[str, Callable[[], Recommender]] = {
    "movielens": movielens,
    "kuairand": kuairand,
    "musae_github": musae_github,
    "world": world,
}
"""What makes each definition, by the name of its data set."""


def _kuairand_member() -> Entity:
    ranges = ("follow_user_num_range", "fans_user_num_range", "friend_user_num_range", "register_days_range")
    small = ("user_active_degree", "is_video_author", *ranges)
    numbers = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
    return Entity(
        "member",
        (
            *(Category(name, buckets=32) for name in small),
            *(Category(f"onehot_feat{index}", buckets=2048 if index in {3, 8} else 128) for index in range(18)),
            *(Number(name) for name in numbers),
        ),
    )


def _kuairand_video() -> Entity:
    attributes = (
        Category("author", buckets=16384),
        Category("music", buckets=16384),
        Category("music_type", buckets=32),
        Category("upload_type", buckets=64),
        Category("video_type", buckets=16),
        Category("tag", buckets=256),
        Category("length", buckets=64),
        Category("tags", many=True, buckets=256),
        Number("duration_ms"),
        Moment("created"),
        Text("words"),
    )
    return Entity("post", attributes, owner="author", created="created")


def _kuairand_features() -> tuple[Feature, ...]:
    rates = {"click": 0.44, "long_view": 0.31, "like": 0.02}
    return (
        Age("item_age"),
        AttributeValue("duration_ms", "item", "duration_ms"),
        *(
            AttributeValue(name, "viewer", name)
            for name in ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
        ),
        *counters(("item",), rates, ("1d", "7d", None)),
        *counters(("viewer",), rates, ("1d", "7d", None)),
        *counters(("item.author",), rates, ("7d", None)),
        *counters(("item.music",), rates),
        *counters(("item.tag",), rates, ("1d", None)),
        *counters(("item.length",), rates),
        *(
            feature
            for attribute in ("author", "tag", "length", "upload_type", "music_type")
            for feature in counters(("viewer", f"item.{attribute}"), rates, strength=3.0)
        ),
        *counters(("viewer", "item.tag"), rates, ("7d",), strength=3.0),
        *counters(("viewer", "item"), rates, strength=3.0),
        *counters(("viewer", "context.tab"), rates, strength=5.0),
        *(
            feature
            for attribute in ("item", "item.tag", "item.length")
            for feature in counters((attribute, "context.tab"), rates)
        ),
    )
