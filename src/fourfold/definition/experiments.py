"""Experiments of a surface: which viewers get which version, and when. Part of the deployment."""

from collections.abc import Mapping
from datetime import datetime
from itertools import combinations
from typing import Annotated, Literal

import pydantic
from pydantic import ConfigDict, Field

from fourfold.definition.errors import DefinitionError
from fourfold.definition.part import Fraction, Name

HOLDOUT = "holdout"
CONTROL = "control"

_VERSION = r"^v[1-9][0-9]*$"
_TOLERANCE = 1e-9


class Variant(pydantic.BaseModel):
    """What some viewers get instead of the promoted version.

    `model` is a version of the registry; without it, the variant follows what is promoted. `budget_ms` stands in for that of
    the surface. `share` is that of all viewers; variants without one take equal parts of what the others and the holdout leave.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: Annotated[str, Field(pattern=_VERSION)] | None = None
    budget_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None


class Experiment(pydantic.BaseModel):
    """One experiment.

    With `kind` ``"ab"`` each viewer stays with one of the variants; with ``"interleave"`` all get slates for which the two
    variants pick items in turn. `holdout` is the share of viewers outside of all variants, on the promoted version. It runs
    from `start` on and before `end`; without them always.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["ab", "interleave"] = "ab"
    variants: Annotated[dict[Name, Variant], Field(min_length=2, max_length=20)]
    holdout: Fraction = 0.0
    start: datetime | None = None
    end: datetime | None = None

    def __init__(self, **data: object) -> None:
        super().__init__(**data)
        if HOLDOUT in self.variants:
            raise DefinitionError(f"variants.{HOLDOUT}", "is the name of those outside of all variants", "another name")
        self._check_times()
        if self.kind == "interleave":
            self._check_teams()
        self._check_shares()

    @property
    def control(self) -> str:
        """What the other variants are compared with: the one named control, else the first."""
        return CONTROL if CONTROL in self.variants else next(iter(self.variants))

    @property
    def shares(self) -> dict[str, float]:
        """The share of all viewers in each variant. Interleaved ones share all viewers but the holdout: an equal part each."""
        given = {name: variant.share for name, variant in self.variants.items()}
        open_ = sum(share is None for share in given.values())
        rest = 1.0 - self.holdout - sum(share or 0.0 for share in given.values())
        return {name: rest / open_ if share is None else share for name, share in given.items()}

    @property
    def period(self) -> tuple[int, int | None]:
        """From when on it runs, and until before when, in milliseconds; None where it has no end."""
        return (0 if self.start is None else _ms(self.start)), (None if self.end is None else _ms(self.end))

    def runs(self, time: int) -> bool:
        """Whether it runs at a time, in milliseconds."""
        start, end = self.period
        return start <= time and (end is None or time < end)

    def _check_times(self) -> None:
        for name, moment in (("start", self.start), ("end", self.end)):
            if moment is not None and moment.tzinfo is None:
                raise DefinitionError(name, "does not say in which time zone", f"{moment.isoformat()}Z for UTC")
        start, end = self.period
        if end is not None and end <= start:
            raise DefinitionError("end", "does not lie after the start", "a later one")

    def _check_teams(self) -> None:
        if len(self.variants) != 2:
            raise DefinitionError("variants", f"{len(self.variants)} cannot be interleaved", "two")
        for name, variant in self.variants.items():
            for field in ("share", "budget_ms"):
                if getattr(variant, field) is not None:
                    raise DefinitionError(f"variants.{name}.{field}", "means nothing where variants share slates", "none")
        first, second = self.variants
        if self.variants[first].model == self.variants[second].model:
            raise DefinitionError(f"variants.{second}.model", f"is that of {first}", "another version")

    def _check_shares(self) -> None:
        total = self.holdout + sum(variant.share or 0.0 for variant in self.variants.values())
        if total > 1.0 + _TOLERANCE:
            raise DefinitionError("variants", f"shares and holdout add up to {total:g}", "shares that add up to at most 1")
        if any(share <= _TOLERANCE for share in self.shares.values()):
            raise DefinitionError("variants", "the given shares leave nothing to those without one", "smaller ones")


def check_one_at_a_time(experiments: Mapping[str, Experiment]) -> None:
    """Make sure that no two experiments of a surface run at the same time.

    Raises
    ------
    DefinitionError
        Naming two that do.
    """
    for (one, first), (other, second) in combinations(experiments.items(), 2):
        later = max(first.period[0], second.period[0])
        if first.runs(later) and second.runs(later):
            advice = "an `end` for one and a `start` no earlier for the other: one runs at a time, with up to 20 variants"
            raise DefinitionError(f"experiments.{other}", f"runs at the same time as {one}", advice)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
