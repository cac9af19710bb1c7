"""The loop's schedule, its random numbers, and the losses that it does not go on from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fourfold.training.checkpoint import Progress, load_checkpoint
from fourfold.training.loop import (
    EXPLOSION,
    WINDOW,
    Checkpointing,
    TrainingConfig,
    TrainingError,
    TrainingReport,
    exploded,
    fit,
    learning_rate,
    step_seed,
)


def test_the_rate_rises_to_its_peak_and_falls_to_nearly_nothing() -> None:
    config = TrainingConfig(learning_rate=1.0, warm_up=0.3)
    rates = [learning_rate(config, step, 101) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[15] == pytest.approx((1 + 1 / 25) / 2)
    assert rates[30] == pytest.approx(1.0)
    assert rates[65] == pytest.approx((1 + 1e-4) / 2)
    assert rates[100] == pytest.approx(1e-4)
    assert learning_rate(config, 0, 1) == pytest.approx(1.0)
    assert learning_rate(TrainingConfig(learning_rate=1.0, warm_up=0.0), 0, 10) == pytest.approx(1.0)


def test_steps_and_seeds_have_random_numbers_of_their_own() -> None:
    seeds = {step_seed(seed, step) for seed in range(20) for step in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 1 << 63 for seed in seeds)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("learning_rate", float("nan")), ("batch_entries", -1), ("weight_decay", -0.1), ("warm_up", 1.0)],
)
def test_settings_that_cannot_work_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is .*; write"):
        TrainingConfig(**{name: value})  # type: ignore[arg-type]  # the wrong values are the point


def run(losses: Sequence[float], checkpoint: Path, stop_at: int | None = None) -> TrainingReport:
    """A run whose step n has the n-th of some losses; stopped by hand after a step if asked to."""
    model = nn.Linear(1, 1)

    def on_step(report: object) -> None:
        if getattr(report, "step", 0) == stop_at:
            raise KeyboardInterrupt

    return fit(
        model,
        [np.array([step]) for step in range(len(losses))],
        len,
        lambda batch: model.weight.sum() * 0 + losses[int(batch[0])],
        TrainingConfig(),
        Checkpointing(path=checkpoint, seconds=0, run="one"),
        on_step,
    )


def saved_step(checkpoint: Path) -> int:
    model = nn.Linear(1, 1)
    return load_checkpoint(checkpoint, model, torch.optim.AdamW(model.parameters()), "one").step


def test_an_exploding_loss_stops_the_run_and_the_checkpoint_before_it_stays(tmp_path: Path) -> None:
    losses = [2.0, 1.5] * 15 + [31.0, 1.0]
    message = r"step 31 of 32: the loss rose to 31, and was 1.75 before.*Lower the learning rate"
    with pytest.raises(TrainingError, match=message):
        run(losses, tmp_path / "checkpoint")
    assert saved_step(tmp_path / "checkpoint") == 30
    assert run([2.0, 1.5] * 15 + [17.0, 1.0], tmp_path / "calm").steps == 32


def test_an_explosion_is_seen_by_a_resumed_run_too(tmp_path: Path) -> None:
    """What a loss is compared with outlives the process."""
    losses = [2.0] * 25 + [21.0]
    for stop_at in (1, WINDOW, 24):
        path = tmp_path / f"checkpoint{stop_at}"
        with pytest.raises(KeyboardInterrupt):
            run(losses, path, stop_at)
        assert saved_step(path) == stop_at
        with pytest.raises(TrainingError, match="step 26 of 26"):
            run(losses, path)


def test_the_first_steps_and_a_surprise_after_hardly_any_loss_are_no_explosions(tmp_path: Path) -> None:
    assert run([1.0] * (WINDOW - 1) + [1e6], tmp_path / "first").steps == WINDOW
    learned = [2.0] * WINDOW + [0.01] * 30
    assert run([*learned, 3.9], tmp_path / "surprise").steps == len(learned) + 1
    with pytest.raises(TrainingError, match=r"rose to 4\.1, and was 0\.01"):
        run([*learned, 4.1], tmp_path / "explosion")


def test_the_median_is_of_the_last_losses() -> None:
    progress = Progress()
    for loss in [100.0] * WINDOW + [1.0] * WINDOW:
        progress = progress.after(loss, WINDOW)
    assert (progress.step, progress.loss) == (2 * WINDOW, 1.0)
    assert (progress.first, progress.recent) == ((100.0,) * WINDOW, (1.0,) * WINDOW)
    assert not exploded(EXPLOSION + 1, progress)
    assert exploded(201, progress)
