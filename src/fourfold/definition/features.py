"""Features: each is a named value at a point in time, declared once, asked in batch and in stream.

A window ``"7d"`` asked as of time t covers events with ``t - 7d <= time < t``. Events at t itself are never included.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fourfold.definition.errors import DefinitionError
from fourfold.definition.part import Duration, Name, milliseconds, part

_KEY_PART = re.compile(r"(viewer|item)(\.[a-z][a-z0-9_]*)?|context\.[a-z][a-z0-9_]*")


def _key_part(value: str) -> str:
    if not _KEY_PART.fullmatch(value):
        advice = "viewer, item, a category attribute of one, such as item.author, or one of the request, such as context.tab"
        raise DefinitionError("", f"{value!r} is nothing to count by", advice)
    return value


KeyPart = Annotated[str, AfterValidator(_key_part)]
"""What a feature is counted by: ``viewer``, ``item``, a category attribute of one, such as ``item.author``, or of the
request, such as ``context.tab``."""

Key = Annotated[tuple[KeyPart, ...], Field(min_length=1, max_length=2)]
Strength = Annotated[float, Field(gt=0)]


@part
class AttributeValue:
    """An attribute as it was last set before t. A number or moment; categories and text reach models by themselves."""

    name: Name
    of: Literal["viewer", "item"]
    attribute: Name
    late: bool = False
    kind: Literal["attribute"] = "attribute"


@part
class Age:
    """Hours from an entity's creation (its `created` moment, else its first upsert) to t."""

    name: Name
    of: Literal["viewer", "item"] = "item"
    late: bool = False
    kind: Literal["age"] = "age"


@part
class Count:
    """How many impressions, or actions of one name, the key had in the window.

    Parameters
    ----------
    name : str
        The feature's name.
    by : tuple of str
        One or two key parts: ``("item",)``, ``("viewer", "item.author")``.
    event : str
        ``"impression"`` or the name of an action.
    window : str, optional
        A duration; without it, everything before t.
    tile : str, optional
        A duration that the window's start is rounded down to a multiple of, counted from 1970 UTC: with ``"1h"``, the window
        begins at the last full hour at or before ``t - window``.
    half_life : str, optional
        Instead of a window: an event of that age counts half, one of twice that age a quarter, and so on. What is older than
        16 to 24 half-lives does not count.
    late : bool
        Join it to the sequence's output (late fusion) instead of every token.
    """

    name: Name
    by: Key
    event: Name = "impression"
    window: Duration | None = None
    tile: Duration | None = None
    half_life: Duration | None = None
    late: bool = True
    kind: Literal["count"] = "count"

    def __post_init__(self) -> None:
        _check_span(self.window, self.tile, self.half_life)


@part
class Rate:
    """Actions per impression of the key in the window, smoothed: ``(actions + strength * prior) / (impressions + strength)``.

    Impressions of which the log does not know whether the action followed do not count.
    `prior` and `strength` are constants of the definition and not learned from data, so that no future leaks into them.
    Window, tile and half-life are those of `Count`, and apply to actions and impressions alike.
    """

    name: Name
    by: Key
    action: Name
    window: Duration | None = None
    tile: Duration | None = None
    half_life: Duration | None = None
    prior: Annotated[float, Field(ge=0, le=1)] = 0.1
    strength: Strength = 10.0
    late: bool = True
    kind: Literal["rate"] = "rate"

    def __post_init__(self) -> None:
        _check_span(self.window, self.tile, self.half_life)


@part
class Sum:
    """The sum of the values of the key's actions of one name in the window; window, tile and half-life as in `Count`.

    Values are kept as whole multiples of 2**-16, and those beyond 2**31 as that: a sum below 2**47 is exact in any order of
    arrival. Actions without a value add nothing.
    """

    name: Name
    by: Key
    action: Name
    window: Duration | None = None
    tile: Duration | None = None
    half_life: Duration | None = None
    late: bool = True
    kind: Literal["sum"] = "sum"

    def __post_init__(self) -> None:
        _check_span(self.window, self.tile, self.half_life)


@part
class Mean:
    """The mean of the same values, smoothed: ``(sum + strength * prior) / (values + strength)``.

    `prior` is the value to expect of a key without any, and `strength` how many values that is worth; both are constants of
    the definition.
    """

    name: Name
    by: Key
    action: Name
    window: Duration | None = None
    tile: Duration | None = None
    half_life: Duration | None = None
    prior: float = 0.0
    strength: Strength = 10.0
    late: bool = True
    kind: Literal["mean"] = "mean"

    def __post_init__(self) -> None:
        _check_span(self.window, self.tile, self.half_life)


@part
class Distinct:
    """How many different values of a key part the key's events in the window had, among its `newest` ones.

    ``Distinct("authors_7d", ("viewer",), "item.author", window="7d")`` is how many authors a viewer was shown in a week.
    Exact while the key has at most `newest` such events in the window; of more, only the newest are looked at, so that the
    answer is at most `newest` and costs as many rows.
    """

    name: Name
    by: Key
    of: KeyPart
    event: Name = "impression"
    window: Duration | None = None
    tile: Duration | None = None
    newest: Annotated[int, Field(ge=2, le=4096)] = 256
    late: bool = True
    kind: Literal["distinct"] = "distinct"

    def __post_init__(self) -> None:
        _check_span(self.window, self.tile, None)
        if self.of in self.by:
            raise DefinitionError("of", f"{self.of!r} is part of the key, which has one of it", "another part, such as item")


@part
class Last:
    """The value of the key's last action of one name that has a value, in the window; without one, missing."""

    name: Name
    by: Key
    action: Name
    window: Duration | None = None
    tile: Duration | None = None
    late: bool = True
    kind: Literal["last"] = "last"

    def __post_init__(self) -> None:
        _check_span(self.window, self.tile, None)


@part
class TimeSince:
    """Hours from the key's last event of one name to t; without one, missing. Undated impressions do not count."""

    name: Name
    by: Key
    event: Name = "impression"
    late: bool = True
    kind: Literal["time_since"] = "time_since"


@part
class Counted:
    """A count inside a `Ratio`: its fields are those of `Count`."""

    by: Key
    event: Name = "impression"
    window: Duration | None = None
    tile: Duration | None = None
    half_life: Duration | None = None

    def __post_init__(self) -> None:
        _check_span(self.window, self.tile, self.half_life)


@part
class Ratio:
    """One count over another, smoothed: ``(of + strength * prior) / (per + strength)``.

    Clicks of one day over those of seven are a trend; a viewer's likes of an author over all of the viewer's likes, a share.
    """

    name: Name
    of: Counted
    per: Counted
    prior: Annotated[float, Field(ge=0)] = 1.0
    strength: Strength = 1.0
    late: bool = True
    kind: Literal["ratio"] = "ratio"


Feature = Annotated[
    AttributeValue | Age | Count | Rate | Sum | Mean | Distinct | Last | TimeSince | Ratio, Field(discriminator="kind")
]


def check_key(field: str, by: tuple[str, ...]) -> None:
    """Refuse a pair of one key part with itself."""
    if len(by) == 2 and by[0] == by[1]:
        raise DefinitionError(field, f"{by[0]!r} is paired with itself", f'by=("{by[0]}",)')


def _check_span(window: str | None, tile: str | None, half_life: str | None) -> None:
    if window is not None and half_life is not None:
        raise DefinitionError("half_life", "a window has been given too", "a window or a half_life")
    if tile is not None and (window is None or milliseconds(tile) > milliseconds(window)):
        raise DefinitionError("tile", f"a tile of {tile} fits no window of {window}", "a window that is at least as long")
