"""The online mode: everything in the request, on a state that follows the log."""

import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import pyarrow as pa
from msgspec.structs import replace

from fourfold.definition import DefinitionError, SurfaceDeployment
from fourfold.definition.experiments import Experiment
from fourfold.events.log import MAX_TIME, LogFullError
from fourfold.events.types import Impression, batch_of
from fourfold.features.view import View
from fourfold.modes.clock import wall_clock
from fourfold.modes.home import Home
from fourfold.modes.trained import PinnedModels, PromotedModels
from fourfold.modes.variants import Served, Variants, pinned_models, unended
from fourfold.pipeline.last_slates import RecentSlates
from fourfold.pipeline.models import Models
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Degradation, Request, Slate

logger = logging.getLogger(__name__)

EVENTS_PER_REQUEST = 20_000
"""How many new events a request applies before it is answered; more than that is a backlog, left to `follow`."""


class Online:
    """Serves one surface of a home from this process.

    An event that the log has acknowledged is in the next slate. Use it as a context manager: it commits its state at the end.

    Parameters
    ----------
    home : Home
        Where log, definition, deployment and models lie.
    surface : str
        What to serve.
    commits : bool
        Whether this process commits the state it computes; one process of a home should.
    """

    def __init__(self, home: Home, surface: str, *, commits: bool = False) -> None:
        self.home, self.surface = home, surface
        self.problem: str | None = None
        self.deployment = home.deployment.of(surface)
        self.consumer = home.consumer(surface, commits=commits)
        self.definition = self.consumer.state.definition
        self._cache_bytes = self.deployment.history_cache_mb * 1_000_000
        self.models = PromotedModels(self.definition, home.registry, cache_bytes=self._cache_bytes)
        self._executor = ThreadPoolExecutor(max(4, len(self.definition.sources)), f"source-{surface}")
        self._last_slates = RecentSlates()
        self._pinned: dict[str, PinnedModels] = {}
        self._deploy(self.deployment)

    def __enter__(self) -> Self:
        self.consumer.catch_up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.consumer.__exit__(kind, error, trace)
        finally:
            self.consumer.close()
            self._executor.shutdown(wait=False, cancel_futures=True)
            self.variants.close()

    def recommend(self, request: Request) -> Slate:
        """The slate for a request, as of its time or now; its impressions are logged where the deployment says so."""
        slate = self.slate(request)
        return self._logged(slate, request) if self.deployment.log_impressions and slate.items else slate

    def slate(self, request: Request) -> Slate:
        """The slate for a request; nothing is logged."""
        return self.variants.slate(request, self.now())

    def now(self) -> int:
        """What time it is by the deployment's clock, in milliseconds.

        The log's clock takes in what the log got since, so that a request is later than everything acknowledged before it,
        but never later than an event can be.
        """
        return wall_clock() if self.deployment.clock == "wall" else min(self._view().newest_event_time + 1, MAX_TIME - 1)

    def follow(self) -> None:
        """One round of upkeep: apply what the log got, commit, and take up a newly promoted version and deployment."""
        self.consumer.catch_up()
        if self.consumer.commits:
            self.consumer.commit()
        self.models.refresh()
        for models in self._pinned.values():
            models.refresh()
        self._redeploy()

    def warm(self) -> None:
        """Make a slate for nobody with every version, so that whoever comes first does not wait for what is loaded once."""
        self.variants.warm(self.now())

    def _redeploy(self) -> None:
        """Serve as the deployment says now; where it cannot be read, as it said before, and `problem` says why."""
        try:
            declared = self.home.deployment.of(self.surface)
            if declared != self.deployment or self._running(declared) != self.variants.experiments:
                self._deploy(declared)
                logger.info("surface %s is deployed anew: %s", self.surface, declared)
            self.problem = None
        except (DefinitionError, OSError, UnicodeDecodeError) as error:
            if self.problem != str(error):
                logger.error("surface %s goes on as deployed before: %s", self.surface, error)  # noqa: TRY400  # it says it all
            self.problem = str(error)

    def _deploy(self, declared: SurfaceDeployment) -> None:
        """Serve as a deployment says, with the versions that its experiments need; all of it or nothing."""
        running = self._running(declared)
        pinned = pinned_models(self.definition, self.home.registry, running, self._pinned, self._cache_bytes)
        self.deployment, self._pinned = declared, pinned
        self.pipeline = self._pipeline(self.models, declared.budget_ms, self._last_slates)
        self.variants = Variants(self.definition, running, self._view, self.pipeline, self._variant)

    def _running(self, declared: SurfaceDeployment) -> dict[str, Experiment]:
        """The experiments that run or will run; what time it is need not be known where there are none."""
        return unended(declared, self.now()) if declared.experiments else {}

    def _variant(self, served: Served) -> Pipeline:
        """What a variant serves; what its ranker last made stands in for no other one."""
        version, budget_ms = served
        models = self.models if version is None else self._pinned[version]
        return self._pipeline(models, budget_ms or self.deployment.budget_ms, RecentSlates())

    def _pipeline(self, models: Callable[[], Models], budget_ms: int, last_slates: RecentSlates) -> Pipeline:
        return Pipeline(
            self.definition,
            self._view,
            models,
            budget_ms=budget_ms,
            executor=self._executor,
            fallback=self.deployment.fallback,
            last_slates=last_slates,
        )

    def _logged(self, slate: Slate, request: Request) -> Slate:
        try:
            self.home.log.append(_impressions(slate, request), wall_clock())
        except LogFullError as error:
            logger.error("surface %s: impressions were not logged: %s", self.surface, error)  # noqa: TRY400  # it says it all
            lost = Degradation(stage="log_impressions", cause="the log is full", effect="its impressions are not recorded")
            return replace(slate, degradations=[*slate.degradations, lost])
        return slate

    def _view(self) -> View:
        return self.consumer.view(EVENTS_PER_REQUEST)


def _impressions(slate: Slate, request: Request) -> pa.RecordBatch:
    return batch_of(
        Impression(
            id=_impression_id(slate, item.item),
            time=slate.time,
            viewer=slate.viewer,
            item=item.item,
            surface=slate.surface,
            request=slate.request,
            position=position,
            context=request.context,
            propensity=item.propensity,
            experiment=slate.experiment,
            variant=slate.variant,
            team=item.team,
        )
        for position, item in enumerate(slate.items)
    )


def _impression_id(slate: Slate, item: str) -> str:
    """The same for the same item of the same request, and another for another viewer or page under one request id."""
    parts = json.dumps([slate.surface, slate.viewer, slate.request, item])
    return f"shown-{hashlib.sha256(parts.encode()).hexdigest()[:40]}"
