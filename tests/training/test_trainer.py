"""Training learns, and survives a killed process to the last bit."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from fourfold.definition.models import DCNv2, FeedSR
from fourfold.features.inputs import Sequences
from fourfold.models.io import build_ranker, load_model, read_tensors
from fourfold.models.ranker import Ranker
from fourfold.training.checkpoint import CheckpointError
from fourfold.training.loop import StepReport, TrainingConfig, TrainingError
from fourfold.training.trainer import train
from tests.contract.ranker_contract import SCHEMA, logits_of, sequences_of

CONFIG = TrainingConfig(epochs=2, batch_entries=40)
FEED_SR = FeedSR(width=8, heads=2)


def data(viewers: int = 24) -> Sequences:
    rng = default_rng(0)
    return sequences_of(rng, [rng.integers(1, 4, rng.integers(1, 6)).tolist() for _ in range(viewers)], SCHEMA)


def learnable() -> Sequences:
    """Clicks follow the item; likes follow what the viewer clicked on in the entry before."""
    sequences = sequences_of(default_rng(1), [[1] * 8] * 150, SCHEMA)
    labels = sequences.labels * 0
    labels[:, 0] = sequences.items[:, 0] > 15
    labels[1:, 2] = labels[:-1, 0] * (sequences.seen[1:] > 0)
    return replace(sequences, labels=labels, actions=labels)


def same_weights(first: Ranker, second: Ranker) -> bool:
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    return float((scores[labels == 1][:, None] > scores[labels == 0][None]).mean())


def test_a_sequential_ranker_learns_what_follows_from_the_item_and_from_the_history() -> None:
    sequences, model = learnable(), build_ranker(FeedSR(width=16, heads=2, id_dropout=0.2), SCHEMA)
    report = train(model, sequences, TrainingConfig(epochs=12, batch_entries=100, learning_rate=5e-3))
    assert not model.training
    assert np.isfinite(report.loss)
    logits = logits_of(model, sequences)
    later = sequences.seen > 0
    assert auc(logits[:, 0], sequences.labels[:, 0]) > 0.97
    assert auc(logits[later, 2], sequences.labels[later, 2]) > 0.9


def test_the_baseline_learns_what_follows_from_the_item() -> None:
    sequences, model = learnable(), build_ranker(DCNv2(width=8, id_dropout=0.2), SCHEMA)
    train(model, sequences, TrainingConfig(epochs=6, batch_entries=100, learning_rate=5e-3))
    assert auc(logits_of(model, sequences)[:, 0], sequences.labels[:, 0]) > 0.97


def test_training_is_a_function_of_its_inputs_and_leaves_no_trace_of_the_clock() -> None:
    models = [build_ranker(FEED_SR, SCHEMA) for _ in range(3)]
    for number, model in enumerate(models):
        torch.manual_seed(number)
        train(model, data(), replace(CONFIG, seed=number // 2))
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_progress_is_reported_after_every_step() -> None:
    reports: list[StepReport] = []
    result = train(build_ranker(FEED_SR, SCHEMA), data(), CONFIG, on_step=reports.append)
    assert [report.step for report in reports] == list(range(1, result.steps + 1))
    assert {report.steps for report in reports} == {result.steps}
    assert all(report.entries_per_s > 0 for report in reports)
    assert reports[0].seconds_left > 0
    assert reports[-1].seconds_left == 0
    assert (result.loss, result.resumed_at) == (reports[-1].loss, 0)


@pytest.mark.parametrize("config", [FEED_SR, DCNv2(width=4)], ids=lambda config: config.kind)
def test_a_run_stopped_anywhere_ends_with_the_weights_of_an_uninterrupted_one(config: FeedSR | DCNv2, tmp_path: Path) -> None:
    whole = build_ranker(config, SCHEMA)
    steps = train(whole, data(), CONFIG).steps

    def stop(report: StepReport) -> None:
        if report.step == stop_at:
            raise KeyboardInterrupt

    for stop_at in (1, steps // 2, steps - 1):
        path = tmp_path / f"checkpoint{stop_at}"
        with pytest.raises(KeyboardInterrupt):
            train(build_ranker(config, SCHEMA), data(), CONFIG, path, stop, checkpoint_seconds=0)
        model = build_ranker(config, SCHEMA)
        assert train(model, data(), CONFIG, path, checkpoint_seconds=0).resumed_at == stop_at
        assert same_weights(model, whole)
    finished = build_ranker(config, SCHEMA)
    assert train(finished, data(), CONFIG, path).resumed_at == steps
    assert same_weights(finished, whole)


KILLED = """
import sys
from pathlib import Path
import torch
from fourfold.models.io import build_ranker, save_model
from fourfold.training.trainer import train
from tests.training.test_trainer import CONFIG, FEED_SR, SCHEMA, data
torch.set_num_threads(1)
model = build_ranker(FEED_SR, SCHEMA)
def on_step(report):
    print(report.step, flush=True)
