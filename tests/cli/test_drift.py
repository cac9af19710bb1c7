"""Drift from the command line: a table, a document, and a report that services find in the home."""

import pytest
from msgspec import structs

from fourfold.events.types import EntityUpsert, Event, batch_of
from fourfold.lab.drift import load
from fourfold.modes.home import Home
from tests.cli.commands import Cli
from tests.lab.test_drift import HALVES, MANIFEST, shown
from tests.strategies import HOUR, START, TINY


@pytest.fixture(autouse=True)
def _served(cli: Cli) -> None:
    """A home whose version was judged on posts of all sizes, and was then shown with large ones only."""
    home = Home(cli.home)
    home.define(TINY)
    posts: list[Event] = [
        EntityUpsert(id=f"post-{n}", time=START, type="post", key=f"p{n}", attributes={"size": float(n)}) for n in range(20)
    ]
    with home:
        home.log.append(batch_of([*posts, *shown(START + HOUR, range(20)), *shown(HALVES[1], range(15, 20))]), None)
    manifest = structs.replace(MANIFEST, version="")
    home.registry.promote("feed", home.registry.publish(manifest, lambda folder: None))


def test_what_changed_is_shown_and_kept(cli: Cli) -> None:
    found = cli.ok("drift", "feed", "--json").document
    assert {one["name"]: one["verdict"] for one in found["inputs"]}["size"] == "major"
    assert (found["version"], found["recent"]["impressions"]) == ("v1", 400)
    kept = load(cli.home, "feed")
    assert kept is not None
    assert [one.name for one in kept.inputs] == [one["name"] for one in found["inputs"]]
    table = cli.ok("drift", "feed", "--since", "30m").out
    assert "size" in table
    assert "compared: 200 impressions from 2024-01-01T04:29:51+00:00" in table


def test_too_little_says_what_is_missing(cli: Cli) -> None:
    assert "impressions since then are too few to compare; it takes 100" in cli("drift", "feed", "--since", "1m").error
    assert "'soon' is not a duration" in cli("drift", "feed", "--since", "soon").error
