"""Whether what a version is asked about still looks like what it was judged on: each input and each predicted probability.

Impressions are compared with impressions, so that both sides are the same kind of thing. Nothing of it runs in a request.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.stats import chi2

from fourfold.durable.files import write_file
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats
from fourfold.features.view import View
from fourfold.models.ranker import Ranker
from fourfold.training.columns import input_columns
from fourfold.training.evaluation import predict
from fourfold.training.examples import Examples, examples
from fourfold.training.manifest import Manifest

SAMPLE = 50_000
"""Impressions of each side that are compared at most, evenly spaced."""

FEWEST = 100
"""With fewer on a side, nothing can be said."""

BINS = 10
MODERATE, MAJOR = 0.1, 0.25
"""What is usually called a moderate and a major change of a population (Siddiqi, Credit Risk Scorecards, 2006)."""

_LEAST_SHARE = 1e-4
"""Stands in for a bin that is empty on one side, which would make the index infinite."""

Values = NDArray[np.float64]


class DriftError(ValueError):
    """Nothing can be compared; the message says what is missing."""


class InputDrift(Struct, frozen=True, kw_only=True):
    """How one input or probability changed.

    Parameters
    ----------
    kind, name : str
        ``"feature"`` and the input's name, or ``"score"`` and the action's.
    psi : float
        Population stability index over ten equal-count bins of the reference, and one for missing values: the sum of
        ``(p - q) ln(p / q)``.
    noise : float
        What `psi` stays below in 95 of 100 cases where nothing changed: ``(1/n + 1/m)`` times a chi-squared quantile
        (Yurdakul and Naranjo, Statistical properties of the population stability index, 2020). Impressions of one member are
        alike, so it is rather more in truth.
    ks : float or None
        Largest distance of the two distribution functions, of the values that are not missing; None if there are none.
    verdict : str
        ``"stable"``, ``"moderate"`` or ``"major"``.
    """

    kind: Literal["feature", "score"]
    name: str
    psi: float
    noise: float
    ks: float | None
    verdict: Literal["stable", "moderate", "major"]


class Period(Struct, frozen=True, kw_only=True):
    """Impressions with request times from `first` to before `last` (ms)."""

    first: int
    last: int
    impressions: int


class DriftReport(Struct, frozen=True, kw_only=True):
    """All inputs and probabilities of one version, those that changed most first."""

    surface: str
    version: str
    reference: Period
    recent: Period
    inputs: list[InputDrift]

    def largest(self, kind: str) -> float | None:
        """The largest index of a kind that is beyond noise; 0 if none is, None if none was measured."""
        found = [one.psi if one.psi > one.noise else 0.0 for one in self.inputs if one.kind == kind]
        return max(found, default=None)


def drift(view: View, manifest: Manifest, ranker: Ranker | None, since: int) -> DriftReport:
    """Compare the impressions from `since` (ms) on, as far as the version has not seen them, with those it was judged on.

    Raises
    ------
    DriftError
        If the version was judged on nothing, or there are too few impressions on a side.
    """
    if manifest.held_out is None:
        raise DriftError(f"{manifest.version} was judged on nothing; train with a holdout to have something to compare with")
    encoder, held_out = Encoder(view.definition), manifest.held_out
    first = max(since, held_out.last, manifest.unseen_since)
    reference = examples(view, encoder, held_out.judged_from, held_out.last)
    recent = examples(view, encoder, first, view.newest_time + 1)
    for rows, what in ((reference, "that the version was judged on"), (recent, "since then")):
        if len(rows) < FEWEST:
            raise DriftError(f"{len(rows)} impressions {what} are too few to compare; it takes {FEWEST}")
    before, after = (dict(_columns(rows, encoder, ranker)) for rows in (reference, recent))
    found = [compared(*key, before[key], after[key]) for key in before]
    return DriftReport(
        surface=manifest.surface,
        version=manifest.version,
        reference=Period(first=held_out.judged_from, last=held_out.last, impressions=len(reference)),
        recent=Period(first=first, last=view.newest_time + 1, impressions=len(recent)),
        inputs=sorted(found, key=lambda one: -one.psi),
    )


def compared(kind: Literal["feature", "score"], name: str, reference: Floats, recent: Floats) -> InputDrift:
    """How the values of one input changed; arrays of shape (N,) and (M,), NaN where a value is missing."""
    shares, others = _shares(reference, recent)
    index = float(((others - shares) * np.log(others / shares)).sum())
    noise = float(chi2.ppf(0.95, max(len(shares) - 1, 1)) * (1 / len(reference) + 1 / len(recent)))
    changed = index if index > noise else 0.0
    verdict: Literal["stable", "moderate", "major"] = (
        "major" if changed >= MAJOR else "moderate" if changed >= MODERATE else "stable"
    )
    return InputDrift(kind=kind, name=name, psi=index, noise=noise, ks=_distance(reference, recent), verdict=verdict)


def path_of(home: Path, surface: str) -> Path:
    """Where a home keeps the last report of a surface, for services to show."""
    return home / "drift" / f"{surface}.json"


def save(home: Path, report: DriftReport) -> Path:
    """Keep a report, in place of the last one."""
    path = path_of(home, report.surface)
    write_file(path, msgspec.json.format(msgspec.json.encode(report), indent=2))
    return path


def load(home: Path, surface: str) -> DriftReport | None:
    """The last report of a surface; None if there is none that can be read."""
    try:
        return msgspec.json.decode(path_of(home, surface).read_bytes(), type=DriftReport)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _columns(
    rows: Examples, encoder: Encoder, ranker: Ranker | None
) -> Iterator[tuple[tuple[Literal["feature", "score"], str], Floats]]:
    numbers: Mapping[str, Floats] = input_columns(rows, encoder.schema, SAMPLE).numbers
    for name, values in numbers.items():
        yield ("feature", name), values
    if ranker is not None:
        probabilities = predict(ranker, rows)[rows.sequences.weight > 0]
        for name, values in zip(encoder.schema.actions, probabilities.T, strict=True):
            yield ("score", name), values


def _shares(reference: Floats, recent: Floats) -> tuple[Values, Values]:
    """Which share of each side lies in each bin; the last is for what is missing. A bin that is empty on both is left out."""
    present = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1])) if len(present) else np.zeros(0)
    counts = np.stack([_counted(values, edges) for values in (reference, recent)])
    counts = counts[:, counts.any(axis=0)]
    shares = np.maximum(counts / counts.sum(axis=1, keepdims=True), _LEAST_SHARE)
    return shares[0], shares[1]


def _distance(reference: Floats, recent: Floats) -> float | None:
    """The Kolmogorov-Smirnov statistic of what is not missing."""
    sides = [np.sort(values[~np.isnan(values)]) for values in (reference, recent)]
    if not all(len(side) for side in sides):
        return None
    at = np.concatenate(sides)
    one, other = (np.searchsorted(side, at, side="right") / len(side) for side in sides)
    return float(np.abs(one - other).max())


def _counted(values: Floats, edges: NDArray[np.floating]) -> Values:
    missing = np.isnan(values)
    # From an edge on counts as above it, so that a value which is very common has a bin of its own.
    bins = np.where(missing, len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return np.bincount(bins, minlength=len(edges) + 2).astype(np.float64)
