"""What is wrong with actions, features and the trained model is said, with what to do about it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from fourfold.features.encoding import Encoder
from fourfold.training.evaluation import ActionMetrics
from fourfold.training.examples import Examples, examples
from fourfold.training.findings import data_findings, outcome_findings
from fourfold.training.manifest import ActionCalibration, CalibrationReport, Finding
from tests.training.test_leaks import END, FEED, Log

CLEAN = {("rare_action", "like"), ("missing_feature", "wealth"), ("missing_feature", "item.label")}
"""What is found of the log as it is: it has ten likes, less one, and nothing of those two attributes."""


def made() -> tuple[Log, Examples]:
    log = Log()
    log.events = [event for event in log.events if event.id != "like0"]
    return log, examples(log.view, Encoder(FEED), 0, END)


def found(log: Log, rows: Examples) -> list[Finding]:
    return data_findings(log.view, Encoder(FEED), rows)


def kinds(findings: Sequence[Finding]) -> set[tuple[str, str]]:
    return {(finding.kind, finding.subject) for finding in findings}


def relabelled(rows: Examples, action: int, labels: np.ndarray | float) -> Examples:
    changed = rows.sequences.labels.copy()
    changed[:, action] = np.asarray(labels, np.float32)
    return replace(rows, sequences=replace(rows.sequences, labels=changed))


def problem(findings: Sequence[Finding], kind: str) -> str:
    (one,) = [finding for finding in findings if finding.kind == kind]
    return str(one)


def test_a_log_is_said_to_lack_what_it_lacks() -> None:
    log, rows = made()
    assert kinds(found(log, rows)) == CLEAN
    assert problem(found(log, rows), "rare_action").startswith("like: followed 9 of the 600 impressions")


def test_actions_that_are_rare_absent_or_constant() -> None:
    log, rows = made()
    few = found(log, relabelled(rows, 1, np.arange(600) < 10))
    assert kinds(few) == CLEAN - {("rare_action", "like")}
    none = found(log, relabelled(rows, 1, 0))
    assert "followed none of the 600 impressions of which that is known; it cannot be learned yet" in problem(
        none, "rare_action"
    )
    always = problem(found(log, relabelled(rows, 0, 1)), "constant_action")
    assert always.startswith("click: followed every one of the 600 impressions; nothing can be learned from it")
    known = np.where(np.arange(600) < 15, 1, np.nan)
    assert "every one of the 15 impressions" in problem(found(log, relabelled(rows, 0, known)), "constant_action")
    unknown = problem(found(log, relabelled(rows, 1, np.nan)), "rare_action")
    assert "followed none of the 0 impressions of which that is known" in unknown


def test_features_that_are_constant_or_missing() -> None:
    log = Log()
    for post in range(40):
        log.upsert(int(log.time[0]) - 1, f"p{post}", size=2.5, topic="same", label="x" if post else None)
    rows = examples(log.view, Encoder(FEED), 0, END)
    assert {("constant_feature", "size"), ("constant_feature", "item.topic")} <= kinds(found(log, rows))
    assert not {("constant_feature", "item.label"), ("missing_feature", "item.label")} & kinds(found(log, rows))
    early = rows.sequences.early.copy()
    early[6:, 0] = np.nan
    missing = found(log, replace(rows, sequences=replace(rows.sequences, early=early)))
    assert ("missing_feature", "size") in kinds(missing)
    early[:60, 0] = 2.5
    missing = found(log, replace(rows, sequences=replace(rows.sequences, early=early)))
    assert not {("missing_feature", "size"), ("constant_feature", "size")} & kinds(missing), (
        "that it is missing tells something"
    )


def test_of_a_handful_of_rows_only_actions_are_spoken_of() -> None:
    log, _ = made()
    rows = examples(log.view, Encoder(FEED), int(log.time[-90]), END)
    assert kinds(found(log, rows)) == {("rare_action", "like")}
    nothing = examples(log.view, Encoder(FEED), END, END + 1)
    assert kinds(found(log, nothing)) == {("rare_action", "click"), ("rare_action", "like")}


def judged(positives: int, ne: float | None, high: float, popularity: float | None) -> ActionMetrics:
    return ActionMetrics(
        impressions=99,
        positives=positives,
        auc=0.4,
        auc_ci=(0.3, high),
        member_auc=None,
        ne=ne,
        ece=0.1,
        popularity_auc=popularity,
    )


def test_models_that_are_worse_than_knowing_nothing_or_than_popularity() -> None:
    actions = {
        "fine": judged(10, 0.999, 0.55, 0.5),
        "prior": judged(10, 1.0, 0.55, 0.5),
        "popular": judged(10, 0.9, 0.45, 0.5),
        "undefined": judged(10, None, 0.45, None),
        "few": judged(9, 1.5, 0.45, 0.5),
    }
    told = outcome_findings(actions, None)
    assert kinds(told) == {("worse_than_prior", "prior"), ("worse_than_popularity", "popular")}
    assert str(told[1]) == (
        "popular: popularity alone orders better (AUC 0.500) than the model (0.400); a small log wants more --epochs"
    )


def test_calibration_that_drifts() -> None:
    def action(method: Literal["platt", "isotonic", "none"], before: float, after: float | None) -> ActionCalibration:
        return ActionCalibration(method=method, impressions=9, positives=4, ece_before=before, ece_after=after)

    actions = {"better": action("platt", 0.1, 0.05), "worse": action("isotonic", 0.02, 0.05), "no": action("none", 0.1, 0.1)}
    actions["unchecked"] = action("platt", 0.1, None)
    report = CalibrationReport(first=0, last=1, checked_until=2, actions=actions)
    assert "from 0.020 to 0.050" in problem(outcome_findings({}, report), "calibration_drifts")
