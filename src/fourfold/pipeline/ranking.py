"""The order of candidates: early ranker, ranker, and the ladder of what stands in where the ranker fails or is late."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fourfold.definition.deployment import Fallback
from fourfold.features.assembly import Context, candidates
from fourfold.features.encoding import Encoder
from fourfold.features.table import Int
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.last_slates import LastSlates
from fourfold.pipeline.models import Models, Retriever
from fourfold.pipeline.pool import FUSION, NOT_PROPOSED, Pool
from fourfold.pipeline.trace import Tracer

logger = logging.getLogger(__name__)

Scores = NDArray[np.float32]
T = TypeVar("T")

LAST_SLATE = "last_slate"
"""The name of the viewer's last slate, where a source's name stands."""

RANKER_SHARE = 0.95
"""How much of what is left of the budget a ranker may take, so that there is time to choose a slate."""

_STANDS_IN = {
    "early_ranker": "the early order stands in",
    "last_slate": "the viewer's last slate stands in",
    "trending": "what is trending stands in",
}
_SOURCES_STAND_IN = "the sources' order stands in"


class Late(Exception):  # noqa: N818  # it is an answer, not a fault
    """A stage did not answer within the budget."""


@dataclass(frozen=True)
class Ranked:
    """The pool with its final scores, and the probabilities behind them if a ranker gave any."""

    pool: Pool
    scores: Scores  # (C,)
    probabilities: Scores | None  # (C, A)

    def take(self, chosen: Int | NDArray[np.bool_]) -> "Ranked":
        """Some candidates only, in the given order."""
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return Ranked(self.pool.take(chosen), self.scores[chosen], probabilities)


@dataclass(frozen=True)
class Ranking:
    """What orders the candidates of one request.

    Parameters
    ----------
    asked, known : Asked, Context
        The request, and the viewer's history.
    encoder, models, retriever
        The model that serves; the retriever is None where there is none.
    fallback : sequence of str
        What stands in for a ranker that fails, best first.
    last_slates : LastSlates
        Where the viewer's last slate may be.
    early_executor, executor : Executor
        Where early ranker and ranker run, so that one that is late can be left behind, and keeps nobody else.
    tracer : Tracer
        Keeps the budget and hears what goes wrong.
    """

    asked: Asked
    known: Context
    encoder: Encoder
    models: Models
    retriever: Retriever | None
    fallback: Sequence[Fallback]
    last_slates: LastSlates
    early_executor: Executor
    executor: Executor
    tracer: Tracer

    def early(self, pool: Pool) -> Scores | None:
        """What the early ranker says of each candidate, or None where it cannot."""
        problem = "no retrieval model is trained yet"
        if self.retriever is not None:
            retriever = self.retriever
            try:
                early = self._in_time(self.early_executor, lambda: retriever.similarity(self.known, pool.items))
                if np.isfinite(early).all():
                    return early
                problem = "it gave scores that are not numbers"
            except Late as late:
                problem = str(late)
            except Exception as error:
                logger.exception("early ranker failed")
                problem = f"it failed: {type(error).__name__}"
        self.tracer.degraded("early_ranker", problem, _SOURCES_STAND_IN)
        return None

    def ranked(self, pool: Pool, early: Scores | None, latest: Asked) -> Ranked:
        """The pool in the order of the ranker, or of what stands in for it; `latest` is the request at the newest state."""
        standing = pool.source_scores() if early is None else early
        if not len(pool):
            return Ranked(pool, standing, None)
        if self.models.scorer is None:
            # Nothing failed: until a model is trained, sources decide.
            self.tracer.degraded("ranker", "no model is trained yet", _STANDS_IN["early_ranker"])
            return Ranked(pool, standing, None)
        try:
            probabilities = self._probabilities(pool)
        except Late as late:
            return self._stood_in(pool, early, latest, str(late))
        except Exception as error:
            logger.exception("ranker failed")
            return self._stood_in(pool, early, latest, f"it failed: {type(error).__name__}")
        actions = self.asked.view.definition.actions
        if probabilities.shape != (len(pool), len(actions)) or not np.isfinite(probabilities).all():
            problem = "it gave scores that are not numbers, or not one for each action of each candidate"
            return self._stood_in(pool, early, latest, problem)
        utility = np.array([action.utility for action in actions], np.float32)
        return Ranked(pool, (probabilities * utility).sum(axis=1, dtype=np.float32), probabilities)

    def _probabilities(self, pool: Pool) -> Scores:
        """What the ranker says, shape (C, A)."""
        scorer = self.models.scorer
        assert scorer is not None
        if self.tracer.seconds_left <= 0:
            raise Late("the budget was used up before it")
        with self.tracer.stage("features", len(pool)):
            rows = candidates(self.asked.view, self.encoder, self.known, pool.items)
        with self.tracer.stage("ranker", len(pool)):
            return self._in_time(self.executor, lambda: scorer.score(self.known, rows))

    def _in_time(self, executor: Executor, call: Callable[[], T]) -> T:
        """What a call gives, elsewhere, within the budget.

        Raises
        ------
        Late
            If it takes longer; it is left to end by itself.
        """
        left = self.tracer.seconds_left
        if left <= 0:
            raise Late("the budget was used up before it")
        future = executor.submit(call)
        wait([future], timeout=left * RANKER_SHARE)
        if not future.done():
            future.cancel()
            raise Late("it did not answer within the budget")
        return future.result()

    def _stood_in(self, pool: Pool, early: Scores | None, latest: Asked, problem: str) -> Ranked:
        """Down the ladder to the first that can stand in; each that cannot is named."""
        absent: list[tuple[str, str]] = []
        found: tuple[Pool, Scores] | str
        for rung in self.fallback:
            match rung:
                case "early_ranker":
                    found = "it gave no order" if early is None else (pool, early)
                case "last_slate":
                    found = self._by_last_slate(pool, latest)
                case "trending":
                    found = _by_source(pool, "trending")
            if not isinstance(found, str):
                self._say(problem, absent, _STANDS_IN[rung])
                return Ranked(*found, None)
            absent.append((rung, found))
        self._say(problem, absent, _SOURCES_STAND_IN)
        return Ranked(pool, pool.source_scores(), None)

    def _say(self, problem: str, absent: Sequence[tuple[str, str]], effect: str) -> None:
        self.tracer.degraded("ranker", problem, effect)
        for rung, cause in absent:
            self.tracer.degraded(rung, cause, "it cannot stand in for the ranker")

    def _by_last_slate(self, pool: Pool, latest: Asked) -> tuple[Pool, Scores] | str:
        """The viewer's last slate first, then the sources' order."""
        asked = self.asked
        last = self.last_slates.get(asked.viewer)
        # One of a later time knows what this request must not; one of before the viewer's deletion is forgotten.
        if last is None or not asked.since[0] <= last.time <= asked.time:
            return "no earlier slate of this viewer is kept"
        definition = asked.view.definition
        rows = asked.view.rows(definition.item.name, last.items)
        for state in (asked,) if latest is asked else (asked, latest):
            rows = rows[kept(state, definition.filters, rows)[0]]
        if not len(rows):
            return "no item of the viewer's last slate may be shown any more"
        wider = pool.joined(LAST_SLATE, rows)
        return wider, _first(wider, wider.places(LAST_SLATE))


def _by_source(pool: Pool, source: str) -> tuple[Pool, Scores] | str:
    """The order of one source first, then that of all."""
    place = pool.places(source)
    return (pool, _first(pool, place)) if (place < NOT_PROPOSED).any() else "it proposed nothing that may be shown"


def _first(pool: Pool, place: Int) -> Scores:
    """Scores that put what has a place before the rest: ``1 + 1 / (60 + place)``, places from 1; the rest as sources say."""
    scores = np.where(place < NOT_PROPOSED, 1.0 + 1.0 / (FUSION + 1.0 + place), pool.source_scores())
    return scores.astype(np.float32)
