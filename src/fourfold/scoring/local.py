"""The ranker in this process: a request's history is encoded once and its candidates are scored against it."""

import numpy as np
from numpy.typing import NDArray

from fourfold.features.assembly import Context
from fourfold.features.inputs import Candidates
from fourfold.scoring.engine import ScoringEngine


class LocalScorer:
    """Scores candidates with an engine of this process."""

    def __init__(self, engine: ScoringEngine) -> None:
        self._engine = engine

    def score(self, context: Context, candidates: Candidates) -> NDArray[np.float32]:
        """Probabilities of every action for every candidate, shape (C, A)."""
        state = self._engine.encode(context.history)
        return self._engine.score(state, context.viewer_ids[0], candidates)
