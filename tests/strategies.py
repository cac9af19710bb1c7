"""Adversarial little logs: few ids and few moments, so that ties, duplicates, deletions and late arrivals collide."""

from hypothesis import strategies as st
from msgspec import structs

from fourfold.definition import (
    Action,
    Age,
    AttributeValue,
    Category,
    Counted,
    Distinct,
    Edge,
    Entity,
    Last,
    Mean,
    Moment,
    Number,
    Ratio,
    Recommender,
    Sum,
    Text,
    TimeSince,
)
from fourfold.definition import Count as CountFeature
from fourfold.definition import Rate as RateFeature
from fourfold.events import types as ev

START = 1_704_067_200_000
HOUR = 3_600_000
MEMBERS, POSTS, AUTHORS = ("m0", "m1", "m2"), ("p0", "p1", "p2", "p3"), ("m0", "m1")
ACTIONS = ("click", "like", "hide")
SURFACES = ("feed", "feed", "feed", "elsewhere")

TINY = Recommender(
    surface="feed",
    viewer=Entity("member", (Category("country"),)),
    item=Entity(
        "post",
        (Text("title"), Category("author"), Category("topics", many=True), Number("size"), Moment("created")),
        title="title",
        owner="author",
        created="created",
        lifetime="12h",
    ),
    context=(Category("tab"), Category("device")),
    edges=(Edge("follows", "member", "member"), Edge("blocks", "member", "member")),
    actions=(Action("click", 1.0, True), Action("like").worth(4), Action("hide").worth(-20)),
    attribution="6h",
    features=(
        Age("item_age"),
        AttributeValue("size", "item", "size"),
        CountFeature("shown", ("item",)),
        CountFeature("shown_6h", ("item",), window="6h"),
        CountFeature("viewer_likes", ("viewer",), event="like"),
        RateFeature("author_clicks", ("viewer", "item.author"), "click", window="3h"),
        RateFeature("country_likes", ("viewer.country", "item"), "like"),
        RateFeature("tab_clicks", ("viewer", "context.tab"), "click"),
        CountFeature("device_likes", ("context.device",), event="like", window="6h"),
        CountFeature("shown_tiled", ("item",), window="5h", tile="3h"),
        CountFeature("author_decayed", ("viewer", "item.author"), half_life="2h"),
        RateFeature("clicks_decayed", ("item",), "click", half_life="15m"),
        Sum("watched", ("viewer",), "click", window="6h", tile="4h"),
        Sum("author_watched", ("item.author",), "like", half_life="90m"),
        Mean("item_watched", ("item",), "click", prior=100.0, strength=2.0),
        Distinct("authors", ("viewer",), "item.author", window="12h", newest=3),
        Distinct("clickers", ("item.author",), "viewer", event="click", newest=2),
        Last("last_watched", ("viewer", "context.tab"), "click"),
        TimeSince("since_shown", ("viewer",)),
        TimeSince("since_click", ("item.author",), event="click"),
        Ratio("trend", Counted(("item",), "click", window="3h"), Counted(("item",), "click", window="12h", tile="6h")),
    ),
)
"""A definition that `logs` speaks about: every attribute, edge and action of theirs is declared here."""


def times() -> st.SearchStrategy[int]:
    """Moments of one day: mostly whole hours, so that ties and window edges are met; some a millisecond beside."""
    return st.builds(lambda hour, beside: START + hour * HOUR + beside, st.integers(0, 24), st.sampled_from([0, 0, 0, -1, 1]))


def contexts() -> st.SearchStrategy[dict[str, ev.ContextValue]]:
    """The context of a request; `weather` is not declared."""
    values: dict[str, st.SearchStrategy[ev.ContextValue]] = {
        "tab": st.sampled_from(["home", "search", 1]),
        "device": st.just("phone"),
        "weather": st.just("rain"),
    }
    return st.fixed_dictionaries({}, optional=values)


def events() -> st.SearchStrategy[ev.Event]:
    """One event of any kind, its id not yet unique."""
    member, post, surface = st.sampled_from(MEMBERS), st.sampled_from(POSTS), st.sampled_from(SURFACES)
    request = st.sampled_from([None, "r0", "r1", "r2"])
    shown = {"id": st.just("?"), "time": times(), "viewer": member, "item": post, "surface": surface, "request": request}
    edge = {
        "id": st.just("?"),
        "time": times(),
        "kind": st.sampled_from(["follows", "blocks"]),
        "source": member,
        "target": member,
    }
    shown["context"] = contexts()
    known = st.sampled_from([None, None, None, ["like"], ["like", "click"], []])
    undated = st.sampled_from([False, False, False, True])
    impressions = st.builds(ev.Impression, **shown, position=st.none() | st.integers(0, 3), known=known, undated=undated)
    actions = st.builds(ev.Action, **shown, name=st.sampled_from(ACTIONS), value=st.none() | st.floats(0, 60_000))
    changes = [
        st.builds(
            ev.EntityUpsert, id=st.just("?"), time=times(), type=st.just("post"), key=post, attributes=_post_attributes()
        ),
        st.builds(
            ev.EntityUpsert, id=st.just("?"), time=times(), type=st.just("member"), key=member, attributes=_member_attributes()
        ),
        st.builds(ev.EntityDelete, id=st.just("?"), time=times(), type=st.just("post"), key=post),
        st.builds(ev.EntityDelete, id=st.just("?"), time=times(), type=st.just("member"), key=member),
        st.builds(ev.EdgeAdded, **edge),
        st.builds(ev.EdgeRemoved, **edge),
    ]
    return st.one_of(impressions, impressions, actions, actions, *changes)


@st.composite
def logs(draw: st.DrawFn, max_size: int = 40) -> list[ev.Event]:
    """A log in order of arrival: ids unique but for redeliveries, which are equal in all; late events anywhere."""
    # Left to itself, a list holds six events on average: too few to collide.
    least = min(draw(st.sampled_from([0, 8, 16, 24])), max_size)
    drawn = draw(st.lists(events(), min_size=least, max_size=max_size))
    named = [structs.replace(event, id=f"e{index}") for index, event in enumerate(sorted(drawn, key=lambda event: event.time))]
    again = draw(st.lists(st.sampled_from(named), max_size=4)) if named else []
    lateness = draw(st.lists(st.sampled_from([0, 0, 0, HOUR, 30 * HOUR]), min_size=len(named), max_size=len(named)))
    arriving = [(event.time + late, event) for event, late in zip(named, lateness, strict=True)]
    arriving += [(event.time + 2 * HOUR, event) for event in again]
    return [event for _, event in sorted(arriving, key=lambda pair: pair[0])]


def _post_attributes() -> st.SearchStrategy[dict[str, ev.Value]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "title": st.sampled_from(["red bird", "blue fish", "red fish", None]),
            "author": st.sampled_from([*AUTHORS, None]),
            "topics": st.lists(st.sampled_from(["art", "food"]), max_size=2, unique=True),
            "size": st.sampled_from([0, 1.5, -3, None]),
            "created": st.none() | times(),
        },
    )


def _member_attributes() -> st.SearchStrategy[dict[str, ev.Value]]:
    return st.fixed_dictionaries({}, optional={"country": st.sampled_from(["dk", "fr", None])})
