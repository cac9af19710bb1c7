"""One request through the stages: sources, filters, early ranker, ranker, selector. The same code runs in every mode."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait

import numpy as np
from numpy.typing import NDArray

from fourfold.candidates import SOURCES, Ask, Proposal, Unavailable
from fourfold.definition import Recommender, Source
from fourfold.features.assembly import Context, candidates, context
from fourfold.features.encoding import Encoder
from fourfold.features.view import View
from fourfold.pipeline.backfill import backfill
from fourfold.pipeline.explain import reason, title_of
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.models import Models, Retriever
from fourfold.pipeline.pool import Pool
from fourfold.pipeline.select import select
from fourfold.pipeline.slate import Request, Slate, SlateItem, Trace
from fourfold.pipeline.trace import Tracer

logger = logging.getLogger(__name__)

Scores = NDArray[np.float32]


class Pipeline:
    """Answers requests for one recommender.

    Parameters
    ----------
    definition : Recommender
        What to run.
    view : callable
        The state as it is now. It is asked once at the start of a request and once more before the slate is chosen.
    models : callable
        The models as they are now; one request uses one version throughout.
    budget_ms : int
        What a request may take unless it says so itself.
    mode : str
        The name of the mode, for the slate.
    executor : Executor, optional
        Where sources run; a small thread pool of its own otherwise.
    """

    def __init__(
        self,
        definition: Recommender,
        view: Callable[[], View],
        models: Callable[[], Models],
        *,
        budget_ms: int = 1_000,
        mode: str = "online",
        executor: Executor | None = None,
    ) -> None:
        self.definition, self._view, self._models = definition, view, models
        self._budget_ms, self._mode = budget_ms, mode
        self._encoder = Encoder(definition)
        self._executor = executor or ThreadPoolExecutor(max(4, len(definition.sources)), "source")

    def recommend(self, request: Request, now: int) -> Slate:
        """The slate for a request. `now` (milliseconds) is its time unless it names one; the clock is not read for it."""
        return _Run(self, request, request.time if request.time is not None else now).slate()


class _Run:
    """One request on its way through the stages."""

    def __init__(self, pipeline: Pipeline, request: Request, time: int) -> None:
        self.definition, self.encoder, self.request, self.time = pipeline.definition, pipeline._encoder, request, time
        self.latest_view, self.mode, self.executor = pipeline._view, pipeline._mode, pipeline._executor
        self.models = pipeline._models()
        self.view = pipeline._view()
        self.tracer = Tracer(request.budget_ms or pipeline._budget_ms)
        self.size = request.size or self.definition.selector.size
        self.asked = self._asked(self.view)
        if self.asked.row < 0:
            self.tracer.degraded("viewer", "nothing is known of this viewer yet", "no history and no profile are used")

    def slate(self) -> Slate:
        with self.tracer.stage("context", 0) as given:
            known = context(self.view, self.encoder, self.asked.row, self.time)
            retriever = self.models.retriever(self.view, self.encoder, self.time)
            given.append(len(known.history))
        pool = self._filtered(self._retrieved(known, retriever))
        pool, early = self._early_ranked(pool, known, retriever)
        scores, probabilities = self._ranked(pool, known, early)
        chosen = self._selected(pool, scores)
        return self._answer(pool.take(chosen), known, scores[chosen], None if probabilities is None else probabilities[chosen])

    def _asked(self, view: View) -> Asked:
        row = int(view.rows(self.definition.viewer.name, [self.request.viewer])[0])
        if row >= 0 and not view.alive(self.definition.viewer.name, np.array([row]), np.array([self.time]))[0]:
            row = -1
        return Asked(view, self.request.viewer, row, self.time, self.request.exclude)

    def _retrieved(self, known: Context, retriever: Retriever | None) -> Pool:
        ask = Ask(self.view, known, retriever, self.models.neighbours(self.view))
        with self.tracer.stage("sources", 0) as given:
            futures = {str(declared.kind): self._submit(ask, declared) for declared in self.definition.sources}
            wait(futures.values(), timeout=self.tracer.seconds_left)
            pool = Pool.merge(self._proposals(futures))
            given.append(len(pool))
        return pool

    def _submit(self, ask: Ask, declared: Source) -> Future[Proposal]:
        return self.executor.submit(SOURCES[declared.kind], ask, declared)

    def _proposals(self, futures: dict[str, Future[Proposal]]) -> dict[str, Proposal]:
        proposals = {}
        for kind, future in futures.items():
            if not future.done():
                future.cancel()
                self.tracer.degraded("sources", f"{kind} did not answer within the budget", "its candidates are missing")
            elif isinstance(error := future.exception(), Unavailable):
                self.tracer.degraded("sources", f"{kind}: {error}", "its candidates are missing")
            elif error is not None:
                logger.error("source %s failed", kind, exc_info=error)
                self.tracer.degraded("sources", f"{kind} failed: {type(error).__name__}", "its candidates are missing")
            else:
                proposals[kind] = future.result()
        return proposals

    def _filtered(self, pool: Pool) -> Pool:
        with self.tracer.stage("filters", len(pool)) as given:
            keep, dropped = kept(self.asked, self.definition.filters, pool.items)
            self.tracer.dropped.update(dropped)
            pool = pool.take(keep)
            given.append(len(pool))
        if len(pool) < self.size:
            with self.tracer.stage("backfill", len(pool)) as given:
                pool = backfill(self.asked, self.definition.filters, pool, self.size)
                given.append(len(pool))
        return pool

    def _early_ranked(self, pool: Pool, known: Context, retriever: Retriever | None) -> tuple[Pool, Scores]:
        declared = self.definition.early_ranker
        if declared is None:
            return pool, pool.source_scores()
        if retriever is None:
            self.tracer.degraded("early_ranker", "no retrieval model is trained yet", "the sources' order stands in")
            early = pool.source_scores()
        else:
            with self.tracer.stage("early_ranker", len(pool)) as given:
                early = retriever.similarity(known, pool.items)
                given.append(min(len(pool), declared.keep))
        best = self._order(pool, early)[: declared.keep]
        return pool.take(best), early[best]

    def _ranked(self, pool: Pool, known: Context, early: Scores) -> tuple[Scores, NDArray[np.float32] | None]:
        if self.definition.ranker is None:
            return early, None
        problem = self._why_not_rank()
        if problem:
            self.tracer.degraded("ranker", problem, "the early order stands in")
            return early, None
        assert self.models.scorer is not None
        with self.tracer.stage("features", len(pool)):
            rows = candidates(self.view, self.encoder, known, pool.items)
        with self.tracer.stage("ranker", len(pool)):
            try:
                probabilities = self.models.scorer.score(known, rows)
            except Exception as error:
                logger.exception("ranker failed")
                self.tracer.degraded("ranker", f"it failed: {type(error).__name__}", "the early order stands in")
                return early, None
        utility = np.array([action.utility for action in self.definition.actions], np.float32)
        return (probabilities * utility).sum(axis=1, dtype=np.float32), probabilities

    def _why_not_rank(self) -> str | None:
        if self.models.scorer is None:
            return "no model is trained yet"
        return None if self.tracer.seconds_left > 0 else "the budget was used up before it"

    def _selected(self, pool: Pool, scores: Scores) -> NDArray[np.int64]:
        """Indices into the pool; checked against the newest state, for what happened while this request ran."""
        with self.tracer.stage("select", len(pool)) as given:
            order = self._order(pool, scores)
            latest = self.latest_view()
            if latest.offset != self.view.offset:
                keep, dropped = kept(self._asked(latest), self.definition.filters, pool.items)
                self.tracer.dropped.update({f"{name} meanwhile": count for name, count in dropped.items()})
                order = order[keep[order]]
            chosen = select(self.asked, self.definition.selector, pool.items, order, self.size, self.tracer)
            given.append(len(chosen))
        return chosen

    def _order(self, pool: Pool, scores: Scores) -> NDArray[np.int64]:
        """Best first; equal scores by item id, so that the order does not depend on how rows were numbered."""
        ids = np.array(self.view.ids(self.definition.item.name, pool.items), dtype=str)
        return np.lexsort((ids, -scores))

    def _answer(self, pool: Pool, known: Context, scores: Scores, probabilities: NDArray[np.float32] | None) -> Slate:
        items = [self._item(pool, row, known, scores, probabilities) for row in range(len(pool))]
        newest = self.view.newest_time
        return Slate(
            request=self.request.request or f"{self.definition.surface}-{self.request.viewer}-{self.time}"[:256],
            surface=self.definition.surface,
            viewer=self.request.viewer,
            time=self.time,
            mode=self.mode,
            definition=self.definition.hash,
            model=self.models.version,
            items=items,
            degradations=self.tracer.degradations,
            trace=Trace(
                stages=self.tracer.stages,
                dropped={name: count for name, count in self.tracer.dropped.items() if count},
                history=len(known.history),
                state_age_ms=self.time - newest if 0 <= newest <= self.time else None,
                viewer_age_ms=self.time - known.last_time if known.last_time >= 0 else None,
                offset=self.view.offset,
            ),
        )

    def _item(
        self, pool: Pool, row: int, known: Context, scores: Scores, probabilities: NDArray[np.float32] | None
    ) -> SlateItem:
        name = self.definition.item.name
        origins = pool.origins(row)
        actions = [action.name for action in self.definition.actions]
        values = [] if probabilities is None else [round(float(value), 6) for value in probabilities[row]]
        return SlateItem(
            item=self.view.ids(name, pool.items[row : row + 1])[0],
            title=title_of(self.view, name, int(pool.items[row]), self.time),
            score=float(scores[row]),
            probabilities=dict(zip(actions, values, strict=False)),
            sources=[source for source, _ in origins],
            reason=reason(self.view, *origins[0], self.time, len(known.history)),
        )
