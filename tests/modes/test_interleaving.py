"""Team drafts: fair, whole, within caps, and the same when asked again."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import FrequencyCap, Pin, Recommender, Slate
from fourfold.events.types import EntityDelete, EntityUpsert, Event, Impression
from fourfold.modes.interleaving import interleaved, team_draft
from fourfold.pipeline.slate import Degradation, Request, SlateItem, Trace
from fourfold.pipeline.slate import Slate as Answer
from tests.features.samples import state_of
from tests.pipeline.samples import BARE
from tests.strategies import START

items = st.lists(st.sampled_from("abcdefghij"), unique=True)
seeds = st.integers(0, (1 << 128) - 1)
TIME = START + 1000


@given(items, items, seeds)
def test_a_draft_holds_everything_once_and_teams_pick_in_turn(first: list[str], second: list[str], seed: int) -> None:
    drafted = team_draft(first, second, seed)
    assert sorted(item for item, _ in drafted) == sorted({*first, *second})
    assert team_draft(first, second, seed) == drafted
    rankings, taken = (first, second), set[str]()
    for place, (item, team) in enumerate(drafted):
        best = [next((one for one in ranking if one not in taken), None) for ranking in rankings]
        assert item == best[team], "each pick is the best that its ranking has left"
        picks = [sum(other == which for _, other in drafted[:place]) for which in (0, 1)]
        assert picks[team] <= picks[1 - team] or best[1 - team] is None, "nobody picks twice while the other may"
        taken.add(item)


def test_coins_are_fair() -> None:
    first = [team_draft("ab", "ba", seed)[0][1] for seed in range(2_000)]
    assert abs(np.mean(first) - 0.5) < 4 * 0.5 / 2_000**0.5
    # Where both agree, each is as often in one team as in the other.
    assert abs(np.mean([dict(team_draft("ab", "ab", seed))["b"] for seed in range(2_000)]) - 0.5) < 0.05


AUTHORS = {name: ("m1" if name in "abc" else f"m{2 + n}") for n, name in enumerate("abcdefgh")}
MADE: list[Event] = [
    EntityUpsert(id=name, time=START, type="post", key=name, attributes={"author": author}) for name, author in AUTHORS.items()
]


def answer(order: str, version: str, pinned: str = "") -> Answer:
    def placed(name: str) -> SlateItem:
        rule = "top" if name == pinned else None
        return SlateItem(item=name, score=1.0, probabilities={}, sources=["x"], reason="", propensity=0.5, rule=rule)

    return Answer(
        request="r",
        surface="feed",
        viewer="m0",
        time=TIME,
        mode="online",
        definition="d",
        model=version,
        items=list(map(placed, order)),
        degradations=[Degradation(stage="ranker", cause=version, effect="late")],
        trace=Trace(stages=[], dropped={}, history=0, state_age_ms=None, viewer_age_ms=None, offset=0),
    )


def both(
    first: str, second: str, seed: int = 0, definition: Recommender = BARE, events: Sequence[Event] = (), pinned: str = ""
) -> Answer:
    view = state_of([*MADE, *events], definition).view()
    slates = answer(first, "v1", pinned), answer(second, "v2", pinned)
    return interleaved(definition, view, slates, ("old", "new"), Request(viewer="m0"), seed)


FREE = replace(BARE, selector=Slate(size=4))


def ids(slate: Answer) -> str:
    return "".join(item.item for item in slate.items)


def teams(slate: Answer) -> list[str | None]:
    return [item.team for item in slate.items]


def test_a_slate_of_two_is_as_long_as_one_and_says_whose_each_item_is() -> None:
    for seed in range(20):
        slate = both("defg", "gfeh", seed, FREE)
        expected = team_draft("defg", "gfeh", seed)[:4]
        assert [(item.item, item.team) for item in slate.items] == [(item, ("old", "new")[team]) for item, team in expected]
        assert sorted(map(str, teams(slate))) == ["new", "new", "old", "old"]
        assert slate.model == "v1+v2"
        assert {item.propensity for item in slate.items} == {None}
        assert [one.cause for one in slate.degradations] == ["v1", "v2"]


def test_caps_hold_for_the_whole_slate() -> None:
    for seed in range(20):
        slate = both("ade", "bfg", seed, replace(BARE, selector=Slate(size=3, per_author=1)))
        assert len(slate.items) == 3
        assert len({AUTHORS[item] for item in ids(slate)}) == 3


def test_what_became_forbidden_while_the_rankers_worked_is_not_shown() -> None:
    gone: list[Event] = [
        EntityDelete(id="gone", time=TIME - 1, type="post", key="d"),
        Impression(id="shown", time=TIME - 1, viewer="m0", item="g", surface="feed"),
    ]
    slate = both("defg", "gfeh", 3, FREE, gone)
    assert set(ids(slate)) == set("efh")


def test_pins_keep_their_places_in_no_team() -> None:
    pins = replace(FREE, rules=(Pin("top", "e", 2),))
    for seed in range(20):
        slate = both("dfeg", "ghef", seed, pins, pinned="e")
        assert (ids(slate)[2], teams(slate)[2], len(slate.items)) == ("e", None, 4)
        assert None not in teams(slate)[:2] + teams(slate)[3:]


def test_where_caps_leave_a_gap_the_first_slate_stands_alone() -> None:
    hard = replace(BARE, selector=Slate(size=2), filters=(FrequencyCap(times=1, by="topics", within="1d"),))
    topics: list[Event] = [
        EntityUpsert(id=f"t{name}", time=START + 1, type="post", key=name, attributes={"topics": list(values)})
        for name, values in (("a", "x"), ("d", "y"), ("b", "xy"))
    ]
    found = [both("ad", "b", seed, hard, topics) for seed in range(20)]
    assert {ids(slate) for slate in found} == {"ad"}
    assert {tuple(teams(slate)) for slate in found} == {("old", "old"), (None, None)}
    for slate in found:
        alone = teams(slate) == [None, None]
        assert (slate.degradations[-1].stage == "interleave") == alone
        assert slate.model == ("v1" if alone else "v1+v2")


def test_it_is_the_same_when_asked_again() -> None:
    assert both("defg", "gfeh", 7, FREE) == both("defg", "gfeh", 7, FREE)
    assert len({ids(both("defg", "gfeh", seed, FREE)) for seed in range(9)}) > 1
