"""One request through the stages: sources, filters, early ranker, ranker, selector. The same code runs in every mode."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from fourfold.candidates import Ask
from fourfold.candidates.ordering import best_first
from fourfold.definition import Promote, Recommender
from fourfold.definition.deployment import LADDER, Fallback
from fourfold.definition.expression import parse
from fourfold.definition.expression_types import check_expression
from fourfold.features.assembly import context
from fourfold.features.encoding import Encoder
from fourfold.features.table import Float, Int
from fourfold.features.view import View
from fourfold.pipeline.answer import items_of, request_id, trace_of
from fourfold.pipeline.backfill import backfill, is_short
from fourfold.pipeline.explain import PINNED
from fourfold.pipeline.explore import seed_of
from fourfold.pipeline.filters import Asked, Sifted, sifted
from fourfold.pipeline.last_slates import KEPT, LastSlate, LastSlates, RecentSlates
from fourfold.pipeline.limits import Limit, fitting, limits
from fourfold.pipeline.models import Models
from fourfold.pipeline.pool import Pool
from fourfold.pipeline.ranking import Ranked, Ranking, Scores
from fourfold.pipeline.rules import Rules, boosted, pinned_items
from fourfold.pipeline.select import Chosen, Selector
from fourfold.pipeline.similarity import Similarity, by_categories, by_vectors
from fourfold.pipeline.slate import Request, Slate
from fourfold.pipeline.sourcing import proposed
from fourfold.pipeline.trace import Tracer
from fourfold.pipeline.values import Values

logger = logging.getLogger(__name__)

T = TypeVar("T")

RANKERS = 32
"""How many requests may rank at once; rankers that were left behind because they are late count too."""


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
    fallback : sequence of str
        What stands in for a ranker that fails or is late, best first.
    last_slates : LastSlates, optional
        Where last slates are kept; in this process's memory otherwise.
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
        fallback: Sequence[Fallback] = LADDER,
        last_slates: LastSlates | None = None,
    ) -> None:
        self.definition, self._view, self._models = definition, view, models
        self._budget_ms, self._mode = budget_ms, mode
        self._encoder, self._values = Encoder(definition), Values()
        self._executor = executor or ThreadPoolExecutor(max(4, len(definition.sources)), "source")
        self._early, self._rankers = ThreadPoolExecutor(RANKERS, "early"), ThreadPoolExecutor(RANKERS, "ranker")
        self._fallback = fallback
        self._last_slates = RecentSlates() if last_slates is None else last_slates

    def close(self) -> None:
        """Let go of the threads that sources and models run in; requests are an error from then on."""
        for executor in (self._executor, self._early, self._rankers):
            executor.shutdown(wait=False, cancel_futures=True)

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


class _Run:
    """One request on its way through the stages."""

    def __init__(self, pipeline: Pipeline, request: Request, time: int) -> None:
        self.pipeline, self.definition, self.request, self.time = pipeline, pipeline.definition, request, time
        self.models, self.view = pipeline._models(), pipeline._view()
        self.tracer = Tracer(request.budget_ms or pipeline._budget_ms)
        self.size = request.size or self.definition.selector.size
        self.asked = self.latest = self._asked(self.view)
        self.pinned, self.unpinned = pinned_items(self.asked, self.definition.rules, self.size), dict[int, str]()
        self.exhausted = False
        with self.tracer.stage("context", 0) as given:
            self.known = context(self.view, pipeline._encoder, self._viewer(), time, request.context)
            self.retriever = self._model(lambda: self.models.retriever(self.view, pipeline._encoder, time), "retrieval model")
            self.neighbours = self._model(lambda: self.models.neighbours(self.view), "item-to-item table")
            given.append(len(self.known.history))
        self.ranking = Ranking(
            asked=self.asked,
            known=self.known,
            encoder=pipeline._encoder,
            models=self.models,
            retriever=self.retriever,
            fallback=pipeline._fallback,
            last_slates=pipeline._last_slates,
            early_executor=pipeline._early,
            executor=pipeline._rankers,
            tracer=self.tracer,
        )

    def slate(self) -> Slate:
        pool = self._backfilled(self._filtered(self._proposed()))
        ranked = self._checked_again(self._ranked(pool))
        self._remember(ranked)
        ranked, chosen = self._selected(ranked)
        return Slate(
            request=request_id(self.definition, self.request, self.time),
            surface=self.definition.surface,
            viewer=self.request.viewer,
            time=self.time,
            mode=self.pipeline._mode,
            definition=self.definition.hash,
            model=self.models.version,
            items=items_of(self.view, self.known, ranked.take(chosen.candidates), chosen),
            degradations=self.tracer.degradations,
            trace=trace_of(self.view, self.known, self.tracer),
        )

    def _asked(self, view: View) -> Asked:
        row, request = int(view.rows(self.definition.viewer.name, [self.request.viewer])[0]), self.request
        values = self.pipeline._values
        return Asked(view, request.viewer, row, self.time, request.exclude, request.where, request.context, values)

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

    def _proposed(self) -> Pool:
        ask = Ask(self.view, self.known, self.retriever, self.neighbours)
        pool = proposed(ask, self.definition.sources, self.pipeline._executor, self.tracer)
        if len(pinned := self.pinned[~np.isin(self.pinned, pool.items)]):
            with self.tracer.stage("pins", len(pool)) as given:
                pool = pool.extended(PINNED, pinned)
                given.append(len(pool))
        return pool

    def _filtered(self, pool: Pool) -> Pool:
        with self.tracer.stage("filters", len(pool)) as given:
            found = sifted(self.asked, self.definition.filters, pool.items)
            self.tracer.dropped.update(found.dropped)
            self._note_pins(pool, found)
            pool = pool.take(found.keep)
            given.append(len(pool))
        return pool

    def _note_pins(self, pool: Pool, found: Sifted, when: str = "") -> None:
        """Remember which filter took out what a rule wants to place."""
        for candidate in np.flatnonzero(np.isin(pool.items, self.pinned) & ~found.keep).tolist():
            self.unpinned[int(pool.items[candidate])] = found.filters[found.by[candidate]] + when

    def _backfilled(self, pool: Pool) -> Pool:
        """The pool, with items of the catalogue where it cannot fill the slate within the caps."""
        filters, selector = self.definition.filters, self.definition.selector
        asked = [self.asked] if self.latest is self.asked else [self.asked, self.latest]
        if not is_short(asked, filters, selector, pool, self.size):
            return pool
        with self.tracer.stage("backfill", len(pool)) as given:
            filled = backfill(asked, filters, selector, pool, self.size)
            given.append(len(filled))
        # Nothing is left that could fill a gap later.
        self.exhausted = len(filled) < self.size
        if len(filled) > len(pool):
            effect = f"{len(filled) - len(pool)} items of the catalogue compete too"
            self.tracer.degraded("backfill", "sources and filters left too few candidates", effect)
        return filled

    def _ranked(self, pool: Pool) -> Ranked:
        early = None
        if self.definition.early_ranker is not None:
            with self.tracer.stage("early_ranker", len(pool)) as given:
                early = self.ranking.early(pool)
                best = self._early_best(pool, pool.source_scores() if early is None else early)
                pool, early = pool.take(best), None if early is None else early[best]
                given.append(len(pool))
        if self.definition.ranker is None:
            return Ranked(pool, pool.source_scores() if early is None else early, None)
        return self.ranking.ranked(pool, early, self.latest)

    def _early_best(self, pool: Pool, early: Scores) -> Int:
        """The best of the pool, and the slate that they would make if no ranker followed: enough of each for caps and rules."""
        assert self.definition.early_ranker is not None
        order = best_first(self.view, pool.items, early)
        keep = np.zeros(len(order), bool)
        keep[: self.definition.early_ranker.keep] = True
        keep[fitting(self._limits(pool.items[order]), len(order), self.size)[0]] = True
        keep[np.isin(pool.items[order], self.pinned)] = True
        for rule in self.definition.rules:
            if isinstance(rule, Promote):
                keep[np.flatnonzero(self.asked.holds(rule.where, pool.items[order]))[: rule.count]] = True
        return order[keep]

    def _limits(self, items: Int) -> list[Limit]:
        return limits(self.asked, self.latest, self.definition.selector, self.definition.filters, items)

    def _checked_again(self, ranked: Ranked) -> Ranked:
        """What still passes at the newest state, for events that arrived while this request ran; ranked anew if refilled."""
        latest = self._asked(self.pipeline._view())
        if latest.view.offset == self.view.offset:
            return ranked
        self.latest = latest
        with self.tracer.stage("late_filters", len(ranked.pool)) as given:
            found = sifted(latest, self.definition.filters, ranked.pool.items)
            self.tracer.dropped.update({f"{name} meanwhile": count for name, count in found.dropped.items()})
            self._note_pins(ranked.pool, found, " meanwhile")
            ranked = ranked.take(found.keep)
            given.append(len(ranked.pool))
        filled = ranked.pool if found.keep.all() else self._backfilled(ranked.pool)
        return ranked if len(filled) == len(ranked.pool) else self._ranked(filled)

    def _remember(self, ranked: Ranked) -> None:
        """Keep what the ranker made of the candidates, to stand in for it another time."""
        if ranked.probabilities is not None:
            best = best_first(self.view, ranked.pool.items, ranked.scores, KEPT)
            items = tuple(self.view.ids(self.definition.item.name, ranked.pool.items[best]))
            self.pipeline._last_slates.put(self.request.viewer, LastSlate(items, self.time))

    def _selected(self, ranked: Ranked) -> tuple[Ranked, Chosen]:
        """The candidates, and which of them make the slate."""
        ordered, scores = self._ordered(ranked)
        given = self._limits(ordered.pool.items)
        if len(given) > 1 or not all(limit.single for limit in given):
            ordered, scores, given = self._gap_filled(ordered, scores, given)
        with self.tracer.stage("select", len(ordered.pool)) as passed:
            declared, items = self.definition.selector, ordered.pool.items
            rules = Rules(self.asked, self.unpinned, self.definition.rules, items, self.size)
            similarity = None if declared.diversity is None else self._similarity(items)
            seed = seed_of(self.definition.surface, self.request.viewer, self.time, self.request.request)
            chosen = Selector(declared, scores, given, rules, similarity).choose(self.size, seed, self.tracer)
            passed.append(len(chosen))
        return ordered, chosen

    def _ordered(self, ranked: Ranked) -> tuple[Ranked, Float]:
        """The candidates best first, and the scores that say so."""
        scores = boosted(self.asked, self.definition.rules, ranked.pool.items, ranked.scores)
        order = best_first(self.view, ranked.pool.items, scores)
        return ranked.take(order), scores[order]

    def _gap_filled(self, ordered: Ranked, scores: Float, given: list[Limit]) -> tuple[Ranked, Float, list[Limit]]:
        """Where several caps together left a gap that other items of the catalogue fill: those that fit, and these."""
        items = ordered.pool.items
        # Pins are chosen first, whatever their scores.
        order = np.argsort(~np.isin(items, self.pinned), kind="stable")
        fit, count = fitting(self._limits(items[order]), len(order), self.size)
        if count == self.size or self.exhausted:
            return ordered, scores, given
        with self.tracer.stage("refill", len(ordered.pool)) as passed:
            kept = np.union1d(order[fit[:count]], np.flatnonzero(np.isin(items, self.pinned)))
            asked, fits = [self.asked, self.latest], ordered.pool.take(kept)
            filled = backfill(asked, self.definition.filters, self.definition.selector, fits, self.size)
            more = fitting(self._limits(filled.items), len(filled), self.size)[1] - count
            passed.append(len(filled) if more > 0 else len(ordered.pool))
        if more <= 0:
            return ordered, scores, given
        effect = f"{more} items of the catalogue compete too"
        self.tracer.degraded("backfill", "several caps together left too few candidates", effect)
        ordered, scores = self._ordered(self._ranked(filled))
        return ordered, scores, self._limits(ordered.pool.items)

    def _similarity(self, items: Int) -> Similarity:
        if self.retriever is not None:
            vectors = self.retriever.item_vectors(items)
            if np.isfinite(vectors).all():
                return by_vectors(vectors)
            self.tracer.degraded("select", "the retrieval model gives no vectors", "categories say how alike items are")
        return by_categories(self.asked, items)
