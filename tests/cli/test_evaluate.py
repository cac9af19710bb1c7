"""The promoted version judged, as a person and as a program ask for it: on the log, on a file, and the same every time."""

import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fourfold.events.types import Action, EntityUpsert, Event, Impression, events_of
from fourfold.modes.home import Home
from tests.cli.commands import Cli
from tests.lab.test_unseen import lines
from tests.modes.samples import MADE, SMALL, events, made_home, train

QUICK = ("--epochs", 1, "--checkpoint-seconds", 0)
LAST_DAY = MADE.end - 86_400_000
BUCKETS = (["0", "1-5", "6-20", "21+"], ["< 1 day", "< 7 days", "< 30 days", "older"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a small world in its log, and a version that did not see its last day."""
    path = tmp_path_factory.mktemp("trained") / "home"
    with made_home(path) as home:
        train(home, until=LAST_DAY)
    return path


@pytest.fixture
def judged(cli: Cli, trained: Path) -> Cli:
    shutil.copytree(trained, cli.home)
    return cli


def ahead() -> list[Event]:
    """The day after the world's: each member meets two posts for the first time and likes one; a new member, a new post."""
    shown = [event for event in events_of(events()) if isinstance(event, Impression)]
    posts = sorted({event.item for event in shown})
    found: list[Event] = [EntityUpsert(id="fresh", time=MADE.end, type="post", key="fresh", attributes={"title": "new"})]
    met = {viewer: {event.item for event in shown if event.viewer == viewer} for viewer in {event.viewer for event in shown}}
    for number, (viewer, items) in enumerate([*sorted(met.items()), ("newcomer", set())]):
        for place, item in enumerate([*[post for post in posts if post not in items][:2], "fresh"]):
            time = MADE.end + (number * 3 + place) * 600_000
            common: Any = {"viewer": viewer, "item": item, "surface": "feed"}
            found.append(Impression(id=f"later{number}{place}", time=time, **common))
            if place != 1:
                found.append(Action(id=f"done{number}{place}", time=time + 1, name=("like", "", "click")[place], **common))
    return found


def figures(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ("actions", "buckets", "slates", "sources", "impressions", "members")}


def test_without_a_file_the_time_since_training_is_judged(judged: Cli) -> None:
    found = judged.ok("evaluate", "feed", "--members", 4, "--json").document
    assert (found["surface"], found["version"], found["protocol"], found["freshness"]) == ("feed", "v1", "time", "request")
    click = found["actions"]["click"]
    assert click["auc_ci"][0] <= click["auc"] <= click["auc_ci"][1]
    assert set(click) >= {"auc", "auc_ci", "member_auc", "ne", "ece", "impressions", "positives", "popularity_auc"}
    assert click["impressions"] == found["impressions"] > 0
    assert [list(found["buckets"][by]) for by in ("history", "item_age")] == list(BUCKETS)
    for by in ("history", "item_age"):
        parts = found["buckets"][by].values()
        assert sum(part["click"]["impressions"] for part in parts) == click["impressions"]
        assert sum(part["click"]["positives"] for part in parts) == click["positives"]
    assert 0 <= found["slates"]["recall@20"] <= 1
    assert set(found["sources"]) == {"popularity", "union", *(source.kind for source in SMALL.sources)}
    for metrics in found["sources"].values():
        assert metrics["recall@20"] <= metrics["recall@100"] <= metrics["recall@500"] <= 1
    text = judged.ok("evaluate", "feed", "--members", 4).out
    for said in ("AUC by the member's impressions before", "AUC by the item's age", "union", "feed v1:"):
        assert said in text


def test_a_file_is_judged_and_never_kept(judged: Cli, tmp_path: Path) -> None:
    with Home(judged.home) as home:
        end = home.log.end
        before = sorted(
            (path.relative_to(judged.home), path.stat().st_size) for path in judged.home.rglob("*") if path.is_file()
        )
    new = ahead()
    path = lines(tmp_path / "new.jsonl", new)
    found = judged.ok("evaluate", "feed", "--events", path, "--members", 5, "--json").document
    assert (found["taken"]["events"], found["taken"]["new"]) == (len(new), len(new))
    assert found["since"] >= MADE.end
    assert found["impressions"] == sum(isinstance(event, Impression) for event in new)
    assert (found["new_members"], found["new_items"]) == (1, 1)
    assert found["slates"]["members"] == 5
    with Home(judged.home) as home:
        assert home.log.end == end
        after = sorted(
            (path.relative_to(judged.home), path.stat().st_size) for path in judged.home.rglob("*") if path.is_file()
        )
    assert [name for name in after if name not in before and "lock" not in name[0].name] == []


def test_the_same_numbers_every_time_whatever_the_order_of_rows(judged: Cli, tmp_path: Path) -> None:
    new = ahead()
    shuffled = list(new)
    Random(1).shuffle(shuffled)
    again = [event for event in events_of(events()) if event.time >= LAST_DAY]  # in the log already
    files = [new, new, shuffled, [*again, *shuffled]]
    documents = [
        judged.ok("evaluate", "feed", "--events", lines(tmp_path / f"{n}.jsonl", one), "--members", 4, "--json").document
        for n, one in enumerate(files)
    ]
    assert all(figures(one) == figures(documents[0]) for one in documents)


def test_freshness_changes_what_is_known_and_not_what_is_judged(judged: Cli, tmp_path: Path) -> None:
    path = lines(tmp_path / "new.jsonl", ahead())
    fresh, daily = (
        judged.ok("evaluate", "feed", "--events", path, "--members", 1, "--freshness", one, "--json").document
        for one in ("request", "day")
    )
    assert daily["freshness"] == "day"
    assert fresh["impressions"] == daily["impressions"]
    assert fresh["actions"]["click"]["positives"] == daily["actions"]["click"]["positives"]
    assert fresh["actions"]["click"]["auc"] != daily["actions"]["click"]["auc"]
    assert fresh["sources"] == daily["sources"]


def test_leave_one_out_comes_with_its_warning(judged: Cli) -> None:
    plain = judged.ok("evaluate", "feed", "--members", 9, "--json").document
    found = judged.ok("evaluate", "feed", "--members", 9, "--leave-one-out", "--json").document
    assert found["protocol"] == "leave_one_out"
    assert any("the models know what others did later" in warning for warning in found["warnings"])
    assert not any("leave-one-out" in warning for warning in plain["warnings"])
    assert found["slates"] != plain["slates"]
    assert found["actions"] == plain["actions"]
    assert "careful: leave-one-out" in judged.ok("evaluate", "feed", "--members", 1, "--leave-one-out").out


def test_a_target_is_one_of_the_actions(judged: Cli) -> None:
    assert judged.ok("evaluate", "feed", "--members", 3, "--target", "long_view", "--json").document["target"] == "long_view"
    assert (
        "has no action 'love'; write one of click, long_view, like, hide"
        in judged("evaluate", "feed", "--target", "love").error
    )


def test_a_page_is_written_whole(judged: Cli, tmp_path: Path) -> None:
    document = judged.ok("evaluate", "feed", "--members", 3, "--report", tmp_path / "page", "--json").document
    page = Path(document["report"])
    assert page.read_text().endswith("</html>\n")
    assert [path.name for path in page.parent.iterdir()] == [page.name]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--freshness", "hour"), "'hour' is neither request nor day"),
        (("--format", "movielens", "--events", "x"), "'movielens' is unknown"),
        (("--format", "kuairand"), "name that with --events"),
    ],
)
def test_what_makes_no_question_is_a_usage_error(cli: Cli, arguments: tuple[str, ...], problem: str) -> None:
    answer = cli("evaluate", "feed", *arguments)
    assert answer.code == 2
    assert problem in " ".join(answer.err.replace("│", "").split())


def test_nothing_to_judge_is_said(judged: Cli, tmp_path: Path) -> None:
    known = lines(tmp_path / "known.jsonl", events_of(events())[-40:])
    assert "all events of the file are in the log already" in judged("evaluate", "feed", "--events", known).error
    upserts = lines(tmp_path / "upserts.jsonl", [event for event in ahead() if isinstance(event, EntityUpsert)])
    assert "no dated impression of 'feed' that the log does not hold" in judged("evaluate", "feed", "--events", upserts).error
    assert "is not there" in judged("evaluate", "feed", "--events", tmp_path / "no.parquet").error
    judged.ok("train", "feed", "--holdout", 0, *QUICK)
    assert "the log holds nothing newer than what v2 was trained on" in judged("evaluate", "feed").error


def test_a_file_from_before_the_end_of_training_is_warned_of(judged: Cli, tmp_path: Path) -> None:
    early = [Impression(id="early", time=MADE.start + 1, viewer="m1", item="p1", surface="feed")]
    path = lines(tmp_path / "early.jsonl", [*early, *ahead()])
    warnings = judged.ok("evaluate", "feed", "--events", path, "--members", 1, "--json").document["warnings"]
    assert any("it knows what came later" in warning for warning in warnings)
