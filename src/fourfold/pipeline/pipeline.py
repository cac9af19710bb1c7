"""One request through the stages: sources, filters, early ranker, ranker, selector. The same code runs in every mode."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fourfold.candidates import SOURCES, Ask, Proposal, Unavailable
from fourfold.candidates.ordering import best_first
from fourfold.definition import Recommender, Source
from fourfold.definition.expression import parse
from fourfold.definition.expression_types import check_expression
from fourfold.events.log import MAX_ID
from fourfold.features.assembly import candidates, context
from fourfold.features.encoding import Encoder
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.pipeline.backfill import backfill, shortfall
from fourfold.pipeline.explain import reasons, titles
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.models import Models
from fourfold.pipeline.pool import Pool
from fourfold.pipeline.select import choose, select
from fourfold.pipeline.slate import Request, Slate, SlateItem, Trace
from fourfold.pipeline.trace import Tracer
from fourfold.pipeline.values import Values

logger = logging.getLogger(__name__)

Scores = NDArray[np.float32]
T = TypeVar("T")

SOURCES_SHARE = 0.6
"""How much of what is left of the budget sources may take together, so that a slow one leaves time to rank the others."""


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
        self._values = Values()
        self._executor = executor or ThreadPoolExecutor(max(4, len(definition.sources)), "source")

    def close(self) -> None:
        """Let go of the threads that sources run in; requests are an error from then on."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def recommend(self, request: Request, now: int) -> Slate:
        """The slate for a request. `now` (milliseconds) is its time unless it names one; the clock is not read for it.

        Raises
        ------
        DefinitionError
            If the request's condition is not well formed, or speaks of what the definition does not declare.
        """
        if request.where is not None:
            check_expression(self.definition, parse(request.where))
        return _Run(self, request, request.time if request.time is not None else now).slate()


@dataclass(frozen=True)
class _Ranked:
    """The pool with its final scores, and the probabilities behind them if a ranker gave any."""

    pool: Pool
    scores: Scores  # (C,)
    probabilities: Scores | None  # (C, A)

    def take(self, chosen: Int | NDArray[np.bool_]) -> "_Ranked":
        """Some candidates only, in the given order."""
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return _Ranked(self.pool.take(chosen), self.scores[chosen], probabilities)


