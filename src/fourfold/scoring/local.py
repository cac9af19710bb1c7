"""The ranker in this process: a history is encoded once, kept, and the candidates of requests are scored against it."""

import numpy as np
from numpy.typing import NDArray

from fourfold.features.assembly import Context
from fourfold.features.inputs import Candidates
from fourfold.scoring.engine import ScoringEngine
from fourfold.scoring.history_cache import HistoryCache


class LocalScorer:
    """Scores candidates with an engine of this process.

    Parameters
    ----------
    engine : ScoringEngine
        Of one model version.
    cache_bytes : int
        What encoded histories may take between requests; 0 encodes each anew.
    """

    def __init__(self, engine: ScoringEngine, cache_bytes: int = 0) -> None:
        self._engine, self.cache = engine, HistoryCache(engine, cache_bytes)

    def score(self, context: Context, candidates: Candidates) -> NDArray[np.float32]:
        """Probabilities of every action for every candidate, shape (C, A)."""
        state = self.cache.state(context.viewer, context.history)
        return self._engine.score(state, context.viewer_ids[0], candidates)
