"""What `fourfold data describe` says of a surface: plain data, for a table, a page, and machines."""

from collections.abc import Mapping

from msgspec import Struct


class Day(Struct, frozen=True, kw_only=True):
    """Dated impressions and actions of one day (UTC)."""

    day: str
    impressions: int
    actions: int


class ActionRate(Struct, frozen=True, kw_only=True):
    """How often an action was taken.

    `count` events; `rate` is the share of `impressions` that it followed, as training sees it: within the attribution, and of
    the impressions of which the log knows it; None without any. `unprompted` events have no impression of the item to the
    viewer before or with them. Repeated impressions in one request are one.
    """

    name: str
    count: int
    impressions: int
    rate: float | None
    unprompted: int


class Members(Struct, frozen=True, kw_only=True):
    """Viewers: `cold` ones have no history. `history` has quantiles of their numbers of entries, `buckets` counts members."""

    count: int
    cold: int
    history: dict[str, float]
    buckets: dict[str, int]


class Sessions(Struct, frozen=True, kw_only=True):
    """Runs of a viewer's dated events with gaps of at most half an hour. All but `count` are means.

    `per_viewer` over viewers who have any, `impressions` and `minutes` over sessions.
    """

    count: int
    per_viewer: float
    impressions: float
    minutes: float


class Items(Struct, frozen=True, kw_only=True):
    """What can be shown: `cold` items never were; `coverage` is the share that was.

    `curve` is the share of all impressions that the most shown 0 %, 2 % ... 100 % of the items ever shown have; `top_1` and
    `top_10` are that of the most shown 1 % and 10 %, at least one item.
    """

    count: int
    cold: int
    coverage: float
    top_1: float
    top_10: float
    curve: list[float]


class AttributeUse(Struct, frozen=True, kw_only=True):
    """An attribute of an entity: the share of entities that have it, and how many different values there are."""

    entity: str
    name: str
    kind: str
    present: float
    distinct: int


class Suspicion(Struct, frozen=True, kw_only=True):
    """Something that is rarely meant: `count` of what, as a `share` of all, some of them, and what it may mean."""

    what: str
    count: int
    share: float
    examples: list[str]
    meaning: str


class Description(Struct, frozen=True, kw_only=True):
    """What is in a home of one surface. `first` and `last` are the times (ms) of dated impressions and actions."""

    surface: str
    definition: str
    events: dict[str, int]
    ignored: Mapping[str, int]
    undated: int
    first: int | None
    last: int | None
    days: list[Day]
    actions: list[ActionRate]
    members: Members
    sessions: Sessions
    items: Items
    attributes: list[AttributeUse]
    suspicious: list[Suspicion]
