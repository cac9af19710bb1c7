"""What a version says of itself: where it came from, what it was judged and calibrated on, and what was found wrong.

A manifest holds all that decided the weights, so that a version can be made again and two versions compared.
"""

from typing import Any, Literal

from msgspec import Struct


class Artefact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a version: SHA-256 in hexadecimal and size in bytes."""

    sha256: str
    size: int


class TrainingData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model has seen: `events` events with times from `first` to before `last` (ms), from the log below `offset`.

    `hash` names the ranker's examples and their outcomes, in whatever order they arrived; None without a ranker.
    """

    events: int
    first: int
    last: int
    offset: int
    examples: int = 0
    hash: str | None = None


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something about data or model that a person should know: what kind of thing, of what, what is wrong, what to do."""

    kind: str
    subject: str
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}; {self.advice}"


class HeldOut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time (ms) that the judged model did not see, from `first` to before `last`; it was judged from `judged_from` on."""

    first: int
    judged_from: int
    last: int


class ActionCalibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one action was calibrated.

    Parameters
    ----------
    method : str
        ``"isotonic"``, ``"platt"``, or ``"none"`` where there was too little to go by.
    impressions, positives : int
        What it was fitted on.
    ece_before, ece_after : float or None
        Expected calibration error without and with it, on later impressions that it did not see.
    """

    method: Literal["isotonic", "platt", "none"]
    impressions: int
    positives: int
    ece_before: float | None
    ece_after: float | None


class CalibrationReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calibration on requests with times in ``[first, last)`` (ms), checked on those in ``[last, checked_until)``."""

    first: int
    last: int
    checked_until: int
    actions: dict[str, ActionCalibration]


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one version is and where it came from. `publish` fills in `version` and `files`.

    Parameters
    ----------
    surface, kind : str
        What it serves, and which model it is, such as ``"feed_sr"``.
    created : int
        Milliseconds.
    definition_hash, trained_hash : str
        Of the definition, and of the parts that weights depend on.
    definition : dict
        The definition as plain data.
    data : TrainingData
        What the weights were trained on.
    seed : int
        Of first weights, order and dropout.
    code, torch : str
        Versions of Fourfold and of PyTorch that trained it.
    held_out : HeldOut, optional
        The time behind `metrics`; None if nothing was judged.
    metrics, intervals : dict
        ``ACTION.METRIC`` as judged on held-out time, and 95 % intervals; a metric that is undefined is None.
    schema : dict
        The model's inputs: id fields with buckets and widths, early and late numbers, actions.
    settings : dict
        How the ranker was trained.
    refit : bool
        Whether the weights were trained anew on everything, held-out time included, after another model with the same settings
        had been judged and calibrated: then metrics and calibration are that one's.
    calibration : CalibrationReport, optional
        None if nothing was held back, or too little for any action.
    findings : list of Finding
        What was found wrong.
    """

    surface: str
    kind: str
    created: int
    definition_hash: str
    trained_hash: str
    definition: dict[str, Any]
    data: TrainingData
    seed: int
    code: str
    metrics: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float]] = {}
    schema: dict[str, Any] = {}
    settings: dict[str, float] = {}
    refit: bool = False
    held_out: HeldOut | None = None
    calibration: CalibrationReport | None = None
    findings: list[Finding] = []
    torch: str = ""
    version: str = ""
    files: dict[str, Artefact] = {}
    format: Literal[1, 2] = 2

    @property
    def unseen_since(self) -> int:
        """The time (ms) from which on nothing taught or calibrated this version: judge it from there."""
        return max(self.data.last, self.calibration.last if self.calibration else 0)
