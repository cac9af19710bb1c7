"""The one interface of all rankers: train on whole sequences, serve from an encoded history that only ever grows.

Shape suffixes: N rows, C candidates, A actions, V values of actions.
"""
# ruff: noqa: N803, N806, N815  # shape suffixes are upper case

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fourfold.definition.models import DCNv2, FeedSR
from fourfold.features.inputs import Candidates, Floats, History, Ids, Schema, Sequences
from fourfold.models.calibration import Calibration
from fourfold.models.normalizer import Normalizer
from fourfold.models.rows import RowEncoder, float_tensor

RATE_FLOOR = 1e-4


@dataclass(frozen=True)
class HistoryState:
    """An encoded history: never changed in place, so it can be cached and shared.

    Attributes
    ----------
    entries : int
        How many entries of the window it holds.
    tensors : tuple of Tensor
        What the ranker needs of them; each ranker documents its own.
    """

    entries: int
    tensors: tuple[Tensor, ...]

    @property
    def nbytes(self) -> int:
        """Memory of the tensors in bytes."""
        return sum(tensor.nbytes for tensor in self.tensors)


class Ranker(nn.Module, ABC):
    """Predicts how likely a viewer takes each action on each item.

    Every implementation keeps three promises, checked by one suite: a row's logits depend on nothing but the row, the
    viewer, and the entries that the row sees; ``forward`` on an entry equals ``score_logits`` of its item against the
    encoded entries that it sees; ``extend`` equals encoding the whole.

    Parameters
    ----------
    config : FeedSR or DCNv2
        The definition of the model.
    schema : Schema
        The inputs that it reads.
    """

    prior_A: Tensor

    def __init__(self, config: FeedSR | DCNv2, schema: Schema) -> None:
        super().__init__()
        self.config, self.schema = config, schema
        self.rows = RowEncoder(schema, config.width, config.id_dropout)
        self.register_buffer("prior_A", torch.zeros(len(schema.actions)))
        self.calibration = Calibration(len(schema.actions))
        self.values = Normalizer(len(schema.values)) if schema.values else None
        self.value_width = 2 * len(schema.values)

    @property
    def fitted(self) -> bool:
        """Whether `fit_inputs` was called, on this model or on the one that it was loaded from."""
        return self.rows.fitted

    def fit_inputs(self, sequences: Sequences) -> None:
        """Learn what gradients should not: the ranks of the numbers, and each action's rate as the starting logit."""
        self.rows.fit(sequences)
        if self.values is not None:
            self.values.fit(sequences.values)
        self.prior_A.copy_(torch.from_numpy(_log_odds(sequences.labels, sequences.weight)))

    def history_values(self, history: History) -> Tensor:
        """The values of entries' actions as ranks, and where there are none: shape (N, `value_width`)."""
        values_NV = float_tensor(history.values, self.prior_A)
        return values_NV if self.values is None else self.values(values_NV)

    def forward(self, sequences: Sequences) -> Tensor:
        """Logits (N, A) of every entry, given what it sees."""
        if not len(sequences):
            return self.prior_A.new_zeros(0, len(self.prior_A))
        return self.forward_with_auxiliary(sequences)[0]

    def probabilities(self, logits_NA: Tensor) -> Tensor:
        """Calibrated probabilities of logits, shape (N, A): the only way from one to the other, in training and serving."""
        calibrated_NA: Tensor = self.calibration(logits_NA)
        return calibrated_NA.sigmoid().float()

    @abstractmethod
    def forward_with_auxiliary(self, sequences: Sequences) -> tuple[Tensor, Tensor | None]:
        """Logits (N, A), and those of an auxiliary head if there is one: a second loss for the history's network."""

    @abstractmethod
    def empty_state(self) -> HistoryState:
        """The state of a viewer without history."""

    @abstractmethod
    def extend(self, state: HistoryState, entries: History) -> HistoryState:
        """The state after more entries; their `seen` counts from the start of the window."""

    def encode(self, history: History) -> HistoryState:
        """The state of a whole history."""
        return self.extend(self.empty_state(), history)

    def beginning(self, state: HistoryState, entries: int) -> HistoryState | None:  # noqa: ARG002
        """The state of the first entries only, exactly; None for rankers whose states cannot be cut."""
        return None

    @abstractmethod
    def score_logits(self, state: HistoryState, viewer: Ids, candidates: Candidates) -> Tensor:
        """Logits (C, A) of candidates of one viewer, whose ids have shape (columns,). None sees another."""


def _log_odds(labels: Floats, weight: Floats) -> Floats:
    weights = np.where(np.isnan(labels), 0.0, weight[:, None].astype(np.float64))
    positives = (weights * np.nan_to_num(labels)).sum(axis=0)
    rates = np.clip(positives / np.maximum(weights.sum(axis=0), 1e-9), RATE_FLOOR, 1 - RATE_FLOOR)
    return np.asarray(np.log(rates / (1 - rates)), dtype=np.float32)
