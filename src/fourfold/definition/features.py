"""Features: each is a named value at a point in time, declared once, asked in batch and in stream.

A window ``"7d"`` asked as of time t covers events with ``t - 7d <= time < t``. Events at t itself are never included.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fourfold.definition.errors import DefinitionError
from fourfold.definition.part import Duration, Name, part

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
    late : bool
        Join it to the sequence's output (late fusion) instead of every token.
    """

    name: Name
    by: Key
    event: Name = "impression"
    window: Duration | None = None
    late: bool = True
    kind: Literal["count"] = "count"


@part
class Rate:
    """Actions per impression of the key in the window, smoothed: ``(actions + strength * prior) / (impressions + strength)``.

    Impressions of which the log does not know whether the action followed do not count.
    `prior` and `strength` are constants of the definition and not learned from data, so that no future leaks into them.
    """

    name: Name
    by: Key
    action: Name
    window: Duration | None = None
    prior: Annotated[float, Field(ge=0, le=1)] = 0.1
    strength: Annotated[float, Field(gt=0)] = 10.0
    late: bool = True
    kind: Literal["rate"] = "rate"


Feature = Annotated[AttributeValue | Age | Count | Rate, Field(discriminator="kind")]


def check_key(field: str, by: tuple[str, ...]) -> None:
    """Refuse a pair of one key part with itself."""
    if len(by) == 2 and by[0] == by[1]:
        raise DefinitionError(field, f"{by[0]!r} is paired with itself", f'by=("{by[0]}",)')