train(model, data(80), CONFIG, Path(sys.argv[1]), on_step, checkpoint_seconds=0)
save_model(model, Path(sys.argv[2]))
"""


def test_kill_9_costs_nothing_but_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "checkpoint"), str(tmp_path / "model")]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "7":
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert 7 <= int(done[0]) - 1 < int(done[-1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = build_ranker(FEED_SR, SCHEMA)
    train(whole, data(80), CONFIG)
    torch.set_num_threads(threads)
    resumed = load_model(tmp_path / "model")
    assert isinstance(resumed, Ranker)
    assert same_weights(resumed, whole)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path, sequences = tmp_path / "checkpoint", data()
    train(build_ranker(FEED_SR, SCHEMA), sequences, CONFIG, path)
    other_labels = replace(sequences, labels=1 - sequences.labels)
    for model, rows, config in (
        (build_ranker(FEED_SR, SCHEMA), sequences, replace(CONFIG, weight_decay=0.1)),
        (build_ranker(FEED_SR, SCHEMA), other_labels, CONFIG),
        (build_ranker(FEED_SR, SCHEMA, seed=1), sequences, CONFIG),
        (build_ranker(replace(FEED_SR, dropout=0.2), SCHEMA), sequences, CONFIG),
    ):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(CheckpointError, match=r"checkpoint of another run.*delete it to start anew"):
            train(model, rows, config, path)
        assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


def test_a_loss_that_is_not_finite_names_its_step_and_saves_nothing(tmp_path: Path) -> None:
    sequences, path, steps = data(), tmp_path / "checkpoint", []
    sequences.labels[30, 0] = np.inf
    model = build_ranker(FEED_SR, SCHEMA)
    with pytest.raises(TrainingError, match=r"step (\d+) of \d+: the loss is .*nothing was saved") as caught:
        train(model, sequences, CONFIG, path, lambda report: steps.append(report.step), checkpoint_seconds=0)
    assert str(caught.value).startswith(f"step {len(steps) + 1} of")
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert not steps or all(value.isfinite().all() for value in read_tensors(path)[0].values())


def test_training_on_goes_on_from_the_normalisation_of_before() -> None:
    model = build_ranker(FEED_SR, SCHEMA)
    train(model, data(), CONFIG)
    knots, prior = model.rows.late.knots_FK.clone(), model.prior_A.clone()
    shifted = replace(data(), late=data().late + 100, labels=data().labels * 0)
    train(model, shifted, CONFIG)
    assert torch.equal(model.rows.late.knots_FK, knots)
    assert torch.equal(model.prior_A, prior)


def test_training_on_forgets_the_calibration_of_other_weights() -> None:
    model, steps = build_ranker(FEED_SR, SCHEMA), torch.arange(64.0).expand(3, -1)
    model.calibration.set(steps, 2 * steps)
    train(model, data(), CONFIG)
    assert torch.equal(model.calibration.knots_AK, model.calibration.values_AK)


def test_entries_without_weight_are_history_only() -> None:
    sequences = data()
    sequences.weight[::2] = 0
    other = sequences.labels.copy()
    other[::2] = 1 - other[::2]
    models = [build_ranker(FEED_SR, SCHEMA) for _ in range(2)]
    for model, labels in zip(models, (sequences.labels, other), strict=True):
        train(model, replace(sequences, labels=labels), CONFIG)
    assert same_weights(models[0], models[1])


def test_impossible_weights_and_nothing_to_learn_from_are_errors() -> None:
    for weight in (-1.0, np.nan, np.inf):
        wrong = data()
        wrong.weight[3] = weight
        with pytest.raises(ValueError, match=r"weight\[3\] is .*; write a finite number of at least 0"):
            train(build_ranker(FEED_SR, SCHEMA), wrong, CONFIG)
    with pytest.raises(ValueError, match="no row has a weight above 0"):
        train(build_ranker(FEED_SR, SCHEMA), replace(data(), weight=data().weight * 0), CONFIG)
