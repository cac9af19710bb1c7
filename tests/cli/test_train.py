"""Training, judging, versions and slates, as a person and as a program ask for them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fourfold.definition import Age, Recommender
from fourfold.modes.home import Home
from fourfold.training.manifest import Finding
from tests.cli.commands import Cli
from tests.modes.samples import MADE, SMALL, made_home

QUICK = ("--epochs", 1, "--checkpoint-seconds", 0)


@pytest.fixture
def world(cli: Cli) -> Cli:
    """A home with a small world in its log."""
    made_home(cli.home).close()
    return cli


def test_from_training_to_slates(world: Cli) -> None:
    outcome = world.ok("train", "feed", "--json", *QUICK).document
    assert (outcome["version"], outcome["promoted"], outcome["resumed_at"]) == ("v1", True, 0)
    assert set(outcome["actions"]) == {"click", "long_view", "like", "hide"}
    text = world.ok("train", "feed", "--seed", 1, "--no-promote", *QUICK).out
    assert "not promoted: `fourfold models promote feed v2` serves it" in text
    assert "click" in text

    judged = world.ok("evaluate", "feed", "--members", 3, "--json").document
    assert judged["version"] == "v1"
    assert {"popularity", "union"} <= set(judged["sources"])
    assert judged["actions"]["click"]["impressions"] == outcome["actions"]["click"]["impressions"]
    assert "Lists of" in world.ok("evaluate", "feed", "--members", 3).out

    slate = world.ok("recommend", "feed", "--viewer", "m1", "--size", 5, "--json").document
    assert slate["model"] == "v1"
    assert len(slate["items"]) == 5
    first = slate["items"][0]["item"]
    without = world.ok("recommend", "feed", "--viewer", "m1", "--exclude", first, "--json").document
    assert first not in {item["item"] for item in without["items"]}
    then = world.ok("recommend", "feed", "--viewer", "m1", "--time", MADE.start, "--json").document
    assert then["time"] == MADE.start
    text = world.ok("recommend", "feed", "--viewer", "somebody-new", "--explain").out
    assert "feed for somebody-new (model v1)" in text
    assert "Stages" in text
    assert "degraded: viewer: nothing is known" in text
    assert "…" not in text
    check_versions(world)


def check_versions(world: Cli) -> None:
    listed = world.ok("models", "list", "feed", "--json").document
    assert [(row["version"], row["promoted"]) for row in listed] == [("v1", True), ("v2", False)]
    assert "serves" in world.ok("models", "list", "feed").out
    assert world.ok("models", "promote", "feed", "v2", "--json").document == {"surface": "feed", "promoted": "v2"}
    assert world.ok("models", "show", "feed", "--json").document["version"] == "v2"
    shown = world.ok("models", "show", "feed", "v1").out
    created = world.ok("models", "show", "feed", "v1", "--json").document["created"]
    assert "trained_hash" in shown
    assert datetime.fromtimestamp(created / 1000, UTC).isoformat(timespec="seconds") in shown
    assert "{" not in shown
    assert world.ok("models", "rollback", "feed").out == "feed is served by v1 again\n"
    assert "no earlier promotion" in world("models", "rollback", "feed").error
    assert world.ok("models", "prune", "feed", "--keep", 1, "--json").document == {"surface": "feed", "pruned": []}
    assert "has no version 'v7'" in world("models", "promote", "feed", "v7").error


def test_what_training_finds_is_printed_and_kept(world: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = (Finding(kind="k", subject=name, problem="is odd", advice="look at it") for name in ("size", "click"))
    monkeypatch.setattr("fourfold.training.parts.data_findings", lambda *_: [early])
    monkeypatch.setattr("fourfold.training.run.outcome_findings", lambda *_: [late])
    answer = world.ok("train", "feed", *QUICK)
    assert "found: size: is odd; look at it\nfound: click: is odd; look at it\n" in answer.out
    assert answer.err.index("found: size: is odd") < answer.err.index("ranker: ")
    expected = [{"kind": "k", "subject": name, "problem": "is odd", "advice": "look at it"} for name in ("size", "click")]
    assert world.ok("models", "show", "feed", "--json").document["findings"] == expected
    assert "found: click: is odd; look at it" in world.ok("models", "show", "feed").out
    assert world.ok("train", "feed", "--json", *QUICK).document["findings"] == expected


def test_a_refit_says_so_and_needs_something_held_back(world: Cli) -> None:
    answer = world.ok("train", "feed", "--refit", "--holdout", 0.5, *QUICK)
    assert "trained again on everything; the figures are those of the model that was trained up to 2" in answer.out
    assert "calibrated on requests from" in answer.out
    shown = world.ok("models", "show", "feed", "--json").document
    assert (shown["refit"], shown["data"]["last"]) == (True, shown["held_out"]["last"])
    assert shown["calibration"]["actions"]["click"]["method"] == "platt"
    assert shown["schema"]["actions"] == ["click", "long_view", "like", "hide"]
    assert shown["settings"]["epochs"] == 1
    text = world.ok("models", "show", "feed").out
    assert "ECE with" in text
    assert shown["data"]["hash"] in text
    assert "True" in world.ok("models", "list", "feed").out
    refused = world("train", "feed", "--refit", "--holdout", 0)
    assert refused.code == 2
    assert "with --holdout 0 nothing is held back" in " ".join(refused.err.split())


def test_nothing_held_back_is_neither_calibrated_nor_judged(world: Cli) -> None:
    answer = world.ok("train", "feed", "--holdout", 0, *QUICK).out
    assert "no impression after training to judge on" in answer
    assert "calibrat" not in answer
    assert "not calibrated: too few outcomes were held back" in world.ok("train", "feed", "--holdout", 0.02, *QUICK).out


def test_a_model_of_another_definition_is_refused_with_the_difference(world: Cli) -> None:
    world.ok("train", "feed", *QUICK)
    changed = SMALL.to_dict() | {"features": [{"kind": "age", "name": "another_age", "of": "item"}]}
    Home(world.home).define(Recommender.from_dict(changed))
    assert Age("another_age") in Recommender.from_dict(changed).features
    for command in (("recommend", "feed", "--viewer", "m1"), ("models", "promote", "feed", "v1"), ("evaluate", "feed")):
        answer = world(*command)
        assert answer.code == 1
        assert "was trained for another definition" in answer.err
        assert "another_age" in answer.err
        assert "Traceback" not in answer.err


def test_training_needs_a_home_a_surface_and_impressions(cli: Cli) -> None:
    assert "there is no home at" in cli("train", "feed").error
    cli.ok("define", "movielens")
    assert "has no surface 'pymk'; it has one of: feed" in cli("train", "pymk").error
    assert "'feed' has no impressions yet; import or post events of it, then train" in cli("train", "feed", "--json").error
    assert "no version of 'feed' is promoted" in cli("evaluate", "feed").error


def test_slates_before_training_and_for_nobody(world: Cli) -> None:
    slate = world.ok("recommend", "feed", "--viewer", "nobody", "--json").document
    assert slate["items"]
    assert slate["model"] is None
    assert "model none" in world.ok("recommend", "feed", "--viewer", "m1").out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("pymk", "--viewer", "m1"), "has no surface 'pymk'"),
        (("feed", "--viewer", "m1", "--size", 0), "this is no request: Expected `int` >= 1"),
        (("feed", "--viewer", ""), "this is no request"),
        (("feed", "--viewer", "m1", "--time", -5), "this is no request"),
        (("feed", "--viewer", "m1", "--url", "localhost:8000"), "is not the address of a service"),
        (("feed", "--viewer", "m1", "--url", "http://127.0.0.1:9"), "cannot be reached"),
    ],
)
def test_what_is_no_request_is_refused(world: Cli, arguments: tuple[object, ...], problem: str) -> None:
    assert problem in world("recommend", *arguments).error


def test_a_slate_on_the_terminal_writes_nothing(world: Cli) -> None:
    with Home(world.home) as home:
        before = home.log.end
    world.ok("recommend", "feed", "--viewer", "m1")
    with Home(world.home) as home:
        assert home.log.end == before
        assert home.log.consumers() == {}


def test_models_of_nothing(cli: Cli) -> None:
    for command in (("list", "feed"), ("show", "feed"), ("promote", "feed", "v1"), ("rollback", "feed"), ("prune", "feed")):
        assert "there is no home at" in cli("models", *command).error
    cli.ok("define", "movielens")
    assert cli.ok("models", "list", "feed", "--json").document == []
    assert "has no surface 'other'" in cli("models", "list", "other").error
    assert "no version of 'feed' is promoted" in cli("models", "show", "feed").error
    assert "names no surface" in cli("models", "show", "../feed").error


def test_serving_needs_a_surface(cli: Cli, tmp_path: Path) -> None:
    assert "has no surface to serve" in cli("serve", "--home", tmp_path).error
    cli.ok("define", "movielens")
    assert "no API keys" in cli("serve", "--host", "0.0.0.0").error
    assert json.loads(cli.ok("define", "movielens", "--json").out)["surface"] == "feed"
