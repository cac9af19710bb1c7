"""A generated world of items that may not be shown, and a naive oracle of which: sets and loops over events, no views.

Members ``v0`` ... own some of the items ``i0`` ...; items expire, are deleted and made anew; members hide, see and block.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import (
    Action,
    Blocked,
    Boost,
    Cap,
    Category,
    DCNv2,
    Edge,
    Entity,
    Excluded,
    Expired,
    Explore,
    FrequencyCap,
    Hidden,
    InNetwork,
    Moment,
    Number,
    Own,
    Pin,
    Promote,
    Recommender,
    Seen,
    Slate,
    Trending,
    Where,
)
from fourfold.events import types as ev

MEMBERS, ITEMS = 40, 1000
HOUR, START = 3_600_000, 1_704_067_200_000
END = START + 48 * HOUR
LIFETIME, TOPICS, LANGUAGES = 72 * HOUR, ("art", "food", "sea", "sport"), ("de", "en", "fr")

KINDS = ("seen", "like", "hide", "block", "unblock", "follow", "delete", "again")

Mask = NDArray[np.bool_]

SEEN_EVER = Recommender(
    surface="feed",
    viewer=Entity("member", (Category("language"),)),
    item=Entity(
        "post",
        (
            Category("author"),
            Category("language"),
            Category("topics", many=True),
            Number("length"),
            Moment("until"),
            Moment("created"),
        ),
        owner="author",
        created="created",
        lifetime="72h",
    ),
    actions=(Action("like").worth(1), Action("hide").worth(-5)),
    edges=(Edge("follows", "member", "member"), Edge("blocks", "member", "member")),
    sources=(Trending(keep=60, half_life="1d"), InNetwork(keep=40)),
    filters=(Seen(), Expired(until="until"), Hidden(), Own(), Blocked(), Excluded(), Where('not ("sea" in topics)')),
    ranker=DCNv2(width=8),
    selector=Slate(per_author=3, caps=(Cap("topics", 8),), explore=Explore(0.3, 30)),
    rules=(
        Pin("first", item="i7", position=0),
        Pin("third", item="i11", position=2, where="length < 90"),
        Promote("short", where="length < 20", first=10, count=3),
        Boost("art", where='"art" in topics', factor=2.0),
    ),
)
CAPPED = replace(
    SEEN_EVER,
    filters=(
        Seen(within="1h"),
        FrequencyCap(times=2, within="6h"),
        FrequencyCap(times=4, within="12h", by="author"),
        *SEEN_EVER.filters[1:],
    ),
)
"""Instead of once, an item may be shown twice in six hours, and an author four times in twelve."""

WANTED: list[tuple[str | None, Callable[["Item", str | None], bool]]] = [
    (None, lambda item, language: True),
    ("language == viewer.language", lambda item, language: language is not None and item.language == language),
    ('length >= 50 and language in ["de", "fr"]', lambda item, language: item.length >= 50 and item.language != "en"),
    ('"art" in topics or not (length < 30)', lambda item, language: "art" in item.topics or item.length >= 30),
]
"""Conditions of requests with their meaning."""


@dataclass(frozen=True)
class Item:
    """What an upsert said of an item."""

    author: str
    language: str
    topics: tuple[str, ...]
    length: float
    until: int | None
    created: int


@dataclass
class Oracle:
    """Everything that happened before a time, one event at a time."""

    definition: Recommender
    items: dict[str, Item] = field(default_factory=dict)
    languages: dict[str, str] = field(default_factory=dict)
    hidden: set[tuple[str, str]] = field(default_factory=set)
    blocks: set[tuple[str, str]] = field(default_factory=set)
    seen: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def take(self, event: ev.Event) -> None:
        match event:
            case ev.EntityUpsert(type="post", key=key, attributes=given):
                self.items[key] = Item(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})  # type: ignore[arg-type]  # as `post` makes them
            case ev.EntityUpsert(key=key, attributes=given):
                self.languages[key] = str(given["language"])
            case ev.EntityDelete(key=key):
                self.items.pop(key, None)
            case ev.Action(name="hide", viewer=viewer, item=item):
                self.hidden.add((viewer, item))
            case ev.Impression(viewer=viewer, item=item, time=time):
                self.seen.setdefault(viewer, []).append((time, item))
            case ev.EdgeAdded(kind="blocks", source=source, target=target):
                self.blocks.add((source, target))
            case ev.EdgeRemoved(kind="blocks", source=source, target=target):
                self.blocks.discard((source, target))

    def left(self, viewer: str, time: int) -> dict[str, int]:
        """How many more items of each author the viewer may be shown."""
        cap = next((f for f in self.definition.filters if isinstance(f, FrequencyCap) and f.by), None)
        authors = {item.author for item in self.items.values()}
        if cap is None:
            return dict.fromkeys(authors, 1000)
        shown = [item for when, item in self.seen.get(viewer, []) if time - 12 * HOUR <= when < time]
        spent = Counter(self.items[item].author for item in shown if item in self.items)
        return {author: cap.times - spent[author] for author in authors}

    def allowed(self, viewer: str, time: int, wanted: int, exclude: Iterable[str]) -> Mask:
        """Which items the viewer may be shown, shape (ITEMS,)."""
        seen, left, excluded = self._worn(viewer, time), self.left(viewer, time), set(exclude)
        barred = {b for a, b in self.blocks if a == viewer} | {a for a, b in self.blocks if b == viewer} | {viewer}
        language = self.languages.get(viewer)
        found = np.zeros(ITEMS, bool)
        for key, item in self.items.items():
            ended = item.created + LIFETIME <= time or (item.until is not None and item.until <= time)
            fits = "sea" not in item.topics and WANTED[wanted][1](item, language)
            mine = (viewer, key) in self.hidden or key in seen or key in excluded
            found[int(key[1:])] = fits and not ended and not mine and item.author not in barred and left[item.author] > 0
        return found

    def _worn(self, viewer: str, time: int) -> set[str]:
        """Items that the viewer saw too recently or too often."""
        shown = self.seen.get(viewer, [])
        if any(isinstance(f, Seen) and f.within is None for f in self.definition.filters):
            return {item for _, item in shown}
        often = Counter(item for when, item in shown if when >= time - 6 * HOUR)
        return {item for when, item in shown if when >= time - HOUR} | {item for item, count in often.items() if count >= 2}


def post(rng: np.random.Generator, number: int, time: int) -> ev.EntityUpsert:
    """A new item, or an old one made anew; a third of them end by a moment of their own."""
    until = int(time + rng.integers(0, 90) * HOUR) if rng.random() < 0.33 else None
    attributes: dict[str, ev.Value] = {
        "author": f"v{number % 60}",
        "language": str(rng.choice(LANGUAGES)),
        "topics": [str(topic) for topic in rng.choice(TOPICS, rng.integers(0, 3), replace=False)],
        "length": float(rng.integers(0, 100)),
        "until": until,
        "created": int(time - rng.integers(0, 40) * HOUR),
    }
    return ev.EntityUpsert(id=f"u{number}-{time}", time=time, type="post", key=f"i{number}", attributes=attributes)


def change(rng: np.random.Generator, name: str, time: int) -> ev.Event:
    """Something that happens: mostly what takes items away from a viewer, at times what gives them back."""
    viewer, other = (f"v{rng.integers(MEMBERS)}" for _ in range(2))
    number, kind = int(rng.integers(ITEMS)), str(rng.choice(KINDS, p=[0.5, 0.2, 0.1, 0.05, 0.03, 0.04, 0.04, 0.04]))
    match kind:
        case "seen":
            return ev.Impression(id=name, time=time, viewer=viewer, item=f"i{number}", surface="feed")
        case "like" | "hide":
            return ev.Action(id=name, time=time, viewer=viewer, item=f"i{number}", surface="feed", name=kind)
        case "block" | "follow":
            return ev.EdgeAdded(id=name, time=time, kind=f"{kind}s", source=viewer, target=other)
        case "unblock":
            return ev.EdgeRemoved(id=name, time=time, kind="blocks", source=viewer, target=other)
        case "delete":
            return ev.EntityDelete(id=name, time=time, type="post", key=f"i{number}")
    return post(rng, number, time)


def history(rng: np.random.Generator, count: int) -> list[ev.Event]:
    """The world from its beginning to `END`, in the order of time; no two events at one time."""
    members: list[ev.Event] = [
        ev.EntityUpsert(
            id=f"m{n}", time=START + n, type="member", key=f"v{n}", attributes={"language": str(rng.choice(LANGUAGES))}
        )
        for n in range(MEMBERS)
    ]
    posts: list[ev.Event] = [post(rng, n, START + MEMBERS + n) for n in range(ITEMS)]
    times = np.unique(rng.integers(START + HOUR, END, count)).tolist()
    return [*members, *posts, *(change(rng, f"c{n}", time) for n, time in enumerate(times))]


def violations(shown: Sequence[str], allowed: Mask, authors: Sequence[str], left: dict[str, int]) -> list[str]:
    """What is wrong with a slate: items that are not allowed or twice in it, and authors beyond what is left of their cap."""
    rows = np.array([int(item[1:]) for item in shown], np.int64)
    wrong = [shown[place] for place in np.flatnonzero(~allowed[rows]).tolist()]
    wrong += [item for item, count in Counter(shown).items() if count > 1]
    return wrong + [author for author, count in Counter(authors).items() if count > left[author]]
