"""What a person should know of the data and of the model, each with what to do about it.

A run goes on whatever is found here: it is printed, and kept in the manifest. What makes training impossible is an error.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats
from fourfold.features.view import View
from fourfold.training.columns import InputColumns, input_columns
from fourfold.training.evaluation import ActionMetrics
from fourfold.training.examples import Examples
from fourfold.training.leaks import leaks
from fourfold.training.manifest import CalibrationReport, Finding

FEWEST_POSITIVES = 10
FEWEST_ROWS = 100
"""Examples below which nothing is said of features: everything is constant in a handful of rows."""

NEARLY_ALL = 0.99
SAMPLE = 50_000
"""Examples that the checks of features read at most, evenly spaced."""


def data_findings(view: View, encoder: Encoder, rows: Examples) -> list[Finding]:
    """What is wrong with training rows, before training: actions, features, and what looks like the future."""
    every = rows.sequences.labels[rows.sequences.weight > 0]
    found = list(_actions(encoder.schema.actions, every))
    columns = input_columns(rows, encoder.schema, SAMPLE)
    if len(columns) >= FEWEST_ROWS:
        found += [*_numbers(columns), *_categories(columns), *leaks(view, rows, columns)]
    return found


def outcome_findings(judged: Mapping[str, ActionMetrics], calibration: CalibrationReport | None) -> list[Finding]:
    """What is wrong with a trained model, from how it was judged and calibrated."""
    return [*_judged(judged), *_calibrated(calibration)]


def _actions(names: tuple[str, ...], labels: Floats) -> Iterator[Finding]:
    for name, label in zip(names, labels.T, strict=True):
        known = label[~np.isnan(label)]
        positives = int(known.sum())
        if positives == len(known) > 0:
            yield Finding(
                kind="constant_action",
                subject=name,
                problem=f"followed every one of the {positives:,} impressions",
                advice="nothing can be learned from it; import the impressions that it did not follow",
            )
        elif positives < FEWEST_POSITIVES:
            yield Finding(
                kind="rare_action",
                subject=name,
                problem=f"followed {positives or 'none'} of the {len(known):,} impressions of which that is known",
                advice="it cannot be learned yet; collect more, or take it out of the definition",
            )


def _numbers(columns: InputColumns) -> Iterator[Finding]:
    for name, values in columns.numbers.items():
        present = values[~np.isnan(values)]
        if len(present) <= (1 - NEARLY_ALL) * len(values):
            yield _missing(name, len(present), len(values))
        elif present.min() == present.max() and len(present) >= NEARLY_ALL * len(values):
            yield _constant(name, f"is always {present[0]:g}")


def _categories(columns: InputColumns) -> Iterator[Finding]:
    for name, ids in columns.categories.items():
        present = int((ids > 0).any(axis=1).sum())
        if present <= (1 - NEARLY_ALL) * len(ids):
            yield _missing(name, present, len(ids))
        elif (ids == ids[0]).all():
            yield _constant(name, "always has the same value")


def _missing(name: str, present: int, count: int) -> Finding:
    return Finding(
        kind="missing_feature",
        subject=name,
        problem=f"is known for {present or 'none'} of {count:,} examples",
        advice="see that it is imported, with times before the impressions, or take it out of the definition",
    )


def _constant(name: str, problem: str) -> Finding:
    advice = "it tells nothing; see that it is imported as meant, or take it out of the definition"
    return Finding(kind="constant_feature", subject=name, problem=problem, advice=advice)


def _judged(judged: Mapping[str, ActionMetrics]) -> Iterator[Finding]:
    for name, found in judged.items():
        if found.positives < FEWEST_POSITIVES:
            continue
        if found.ne is not None and found.ne >= 1:
            yield Finding(
                kind="worse_than_prior",
                subject=name,
                problem=f"the model predicts it worse than its mean rate does (normalised entropy {found.ne:.3f})",
                advice="train on more data or with fewer epochs, and see what else is found",
            )
        if found.auc_ci and found.popularity_auc is not None and found.auc_ci[1] < found.popularity_auc:
            yield Finding(
                kind="worse_than_popularity",
                subject=name,
                problem=f"popularity alone orders better (AUC {found.popularity_auc:.3f}) than the model ({found.auc:.3f})",
                advice="a small log wants more --epochs",
            )


def _calibrated(calibration: CalibrationReport | None) -> Iterator[Finding]:
    for name, found in (calibration.actions if calibration else {}).items():
        before, after = found.ece_before, found.ece_after
        if found.method != "none" and before is not None and after is not None and after > before + 0.01:
            yield Finding(
                kind="calibration_drifts",
                subject=name,
                problem=f"calibration raised its error on later impressions from {before:.3f} to {after:.3f}",
                advice="its rate changes with time; hold back less, and train more often",
            )
