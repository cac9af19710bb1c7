"""The scoring engine: a viewer's history is encoded once, kept, extended, and shared by all candidates of a request."""

from dataclasses import fields
from typing import TypeVar

import torch

from fourfold.features.inputs import Candidates, Floats, History, Ids, Rows
from fourfold.models.ranker import HistoryState, Ranker

CHUNK = 512
R = TypeVar("R", bound=Rows)


class ScoringEngine:
    """Probabilities from a ranker in evaluation mode, without gradients and with bounded memory.

    Scores do not depend on which candidates come together, nor on their order or on `chunk`. The engine keeps nothing
    between calls: a `HistoryState` is a value that `HistoryCache` keeps. Run it with one intra-op thread per process
    (``torch.set_num_threads(1)``, the caller's choice): contending threads are many times slower.

    Parameters
    ----------
    model : Ranker
        Put into evaluation mode.
    chunk : int
        Candidates scored at a time.
    """

    def __init__(self, model: Ranker, chunk: int = CHUNK) -> None:
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; write a number of candidates, at least 1")
        self._model, self._chunk = model.eval(), chunk

    @torch.inference_mode()
    def encode(self, history: History) -> HistoryState:
        """The state of a whole history, perhaps empty."""
        return self._model.encode(history)

    @torch.inference_mode()
    def extend(self, state: HistoryState, new_entries: History) -> HistoryState:
        """The state after more entries; equals encoding the whole. Their `seen` counts from the start of the window."""
        return self._model.extend(state, new_entries)

    def beginning(self, state: HistoryState, entries: int) -> HistoryState | None:
        """The state of the first entries of a history only, or None where the model cannot tell it from the whole."""
        return state if entries == state.entries else self._model.beginning(state, entries)

    @torch.inference_mode()
    def score(self, state: HistoryState, viewer: Ids, candidates: Candidates) -> Floats:
        """Calibrated probability of each action on each candidate.

        Parameters
        ----------
        state : HistoryState
            The viewer's encoded history.
        viewer : Ids
            The viewer's ids, shape (columns,).
        candidates : Candidates
            C rows, perhaps none.

        Returns
        -------
        Floats
            Shape (C, A), float32.
        """
        starts = range(0, max(len(candidates), 1), self._chunk)
        parts = [taken(candidates, slice(start, start + self._chunk)) for start in starts]
        logits = torch.cat([self._model.score_logits(state, viewer, part) for part in parts])
        probabilities: Floats = self._model.probabilities(logits).cpu().numpy()
        return probabilities


def taken(rows: R, chosen: slice) -> R:
    """Some rows of one kind."""
    return type(rows)(**{field.name: getattr(rows, field.name)[chosen] for field in fields(rows)})
