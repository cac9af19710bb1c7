"""The trained parts of a recommender, each from its checkpoint if there is one: what a run makes, once or twice."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from fourfold.definition import DCNv2, FeedSR, TwoTower
from fourfold.features.encoding import Encoder
from fourfold.features.view import View
from fourfold.models.io import RANKER_FILE, RETRIEVAL_FILE, build_ranker, build_two_tower, save_model
from fourfold.models.ranker import Ranker
from fourfold.models.two_tower import TwoTowerModel
from fourfold.training.checkpoint import CheckpointError
from fourfold.training.examples import examples, retrieval_examples
from fourfold.training.findings import data_findings
from fourfold.training.identity import examples_hash
from fourfold.training.item_to_item import Similarities, item_to_item, save
from fourfold.training.loop import OnStep, TrainingConfig
from fourfold.training.manifest import Finding
from fourfold.training.retrieval_trainer import RETRIEVAL_CONFIG, train_retrieval
from fourfold.training.trainer import train

OnStage = Callable[[str], OnStep]
OnFinding = Callable[[Finding], None]
T = TypeVar("T")


class NothingToTrainError(RuntimeError):
    """There are no examples to learn from."""


@dataclass(frozen=True)
class TrainedRanker:
    """A ranker, how many examples it learned from and their name, and the step at which its training went on."""

    model: Ranker
    examples: int
    examples_hash: str
    resumed_at: int


@dataclass(frozen=True)
class Trained:
    """The parts of a trained recommender; those that the definition does not ask for, or that had no data, are None."""

    ranker: TrainedRanker | None
    retrieval: TwoTowerModel | None
    similar: Similarities | None

    def write(self, view: View, folder: Path) -> None:
        """Write every part as files of a version."""
        if self.ranker is not None:
            save_model(self.ranker.model, folder / RANKER_FILE)
        if self.retrieval is not None:
            save_model(self.retrieval, folder / RETRIEVAL_FILE)
        if self.similar is not None:
            save(view, self.similar, folder)


@dataclass(frozen=True)
class Checkpoints:
    """Where the unfinished runs of one surface are, and how often (in seconds) they are saved."""

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
class Training:
    """Trains the parts of a recommender on what lies before `until`.

    `name` tells the second training of a run from the first: in names of stages, and of checkpoints.
    """

    view: View
    encoder: Encoder
    until: int
    config: TrainingConfig
    checkpoints: Checkpoints
    on_stage: OnStage
    on_finding: OnFinding
    name: str = ""

    def run(self) -> Trained:
        """Train every part that the definition asks for.

        Raises
        ------
        NothingToTrainError
            If it asks for none, or the ranker has no examples.
        """
        definition = self.view.definition
        listed = any(source.kind == "item_to_item" for source in definition.sources)
        if not listed and definition.retrieval is None and definition.ranker is None:
            raise NothingToTrainError(
                f"{definition.surface!r} has nothing to train; give it a ranker, a retrieval model or the source item_to_item"
            )
        if listed:
            self._stage("item_to_item")
        similar = item_to_item(self.view, self.until) if listed else None
        retrieval = self._retrieval(definition.retrieval) if definition.retrieval else None
        ranker = self._ranker(definition.ranker) if definition.ranker else None
        return Trained(ranker, retrieval, similar)

    def _ranker(self, declared: FeedSR | DCNv2) -> TrainedRanker:
        self._stage("examples")
        rows = examples(self.view, self.encoder, 0, self.until, undated=True)
        if not len(rows):
            surface = self.view.definition.surface
            raise NothingToTrainError(f"no impression of {surface!r} lies before the split; hold back less")
        for finding in data_findings(self.view, self.encoder, rows):
            self.on_finding(finding)
        on_step = self._stage("ranker")

        def fit(checkpoint: Path) -> tuple[Ranker, int]:
            model = build_ranker(declared, self.encoder.schema, self.config.seed)
            report = train(model, rows.sequences, self.config, checkpoint, on_step, self.checkpoints.seconds)
            return model, report.resumed_at

        model, resumed_at = self.checkpoints.resume(f"{self.name}ranker", fit)
        return TrainedRanker(model, len(rows), examples_hash(self.view, rows), resumed_at)

    def _retrieval(self, declared: TwoTower) -> TwoTowerModel | None:
        """The retrieval model; None if there are too few positive outcomes to tell apart."""
        on_step = self._stage("retrieval")
        rows = retrieval_examples(self.view, self.encoder, 0, self.until, declared.recent)
        if len(rows.target) < 2:
            return None

        def fit(checkpoint: Path) -> TwoTowerModel:
            model = build_two_tower(declared, self.encoder.schema, self.config.seed)
            config = replace(RETRIEVAL_CONFIG, seed=self.config.seed)
            train_retrieval(model, rows, config, checkpoint, on_step, self.checkpoints.seconds)
            return model

        return self.checkpoints.resume(f"{self.name}retrieval", fit)

    def _stage(self, part: str) -> OnStep:
        return self.on_stage(f"{self.name}{part}")
