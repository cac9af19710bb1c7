"""What models read: the schema of their inputs and the arrays of one history, of candidates, and of packed training rows.

Shape letters: N rows, T history entries, C candidates, S sequences, W id columns, X context columns, E early numbers,
L late numbers, M moments, A actions, V values of actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]
Counts = NDArray[np.int64]
R = TypeVar("R", bound="Rows")

MOMENTS = ("gap", "hour_sin", "hour_cos")
"""Times of a row: log1p of seconds since the viewer's previous entry (0 where none), and the hour of the day (UTC).

NaN where a time gives the order only.
"""


@dataclass(frozen=True, kw_only=True)
class IdField:
    """`width` id columns that share one table: 0 pads, 1 is unknown, ids run to `buckets` + 1."""

    name: str
    buckets: int
    width: int = 1


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The inputs of every model of one definition. Column orders follow the tuples; the item's own id is ``item[0]``."""

    item: tuple[IdField, ...]
    viewer: tuple[IdField, ...]
    context: tuple[IdField, ...]
    early: tuple[str, ...]
    late: tuple[str, ...]
    actions: tuple[str, ...]
    values: tuple[str, ...] = ()
    passive: tuple[bool, ...]
    positive: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What is known of N items as of the requests that showed, or may show, them. Missing numbers are NaN."""

    items: Ids  # (N, W)
    context: Ids  # (N, X)
    early: Floats  # (N, E), untransformed
    late: Floats  # (N, L), untransformed
    moments: Floats  # (N, M)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class Candidates(Rows):
    """Rows to score for one viewer."""


@dataclass(frozen=True, kw_only=True)
class History(Rows):
    """A viewer's past entries, oldest first: what was shown and what the viewer did with it.

    An entry sees only the first `seen` entries before it: those of earlier requests. Entries of one request do not see each
    other, share their position, and so may stand in any order.
    """

    actions: Floats  # (T, A), 1 where the viewer did it
    values: Floats  # (T, V), untransformed, of the actions that the schema names; NaN where there is none
    seen: Counts  # (T,), how many entries of the window were there at the entry's request; at most its own index


@dataclass(frozen=True, kw_only=True)
class Sequences(History):
    """Training rows: the histories of S viewers one after the other, each entry also an example where `weight` > 0."""

    lengths: Counts  # (S,), sums to N
    viewers: Ids  # (S, columns of the viewer's fields)
    labels: Floats  # (N, A)
    weight: Floats  # (N,)


def concatenate(parts: Sequence[R]) -> R:
    """Stack rows of one kind."""
    kind = type(parts[0])
    return kind(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(kind)})


def id_columns(id_fields: Sequence[IdField]) -> list[slice]:
    """The columns that each field takes in the id matrix."""
    ends = np.cumsum([field.width for field in id_fields], dtype=int).tolist()
    return [slice(end - field.width, end) for end, field in zip(ends, id_fields, strict=True)]
