"""One training run of a surface: retrieval model, item-to-item table and ranker, judged and published as a version."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import Struct

from fourfold import __version__
from fourfold.definition import Recommender
from fourfold.features.encoding import Encoder
from fourfold.features.view import View
from fourfold.models.io import build_ranker, build_two_tower, save_model
from fourfold.models.ranker import Ranker
from fourfold.models.two_tower import TwoTowerModel
from fourfold.training.evaluation import ActionMetrics, evaluate_ranker
from fourfold.training.examples import examples, retrieval_examples
from fourfold.training.item_to_item import Similarities, item_to_item, save
from fourfold.training.loop import OnStep, TrainingConfig
from fourfold.training.registry import Manifest, Registry, TrainingData
from fourfold.training.retrieval_trainer import RETRIEVAL_CONFIG, train_retrieval
from fourfold.training.trainer import train

RANKER_FILE, RETRIEVAL_FILE = "ranker.safetensors", "retrieval.safetensors"
OnStage = Callable[[str], OnStep]


class NothingToTrainError(RuntimeError):
    """There are no examples to learn from."""


class TrainingOutcome(Struct, frozen=True, kw_only=True):
    """What a run made: the new version, what it was trained and judged on, and how well it did."""

    surface: str
    version: str
    kind: str
    examples: int
    trained_until: int
    judged_until: int
    actions: dict[str, ActionMetrics]


@dataclass(frozen=True)
class Trained:
    """The parts of a trained recommender; those that the definition does not ask for, or that had no data, are None."""

    ranker: Ranker | None
    retrieval: TwoTowerModel | None
    similar: Similarities | None
    examples: int

    def write(self, view: View, folder: Path) -> None:
        """Write every part as files of a version."""
        if self.ranker is not None:
            save_model(self.ranker, folder / RANKER_FILE)
        if self.retrieval is not None:
            save_model(self.retrieval, folder / RETRIEVAL_FILE)
        if self.similar is not None:
            save(view, self.similar, folder)


def split_time(view: View, holdout: float) -> int:
    """The time from which the last `holdout` part of all impressions is held back (0: none)."""
    runs = view.table("impression").runs
    if not runs:
        raise NothingToTrainError(
            f"surface {view.definition.surface!r} has no impressions yet; import or post events of it, then train"
        )
    times = np.concatenate([run.at.imag for run in runs])
    if not holdout:
        return view.newest_time + 1
    return int(np.quantile(times, 1 - holdout, method="lower"))


def run_training(
    view: View,
    registry: Registry,
    *,
    until: int,
    created: int,
    config: TrainingConfig,
    checkpoints: Path,
    on_stage: OnStage,
) -> TrainingOutcome:
    """Train on impressions before `until`, judge on those from then on, publish a version (promoting is another step).

    Parameters
    ----------
    view : View
        The state; everything in it from `until` on is hidden from training.
    registry : Registry
        Where the version goes.
    until, created : int
        The split and the time now, in milliseconds.
    config : TrainingConfig
        How the ranker is trained; the retrieval model takes its seed from it.
    checkpoints : Path
        A folder for the states of unfinished runs: the same run, started again, goes on from there.
    on_stage : callable
        Called with the name of each stage; what it returns is called after every step.
    """
    definition, encoder = view.definition, Encoder(view.definition)
    trained = _train(view, encoder, until, config, checkpoints, on_stage)
    judged_until = view.newest_time + 1
    found = {}
    if trained.ranker is not None and judged_until > until:
        on_stage("evaluate")
        found = evaluate_ranker(trained.ranker, view, encoder, until, judged_until)
    manifest = _manifest(view, until, created, config, found)
    version = registry.publish(manifest, lambda folder: trained.write(view, folder))
    for path in checkpoints.glob(f"{definition.surface}-*"):
        path.unlink()
    return TrainingOutcome(
        surface=definition.surface,
        version=version,
        kind=manifest.kind,
        examples=trained.examples,
        trained_until=until,
        judged_until=judged_until,
        actions=found,
    )


def _train(view: View, encoder: Encoder, until: int, config: TrainingConfig, checkpoints: Path, on_stage: OnStage) -> Trained:
    definition = view.definition
    checkpoints.mkdir(parents=True, exist_ok=True)
    similar, retrieval = None, None
    if any(source.kind == "item_to_item" for source in definition.sources):
        on_stage("item_to_item")
        similar = item_to_item(view, until)
    if definition.retrieval is not None:
        retrieval = _train_retrieval(view, encoder, until, config.seed, checkpoints, on_stage("retrieval"))
    ranker, count = None, 0
    if definition.ranker is not None:
        on_step = on_stage("ranker")
        rows = examples(view, encoder, 0, until)
        count = len(rows)
        if not count:
            raise NothingToTrainError(f"no impression of {definition.surface!r} lies before the split; hold back less")
        ranker = build_ranker(definition.ranker, encoder.schema, config.seed)
        train(ranker, rows.sequences, config, checkpoints / f"{definition.surface}-ranker", on_step)
    return Trained(ranker, retrieval, similar, count)


def _train_retrieval(
    view: View, encoder: Encoder, until: int, seed: int, checkpoints: Path, on_step: OnStep
) -> TwoTowerModel | None:
    definition = view.definition
    assert definition.retrieval is not None
    pairs = retrieval_examples(view, encoder, 0, until, definition.retrieval.recent)
    if len(pairs.target) < 2:
        return None
    model = build_two_tower(definition.retrieval, encoder.schema, seed)
    config = replace(RETRIEVAL_CONFIG, seed=seed)
    train_retrieval(model, pairs, config, checkpoints / f"{definition.surface}-retrieval", on_step)
    return model


def _manifest(view: View, until: int, created: int, config: TrainingConfig, found: dict[str, ActionMetrics]) -> Manifest:
    definition: Recommender = view.definition
    metrics = {
        f"{action}.{name}": getattr(m, name) for action, m in found.items() for name in ("auc", "member_auc", "ne", "ece")
    }
    return Manifest(
        surface=definition.surface,
        kind=definition.ranker.kind if definition.ranker else "sources",
        created=created,
        definition_hash=definition.hash,
        trained_hash=definition.trained_hash,
        definition=definition.to_dict(),
        data=TrainingData(
            events=len(view.table("impression")) + len(view.table("action")), first=0, last=until, offset=view.offset
        ),
        seed=config.seed,
        code=__version__,
        metrics=metrics,
    )
