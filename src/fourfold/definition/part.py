"""What every part of a definition shares: frozen, typed, validated when built, strict about unknown fields."""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from fourfold.definition.errors import DefinitionError, from_pydantic

T = TypeVar("T")

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def milliseconds(duration: str) -> int:
    """Milliseconds in a duration such as ``"30s"``, ``"12h"`` or ``"7d"``."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise DefinitionError("", f"{duration!r} is not a duration", 'a whole number and a unit, such as "30m" or "7d"')
    return int(match[1]) * _UNITS[match[2]]


def _duration(value: str) -> str:
    milliseconds(value)
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise DefinitionError("", f"{value!r} is not a name", "lower-case letters, digits and underscores, letter first")
    return value


Duration = Annotated[str, AfterValidator(_duration)]
"""A length of time: a whole number and one of ms, s, m, h, d."""

Name = Annotated[str, AfterValidator(_name)]
"""An identifier that is safe in code, file names, metrics and URLs."""

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def part(cls: type[T]) -> type[T]:
    """Make a class a frozen, validated dataclass whose mistakes are `DefinitionError`."""
    config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=False)
    made: Any = pydantic_dataclass(frozen=True, config=config)(cls)
    made.__init__ = _explained(made.__init__, cls.__name__)
    return made  # type: ignore[no-any-return]  # the decorator returns the class that it was given


def _explained(init: Callable[..., None], owner: str) -> Callable[..., None]:
    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it replaces the method of that name
        try:
            init(self, *args, **kwargs)
        except pydantic.ValidationError as error:
            label = f"{owner}({kwargs['name']})" if isinstance(kwargs.get("name"), str) else owner
            raise from_pydantic(label, error.errors(), tuple(self.__dataclass_fields__)) from None
        except DefinitionError as error:
            raise DefinitionError(f"{owner}.{error.field}", error.problem, error.write) from None

    __init__.__wrapped__ = init  # type: ignore[attr-defined]  # keeps inspect.signature() truthful
    return __init__
