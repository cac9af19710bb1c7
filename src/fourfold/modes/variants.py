"""Serves the variants of experiments: a pipeline for each, beside that of the promoted version."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from fourfold.definition import DefinitionError, Recommender, SurfaceDeployment
from fourfold.definition.experiments import HOLDOUT, Experiment
from fourfold.features.view import View
from fourfold.modes.assignment import assigned
from fourfold.modes.interleaving import interleaved
from fourfold.modes.trained import PinnedModels
from fourfold.pipeline.explore import seed_of
from fourfold.pipeline.pipeline import RANKERS, Pipeline
from fourfold.pipeline.slate import Request, Slate
from fourfold.training.registry import Registry, RegistryError

Served = tuple[str | None, int | None]
"""A version (None: the promoted one) and a budget in milliseconds (None: that of the surface)."""


def unended(deployment: SurfaceDeployment, now: int) -> dict[str, Experiment]:
    """The experiments that run or will run, by name; `now` is in milliseconds."""
    ends = {name: experiment.period[1] for name, experiment in deployment.experiments.items()}
    return {name: deployment.experiments[name] for name, end in ends.items() if end is None or now < end}


def served(experiments: Mapping[str, Experiment]) -> list[Served]:
    """What their variants serve beside the promoted version as the surface serves it."""
    variants = [variant for experiment in experiments.values() for variant in experiment.variants.values()]
    found = dict.fromkeys((variant.model, variant.budget_ms) for variant in variants)
    return [one for one in found if one != (None, None)]


def pinned_models(
    definition: Recommender,
    registry: Registry,
    experiments: Mapping[str, Experiment],
    loaded: Mapping[str, PinnedModels],
    cache_bytes: int,
) -> dict[str, PinnedModels]:
    """The versions that experiments name; those in `loaded` are not loaded again.

    Raises
    ------
    DefinitionError
        If one cannot be loaded; it names the variant.
    """
    found: dict[str, PinnedModels] = {}
    named = {
        declared.model: f"{name}.variants.{variant}"
        for name, experiment in experiments.items()
        for variant, declared in experiment.variants.items()
        if declared.model is not None
    }
    for version, variant in named.items():
        try:
            found[version] = loaded.get(version) or PinnedModels(definition, registry, version, cache_bytes=cache_bytes)
        except RegistryError as error:
            field = f"{definition.surface}.experiments.{variant}.model"
            raise DefinitionError(field, f"{version} cannot be served: {error}") from None
    return found


class Variants:
    """Answers requests while experiments run.

    Parameters
    ----------
    definition : Recommender
        What is served.
    experiments : mapping
        Those that run or will run.
    view : callable
        The state as it is now.
    promoted : Pipeline
        Serves whoever is in no variant.
    build : callable
        Makes the pipeline of a variant.
    """

    def __init__(
        self,
        definition: Recommender,
        experiments: Mapping[str, Experiment],
        view: Callable[[], View],
        promoted: Pipeline,
        build: Callable[[Served], Pipeline],
    ) -> None:
        self._surface, self._definition, self._view, self.experiments = definition.surface, definition, view, experiments
        self._pipelines: dict[Served, Pipeline] = {(None, None): promoted}
        self._pipelines |= {one: build(one) for one in served(experiments)}
        self._seconds = ThreadPoolExecutor(RANKERS, "second")

    def close(self) -> None:
        """Let go of the threads; requests are an error from then on."""
        self._seconds.shutdown(wait=False, cancel_futures=True)
        for pipeline in self._pipelines.values():
            pipeline.close()

    def warm(self, now: int) -> None:
        """Make a slate for nobody with every pipeline."""
        for pipeline in self._pipelines.values():
            pipeline.recommend(Request(viewer="-"), now)

    def slate(self, request: Request, now: int) -> Slate:
        """The slate for a request, by what its viewer gets in the experiment that runs at its time."""
        time = now if request.time is None else request.time
        running = next((named for named in self.experiments.items() if named[1].runs(time)), None)
        variant = assigned(self._surface, *running, request.viewer) if running else None
        if running is None or variant is None:
            return self._pipelines[None, None].recommend(request, time)
        name, experiment = running
        if variant == HOLDOUT:
            return replace(self._pipelines[None, None].recommend(request, time), experiment=name, variant=HOLDOUT)
        if experiment.kind == "interleave":
            return self._drafted(name, experiment, request, time)
        return replace(self._pipeline(experiment, variant).recommend(request, time), experiment=name, variant=variant)

    def _drafted(self, name: str, experiment: Experiment, request: Request, time: int) -> Slate:
        """A slate that two rankers fill, which work side by side within the budget."""
        control = experiment.control
        other = next(variant for variant in experiment.variants if variant != control)
        second = self._seconds.submit(self._pipeline(experiment, other).recommend, request, time)
        slates = self._pipeline(experiment, control).recommend(request, time), second.result()
        seed = seed_of(f"{self._surface}/{name}", request.viewer, time, request.request)
        slate = interleaved(self._definition, self._view(), slates, (control, other), request, seed)
        drafted = any(item.team is not None for item in slate.items)
        return replace(slate, experiment=name) if drafted else slate

    def _pipeline(self, experiment: Experiment, variant: str) -> Pipeline:
        declared = experiment.variants[variant]
        return self._pipelines[declared.model, declared.budget_ms]
