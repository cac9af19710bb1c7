"""One training run of a surface: retrieval model, item-to-item table and ranker, judged and published as a version."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from msgspec import Struct

from fourfold import __version__
from fourfold.definition import DCNv2, FeedSR, Recommender, TwoTower
from fourfold.features.encoding import Encoder
from fourfold.features.view import View
from fourfold.models.io import RANKER_FILE, RETRIEVAL_FILE, build_ranker, build_two_tower, save_model
from fourfold.models.ranker import Ranker
from fourfold.models.two_tower import TwoTowerModel
from fourfold.training.checkpoint import CheckpointError
from fourfold.training.evaluation import ActionMetrics, evaluate_ranker
from fourfold.training.examples import examples, retrieval_examples
from fourfold.training.item_to_item import Similarities, item_to_item, save
from fourfold.training.loop import OnStep, TrainingConfig
from fourfold.training.manifest import Manifest, TrainingData
from fourfold.training.registry import Registry
from fourfold.training.retrieval_trainer import RETRIEVAL_CONFIG, train_retrieval
from fourfold.training.trainer import train

OnStage = Callable[[str], OnStep]
T = TypeVar("T")


class NothingToTrainError(RuntimeError):
    """There are no examples to learn from."""


class TrainingOutcome(Struct, frozen=True, kw_only=True):
    """What a run made: the new version, what it was trained and judged on, and how well it did.

    `resumed_at` counts the ranker's steps that an earlier process had done.
    """

    surface: str
    version: str
    kind: str
    examples: int
    resumed_at: int
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
    resumed_at: int

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
    checkpoint_seconds: float = 60.0,
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
        A folder for the states of unfinished runs: the same run, started again, goes on from there. What another run left
        (other settings, or other data by now) is discarded.
    on_stage : callable
        Called with the name of each stage; what it returns is called after every step.
    checkpoint_seconds : float
        Time between two saves; 0 saves after every step.

    Raises
    ------
    NothingToTrainError
        If the definition has no part that is trained, or there is nothing to train it on.
    """
    definition, encoder = view.definition, Encoder(view.definition)
    run = _Run(view, encoder, until, config, _Checkpoints(checkpoints, definition.surface, checkpoint_seconds), on_stage)
    trained = run.trained()
    judged_until = view.newest_time + 1
    found = {}
    if trained.ranker is not None and judged_until > until:
        on_stage("evaluate")
        found = evaluate_ranker(trained.ranker, view, encoder, until, judged_until)
    manifest = _manifest(view, until, created, config, found)
    version = registry.publish(manifest, lambda folder: trained.write(view, folder))
    run.checkpoints.clear()
    return TrainingOutcome(
        surface=definition.surface,
        version=version,
        kind=manifest.kind,
        examples=trained.examples,
        resumed_at=trained.resumed_at,
        trained_until=until,
        judged_until=judged_until,
        actions=found,
    )


@dataclass(frozen=True)
class _Checkpoints:
    """Where the unfinished runs of one surface are, and how often they are saved."""

    folder: Path
    surface: str
    seconds: float

    def resume(self, part: str, fit: Callable[[Path], T]) -> T:
        """Train a part of the recommender from its checkpoint, or anew if that is of another run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.surface}-{part}"
        with suppress(CheckpointError):
            return fit(path)
        path.unlink()
        return fit(path)

    def clear(self) -> None:
        """Remove them, and what a killed process left half-written."""
        for pattern in (f"{self.surface}-*", f".{self.surface}-*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Run:
    """The parts of a run, each trained on what lies before `until`."""

    view: View
    encoder: Encoder
    until: int
    config: TrainingConfig
    checkpoints: _Checkpoints
    on_stage: OnStage

    def trained(self) -> Trained:
        definition = self.view.definition
        listed = any(source.kind == "item_to_item" for source in definition.sources)
        if not listed and definition.retrieval is None and definition.ranker is None:
            raise NothingToTrainError(
                f"{definition.surface!r} has nothing to train; give it a ranker, a retrieval model or the source item_to_item"
            )
        if listed:
            self.on_stage("item_to_item")
        similar = item_to_item(self.view, self.until) if listed else None
        retrieval = self._retrieval(definition.retrieval) if definition.retrieval else None
        ranker, count, resumed_at = self._ranker(definition.ranker) if definition.ranker else (None, 0, 0)
        return Trained(ranker, retrieval, similar, count, resumed_at)

    def _ranker(self, declared: FeedSR | DCNv2) -> tuple[Ranker, int, int]:
        """The ranker, its number of examples, and the step at which it went on."""
        on_step = self.on_stage("ranker")
        rows = examples(self.view, self.encoder, 0, self.until)
        if not len(rows):
            surface = self.view.definition.surface
            raise NothingToTrainError(f"no impression of {surface!r} lies before the split; hold back less")

        def fit(checkpoint: Path) -> tuple[Ranker, int]:
            model = build_ranker(declared, self.encoder.schema, self.config.seed)
            report = train(model, rows.sequences, self.config, checkpoint, on_step, self.checkpoints.seconds)
            return model, report.resumed_at

        model, resumed_at = self.checkpoints.resume("ranker", fit)
        return model, len(rows), resumed_at

    def _retrieval(self, declared: TwoTower) -> TwoTowerModel | None:
        """The retrieval model; None if there are too few positive outcomes to tell apart."""
        on_step = self.on_stage("retrieval")
        rows = retrieval_examples(self.view, self.encoder, 0, self.until, declared.recent)
        if len(rows.target) < 2:
            return None

        def fit(checkpoint: Path) -> TwoTowerModel:
            model = build_two_tower(declared, self.encoder.schema, self.config.seed)
            config = replace(RETRIEVAL_CONFIG, seed=self.config.seed)
            train_retrieval(model, rows, config, checkpoint, on_step, self.checkpoints.seconds)
            return model

        return self.checkpoints.resume("retrieval", fit)


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
        data=_data(view, until),
        seed=config.seed,
        code=__version__,
        metrics=metrics,
    )


def _data(view: View, until: int) -> TrainingData:
    runs = [run for name in ("impression", "action") for run in view.table(name).runs]
    times = np.concatenate([run.at.imag for run in runs])
    times = times[times < until]
    return TrainingData(events=len(times), first=int(times.min(initial=until)), last=until, offset=view.offset)
