"""What a training run says of the version that it publishes: the manifest, made of what was trained and how it was judged."""

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np
import torch

from fourfold import __version__
from fourfold.features.encoding import Encoder
from fourfold.features.table import Column
from fourfold.features.view import View
from fourfold.training.evaluation import ActionMetrics
from fourfold.training.manifest import CalibrationReport, Finding, HeldOut, Manifest, TrainingData
from fourfold.training.parts import Trained, Training


@dataclass(frozen=True)
class Judged:
    """What held-out time said of a ranker."""

    held_out: HeldOut | None = None
    actions: dict[str, ActionMetrics] = field(default_factory=dict)
    calibration: CalibrationReport | None = None


def manifest_of(
    training: Training, trained: Trained, judged: Judged, *, created: int, refit: bool, findings: list[Finding]
) -> Manifest:
    """The manifest of what `training` made, as `judged`, which may have been another training with the same settings."""
    view, config = training.view, training.config
    return Manifest(
        **_definition(view, training.encoder),
        created=created,
        data=_data(view, training.until, trained),
        seed=config.seed,
        settings=asdict(config),
        refit=refit,
        code=__version__,
        torch=str(torch.__version__),
        held_out=judged.held_out,
        metrics=_metrics(judged.actions),
        intervals=_intervals(judged.actions),
        calibration=judged.calibration,
        findings=findings,
    )


def rows_before(view: View, table: str, before: int) -> dict[str, Column]:
    """The rows of all viewers in a table before a time."""
    viewers = view.all_rows(view.definition.viewer.name)
    return view.table(table).slice(viewers, np.zeros_like(viewers), np.full_like(viewers, before))


def _definition(view: View, encoder: Encoder) -> dict[str, Any]:
    """What a manifest says of the definition."""
    definition = view.definition
    return {
        "surface": definition.surface,
        "kind": definition.ranker.kind if definition.ranker else "sources",
        "definition_hash": definition.hash,
        "trained_hash": definition.trained_hash,
        "definition": definition.to_dict(),
        "schema": msgspec.to_builtins(encoder.schema),
    }


def _metrics(actions: dict[str, ActionMetrics]) -> dict[str, float | None]:
    """Every number of what was judged, under ``ACTION.METRIC``."""
    return {
        f"{action}.{name}": value
        for action, found in actions.items()
        for name, value in msgspec.structs.asdict(found).items()
        if not name.endswith("_ci") and (value is None or isinstance(value, int | float))
    }


def _intervals(actions: dict[str, ActionMetrics]) -> dict[str, tuple[float, float]]:
    """Every 95 % interval of what was judged, under ``ACTION.METRIC``."""
    return {
        f"{action}.{name.removesuffix('_ci')}": value
        for action, found in actions.items()
        for name, value in msgspec.structs.asdict(found).items()
        if name.endswith("_ci") and value is not None
    }


def _data(view: View, until: int, trained: Trained) -> TrainingData:
    times = np.concatenate([rows_before(view, name, until)["time"] for name in ("impression", "action")])
    return TrainingData(
        events=len(times),
        first=int(times.min(initial=until)),
        last=until,
        offset=view.offset,
        examples=trained.ranker.examples if trained.ranker else 0,
        hash=trained.ranker.examples_hash if trained.ranker else None,
    )
