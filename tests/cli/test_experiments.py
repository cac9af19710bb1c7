"""Experiments from the command line: what runs, and what came of it, from slates that the product made itself."""

from pathlib import Path

import pytest

from fourfold.events.types import Action, batch_of
from fourfold.modes.home import Home
from fourfold.modes.online import Online
from fourfold.pipeline.slate import Request
from tests.cli.commands import Cli
from tests.modes.samples import MADE, made_home, train

FEED = '[feed]\nclock = "log"\nlog_impressions = true\nbudget_ms = 60000\n'
FRESHER = (
    FEED + '[feed.experiments.fresher]\nholdout = 0.2\nvariants = { control = {}, treatment = { model = "v2", share = 0.5 } }\n'
)
DUEL = FEED + '[feed.experiments.duel]\nkind = "interleave"\nvariants = { control = {}, treatment = { model = "v2" } }\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which 40 viewers took part in both, one after the other; they like what the second version places."""
    path = tmp_path_factory.mktemp("home")
    with made_home(path, FRESHER) as home:
        train(home)
        train(home, seed=1, promote=False)
        played(home)
        home.deploy(DUEL)
        played(home)
    return path


def played(home: Home) -> None:
    with Online(home, "feed") as online:
        for n in range(40):
            slate = online.recommend(Request(viewer=f"m{n}", size=4))
            liked = [item.item for item in slate.items if "treatment" in (slate.variant, item.team)]
            acts = [
                Action(
                    id=f"{slate.request}-{item}", time=slate.time, viewer=slate.viewer, item=item, surface="feed", name="like"
                )
                for item in liked
            ]
            if acts:
                home.log.append(batch_of(acts), slate.time)


@pytest.fixture
def home(made: Path, cli: Cli) -> Cli:
    return Cli(made, cli.monkeypatch, cli.capsys)


def test_the_list_says_what_runs_on_what_share_since_when(made: Path, home: Cli) -> None:
    Home(made).deploy(FRESHER)
    (one,) = home.ok("experiments", "list", "feed", "--json").document
    assert (one["name"], one["kind"], one["state"], one["until"]) == ("fresher", "ab", "runs", None)
    assert one["since"] >= MADE.end - 1
    parts = [(part["variant"], part["model"], round(part["share"], 6)) for part in one["parts"]]
    assert parts == [("control", "v1 (promoted)", 0.3), ("treatment", "v2", 0.5), ("holdout", "v1 (promoted)", 0.2)]
    assert "treatment" in home.ok("experiments", "list", "feed").out
    for bounds, state in (("end = 2020-01-01T00:00:00Z", "ended"), ("start = 2100-01-01T00:00:00Z", "planned")):
        Home(made).deploy(FRESHER + bounds)
        (one,) = home.ok("experiments", "list", "feed", "--json").document
        assert one["state"] == state
    Home(made).deploy(FEED)
    assert home.ok("experiments", "list", "feed", "--json").document == []
    assert "declare one under [feed.experiments.NAME]" in home.ok("experiments", "list", "feed").out


def test_a_report_of_slates_that_were_served(made: Path, home: Cli) -> None:
    Home(made).deploy(FRESHER)
    # What viewers liked in the time of the other experiment came later.
    asked = ("experiments", "report", "feed", "fresher", "--metric", "like", "--window", "1ms")
    found = home.ok(*asked, "--json").document
    arms = {arm["name"]: arm for arm in found["arms"]}
    assert sum(arm["viewers"] for arm in arms.values()) == found["viewers"] == 40
    assert arms["treatment"]["actions"]["like"]["per_impression"] == 1.0
    assert arms["control"]["actions"]["like"]["count"] == arms["holdout"]["actions"]["like"]["count"] == 0
    assert all(arm["impressions"] == 4 * arm["viewers"] for arm in arms.values())
    assert found["verdicts"][0]["outcome"] == "few"
    printed = home.ok("experiments", "report", "feed", "fresher").out
    assert "too few viewers to say anything of treatment" in printed
    assert "split of viewers, against what was declared" in printed


def test_a_report_of_two_rankers_in_one_slate(made: Path, home: Cli) -> None:
    Home(made).deploy(DUEL)
    found = home.ok("experiments", "report", "feed", "duel", "--metric", "like", "--json").document
    assert (found["kind"], found["viewers"]) == ("interleave", 40)
    (preference,) = found["preferences"]
    assert (preference["wins"], preference["losses"], preference["ties"]) == (40, 0, 0)
    teams = {arm["name"]: (arm["impressions"], arm["actions"]["like"]["count"]) for arm in found["arms"]}
    assert teams["control"][0] + teams["treatment"][0] == 160
    assert teams["control"][1] == 0
    assert teams["treatment"][0] == teams["treatment"][1]
    assert "Viewers by whose items earned more" in home.ok("experiments", "report", "feed", "duel").out


def test_what_cannot_be_answered_says_why(made: Path, home: Cli) -> None:
    Home(made).deploy(FEED)
    assert "no impressions of an experiment 'nothing'" in home("experiments", "report", "feed", "nothing").error
    assert "'clap' is no metric" in home("experiments", "report", "feed", "fresher", "--metric", "clap").error
    assert "'soon' is not a duration" in home("experiments", "report", "feed", "fresher", "--window", "soon").error
    assert "--effect 0.0 is no relative difference" in home("experiments", "report", "feed", "fresher", "--effect", "0").error
    assert "has no surface 'pymk'" in home("experiments", "list", "pymk").error
    assert "has no surface 'pymk'" in home("experiments", "report", "pymk", "fresher").error


def test_versions_that_experiments_name_are_not_pruned(made: Path, home: Cli) -> None:
    with Home(made) as opened:
        train(opened, seed=2, promote=False)
        opened.deploy(FRESHER + "end = 2020-01-01T00:00:00Z\n")
        assert home.ok("models", "prune", "feed", "--keep", 1, "--json").document["pruned"] == []
        opened.deploy(FEED)
        assert home.ok("models", "prune", "feed", "--keep", 1, "--json").document["pruned"] == ["v2"]
