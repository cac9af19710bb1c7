"""What is in a home, as a table, as JSON and as a page."""

import io
import json
from pathlib import Path

import pytest

from tests.cli.commands import Cli
from tests.cli.test_setup import movielens


@pytest.fixture
def filled(cli: Cli, tmp_path: Path) -> Cli:
    cli.ok("define", "movielens")
    cli.ok("import", "movielens", "--from", movielens(tmp_path / "data"))
    return cli


def test_a_table_and_json(filled: Cli) -> None:
    (found,) = filled.ok("data", "describe", "feed", "--json").document["surfaces"]
    assert (found["surface"], found["events"]["impression"], found["members"]["count"]) == ("feed", 3, 2)
    rates = {one["name"]: one["rate"] for one in found["actions"]}
    assert rates == {"like": 2 / 3, "love": 1 / 3, "dislike": 1 / 3}
    answer = filled.ok("data", "describe")
    for said in (
        "feed: what is there",
        "2000-07-30T18:45:03",
        "66.67%",
        "Suspicious",
    ):
        assert said in answer.out, said


def test_times_ahead_of_the_clock_that_wrote_them_are_suspicious(filled: Cli, tmp_path: Path) -> None:
    event = {"event": "impression", "id": "x", "time": 4_000_000_000_000, "viewer": "1", "item": "10", "surface": "feed"}
    (tmp_path / "late.jsonl").write_text(json.dumps(event))
    filled.ok("events", "append", tmp_path / "late.jsonl")
    (found,) = filled.ok("data", "describe", "--json").document["surfaces"]
    assert ("impressions or actions later than the newest arrival", 1) in [(o["what"], o["count"]) for o in found["suspicious"]]


def test_a_page_in_a_new_folder_and_again(filled: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "report"
    for _ in range(2):
        assert f"wrote {folder / 'data.html'}" in filled.ok("data", "describe", "--report", folder).out
    assert [path.name for path in folder.iterdir()] == ["data.html"]
    assert (folder / "data.html").read_text().startswith("<!doctype html>")


def test_an_empty_home_a_surface_without_events_and_one_that_is_not_there(cli: Cli) -> None:
    assert "there is no home at" in cli("data", "describe").error
    cli.home.mkdir()
    assert "has no surface; put a definition in place" in cli("data", "describe", "--json").error
    cli.ok("define", "movielens")
    assert "no dated impression or action" in cli.ok("data", "describe").out
    assert "has no surface 'fed'; it has one of: feed" in cli("data", "describe", "fed").error


def test_a_member_is_forgotten_after_a_question(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = filled("data", "forget", "1", "--verify", "--json")
    assert (answer.code, answer.document["type"]) == (1, "member")
    assert [one["place"] for one in answer.document["remains"]] == ["log"]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert filled("data", "forget", "1").code == 1
    assert filled("data", "forget", "1", "--verify").code == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert "names member 1" in filled.ok("data", "forget", "1").out
    assert filled.ok("data", "forget", "1", "--verify", "--json").document["remains"] == []
    # The film with the same id is another entity.
    assert filled("data", "forget", "10", "--type", "post", "--verify").code == 1
    assert "nothing" in filled.ok("data", "forget", "10", "--type", "post", "--yes").out
    (found,) = filled.ok("data", "describe", "--json").document["surfaces"]
    assert found["events"].get("impression", 0) < 3
    assert "no definition has entities of type 'person'" in filled("data", "forget", "1", "--type", "person", "--yes").error
