"""Parity from the command line: nothing differs, and what is planted is found and ends with 1."""

import json
from pathlib import Path

import pytest

from fourfold.features import replay
from fourfold.features.numbers import numbers
from tests.cli.commands import Cli
from tests.strategies import HOUR, START, TINY


def home(cli: Cli, folder: Path) -> None:
    """Twelve impressions, hour after hour, then one that is late."""
    definition = folder / "definition.json"
    definition.write_text(TINY.to_json())
    cli.ok("define", definition)
    shown = {"event": "impression", "viewer": "m0", "item": "p0", "surface": "feed"}
    events = [shown | {"id": f"i{n}", "time": START + n * HOUR} for n in [*range(12), 4]]
    events[-1]["id"] = "late"
    file = folder / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, events)))
    cli.ok("events", "append", file)


def test_parity(cli: Cli, tmp_path: Path) -> None:
    home(cli, tmp_path)
    found = cli.ok("features", "parity", "feed", "--piece", 3, "--json").document
    assert (found["surface"], found["mismatches"], found["events"], found["impressions"]) == ("feed", 0, 13, 13)
    assert found["late_events"] == 1
    assert found["features"]["shown"] == {"values": 13, "mismatches": 0, "late": 7, "first": None}
    assert set(found["features"]) == {feature.name for feature in TINY.features}
    newest = cli.ok("features", "parity", "feed", "--events", 2)
    assert "2 events replayed" in newest.out
    assert "every value is the same" in newest.out
    assert not list(cli.home.glob("state/*/files/*")), "it leaves the home alone"


def test_a_planted_mismatch_ends_with_one(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home(cli, tmp_path)

    def ahead(view, features, viewers, items, times, context):  # type: ignore[no-untyped-def]
        return numbers(view, features, viewers, items, times + 1, context)

    monkeypatch.setattr(replay, "numbers", ahead)
    answer = cli("features", "parity", "feed", "--json")
    assert answer.code == 1
    first = answer.document["features"]["shown"]["first"]
    assert first == {"viewer": "m0", "item": "p0", "time": START, "streamed": 0.0, "batch": 1.0}
    assert "m0, p0 at 2024-01-01T00:00:00+00:00: 0.0 streamed, 1.0 in batch" in cli("features", "parity", "feed").out


def test_what_is_not_there(cli: Cli, tmp_path: Path) -> None:
    assert "there is no home" in cli("features", "parity", "feed").error
    home(cli, tmp_path)
    assert "has no surface 'other'" in cli("features", "parity", "other").error
