"""Variants as they are served: who gets which version, what slates and logged impressions say, and what happens at changes."""

import logging
from collections.abc import Iterator

import pytest

from fourfold.definition import DefinitionError
from fourfold.definition.experiments import Experiment
from fourfold.events.types import Impression, events_of
from fourfold.modes.assignment import assigned
from fourfold.modes.home import Home
from fourfold.modes.online import Online
from fourfold.pipeline.slate import Request, Slate
from tests.modes.samples import MADE, made_home, train

PLAIN = '[feed]\nclock = "log"\nbudget_ms = 60000\n'
FRESHER = (
    PLAIN
    + """
[feed.experiments.fresher]
holdout = 0.3
variants = { control = {}, treatment = { model = "v2" } }
"""
)
DUEL = PLAIN + 'log_impressions = true\n' + """
[feed.experiments.duel]
kind = "interleave"
variants = { control = { model = "v1" }, treatment = { model = "v2" } }
"""  # fmt: skip
VIEWERS = [f"m{n}" for n in range(30)]
AS_DECLARED = Experiment(holdout=0.3, variants={"control": {}, "treatment": {"model": "v2"}})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Two versions, the first one promoted."""
    with made_home(tmp_path_factory.mktemp("home"), PLAIN) as made:
        train(made)
        train(made, seed=1, promote=False)
        yield made


def asked(online: Online, viewer: str = "m1", time: int = MADE.end) -> Slate:
    return online.recommend(Request(viewer=viewer, time=time, size=6))


def ids(slate: Slate) -> list[str]:
    return [item.item for item in slate.items]


def test_each_viewer_gets_the_version_of_its_variant_and_slates_say_so(home: Home) -> None:
    home.deploy(FRESHER)
    with Online(home, "feed") as online:
        slates = [asked(online, viewer) for viewer in VIEWERS]
    variants = [assigned("feed", "fresher", AS_DECLARED, viewer) for viewer in VIEWERS]
    assert [slate.variant for slate in slates] == variants
    assert {slate.experiment for slate in slates} == {"fresher"}
    assert set(variants) == {"control", "treatment", "holdout"}
    versions = {variant: {slate.model for slate in slates if slate.variant == variant} for variant in variants}
    assert versions == {"control": {"v1"}, "treatment": {"v2"}, "holdout": {"v1"}}


def test_a_variant_serves_just_what_its_version_does_alone(home: Home) -> None:
    home.deploy(FRESHER)
    viewer = next(one for one in VIEWERS if assigned("feed", "fresher", AS_DECLARED, one) == "treatment")
    with Online(home, "feed") as online:
        inside = asked(online, viewer)
    home.deploy(PLAIN)
    home.registry.promote("feed", "v2")
    try:
        with Online(home, "feed") as online:
            alone = asked(online, viewer)
    finally:
        home.registry.promote("feed", "v1")
    assert alone.experiment is alone.variant is None
    assert inside.items == alone.items
    assert inside.items


def test_logged_impressions_carry_experiment_variant_and_team(home: Home) -> None:
    for text in (FRESHER.replace(PLAIN, PLAIN + "log_impressions = true\n"), DUEL):
        home.deploy(text)
        end = home.log.end
        with Online(home, "feed") as online:
            slate = asked(online, "m2")
        logged = [event for _, batch in home.log.read(end) for event in events_of(batch) if isinstance(event, Impression)]
        assert slate.items
        assert slate.experiment in ("fresher", "duel")
        expected = [(slate.experiment, slate.variant, item.item, item.team) for item in slate.items]
        assert [(event.experiment, event.variant, event.item, event.team) for event in logged] == expected


def test_two_versions_fill_one_slate_and_it_is_the_same_when_asked_again(home: Home) -> None:
    home.deploy(DUEL.replace("log_impressions = true\n", ""))
    with Online(home, "feed") as online:
        slates = [asked(online, viewer) for viewer in VIEWERS]
        assert [asked(online, viewer).items for viewer in VIEWERS] == [slate.items for slate in slates]
    assert all(len(slate.items) == len(set(ids(slate))) == 6 for slate in slates)
    assert {item.team for slate in slates for item in slate.items} == {"control", "treatment"}
    assert all(sum(item.team == "control" for item in slate.items) == 3 for slate in slates)
    assert {(slate.model, slate.variant, slate.experiment) for slate in slates} == {("v1+v2", None, "duel")}
    # Another request of the same viewer draws anew.
    with Online(home, "feed") as online:
        several = [online.recommend(Request(viewer="m1", time=MADE.end, size=6, request=f"r{n}")) for n in range(8)]
    assert len({tuple(item.team for item in slate.items) for slate in several}) > 1


def test_an_experiment_runs_by_the_time_of_the_request(home: Home) -> None:
    home.deploy(FRESHER + "start = 2025-03-01T00:00:00Z\nend = 2030-01-01T00:00:00Z\n")
    start = 1_740_787_200_000
    with Online(home, "feed") as online:
        assert asked(online, time=start - 1).experiment is None
        assert asked(online, time=start).experiment == "fresher"


def test_a_service_takes_up_an_experiment_and_its_end(home: Home) -> None:
    home.deploy(PLAIN)
    treated = next(one for one in VIEWERS if assigned("feed", "fresher", AS_DECLARED, one) == "treatment")
    with Online(home, "feed") as online:
        for text, version, experiment in ((PLAIN, "v1", None), (FRESHER, "v2", "fresher"), (PLAIN, "v1", None)):
            home.deploy(text)
            online.follow()
            slate = asked(online, treated)
            assert (slate.model, slate.experiment, online.problem) == (version, experiment, None)
        home.deploy(FRESHER)
        online.follow()
        home.deploy(DUEL.replace("log_impressions = true\n", ""))
        online.follow()
        online.warm()
        assert (asked(online, treated).model, online.problem) == ("v1+v2", None)


def test_a_version_that_is_not_there_is_named(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    wrong = FRESHER.replace('"v2"', '"v9"')
    message = r"feed\.experiments\.fresher\.variants\.treatment\.model: v9 cannot be served: .*write one of: v1, v2"
    home.deploy(wrong)
    with pytest.raises(DefinitionError, match=message):
        Online(home, "feed")
    home.deploy(FRESHER)
    with Online(home, "feed") as online, caplog.at_level(logging.ERROR):
        home.deploy(wrong)
        online.follow()
        assert online.problem is not None
        assert "v9 cannot be served" in online.problem
        assert asked(online).experiment == "fresher", "it goes on as before"
        home.deploy(PLAIN)
        online.follow()
        assert online.problem is None
        assert asked(online).experiment is None


def test_versions_of_what_has_ended_are_not_needed(home: Home) -> None:
    """What ended stays declared for its report; its versions may be gone."""
    ended = FRESHER.replace('"v2"', '"v9"') + "end = 2020-01-01T00:00:00Z\n"
    home.deploy(ended)
    with Online(home, "feed") as online:
        assert asked(online).experiment is None
