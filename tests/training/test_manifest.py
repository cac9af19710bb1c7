"""Manifests: those of before still load, and what nobody has seen begins where training and calibration both ended."""

from pathlib import Path

import msgspec
import pytest

from fourfold.training.manifest import CalibrationReport, Finding, Manifest, TrainingData
from fourfold.training.registry import MANIFEST, Registry
from tests.training.test_registry import manifest_of, writes


def test_a_manifest_of_the_first_format_loads(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    version = registry.publish(manifest_of(), writes())
    path = tmp_path / "feed" / version / MANIFEST
    old = msgspec.json.decode(path.read_bytes())
    for name in ("intervals", "schema", "settings", "refit", "calibration", "findings", "torch"):
        del old[name]
    for name in ("examples", "hash"):
        del old["data"][name]
    path.write_bytes(msgspec.json.encode(old | {"format": 1}))
    manifest, _ = registry.load("feed", version)
    assert (manifest.format, manifest.calibration, manifest.findings, manifest.refit) == (1, None, [], False)
    assert manifest.data == TrainingData(events=10, first=5, last=9, offset=12)
    assert manifest.unseen_since == 9


@pytest.mark.parametrize(("trained", "calibrated", "unseen"), [(9, None, 9), (9, 20, 20), (30, 20, 30)])
def test_unseen_time_begins_after_training_and_calibration(trained: int, calibrated: int | None, unseen: int) -> None:
    report = CalibrationReport(first=9, last=calibrated, checked_until=25, actions={}) if calibrated else None
    data = TrainingData(events=1, first=1, last=trained, offset=1)
    manifest: Manifest = msgspec.structs.replace(manifest_of(), data=data, calibration=report)
    assert manifest.unseen_since == unseen


def test_a_finding_reads_as_one_line() -> None:
    finding = Finding(kind="rare_action", subject="like", problem="3 positives", advice="wait for more")
    assert str(finding) == "like: 3 positives; wait for more"