class _Run:
    """One request on its way through the stages."""

    def __init__(self, pipeline: Pipeline, request: Request, time: int) -> None:
        self.definition, self.encoder, self.request, self.time = pipeline.definition, pipeline._encoder, request, time
        self.latest_view, self.mode, self.executor = pipeline._view, pipeline._mode, pipeline._executor
        self.values = pipeline._values
        self.models = pipeline._models()
        self.view = pipeline._view()
        self.tracer = Tracer(request.budget_ms or pipeline._budget_ms)
        self.size = request.size or self.definition.selector.size
        self.asked = self._asked(self.view)
        with self.tracer.stage("context", 0) as given:
            self.known = context(self.view, self.encoder, self._viewer(), self.time, self.request.context)
            self.retriever = self._model(lambda: self.models.retriever(self.view, self.encoder, self.time), "retrieval model")
            self.neighbours = self._model(lambda: self.models.neighbours(self.view), "item-to-item table")
            given.append(len(self.known.history))

    def slate(self) -> Slate:
        pool = self._backfilled(self._filtered(self._retrieved()), [self.asked])
        ranked = self._checked_again(self._ranked(pool))
        return self._answer(ranked.take(self._selected(ranked)))

    def _asked(self, view: View) -> Asked:
        row = int(view.rows(self.definition.viewer.name, [self.request.viewer])[0])
        request = self.request
        return Asked(view, request.viewer, row, self.time, request.exclude, request.where, request.context, self.values)

    def _viewer(self) -> int:
        """The viewer's row, or -1 if the viewer does not exist as of the request."""
        if self.view.alive(self.definition.viewer.name, self.asked.rows, self.asked.times)[0]:
            return self.asked.row
        self.tracer.degraded("viewer", "nothing is known of this viewer yet", "no history and no profile are used")
        return -1

    def _model(self, load: Callable[[], T | None], name: str) -> T | None:
        try:
            return load()
        except Exception as error:
            logger.exception("%s failed", name)
            self.tracer.degraded("models", f"the {name} failed: {type(error).__name__}", "the request goes on without it")
            return None

    def _retrieved(self) -> Pool:
        ask = Ask(self.view, self.known, self.retriever, self.neighbours)
        with self.tracer.stage("sources", 0) as given:
            futures = {str(declared.kind): self._submit(ask, declared) for declared in self.definition.sources}
            wait(futures.values(), timeout=self.tracer.seconds_left * SOURCES_SHARE)
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
            elif not np.isfinite(future.result().scores).all():
                self.tracer.degraded("sources", f"{kind} gave scores that are not numbers", "its candidates are missing")
            else:
                proposals[kind] = future.result()
        return proposals

    def _filtered(self, pool: Pool) -> Pool:
        with self.tracer.stage("filters", len(pool)) as given:
            keep, dropped = kept(self.asked, self.definition.filters, pool.items)
            self.tracer.dropped.update(dropped)
            pool = pool.take(keep)
            given.append(len(pool))
        return pool

    def _backfilled(self, pool: Pool, asked: Sequence[Asked]) -> Pool:
        selector = self.definition.selector
        if not shortfall(self.asked, selector, pool, self.size):
            return pool
        with self.tracer.stage("backfill", len(pool)) as given:
            filled = backfill(asked, self.definition.filters, selector, pool, self.size)
            given.append(len(filled))
        if len(filled) > len(pool):
            effect = f"{len(filled) - len(pool)} items of the catalogue compete too"
            self.tracer.degraded("backfill", "sources and filters left too few candidates", effect)
        return filled

    def _ranked(self, pool: Pool) -> _Ranked:
        pool, early = self._early_ranked(pool)
        probabilities = self._probabilities(pool) if self.definition.ranker is not None and len(pool) else None
        if probabilities is None:
            return _Ranked(pool, early, None)
        utility = np.array([action.utility for action in self.definition.actions], np.float32)
        return _Ranked(pool, (probabilities * utility).sum(axis=1, dtype=np.float32), probabilities)

    def _early_ranked(self, pool: Pool) -> tuple[Pool, Scores]:
        """The best of the pool, and the slate that they would make if no ranker followed: enough authors to keep the cap."""
        declared = self.definition.early_ranker
        if declared is None:
            return pool, pool.source_scores()
        with self.tracer.stage("early_ranker", len(pool)) as given:
            early = self._similarity(pool)
            order = self._order(pool, early)
            keep = np.zeros(len(order), bool)
            keep[order[: declared.keep]] = True
            keep[choose(self.asked, self.definition.selector, pool.items, order, self.size)] = True
            best = order[keep[order]]
            given.append(len(best))
        return pool.take(best), early[best]

    def _similarity(self, pool: Pool) -> Scores:
        problem = "no retrieval model is trained yet"
        if self.retriever is not None:
            try:
                early = self.retriever.similarity(self.known, pool.items)
                if np.isfinite(early).all():
                    return early
                problem = "it gave scores that are not numbers"
            except Exception as error:
                logger.exception("early ranker failed")
                problem = f"it failed: {type(error).__name__}"
        self.tracer.degraded("early_ranker", problem, "the sources' order stands in")
        return pool.source_scores()

    def _probabilities(self, pool: Pool) -> Scores | None:
        """What the ranker says, shape (C, A), or None where it cannot."""
        problem = "no model is trained yet"
        if self.models.scorer is not None and self.tracer.seconds_left <= 0:
            problem = "the budget was used up before it"
        elif self.models.scorer is not None:
            try:
                with self.tracer.stage("features", len(pool)):
                    rows = candidates(self.view, self.encoder, self.known, pool.items)
                with self.tracer.stage("ranker", len(pool)):
                    probabilities = self.models.scorer.score(self.known, rows)
                if probabilities.shape == (len(pool), len(self.definition.actions)) and np.isfinite(probabilities).all():
                    return probabilities
                problem = "it gave scores that are not numbers, or not one for each action of each candidate"
            except Exception as error:
                logger.exception("ranker failed")
                problem = f"it failed: {type(error).__name__}"
        self.tracer.degraded("ranker", problem, "the early order stands in")
        return None

    def _checked_again(self, ranked: _Ranked) -> _Ranked:
        """What still passes at the newest state, for events that arrived while this request ran; ranked anew if refilled."""
        latest = self._asked(self.latest_view())
        if latest.view.offset == self.view.offset:
            return ranked
        with self.tracer.stage("late_filters", len(ranked.pool)) as given:
            keep, dropped = kept(latest, self.definition.filters, ranked.pool.items)
            self.tracer.dropped.update({f"{name} meanwhile": count for name, count in dropped.items()})
            ranked = ranked.take(keep)
            given.append(len(ranked.pool))
        filled = ranked.pool if keep.all() else self._backfilled(ranked.pool, [self.asked, latest])
        return ranked if len(filled) == len(ranked.pool) else self._ranked(filled)

    def _selected(self, ranked: _Ranked) -> Int:
        """Indices into the pool."""
        with self.tracer.stage("select", len(ranked.pool)) as given:
            order = self._order(ranked.pool, ranked.scores)
            chosen = select(self.asked, self.definition.selector, ranked.pool.items, order, self.size, self.tracer)
            given.append(len(chosen))
        return chosen

    def _order(self, pool: Pool, scores: Scores) -> Int:
        return best_first(self.view, pool.items, scores)

    def _answer(self, ranked: _Ranked) -> Slate:
        newest, last = self.view.newest_time, max(self.known.entries.time[-1:].tolist(), default=-1)
        return Slate(
            request=self.request.request or self._request_id(),
            surface=self.definition.surface,
            viewer=self.request.viewer,
            time=self.time,
            mode=self.mode,
            definition=self.definition.hash,
            model=self.models.version,
            items=self._items(ranked),
            degradations=self.tracer.degradations,
            trace=Trace(
                stages=self.tracer.stages,
                dropped={name: count for name, count in self.tracer.dropped.items() if count},
                history=len(self.known.history),
                state_age_ms=self.time - newest if 0 <= newest <= self.time else None,
                viewer_age_ms=self.time - last if last >= 0 else None,
                offset=self.view.offset,
            ),
        )

    def _request_id(self) -> str:
        """``SURFACE-VIEWER-TIME``, with a digest for the viewer where that would be too long for an id."""
        readable = f"{self.definition.surface}-{self.request.viewer}-{self.time}"
        if len(readable) <= MAX_ID:
            return readable
        return f"{self.definition.surface}-{hashlib.sha256(self.request.viewer.encode()).hexdigest()}-{self.time}"

    def _items(self, ranked: _Ranked) -> list[SlateItem]:
        name, pool = self.definition.item.name, ranked.pool
        origins = [pool.origins(row) for row in range(len(pool))]
        actions = [action.name for action in self.definition.actions]
        given = [] if ranked.probabilities is None else np.round(ranked.probabilities.astype(np.float64), 6).tolist()
        return [
            SlateItem(
                item=item, title=title, score=score, probabilities=values, sources=[source for source, _ in came], reason=why
            )
            for item, title, score, values, came, why in zip(
                self.view.ids(name, pool.items),
                titles(self.view, name, pool.items, self.time),
                ranked.scores.tolist(),
                [dict(zip(actions, values, strict=True)) for values in given] or [{} for _ in origins],
                origins,
                reasons(
                    self.view,
                    [came[0] for came in origins],
                    self.time,
                    history=len(self.known.history) > 0,
                    profile=bool(self.known.viewer_ids.any()),
                ),
                strict=True,
            )
        ]
