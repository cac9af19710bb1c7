"""The training loop of every model: a resumed run ends with the very weights of an uninterrupted one.

Batches, learning rate and random numbers of a step are functions of the configuration and the step's number, so model,
optimiser and that number are the whole state of a run.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fourfold.features.inputs import Counts
from fourfold.training.checkpoint import Progress, load_checkpoint, save_checkpoint

FIRST_RATE, LAST_RATE = 1 / 25, 1 / 10_000

WINDOW = 20
"""Losses that the next one is compared with."""

EXPLOSION = 10.0
"""How many times its running median a loss may reach; batches of rare actions differ by less."""


class TrainingError(RuntimeError):
    """Training that cannot go on."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train. Everything here decides the weights.

    Parameters
    ----------
    epochs : int
        Passes over the data.
    learning_rate : float
        The highest; it rises from 1/25 of it over the first `warm_up` of the steps, then falls as a cosine (OneCycle).
    weight_decay : float
        Of AdamW, on matrices and tables only.
    batch_entries : int
        The most entries (for retrieval, examples) in a batch.
    warm_up : float
        Part of the steps.
    auxiliary : float
        Weight of the sequence-only loss, where the ranker has one.
    gradient_norm : float
        Longer gradients are cut to this length.
    seed : int
        Of batch order and dropout.
    """

    epochs: int = 3
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.3
    batch_entries: int = 6000
    warm_up: float = 0.3
    auxiliary: float = 0.3
    gradient_norm: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate", "batch_entries", "gradient_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; write a positive number")
        for name in ("weight_decay", "auxiliary", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; write a number of at least 0")
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up is {self.warm_up}; write a part of the steps, from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """Progress after a step; the rates are of this process."""

    step: int
    steps: int
    entries_per_s: float
    loss: float
    seconds_left: float


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What a run did.

    Attributes
    ----------
    steps : int
        Steps in all.
    resumed_at : int
        Steps that an earlier process had done.
    loss : float
        Of the last step.
    """

    steps: int
    resumed_at: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Checkpointing:
    """Where and how often (in seconds) a run saves its state, and its fingerprint."""

    path: Path
    seconds: float
    run: str


OnStep = Callable[[StepReport], None]


def fit(
    model: nn.Module,
    batches: Sequence[Counts],
    size_of: Callable[[Counts], int],
    loss_of: Callable[[Counts], Tensor],
    config: TrainingConfig,
    checkpointing: Checkpointing | None,
    on_step: OnStep | None,
) -> TrainingReport:
    """Take one optimiser step per batch.

    Parameters
    ----------
    model : nn.Module
        Trained in place, left in evaluation mode.
    batches : sequence of Counts
        The batches of all epochs, in order.
    size_of, loss_of : callable
        Entries of a batch, for progress, and its loss.
    config : TrainingConfig
        How to train.
    checkpointing : Checkpointing, optional
        If its file exists, the run goes on from there.
    on_step : callable, optional
        Called after each step.

    Raises
    ------
    TrainingError
        If a loss or gradient is not finite, or a loss explodes; the model keeps the weights before that step, and the
        checkpoint stays as it was.
    """
    optimizer = _optimizer(model, config)
    progress = Progress()
    if checkpointing and checkpointing.path.exists():
        progress = load_checkpoint(checkpointing.path, model, optimizer, checkpointing.run)
    resumed_at = progress.step
    pace = _Pace([size_of(batch) for batch in batches[resumed_at:]])
    saved = time.monotonic()
    model.train()
    for step in range(resumed_at, len(batches)):
        loss = _step(model, optimizer, partial(loss_of, batches[step]), config, progress, len(batches))
        progress = progress.after(loss, WINDOW)
        if checkpointing and (step + 1 == len(batches) or time.monotonic() - saved >= checkpointing.seconds):
            save_checkpoint(checkpointing.path, model, optimizer, progress, checkpointing.run)
            saved = time.monotonic()
        if on_step:
            on_step(pace.report(progress, resumed_at, len(batches)))
    model.eval()
    return TrainingReport(steps=len(batches), resumed_at=resumed_at, loss=progress.loss)


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """The rate of a step, counted from 0 (OneCycle: Smith and Topin, 2018; cosine on both sides)."""
    peak = config.warm_up * (steps - 1)
    if step < peak:
        start, end, part = FIRST_RATE, 1.0, step / peak
    else:
        start, end, part = 1.0, LAST_RATE, (step - peak) / max(steps - 1 - peak, 1)
    return config.learning_rate * (end + (start - end) * (1 + math.cos(math.pi * part)) / 2)


def exploded(loss: float, progress: Progress) -> bool:
    """Whether a loss is `EXPLOSION` times the median of the last `WINDOW`, and twice that of the run's first ones.

    The second keeps a model that had nearly no loss left from being stopped by one surprising batch.
    """
    if len(progress.recent) < WINDOW:
        return False
    return loss > EXPLOSION * float(np.median(progress.recent)) and loss > 2 * float(np.median(progress.first))


def step_seed(seed: int, step: int) -> int:
    """The seed of a step's random numbers."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (free if parameter.ndim < 2 or name.endswith("bias") else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[], Tensor],
    config: TrainingConfig,
    progress: Progress,
    steps: int,
) -> float:
    step = progress.step
    torch.manual_seed(step_seed(config.seed, step))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step, steps)
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of()
    torch.autograd.backward(loss)
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_norm)
    if not (loss.isfinite() and norm.isfinite()):
        raise TrainingError(
            f"step {step + 1} of {steps}: the loss is {loss.item()} and its gradient's norm {norm.item()};"
            " nothing was saved. Look for infinite weights or labels in the data, or lower the learning rate"
        )
    if exploded(loss.item(), progress):
        raise TrainingError(
            f"step {step + 1} of {steps}: the loss rose to {loss.item():.4g}, and was {np.median(progress.recent):.4g} before;"
            " nothing was saved since. Lower the learning rate, or look for outliers in the data"
        )
    optimizer.step()
    return loss.item()


class _Pace:
    """Speed so far and time left, from sizes of the batches to come."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._done = np.cumsum(sizes)
        self._start = time.monotonic()

    def report(self, progress: Progress, resumed_at: int, steps: int) -> StepReport:
        done, total = int(self._done[progress.step - resumed_at - 1]), int(self._done[-1])
        rate = done / max(time.monotonic() - self._start, 1e-9)
        left = (total - done) / rate
        return StepReport(step=progress.step, steps=steps, entries_per_s=rate, loss=progress.loss, seconds_left=left)
