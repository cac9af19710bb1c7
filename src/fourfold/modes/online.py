"""The online mode: everything in the request, on a state that follows the log."""

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import pyarrow as pa
from msgspec.structs import replace

from fourfold.definition import DefinitionError
from fourfold.events.log import MAX_TIME, LogFullError
from fourfold.events.types import Impression, batch_of
from fourfold.features.view import View
from fourfold.modes.clock import wall_clock
from fourfold.modes.home import Home
from fourfold.modes.trained import PromotedModels
from fourfold.pipeline.last_slates import RecentSlates
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
        cache_bytes = self.deployment.history_cache_mb * 1_000_000
        self.models = PromotedModels(self.definition, home.registry, cache_bytes=cache_bytes)
        self._executor = ThreadPoolExecutor(max(4, len(self.definition.sources)), f"source-{surface}")
        self._last_slates = RecentSlates()
        self.pipeline = self._pipeline()

    def __enter__(self) -> Self:
        self.consumer.catch_up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.consumer.__exit__(kind, error, trace)
        finally:
            self.consumer.close()
            self._executor.shutdown(wait=False, cancel_futures=True)
            self.pipeline.close()

    def recommend(self, request: Request) -> Slate:
        """The slate for a request, as of its time or now."""
        slate = self.pipeline.recommend(request, self.now())
        return self._logged(slate, request) if self.deployment.log_impressions and slate.items else slate

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
        self._redeploy()

    def warm(self) -> None:
        """Make one slate for nobody, so that whoever comes first does not wait for what is loaded once."""
        self.pipeline.recommend(Request(viewer="-"), self.now())

    def _redeploy(self) -> None:
        """Serve as the deployment says now; where it cannot be read, as it said before, and `problem` says why."""
        try:
            now, self.problem = self.home.deployment.of(self.surface), None
        except (DefinitionError, OSError, UnicodeDecodeError) as error:
            if self.problem != str(error):
                logger.error("surface %s goes on as deployed before: %s", self.surface, error)  # noqa: TRY400  # it says it all
            self.problem = str(error)
            return
        if now != self.deployment:
            logger.info("surface %s is deployed anew: %s", self.surface, now)
            self.deployment = now
            self.pipeline = self._pipeline()

    def _pipeline(self) -> Pipeline:
        return Pipeline(
            self.definition,
            self._view,
            self.models,
            budget_ms=self.deployment.budget_ms,
            executor=self._executor,
            fallback=self.deployment.fallback,
            last_slates=self._last_slates,
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
        )
        for position, item in enumerate(slate.items)
    )


def _impression_id(slate: Slate, item: str) -> str:
    """The same for the same item of the same request, and another for another viewer or page under one request id."""
    parts = json.dumps([slate.surface, slate.viewer, slate.request, item])
    return f"shown-{hashlib.sha256(parts.encode()).hexdigest()[:40]}"
