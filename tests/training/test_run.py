"""Training runs: what is published loads and serves, what cannot be trained says so, and a killed run loses nothing."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fourfold.data.world import World
from fourfold.definition import Action, DCNv2, Excluded, FeedSR, History, ItemToItem, Recommender, Seen, Trending, TwoTower
from fourfold.events.types import EventKind, Impression, batch_of
from fourfold.features.encoding import Encoder
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.models.io import load_model
from fourfold.models.ranker import Ranker
from fourfold.modes.home import Home
from fourfold.modes.trained import TrainedModels, load_models
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Request
from fourfold.surfaces.presets import world
from fourfold.training.evaluation import evaluate_ranker
from fourfold.training.examples import examples
from fourfold.training.identity import examples_hash
from fourfold.training.loader import epoch_batches
from fourfold.training.loop import OnStep, TrainingConfig
from fourfold.training.manifest import HeldOut, Manifest
from fourfold.training.parts import NothingToTrainError
from fourfold.training.registry import Registry
from fourfold.training.run import TrainingOutcome, run_training, split_time

MADE = World(members=20, posts=60, days=4, slate=4, seed=2)
SMALL = replace(
    world(),
    item=replace(world().item, buckets=64),
    history=History(impressions=12, block=4),
    ranker=FeedSR(width=8, layers=1, heads=2),
    retrieval=TwoTower(width=8),
    filters=(Seen(), Excluded()),
)
CONFIG = TrainingConfig(epochs=2, batch_entries=200)


def view_of(definition: Recommender = SMALL, made: World = MADE) -> View:
    state = State(definition)
    state.apply(made.events, len(made.events))
    return state.view()


def ignore(_: str) -> OnStep:
    return lambda step: None


def trained(folder: Path, view: View, until: int, config: TrainingConfig = CONFIG, **options: object) -> TrainingOutcome:
    checkpoints = folder / "training"
    registry = Registry(folder / "models")
    asked = {"until": until, "created": 1, "config": config, "checkpoints": checkpoints, "on_stage": ignore} | options
    return run_training(view, registry, **asked)  # type: ignore[arg-type]  # named above


def weights(folder: Path) -> dict[str, str]:
    """A hash of each file of weights of the first version."""
    manifest, _ = Registry(folder / "models").load("feed", "v1")
    return {name: file.sha256 for name, file in manifest.files.items() if name.endswith(".safetensors")}


def test_a_run_publishes_a_version_that_serves(tmp_path: Path) -> None:
    view = view_of()
    until = split_time(view, 0.2)
    outcome = trained(tmp_path, view, until)
    registry = Registry(tmp_path / "models")
    manifest, _ = registry.load("feed", outcome.version)
    assert (outcome.version, outcome.kind, outcome.resumed_at) == ("v1", "feed_sr", 0)
    assert set(manifest.files) == {
        "ranker.safetensors",
        "retrieval.safetensors",
        "item_to_item.safetensors",
        "item_to_item.json",
    }
    assert registry.promoted("feed") is None, "promoting is another step"
    assert set(outcome.actions) == {"click", "long_view", "like", "hide"}
    assert outcome.actions["click"].impressions > 0
    assert manifest.metrics["click.auc"] == outcome.actions["click"].auc
    registry.promote("feed", outcome.version)
    models = load_models(SMALL, registry)
    assert isinstance(models, TrainedModels)
    slate = Pipeline(SMALL, lambda: view, lambda: models, budget_ms=60_000).recommend(Request(viewer="m1", time=until), 0)
    assert slate.model == "v1"
    assert not [d for d in slate.degradations if d.stage in {"ranker", "early_ranker", "sources"}]
    assert len({item.score for item in slate.items}) > 1


def test_the_manifest_says_what_was_trained_on(tmp_path: Path) -> None:
    view = view_of()
    until = split_time(view, 0.2)
    trained(tmp_path, view, until)
    data = Registry(tmp_path / "models").load("feed", "v1")[0].data
    times = np.concatenate([run.at.imag for name in ("impression", "action") for run in view.table(name).runs])
    assert (data.events, data.first) == (int((times < until).sum()), int(times.min()))
    assert (data.last, data.offset) == (until, view.offset)


def test_the_split_holds_back_the_newest_part() -> None:
    view = view_of()
    times = np.sort(np.concatenate([run.at.imag for run in view.table("impression").runs]))
    until = split_time(view, 0.25)
    assert abs((times >= until).mean() - 0.25) < 0.05
    assert split_time(view, 0.0) > times[-1]


def test_nothing_from_the_split_on_is_trained_on(tmp_path: Path) -> None:
    view = view_of()
    until = split_time(view, 0.3)
    past = MADE.events.filter(MADE.events.column("time").to_numpy() < until)
    state = State(SMALL)
    state.apply(past, len(past))
    for folder, seen in ((tmp_path / "all", view), (tmp_path / "past", state.view())):
        trained(folder, seen, until)
    assert weights(tmp_path / "all") == weights(tmp_path / "past")


def test_without_a_holdout_nothing_is_judged(tmp_path: Path) -> None:
    view = view_of(replace(SMALL, ranker=DCNv2(width=8)))
    outcome = trained(tmp_path, view, split_time(view, 0.0))
    assert outcome.actions == {}
    assert outcome.kind == "dcnv2"
    assert outcome.examples == len(view.table("impression"))


def shown(count: int) -> View:
    state = State(replace(SMALL, actions=(Action("click").worth(1), Action("never").worth(2)), features=()))
    state.apply(
        batch_of(Impression(id=f"i{n}", time=1_000 + n, viewer="m0", item=f"p{n}", surface="feed") for n in range(count)), count
    )
    return state.view()


def test_one_impression_trains_and_an_action_that_never_happened_too(tmp_path: Path) -> None:
    outcome = trained(tmp_path, shown(1), split_time(shown(1), 0.0))
    assert outcome.examples == 1
    files = weights(tmp_path)
    assert "ranker.safetensors" in files
    assert "retrieval.safetensors" not in files, "there was no positive outcome to learn retrieval from"
    ranker = load_model(tmp_path / "models/feed/v1/ranker.safetensors")
    assert all(parameter.isfinite().all() for parameter in ranker.parameters())


def test_an_action_that_always_or_never_happens_is_judged_without_an_auc(tmp_path: Path) -> None:
    outcome = trained(tmp_path, shown(10), 1_005)
    never = outcome.actions["never"]
    assert (never.impressions, never.positives, never.auc, never.auc_ci, never.ne) == (5, 0, None, None, None)
    json.dumps(Registry(tmp_path / "models").load("feed", "v1")[0].metrics, allow_nan=False)


def test_no_impressions_and_none_before_the_split(tmp_path: Path) -> None:
    with pytest.raises(NothingToTrainError, match="'feed' has no impressions yet; import or post events of it"):
        split_time(State(SMALL).view(), 0.1)
    with pytest.raises(NothingToTrainError, match="lies before the split; hold back less"):
        trained(tmp_path, shown(1), split_time(shown(1), 0.1))
    assert Registry(tmp_path / "models").versions("feed") == []


def test_only_what_the_definition_asks_for_is_trained(tmp_path: Path) -> None:
    bare = replace(SMALL, ranker=None, retrieval=None, early_ranker=None, sources=(Trending(), ItemToItem()))
    outcome = trained(tmp_path, view_of(bare), MADE.end)
    assert (outcome.kind, outcome.examples) == ("sources", 0)
    assert set(weights(tmp_path)) == {"item_to_item.safetensors"}
    with pytest.raises(NothingToTrainError, match="'feed' has nothing to train; give it a ranker"):
        trained(tmp_path, view_of(replace(bare, sources=(Trending(),))), MADE.end)


class Interrupted(Exception):  # a stop, not an error
    """Stops a run from inside, after some steps."""


def interrupted(folder: Path, view: View, config: TrainingConfig) -> None:
    def on_stage(name: str) -> OnStep:
        def on_step(step: object) -> None:
            if name == "ranker" and getattr(step, "step", 0) == 3:
                raise Interrupted

        return on_step

    with pytest.raises(Interrupted):
        trained(folder, view, MADE.end, config, on_stage=on_stage, checkpoint_seconds=0)


def test_an_interrupted_run_goes_on_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    view = view_of()
    interrupted(tmp_path, view, CONFIG)
    (tmp_path / "training" / ".feed-ranker.k1lled").write_text("half")
    assert trained(tmp_path, view, MADE.end).resumed_at == 3
    trained(tmp_path / "straight", view, MADE.end)
    assert weights(tmp_path) == weights(tmp_path / "straight")
    assert list((tmp_path / "training").iterdir()) == []


def test_a_refit_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    view = view_of()
    until = split_time(view, 0.5)

    def on_stage(name: str) -> OnStep:
        def on_step(step: object) -> None:
            if name == "refit-ranker" and getattr(step, "step", 0) == 3:
                raise Interrupted

        return on_step

    with pytest.raises(Interrupted):
        trained(tmp_path, view, until, on_stage=on_stage, checkpoint_seconds=0, refit=True)
    assert Registry(tmp_path / "models").versions("feed") == []
    straight = trained(tmp_path / "straight", view, until, refit=True)
    resumed = trained(tmp_path, view, until, refit=True)
    assert straight.resumed_at == 0
    assert resumed.resumed_at == manifest_of(tmp_path).settings["epochs"] * len(batches_of(view, until)) + 3
    assert weights(tmp_path) == weights(tmp_path / "straight")
    assert list((tmp_path / "training").iterdir()) == []


def batches_of(view: View, until: int) -> list[np.ndarray]:
    rows = examples(view, Encoder(SMALL), 0, until)
    return list(epoch_batches(rows.sequences, CONFIG.batch_entries, 0, 0))


def test_the_checkpoint_of_another_run_is_discarded(tmp_path: Path) -> None:
    view = view_of()
    interrupted(tmp_path, view, CONFIG)
    other = replace(CONFIG, seed=5)
    assert trained(tmp_path, view, MADE.end, other).resumed_at == 0
    trained(tmp_path / "straight", view, MADE.end, other)
    assert weights(tmp_path) == weights(tmp_path / "straight")


def manifest_of(folder: Path, version: str = "v1") -> Manifest:
    return Registry(folder / "models").load("feed", version)[0]


def ranker_of(folder: Path) -> Ranker:
    model = load_model(folder / "models/feed/v1/ranker.safetensors")
    assert isinstance(model, Ranker)
    return model


def test_the_earlier_half_of_held_out_time_calibrates_and_the_later_judges(tmp_path: Path) -> None:
    view = view_of()
    until = split_time(view, 0.5)
    outcome, manifest = trained(tmp_path, view, until), manifest_of(tmp_path)
    calibration = manifest.calibration
    assert calibration is not None
    assert manifest.held_out == HeldOut(first=until, judged_from=calibration.last, last=view.newest_time + 1)
    assert until <= calibration.first < calibration.last < calibration.checked_until
    assert manifest.unseen_since == calibration.last
    click = calibration.actions["click"]
    assert click.method == "platt"
    assert click.ece_before != click.ece_after
    # What is judged is what serves: the file's own probabilities, after what calibrated them.
    judged = evaluate_ranker(ranker_of(tmp_path), view, Encoder(SMALL), calibration.last, view.newest_time + 1)
    assert judged == outcome.actions
    assert manifest.metrics["click.ece"] == judged["click"].ece == pytest.approx(click.ece_after)
    assert manifest.intervals["click.auc"] == judged["click"].auc_ci
    assert judged["click"].impressions + click.impressions == len(examples(view, Encoder(SMALL), until, MADE.end + (1 << 40)))


def test_too_little_to_calibrate_judges_on_everything(tmp_path: Path) -> None:
    view = view_of()
    until = split_time(view, 0.05)
    outcome = trained(tmp_path, view, until)
    assert outcome.calibration is None
    assert outcome.held_out == HeldOut(first=until, judged_from=until, last=view.newest_time + 1)
    assert manifest_of(tmp_path).unseen_since == until
    assert ranker_of(tmp_path).calibration.knots_AK.equal(ranker_of(tmp_path).calibration.values_AK)


def test_a_refit_is_trained_on_everything_and_judged_by_the_model_before(tmp_path: Path) -> None:
    view = view_of()
    until = split_time(view, 0.5)
    first, refit = (trained(tmp_path / name, view, until, refit=name == "refit") for name in ("first", "refit"))
    every = trained(tmp_path / "every", view, split_time(view, 0.0))
    assert (refit.actions, refit.calibration, refit.held_out) == (first.actions, first.calibration, first.held_out)
    assert (refit.refit, refit.trained_until, refit.examples) == (True, every.trained_until, every.examples)
    before, after, all_of_it = (ranker_of(tmp_path / name).state_dict() for name in ("first", "refit", "every"))
    for name, value in after.items():
        assert value.equal(before[name] if name.startswith("calibration.") else all_of_it[name]), name
    files = [weights(tmp_path / name) for name in ("first", "refit", "every")]
    for name in ("retrieval.safetensors", "item_to_item.safetensors"):
        assert files[0][name] != files[1][name] == files[2][name]
    shown, whole = manifest_of(tmp_path / "refit"), manifest_of(tmp_path / "every")
    assert (shown.refit, shown.data, whole.refit) == (True, whole.data, False)
    assert shown.metrics == manifest_of(tmp_path / "first").metrics
    assert shown.unseen_since == view.newest_time + 1


def test_a_refit_of_nothing_held_back_is_none(tmp_path: Path) -> None:
    view = view_of()
    assert not trained(tmp_path, view, split_time(view, 0.0), refit=True).refit
    assert not manifest_of(tmp_path).refit


def test_what_is_found_is_told_before_training_and_kept(tmp_path: Path) -> None:
    told: list[str] = []

    def on_stage(name: str) -> OnStep:
        told.append(name)
        return lambda step: None

    outcome = trained(tmp_path, shown(120), 1_100, on_stage=on_stage, on_finding=lambda finding: told.append(finding.subject))
    assert [part for part in told if "." not in part] == [
        *("item_to_item", "retrieval", "examples"),
        *("click", "never"),
        *("ranker", "calibrate", "evaluate"),
    ]
    assert told.index("ranker") > told.index("item.title")
    assert {finding.kind for finding in outcome.findings} == {"rare_action", "missing_feature"}
    assert manifest_of(tmp_path).findings == outcome.findings


def test_undated_impressions_are_learned_from_and_neither_split_nor_judged(tmp_path: Path) -> None:
    events = [
        Impression(id=f"i{n}", time=1_000 + n, viewer="m0", item=f"p{n}", surface="feed", undated=n < 80) for n in range(100)
    ]
    state = State(SMALL)
    state.apply(batch_of(events), 100)
    until = split_time(state.view(), 0.5)
    assert until == 1_089
    outcome = trained(tmp_path, state.view(), until)
    assert (outcome.examples, outcome.actions["click"].impressions) == (89, 11)


def test_the_hash_of_the_data_names_examples_in_whatever_order_they_came(tmp_path: Path) -> None:
    events, order = MADE.events, np.random.default_rng(0).permutation(len(MADE.events))
    shuffled, fewer = State(SMALL), State(SMALL)
    for part in np.array_split(order, 3):
        shuffled.apply(events.take(part))
    acted = np.flatnonzero(events["kind"].to_numpy() == EventKind.ACTION)
    fewer.apply(events.take(np.delete(np.arange(len(events)), acted[0])))
    hashes = []
    for number, view in enumerate((view_of(), shuffled.view(), fewer.view())):
        rows = examples(view, Encoder(SMALL), 0, MADE.end)
        hashes.append(examples_hash(view, rows))
        if number == 0:
            trained(tmp_path, view, MADE.end)
            heavier = replace(rows, sequences=replace(rows.sequences, weight=rows.sequences.weight * 2))
            assert examples_hash(view, heavier) != hashes[0]
    assert hashes[0] == hashes[1] == manifest_of(tmp_path).data.hash
    assert hashes[2] != hashes[0]
    assert len(hashes[0]) == 64


def test_training_survives_sigkill_bit_for_bit(tmp_path: Path) -> None:
    """A real `fourfold train` is killed in each of its trainings; started again, it ends with the files of a quiet run."""
    with Home(tmp_path / "home") as home:
        home.define(SMALL)
        home.log.append(MADE.events, None)
    command = [sys.executable, "-m", "fourfold", "train", "feed", "--home", str(tmp_path / "home"), "--json", "--refit"]
    command += ["--epochs", "15", "--checkpoint-seconds", "0", "--holdout", "0.4"]
    for part in ("ranker", "refit-ranker"):
        checkpoint = tmp_path / "home" / "training" / f"feed-{part}"
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
            for _ in range(3):  # three states of the checkpoint: at least two steps are done
                written = next_state(checkpoint, written, process)
            process.send_signal(signal.SIGKILL)
            assert process.wait(30) == -signal.SIGKILL
    answer = subprocess.run(command, check=True, capture_output=True, timeout=600)
    outcome = json.loads(answer.stdout)
    assert 15 < outcome["resumed_at"] < 30, "this world is one batch, so a training is 15 steps"
    assert outcome["calibration"]["actions"]["click"]["method"] == "platt"
    with Home(tmp_path / "home") as home:
        consumer = home.consumer("feed")
        consumer.catch_up()
        view = consumer.state.view()
        trained(tmp_path / "straight", view, split_time(view, 0.4), TrainingConfig(epochs=15), refit=True)
        assert home.registry.promoted("feed") == outcome["version"] == "v1"
    assert weights(tmp_path / "home") == weights(tmp_path / "straight")
    assert not list((tmp_path / "home" / "training").iterdir())


def next_state(path: Path, before: int | None, process: "subprocess.Popen[bytes]") -> int:
    """Wait until the file is there in another state than before."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed; give it more epochs"
        found = path.stat().st_mtime_ns if path.exists() else before
        if found is not None and found != before:
            return found
        time.sleep(0.001)
    raise AssertionError("no checkpoint was written")
