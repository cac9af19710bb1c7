"""The event log's commands: all of a file or nothing, out and in again, and no event dropped that is still needed."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.commands import Cli

EVENT = {"event": "impression", "id": "i0", "time": 1_704_067_200_000, "viewer": "m0", "item": "p0", "surface": "feed"}


def lines(folder: Path, count: int = 3, name: str = "events.jsonl") -> Path:
    file = folder / name
    file.write_text("\n".join(json.dumps(EVENT | {"id": f"i{n}", "time": n}) for n in range(count)) + "\n\n")
    return file


def test_append_from_a_file_and_from_standard_input(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = lines(tmp_path)
    assert cli.ok("events", "append", file, "--json").document == {"appended": 3, "first": 0, "next": 3}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(EVENT).encode())))
    assert cli.ok("events", "append", "-", "--json").document == {"appended": 1, "first": 3, "next": 4}
    assert cli.ok("events", "append", file).out == "appended 3 events at offset 4\n"


def test_all_of_a_file_or_nothing(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    for bad in ('{"event": "impression"}', "nonsense", json.dumps(EVENT | {"time": -1}), json.dumps(EVENT | {"viewer": ""})):
        file.write_text(json.dumps(EVENT) + "\n" + bad + "\n")
        error = cli("events", "append", file).error
        assert "line 2" in error
        assert "nothing was appended" in error
    cli.home.mkdir(exist_ok=True)
    assert cli.ok("status", "--json").document["log"]["end"] == 0
    file.write_text("")
    assert cli.ok("events", "append", file, "--json").document["appended"] == 0
    assert "No such file" in cli("events", "append", tmp_path / "nowhere").error


def test_out_and_in_again(cli: Cli, tmp_path: Path) -> None:
    cli.ok("events", "append", lines(tmp_path))
    folder = tmp_path / "export"
    assert cli.ok("events", "export", folder, "--json").document == {"exported": 3, "folder": str(folder)}
    assert "exists already" in cli("events", "export", folder).error
    other = ("--home", tmp_path / "other")
    assert cli.ok("events", "restore", folder, *other, "--json").document == {"restored": 3}
    assert cli.ok("status", *other, "--json").document["log"]["end"] == 3
    assert "name a folder that" in cli("events", "restore", tmp_path).error


def test_retain_keeps_what_a_consumer_has_not_taken(cli: Cli, tmp_path: Path) -> None:
    for _ in range(2):
        cli.ok("events", "append", lines(tmp_path))
    kept = "the log now starts at offset 0; 0 to 2 share a stored batch with newer events\n"
    assert cli.ok("events", "retain", 2).out == kept
    assert cli.ok("events", "retain", 3, "--json").document == {"start": 3}
    assert cli.ok("events", "retain", 3).out == "the log now starts at offset 3\n"
    assert "the log ends at 6" in cli("events", "retain", 99).error
    for command in (("export", tmp_path / "x"), ("retain", 1)):
        assert "there is no home at" in cli("events", *command, "--home", tmp_path / "nowhere").error
    assert not (tmp_path / "nowhere").exists()
