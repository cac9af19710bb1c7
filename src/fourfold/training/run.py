"""One training run of a surface: trained, calibrated and judged on held-out time, and published as a version.

If asked to, what is published is trained once more on everything, so that it has seen the newest days.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from msgspec import Struct

from fourfold.features.encoding import Encoder
from fourfold.features.table import Int
from fourfold.features.view import NEVER, View
from fourfold.training.calibration import calibrate
from fourfold.training.described import Judged, manifest_of, rows_before
from fourfold.training.evaluation import ActionMetrics, action_metrics, judge
from fourfold.training.examples import examples
from fourfold.training.findings import outcome_findings
from fourfold.training.loop import TrainingConfig
from fourfold.training.manifest import CalibrationReport, Finding, HeldOut
from fourfold.training.parts import Checkpoints, NothingToTrainError, OnFinding, OnStage, Trained, Training
from fourfold.training.registry import Registry

REFIT = "refit-"
"""Before the names of stages and checkpoints of the second training."""


class TrainingOutcome(Struct, frozen=True, kw_only=True):
    """What a run made: the new version, what it was trained and judged on, how well it did, and what was found.

    `examples` and `trained_until` are of the published weights; `actions` and `calibration` of the judged ones, which had not
    seen `held_out`: the same weights, unless `refit`. `resumed_at` counts the ranker's steps that an earlier process had done,
    of both trainings.
    """

    surface: str
    version: str
    kind: str
    examples: int
    resumed_at: int
    refit: bool
    trained_until: int
    held_out: HeldOut | None
    actions: dict[str, ActionMetrics]
    calibration: CalibrationReport | None
    findings: list[Finding]


def split_time(view: View, holdout: float) -> int:
    """The time from which on the last `holdout` part of all dated impressions is held back (0: none)."""
    if not len(view.table("impression")):
        raise NothingToTrainError(
            f"surface {view.definition.surface!r} has no impressions yet; import or post events of it, then train"
        )
    times = _dated_impressions(view)
    if not holdout or not len(times):
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
    on_finding: OnFinding = lambda _: None,
    checkpoint_seconds: float = 60.0,
    refit: bool = False,
) -> TrainingOutcome:
    """Train on impressions before `until`, calibrate and judge on those from then on, publish a version.

    Promoting it is another step. Where held-out time allows calibration, its earlier half calibrates and only its later half
    judges; else all of it judges.

    Parameters
    ----------
    view : View
        The state; everything in it from `until` on is hidden from the training that is judged.
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
    on_finding : callable, optional
        Called with what is found wrong, as soon as it is found.
    checkpoint_seconds : float
        Time between two saves; 0 saves after every step.
    refit : bool
        Publish weights that are trained anew on everything, with the same settings and the calibration of the judged ones.

    Raises
    ------
    NothingToTrainError
        If the definition has no part that is trained, or there is nothing to train it on.
    """
    findings = list[Finding]()

    def found(finding: Finding) -> None:
        findings.append(finding)
        on_finding(finding)

    saved = Checkpoints(checkpoints, view.definition.surface, checkpoint_seconds)
    training = Training(view, Encoder(view.definition), until, config, saved, on_stage, found)
    trained = training.run()
    judged = _judged(training, trained)
    for finding in outcome_findings(judged.actions, judged.calibration):
        found(finding)
    resumed_at, refit = _resumed_at(trained), refit and view.newest_time >= until
    if refit:
        training = replace(training, until=view.newest_time + 1, on_finding=lambda _: None, name=REFIT)
        again = training.run()
        trained, resumed_at = _calibrated_as(trained, again), resumed_at + _resumed_at(again)
    manifest = manifest_of(training, trained, judged, created=created, refit=refit, findings=findings)
    version = registry.publish(manifest, lambda folder: trained.write(view, folder))
    saved.clear()
    return TrainingOutcome(
        surface=manifest.surface,
        version=version,
        kind=manifest.kind,
        examples=manifest.data.examples,
        resumed_at=resumed_at,
        refit=refit,
        trained_until=training.until,
        held_out=judged.held_out,
        actions=judged.actions,
        calibration=judged.calibration,
        findings=findings,
    )


def _judged(training: Training, trained: Trained) -> Judged:
    """Calibrate the ranker on the earlier half of what was held back, and judge it on the rest."""
    view, until = training.view, training.until
    end = view.newest_time + 1
    if trained.ranker is None or end <= until:
        return Judged()
    ranker = trained.ranker.model
    training.on_stage("calibrate")
    rows = examples(view, training.encoder, until, end)
    calibration = calibrate(ranker, rows)
    judged_from = calibration.last if calibration else until
    training.on_stage("evaluate")
    later = replace(rows.sequences, weight=np.where(rows.request >= judged_from, rows.sequences.weight, np.float32(0)))
    found = judge(ranker, view, [replace(rows, sequences=later)], judged_from)
    held_out = HeldOut(first=until, judged_from=judged_from, last=end)
    return Judged(held_out, action_metrics(view.definition, found), calibration)


def _calibrated_as(judged: Trained, again: Trained) -> Trained:
    """The second training with the calibration of the first: there is no later time left to fit one on."""
    if judged.ranker is not None and again.ranker is not None:
        again.ranker.model.calibration.load_state_dict(judged.ranker.model.calibration.state_dict())
    return again


def _resumed_at(trained: Trained) -> int:
    return trained.ranker.resumed_at if trained.ranker else 0


def _dated_impressions(view: View) -> Int:
    """The times of all impressions whose time says more than their order."""
    shown = rows_before(view, "impression", NEVER)
    if not len(shown["time"]):
        return shown["time"]
    times: Int = shown["time"][view.details.of(shown["details"]).dated]
    return times
