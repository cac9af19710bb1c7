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
from fourfold.events.types import Impression, batch_of
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.models.io import load_model
from fourfold.modes.home import Home
from fourfold.modes.trained import TrainedModels, load_models
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Request
from fourfold.surfaces.presets import world
from fourfold.training.loop import OnStep, TrainingConfig
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


def test_the_checkpoint_of_another_run_is_discarded(tmp_path: Path) -> None:
    view = view_of()
    interrupted(tmp_path, view, CONFIG)
    other = replace(CONFIG, seed=5)
    assert trained(tmp_path, view, MADE.end, other).resumed_at == 0
    trained(tmp_path / "straight", view, MADE.end, other)
    assert weights(tmp_path) == weights(tmp_path / "straight")


def test_training_survives_sigkill_bit_for_bit(tmp_path: Path) -> None:
    """A real `fourfold train` is killed after some steps; started again, it ends with the very weights of a quiet run."""
    with Home(tmp_path / "home") as home:
        home.define(SMALL)
        home.log.append(MADE.events, None)
    command = [sys.executable, "-m", "fourfold", "train", "feed", "--home", str(tmp_path / "home"), "--json"]
    command += ["--epochs", "15", "--checkpoint-seconds", "0", "--holdout", "0.2"]
    checkpoint = tmp_path / "home" / "training" / "feed-ranker"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        written = None
        for _ in range(3):  # three states of the checkpoint: at least two steps are done
            written = next_state(checkpoint, written, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    answer = subprocess.run(command, check=True, capture_output=True, timeout=120)
    outcome = json.loads(answer.stdout)
    assert 0 < outcome["resumed_at"] < 15
    with Home(tmp_path / "home") as home:
        consumer = home.consumer("feed")
        consumer.catch_up()
        view = consumer.state.view()
        trained(tmp_path / "straight", view, split_time(view, 0.2), TrainingConfig(epochs=15))
        assert home.registry.promoted("feed") == outcome["version"] == "v1"
    assert weights(tmp_path / "home") == weights(tmp_path / "straight")
    assert not list((tmp_path / "home" / "training").iterdir())


def next_state(path: Path, before: int | None, process: "subprocess.Popen[bytes]") -> int:
    """Wait until the file is there in another state than before."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed; give it more epochs"
        found = path.stat().st_mtime_ns if path.exists() else before
        if found is not None and found != before:
            return found
        time.sleep(0.001)
    raise AssertionError("no checkpoint was written")
