"""Calibration fitted on held-out time: probabilities that come true, so that utilities weigh what they seem to.

The held-out requests are split in two by time. The earlier half says how probabilities must be bent; the later half, which
the fit does not see, says whether that helped.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit
from sklearn.isotonic import IsotonicRegression

from fourfold.features.inputs import Floats
from fourfold.models.calibration import KNOTS
from fourfold.models.ranker import Ranker
from fourfold.training.examples import Examples
from fourfold.training.manifest import ActionCalibration, CalibrationReport
from fourfold.training.metrics import calibration_error
from fourfold.training.prediction import predict_logits

Doubles = NDArray[np.float64]

PLATT_LEAST = 20
"""Outcomes of the rarer kind below which nothing is fitted: two numbers from fewer would be noise."""

ISOTONIC_LEAST = 1000
"""From so many on a free monotone curve beats a sigmoid (Niculescu-Mizil and Caruana, ICML 2005, section 4)."""

PER_KNOT = 16
"""Outcomes of the rarer kind behind each knot, on average."""

CLOSEST_KNOTS, CLOSEST_VALUES = 0.1, 1e-3
"""Knots at least so far apart (logits): a steep step would multiply the rounding in which cached and uncached scores differ,
a flat one would make ties."""

SLOPES = (0.05, 20.0)
"""Bounds of a Platt slope: above zero, so that even a useless model keeps its order."""


@dataclass(frozen=True)
class Curve:
    """The map of one action's logits: knots and values, both (K,), strictly increasing; no method: the identity."""

    method: Literal["isotonic", "platt", "none"]
    knots: Doubles
    values: Doubles


def calibrate(ranker: Ranker, rows: Examples) -> CalibrationReport | None:
    """Fit a ranker's calibration on the earlier half of held-out rows and check it on the later half.

    Parameters
    ----------
    ranker : Ranker
        Trained on what lies before the rows; its calibration is replaced.
    rows : Examples
        The held-out impressions. Outcomes that are not known (NaN) are left out.

    Returns
    -------
    CalibrationReport or None
        None, and no calibration, if no action has `PLATT_LEAST` outcomes of both kinds in the earlier half.
    """
    ranker.calibration.reset()
    used = np.flatnonzero(rows.sequences.weight > 0)
    request, labels = rows.request[used], rows.sequences.labels[used]
    middle = int(np.quantile(request, 0.5, method="higher")) if len(used) else 0
    early = request < middle
    logits = predict_logits(ranker, rows.sequences)[used]
    curves = [fit_curve(logits[early, column], labels[early, column]) for column in range(labels.shape[1])]
    if all(curve.method == "none" for curve in curves):
        return None
    before = _errors(ranker, logits[~early], labels[~early])
    knots, values = (torch.from_numpy(np.stack([getattr(curve, name) for curve in curves])) for name in ("knots", "values"))
    ranker.calibration.set(knots, values)
    after = _errors(ranker, logits[~early], labels[~early])
    columns = zip(ranker.schema.actions, curves, labels[early].T, before, after, strict=True)
    return CalibrationReport(
        first=int(request.min()),
        last=middle,
        checked_until=int(request.max()) + 1,
        actions={name: _reported(*column) for name, *column in columns},
    )


def fit_curve(logits: Floats, labels: Floats) -> Curve:
    """The map of one action: isotonic, Platt or none, by how many outcomes of the rarer kind there are.

    Parameters
    ----------
    logits, labels : float32 array, shape (N,)
        Uncalibrated logits and outcomes; a NaN outcome is not known.
    """
    known = ~np.isnan(labels)
    score, label = logits[known].astype(np.float64), labels[known].astype(np.float64)
    rarer = min(label.sum(), len(label) - label.sum())
    if rarer < PLATT_LEAST:
        return Curve("none", np.arange(KNOTS, dtype=float), np.arange(KNOTS, dtype=float))
    return _isotonic(score, label, int(rarer)) if rarer >= ISOTONIC_LEAST else _platt(score, label)


def _platt(score: Doubles, label: Doubles) -> Curve:
    """A line through the logits by maximum likelihood, with Platt's targets, which keep separable data finite (1999)."""
    positives, negatives = label.sum(), len(label) - label.sum()
    target = np.where(label > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(line: Doubles) -> tuple[float, Doubles]:
        bent = line[0] * score + line[1]
        wrong = expit(bent) - target
        value = -(target * log_expit(bent) + (1 - target) * log_expit(-bent)).mean()
        return float(value), np.array([(wrong * score).mean(), wrong.mean()])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[SLOPES, (None, None)]).x
    knots = np.linspace(-KNOTS / 2, KNOTS / 2, KNOTS, dtype=np.float64)
    return Curve("platt", knots, np.asarray(slope * knots + offset, np.float64))


def _isotonic(score: Doubles, label: Doubles, rarer: int) -> Curve:
    """Isotonic regression over bins of equal count, its steps joined by lines from middle to middle."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, min(KNOTS - 2, rarer // PER_KNOT) + 1)[1:-1]))
    place = np.searchsorted(edges, score, side="right")
    count, total, positives = (np.bincount(place, values).astype(np.float64) for values in (label >= 0, score, label))
    filled = count > 0
    count, middle, positives = count[filled], total[filled] / count[filled], positives[filled]
    rate = (positives + label.mean()) / (count + 1)  # one observation at the mean keeps rates off 0 and 1
    fitted = IsotonicRegression().fit_transform(middle, rate, sample_weight=count + 1)
    knots, values = _merged(middle, logit(fitted), count)
    return Curve("isotonic", *_extended(knots, values))


def _merged(knots: Doubles, values: Doubles, weight: Doubles) -> tuple[Doubles, Doubles]:
    """Join neighbours that stand too close in either direction into their weighted mean."""
    kept: list[tuple[float, float, float]] = []
    for row in zip(knots.tolist(), values.tolist(), weight.tolist(), strict=True):
        kept.append(row)
        while len(kept) > 1 and (kept[-1][0] - kept[-2][0] < CLOSEST_KNOTS or kept[-1][1] - kept[-2][1] < CLOSEST_VALUES):
            (x0, y0, w0), (x1, y1, w1) = kept.pop(-2), kept.pop()
            total = w0 + w1
            kept.append(((x0 * w0 + x1 * w1) / total, (y0 * w0 + y1 * w1) / total, total))
    return np.array([row[0] for row in kept]), np.array([row[1] for row in kept])


def _extended(knots: Doubles, values: Doubles) -> tuple[Doubles, Doubles]:
    """Fill up to `KNOTS`, so that beyond the outer knots a logit moves as the model says: by one for one."""
    steps = np.arange(1, KNOTS - len(knots))
    filled = [np.concatenate([[ends[0] - 1], ends, ends[-1] + steps]) for ends in (knots, values)]
    return filled[0], filled[1]


@torch.inference_mode()
def _errors(ranker: Ranker, logits: Floats, labels: Floats) -> list[float | None]:
    """Each action's calibration error as the ranker is calibrated now; None where no outcome is known."""
    probabilities = ranker.probabilities(torch.from_numpy(logits)).numpy()
    known = ~np.isnan(labels)
    return [
        calibration_error(label[mask], probability[mask]) if mask.any() else None
        for label, probability, mask in zip(labels.T, probabilities.T, known.T, strict=True)
    ]


def _reported(curve: Curve, labels: Floats, before: float | None, after: float | None) -> ActionCalibration:
    return ActionCalibration(
        method=curve.method,
        impressions=int((~np.isnan(labels)).sum()),
        positives=int(np.nansum(labels)),
        ece_before=before,
        ece_after=after,
    )
