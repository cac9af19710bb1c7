"""Trains the retrieval model: each viewer's next positive item against the next positive items of others.

Shape suffixes: I items, N examples, B examples of a batch, R recent items.
"""

# ruff: noqa: N803, N806  # shape suffixes are upper case

import json
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fourfold.features.inputs import Counts, Ids
from fourfold.models.io import describe
from fourfold.models.rows import id_tensor
from fourfold.models.two_tower import TwoTowerModel
from fourfold.training.checkpoint import fingerprint
from fourfold.training.loop import Checkpointing, OnStep, TrainingConfig, TrainingReport, fit
from fourfold.training.losses import sampled_softmax_loss

RETRIEVAL_CONFIG = TrainingConfig(epochs=5, batch_entries=1024, weight_decay=0.01)


@dataclass(frozen=True, kw_only=True)
class RetrievalExamples:
    """Positive actions, each with what the viewer had been positive about before.

    Attributes
    ----------
    items : Ids
        Id rows of the whole catalogue, shape (I, W).
    viewers : Ids
        Shape (N, columns of the viewer's fields).
    recent : Counts
        Indices into `items`, shape (N, R), padded with -1. Only what came before the target, and never the target
        itself: repeating an item is nothing to learn.
    target : Counts
        Index into `items`, shape (N,).
    """

    items: Ids
    viewers: Ids
    recent: Counts
    target: Counts

    def __post_init__(self) -> None:
        count = len(self.target)
        if len(self.viewers) != count or len(self.recent) != count:
            raise ValueError(
                f"{count} targets, {len(self.viewers)} viewers and {len(self.recent)} lists of recent items;"
                " give one of each per example"
            )
        for name, lowest in (("target", 0), ("recent", -1)):
            indices = getattr(self, name)
            if indices.size and not (lowest <= indices.min() and indices.max() < len(self.items)):
                raise ValueError(f"{name} points outside of the {len(self.items)} items; write indices of its rows")


def train_retrieval(
    model: TwoTowerModel,
    examples: RetrievalExamples,
    config: TrainingConfig = RETRIEVAL_CONFIG,
    checkpoint: Path | None = None,
    on_step: OnStep | None = None,
    checkpoint_seconds: float = 60.0,
) -> TrainingReport:
    """Train a retrieval model in place, with in-batch negatives and logQ correction.

    Parameters, guarantees and errors are those of `fourfold.training.trainer.train`; `batch_entries` counts examples.
    """
    count = len(examples.target)
    if count < 2:
        raise ValueError(f"{count} examples make no negatives; give training at least two positive actions")
    batches = [
        batch for epoch in range(config.epochs) for batch in _epoch_batches(count, config.batch_entries, config.seed, epoch)
    ]
    checkpointing = None
    if checkpoint:
        run = _run(model, examples, config)
        checkpointing = Checkpointing(path=checkpoint, seconds=checkpoint_seconds, run=run)
    counts_I = np.bincount(examples.target, minlength=len(examples.items))
    log_q_I = np.log(np.maximum(counts_I, 1) / count)
    return fit(model, batches, len, partial(_loss, model, examples, log_q_I), config, checkpointing, on_step)


def _epoch_batches(count: int, size: int, seed: int, epoch: int) -> list[Counts]:
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.array_split(order, max(1, round(count / max(size, 2))))


def _loss(model: TwoTowerModel, examples: RetrievalExamples, log_q_I: NDArray[np.float64], batch: Counts) -> Tensor:
    recent_BR, target_B = examples.recent[batch], examples.target[batch]
    # -1 sorts first: with it always there, row u of the unique items is entry u + 1, and padding maps back to -1.
    used, places = np.unique(np.concatenate([[-1], target_B, recent_BR.ravel()]), return_inverse=True)
    item_vectors = model.item_vectors(examples.items[used[1:]])
    target_places_B = id_tensor(places[1 : len(batch) + 1] - 1, item_vectors)
    recent_places_BR = id_tensor(places[len(batch) + 1 :].reshape(recent_BR.shape) - 1, item_vectors)
    viewers_BD = model.viewer_vectors(examples.viewers[batch], item_vectors, recent_places_BR)
    targets_BD = torch.nn.functional.embedding(target_places_B, item_vectors)
    log_q_B = torch.from_numpy(log_q_I[target_B]).to(item_vectors)
    return sampled_softmax_loss(viewers_BD @ targets_BD.T / model.temperature, log_q_B, target_places_B)


def _run(model: TwoTowerModel, examples: RetrievalExamples, config: TrainingConfig) -> str:
    texts = [json.dumps(asdict(config)), *describe(model).values()]
    return fingerprint(texts, {f.name: getattr(examples, f.name) for f in fields(examples)}, model.state_dict())
