"""A slate on the terminal: what a request may say, and what a wrong one is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.definition import Explore, Pin, Slate
from fourfold.modes.home import Home
from tests.cli.commands import Cli
from tests.modes.samples import SMALL, made_home


@pytest.fixture
def world(cli: Cli) -> Cli:
    with made_home(cli.home):
        return cli


def slate(cli: Cli, *options: object) -> list[str]:
    return [item["item"] for item in cli.ok("recommend", "feed", "--viewer", "m1", *options, "--json").document["items"]]


def test_a_condition_and_a_budget_reach_the_request(world: Cli) -> None:
    everything = slate(world, "--size", 40, "--budget-ms", 60_000)
    topics = {item: topic_of(world.home, item) for item in everything}
    topic = topics[everything[0]]
    wanted = slate(world, "--size", 40, "--where", f'topic == "{topic}"')
    assert wanted == [item for item in everything if topics[item] == topic]
    assert 0 < len(wanted) < len(everything)
    text = world.ok("recommend", "feed", "--viewer", "m1", "--where", f'topic == "{topic}"', "--explain").out
    assert "request_where" in text


def test_explanations_name_rules_and_propensities(world: Cli) -> None:
    ask = ("recommend", "feed", "--viewer", "m1", "--explain")
    assert "propensity" not in world.ok(*ask).out
    news = slate(world, "--size", 40)[-1]
    ruled = replace(SMALL, rules=(Pin("news", item=news, position=1),), selector=Slate(size=4, explore=Explore(0.5)))
    with Home(world.home) as home:
        home.define(ruled)
    text = world.ok(*ask).out
    assert "rule news: at position 1" in text
    assert "propensity" in text
    items = world.ok(*ask, "--json").document["items"]
    assert (items[1]["item"], items[1]["rule"], items[1]["propensity"]) == (news, "news", 1.0)


def test_a_wrong_request_is_one_line_that_says_what_to_write(world: Cli) -> None:
    ask = ("recommend", "feed", "--viewer", "m1")
    assert world(*ask, "--where", "topic = 1").error.endswith(
        "where: at character 7: '= 1' cannot be read; write == to compare"
    )
    assert "'tpic' is no attribute of the item; write one of: " in world(*ask, "--where", 'tpic == "a"').error
    assert "budget_ms" in world(*ask, "--budget-ms", 0).error


def topic_of(path: Path, item: str) -> str | None:
    with Home(path) as home:
        view = home.consumer("feed", commits=False).view()
        return view.text("post", "topic", int(view.rows("post", [item])[0]), view.newest_event_time + 1)
