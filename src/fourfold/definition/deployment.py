"""The deployment: where and when the stages run. A TOML file, read and validated apart from the definition."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import ConfigDict, Field

from fourfold.definition.errors import DefinitionError, from_pydantic
from fourfold.definition.experiments import Experiment, check_one_at_a_time
from fourfold.definition.part import Name

Mode = Literal["offline", "nearline", "online", "remote"]
Fallback = Literal["early_ranker", "last_slate", "trending"]
AVAILABLE: tuple[Mode, ...] = ("online",)
LADDER: tuple[Fallback, ...] = ("early_ranker", "last_slate", "trending")


class SurfaceDeployment(pydantic.BaseModel):
    """How one surface is served.

    `budget_ms` is what a request may take: sources that are not back by then are left out and named in the slate.
    `clock` says what "now" is: the wall's time, or (for data that ended in the past) just after the newest event of the log.
    `fallback` says what stands in for a ranker that fails or is late, best first; what cannot is named, and the next one asked.
    At the end of the ladder stands the order of the sources.
    `history_cache_mb` is what each process may take to keep encoded histories between requests; a viewer with a thousand
    impressions takes about 8 MB. 0 encodes every history anew.
    With `log_impressions`, the service logs an impression of every item that it serves; otherwise clients post what was seen.
    Of `experiments`, at most one runs at a time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = "online"
    budget_ms: Annotated[int, Field(ge=1, le=60_000)] = 1_000
    clock: Literal["wall", "log"] = "wall"
    fallback: tuple[Fallback, ...] = LADDER
    log_impressions: bool = False
    history_cache_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 256
    experiments: dict[Name, Experiment] = {}

    def __init__(self, **data: object) -> None:
        super().__init__(**data)
        if self.mode not in AVAILABLE:
            raise DefinitionError("mode", f"{self.mode!r} is not built yet in this version", 'mode = "online"')
        check_one_at_a_time(self.experiments)

    @property
    def experiment_models(self) -> frozenset[str]:
        """The versions that experiments name."""
        variants = [variant for experiment in self.experiments.values() for variant in experiment.variants.values()]
        return frozenset(variant.model for variant in variants if variant.model is not None)


class Deployment(pydantic.BaseModel):
    """One home's deployment: a table per surface. A surface without a table is served with the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    surfaces: dict[Name, SurfaceDeployment] = {}

    def of(self, surface: str) -> SurfaceDeployment:
        """The deployment of one surface."""
        return self.surfaces.get(surface, SurfaceDeployment())

    @classmethod
    def from_toml(cls, text: str, source: str = "deployment") -> "Deployment":
        """Read and validate the text of a deployment file; `source` names it in errors."""
        try:
            return cls(surfaces=tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise DefinitionError(source, f"not valid TOML: {error}", "tables such as [feed]") from None
        except pydantic.ValidationError as error:
            problem = error.errors()[0]
            problem["loc"] = problem["loc"][1:]
            raise from_pydantic(source, [problem]) from None
        except DefinitionError as error:
            raise DefinitionError(f"{source}.{error.field}", error.problem, error.write) from None

    @classmethod
    def from_file(cls, path: Path) -> "Deployment":
        """The deployment at `path`, or the default one where no file is."""
        return cls.from_toml(path.read_text(), str(path)) if path.exists() else cls()
