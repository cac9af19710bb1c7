"""Trains a ranker on packed sequences: every entry with a weight is an example, all others are its history."""

import json
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from fourfold.features.inputs import Counts, Floats, Sequences
from fourfold.models.io import describe
from fourfold.models.ranker import Ranker
from fourfold.models.rows import float_tensor
from fourfold.training.checkpoint import fingerprint
from fourfold.training.loader import epoch_batches, take_sequences
from fourfold.training.loop import Checkpointing, OnStep, TrainingConfig, TrainingReport, fit
from fourfold.training.losses import action_loss


def train(
    model: Ranker,
    sequences: Sequences,
    config: TrainingConfig,
    checkpoint: Path | None = None,
    on_step: OnStep | None = None,
    checkpoint_seconds: float = 60.0,
) -> TrainingReport:
    """Train a ranker in place.

    The result is a function of model, sequences and configuration alone: bitwise the same however often the process was
    killed in between, on one machine with one intra-op thread. Set that with ``torch.set_num_threads(1)`` before (it is
    also the fastest); this function leaves it to the caller.

    Parameters
    ----------
    model : Ranker
        New, or trained before and to be trained on: then its normalisation stays as it was. Its calibration does not: it
        was that of other weights.
    sequences : Sequences
        Training rows; a NaN label is unknown and teaches nothing.
    config : TrainingConfig
        How to train.
    checkpoint : Path, optional
        A file to save the run's state to, and to go on from if it exists. It stays after the run, finished; delete it
        once the model is stored.
    on_step : callable, optional
        Called with a `StepReport` after each step.
    checkpoint_seconds : float
        Time between two saves; 0 saves after every step.

    Raises
    ------
    CheckpointError
        If the checkpoint is of a run with other settings, data or first weights.
    TrainingError
        If a loss or gradient is not finite.
    ValueError
        If there is nothing to train on, or a weight is negative or not finite.
    """
    _check_weight(sequences.weight)
    batches = [
        batch for epoch in range(config.epochs) for batch in epoch_batches(sequences, config.batch_entries, config.seed, epoch)
    ]
    if not batches:
        raise ValueError("no row has a weight above 0; give training at least one sequence with an example")
    model.calibration.reset()
    checkpointing = None
    if checkpoint:
        run = _run(model, sequences, config)
        checkpointing = Checkpointing(path=checkpoint, seconds=checkpoint_seconds, run=run)
    if not model.fitted:
        model.fit_inputs(sequences)
    loss_of = partial(_loss, model, sequences, config.auxiliary)
    return fit(model, batches, lambda batch: int(sequences.lengths[batch].sum()), loss_of, config, checkpointing, on_step)


def _check_weight(weight: Floats) -> None:
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(wrong):
        raise ValueError(f"weight[{wrong[0]}] is {weight[wrong[0]]}; write a finite number of at least 0")


def _loss(model: Ranker, sequences: Sequences, auxiliary_weight: float, batch: Counts) -> Tensor:
    rows = take_sequences(sequences, batch)
    logits, auxiliary = model.forward_with_auxiliary(rows)
    labels, weight = float_tensor(rows.labels, logits), float_tensor(rows.weight, logits)
    loss = action_loss(logits, labels, weight)
    if auxiliary is not None:
        loss = loss + auxiliary_weight * action_loss(auxiliary, labels, weight)
    return loss


def _run(model: Ranker, sequences: Sequences, config: TrainingConfig) -> str:
    texts = [json.dumps(asdict(config)), *describe(model).values()]
    arrays = {f.name: getattr(sequences, f.name) for f in fields(sequences)}
    return fingerprint(texts, arrays, model.state_dict())
