"""Reports of generated worlds whose truth is known: what is better is found, what is not is not, and what is broken is said."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from fourfold.definition.experiments import HOLDOUT, Experiment
from fourfold.events.types import Action, Event, Impression
from fourfold.lab.experiments import Comparison, ExperimentError, ExperimentReport, Question, report
from fourfold.modes.assignment import assigned
from tests.lab.logs import log_of
from tests.lab.trials import Trial, ab, doubled, duel
from tests.modes.samples import SMALL

HALVES = ab(control=None, treatment=None)
BETTER = {"control": 0.1, "treatment": 0.13, HOLDOUT: 0.1}
LIKE = Question("one", metric="like")


@cache
def judged(trial: int, kind: str = "ab", lift: float = 0.03, viewers: int = 4_000) -> ExperimentReport:
    declared = ab(holdout=0.1, control=None, treatment=None) if kind == "ab" else duel()
    likes = {"control": 0.1, "treatment": 0.1 + lift, HOLDOUT: 0.1}
    return report(Trial(declared, likes, viewers, trial).log(), SMALL, declared, LIKE)


def of(found: ExperimentReport, metric: str, per: str, variant: str = "treatment") -> Comparison:
    return next(one for one in found.comparisons if (one.metric, one.per, one.variant) == (metric, per, variant))


def outcome(found: ExperimentReport) -> str:
    return found.verdicts[0].outcome


def test_a_better_variant_is_found_and_the_truth_lies_within_the_intervals() -> None:
    found = judged(1)
    assert (outcome(found), found.verdicts[0].text) == ("better", "treatment is better than control on like")
    rate = of(found, "like", "impression").difference
    assert rate.safe_low < rate.low < 0.03 < rate.high < rate.safe_high
    assert of(found, "like", "impression").relative == pytest.approx(0.3, abs=0.15)
    assert found.split is not None
    assert not found.split.mismatched
    assert found.warnings == []
    # The control is as good as the holdout, and no comparison is made with that.
    arms = {arm.name: arm for arm in found.arms}
    assert arms[HOLDOUT].actions["like"].per_impression == pytest.approx(
        arms["control"].actions["like"].per_impression, rel=0.1
    )
    assert {one.variant for one in found.comparisons} == {"treatment"}


def test_worse_is_said_of_less_likes_and_of_more_hides() -> None:
    assert outcome(judged(2, lift=-0.03)) == "worse"
    worse = [event for n in range(240) for event in seen(f"m{n}", HALVES, "hide", every=1 if variant(n) == "treatment" else 4)]
    found = report(log_of(worse, 5_000), SMALL, HALVES, Question("one", metric="hide"))
    assert of(found, "hide", "viewer").difference.safe_low > 0
    assert outcome(found) == "worse"
    assert outcome(report(log_of(worse, 5_000), SMALL, HALVES, Question("one"))) == "worse", "hides have a negative utility"


def test_with_no_difference_nothing_is_claimed_and_what_it_takes_is_said() -> None:
    found = judged(3, lift=0.0)
    assert outcome(found) == "open"
    more = found.verdicts[0].more_viewers
    assert more is not None
    assert more > 4_000
    assert f"about {more:,} more viewers for an effect of 5 % of what control has" in found.verdicts[0].text
    wide = report(
        Trial(HALVES, {"control": 0.1, "treatment": 0.1}, 4_000, 3).log(), SMALL, HALVES, Question("one", "like", 0.5)
    )
    assert (outcome(wide), wide.verdicts[0].more_viewers) == ("alike", None)


def test_a_variant_that_loses_exposures_is_a_mismatch_and_nothing_is_concluded() -> None:
    found = report(Trial(HALVES, BETTER, 2_000, 4, lost="treatment").log(), SMALL, HALVES, LIKE)
    assert found.split is not None
    assert found.split.mismatched
    assert found.split.p < 0.001
    assert outcome(found) == "mismatch"
    assert "not split as declared" in found.verdicts[0].text
    # The same viewers, had they been promised otherwise.
    promised = ab(control=0.6, treatment=0.4)
    fine = report(Trial(HALVES, BETTER, 2_000, 4, lost="treatment").log(), SMALL, promised, LIKE)
    assert fine.split is not None
    assert not fine.split.mismatched


def test_interleaving_finds_the_better_ranker_with_fewer_viewers() -> None:
    seeds = range(5, 9)
    apart = [of(judged(seed, viewers=1_500), "like", "viewer").difference for seed in seeds]
    within = [judged(seed, "interleave", viewers=1_500).preferences[0].share for seed in seeds]
    of_ab = np.mean([one.value / one.error / one.viewers**0.5 for one in apart])
    of_duel = np.mean([(one.value - 0.5) / one.error / 1_500**0.5 for one in within])
    # How many viewers it takes falls with the square of what each says.
    assert (of_duel / of_ab) ** 2 > 2


def test_an_interleaved_report() -> None:
    found = judged(1, "interleave", viewers=3_000)
    preference = found.preferences[0]
    assert (found.kind, found.split, found.comparisons) == ("interleave", None, [])
    assert preference.wins + preference.losses + preference.ties == found.viewers == 3_000
    assert preference.share.value == preference.wins / (preference.wins + preference.losses)
    assert outcome(found) == "better"
    teams = {arm.name: arm for arm in found.arms}
    assert teams["control"].impressions == teams["treatment"].impressions > 0
    assert teams["treatment"].actions["like"].per_impression == pytest.approx(0.13, rel=0.1)
    assert outcome(judged(2, "interleave", lift=0.0, viewers=1_500)) == "open"


def test_with_equal_rankers_an_interleaving_errs_as_rarely_as_stated_from_the_first_viewer_on() -> None:
    from fourfold.lab.sequential import safe_factor  # noqa: PLC0415

    preferred = np.random.default_rng(8).random((600, 3_000)) < 0.5
    count = np.arange(1, 3_001.0)
    share = preferred.cumsum(axis=1) / count
    assert (np.abs(share - 0.5) > safe_factor(count, 0.05) * 0.5 / np.sqrt(count)).any(axis=1).mean() <= 0.05


def test_holdout_members_are_in_no_team_and_their_figures_stand_apart() -> None:
    declared = duel(holdout=0.2)
    found = report(Trial(declared, {**BETTER, HOLDOUT: 0.4}, 800, 6).log(), SMALL, declared, LIKE)
    arms = {arm.name: arm for arm in found.arms}
    held = sum(assigned("feed", "one", declared, f"m{n}") == HOLDOUT for n in range(800))
    assert (arms[HOLDOUT].viewers, arms["control"].viewers) == (held, 800 - held)
    assert arms[HOLDOUT].actions["like"].per_impression == pytest.approx(0.4, rel=0.15)
    assert arms["treatment"].actions["like"].per_impression < 0.2


def test_events_that_are_sent_twice_change_nothing() -> None:
    log = Trial(HALVES, BETTER, 300, 7).log()
    assert report(log, SMALL, HALVES, LIKE) == report(doubled(log), SMALL, HALVES, LIKE)


def variant(n: int) -> str | None:
    return assigned("feed", "one", HALVES, f"m{n}")


def seen(viewer: str, declared: Experiment, action: str, every: int) -> Sequence[Event]:
    shown: list[Event] = [
        Impression(
            id=f"{viewer}-{n}",
            time=n,
            viewer=viewer,
            item=f"p{n}",
            surface="feed",
            experiment="one",
            variant=assigned("feed", "one", declared, viewer),
        )
        for n in range(4)
    ]
    number = int(viewer[1:])
    acted = [
        Action(id=f"{viewer}-{n}a", time=n + 1, viewer=viewer, item=f"p{n}", surface="feed", name=action)
        for n in range(4)
        if (number + n) % every == 0
    ]
    return [*shown, *acted]


def test_too_few_viewers_are_no_ground_for_a_verdict() -> None:
    few = [event for n in range(60) for event in seen(f"m{n}", HALVES, "like", every=1 if variant(n) == "treatment" else 4)]
    found = report(log_of(few, 1_000), SMALL, HALVES, LIKE)
    assert outcome(found) == "few"
    assert "it takes 100" in found.verdicts[0].text


def test_figures_by_hand() -> None:
    events = [*seen("m0", HALVES, "like", 2), *seen("m1", HALVES, "click", 1), *seen("m2", HALVES, "like", 4)]
    found = report(log_of(events, 3), SMALL, HALVES, LIKE)
    arms = {arm.name: arm for arm in found.arms}
    expected: dict[str | None, list[tuple[str, int]]] = {"control": [], "treatment": []}
    for viewer, action, count in ((0, "like", 2), (1, "click", 4), (2, "like", 1)):
        expected[variant(viewer)].append((action, count))
    assert all(expected.values())
    for name, did in expected.items():
        arm = arms[name or ""]
        likes = sum(count for action, count in did if action == "like")
        clicks = sum(count for action, count in did if action == "click")
        assert (arm.viewers, arm.impressions) == (len(did), 4 * len(did))
        assert (arm.actions["like"].count, arm.actions["click"].count) == (likes, clicks)
        assert arm.actions["like"].per_impression == pytest.approx(likes / 4 / len(did))
        assert arm.actions["like"].per_viewer == pytest.approx(likes / len(did))
        assert arm.utility_per_viewer == pytest.approx((4 * likes + clicks) / len(did))
    assert (found.since, found.until, found.viewers) == (0, 4, 3)


def test_several_variants_share_the_level() -> None:
    thirds = ab(control=None, b=None, c=None)
    found = report(Trial(thirds, {"control": 0.1, "b": 0.1, "c": 0.16}, 2_000, 9).log(), SMALL, thirds, LIKE)
    assert {one.variant: one.outcome for one in found.verdicts} == {"b": "open", "c": "better"}
    like, utility = (of(found, metric, "viewer", "c").difference for metric in ("like", "utility"))
    # All utility is of likes here, four each; only the level differs, for the metric that decides.
    assert (like.safe_high - like.safe_low) * 4 > (utility.safe_high - utility.safe_low) * 1.01


def test_what_is_not_declared_any_more_is_judged_by_the_log_alone() -> None:
    found = report(Trial(HALVES, BETTER, 4_000, 1).log(), SMALL, None, LIKE)
    assert (outcome(found), found.control) == ("better", "control")
    assert "equal shares are assumed" in found.warnings[0]
    with pytest.raises(ExperimentError, match="does not say of which two"):
        report(Trial(duel(), BETTER, 20, 1).log(), SMALL, None, LIKE)


def test_what_cannot_be_reported_says_why() -> None:
    log = Trial(HALVES, BETTER, 20, 1).log()
    with pytest.raises(ExperimentError, match="'clap' is no metric of feed; write one of: utility, click"):
        report(log, SMALL, HALVES, Question("one", metric="clap"))
    with pytest.raises(ExperimentError, match=r"no impressions of an experiment 'two'; does whoever logs impressions pass"):
        report(log, SMALL, HALVES, Question("two"))
    with pytest.raises(ExperimentError, match=r"no impressions of an experiment 'two'$"):
        report(log, SMALL, None, Question("two"))


def test_nobody_is_through_yet_or_prefers_one() -> None:
    log = Trial(HALVES, BETTER, 50, 1).log()
    waiting = report(log, SMALL, HALVES, Question("one", "like", window=10**9))
    assert (waiting.viewers, waiting.since, outcome(waiting)) == (0, None, "few")
    silent = Trial(duel(), {"control": 0.0, "treatment": 0.0}, 50, 1).log()
    found = report(silent, SMALL, duel(), LIKE)
    assert (found.preferences[0].ties, found.preferences[0].share.value) == (50, 0.5)
    verdict = found.verdicts[0]
    assert verdict.more_viewers is not None
    assert verdict.more_viewers > 500
    assert "more viewers who prefer one for an effect of 0.05 in the share" in verdict.text


def test_what_is_odd_in_the_log_is_said() -> None:
    events = [*seen("m0", HALVES, "like", 2), *seen("m1", HALVES, "like", 2)]
    odd = [
        Impression(id="x", time=9, viewer="m0", item="p", surface="feed", experiment="one", variant="control"),
        Impression(id="y", time=9, viewer="m0", item="p", surface="feed", experiment="one", variant="treatment"),
        Impression(id="z", time=9, viewer="m5", item="p", surface="feed", experiment="one", variant="third"),
        Impression(id="w", time=9, viewer="m6", item="p", surface="feed", experiment="one"),
    ]
    assert report(log_of([*events, *odd]), SMALL, HALVES, LIKE).warnings == [
        "1 viewers saw more than one variant; they count in the first",
        "1 impressions name the experiment, but neither variant nor team",
        "the log has variants that are not declared: third",
    ]
