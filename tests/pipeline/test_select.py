"""The selector against a naive one, and by hand: caps, variety, rules and draws."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import Cap, Diversity, Explore, Filter, FrequencyCap, Pin, Promote, Rule, Slate
from fourfold.events.types import Event, Impression
from fourfold.pipeline.trace import Tracer
from tests.pipeline.places import Post, choosing, chosen
from tests.strategies import START

posts_strategy = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.lists(st.sampled_from(["x", "y", "z"]), max_size=2, unique=True)),
    max_size=9,
)


def shown(*posts: str) -> list[Event]:
    return [Impression(id=f"i{n}", time=START + 1, viewer="m0", item=post, surface="feed") for n, post in enumerate(posts)]


def overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(len(one | other), 1)


def naive(
    posts: Sequence[Post], scores: Sequence[float], size: int, caps: dict[str, int], rest: dict[str, int], weight: float
) -> tuple[list[int], int]:
    """Indices, and how many of them are over no cap: everything as the documentation says it, one candidate at a time."""
    of: dict[str, list[set[str]]] = {
        "author": [{author} if author else set() for author, _ in posts],
        "topics": [set(topics) for _, topics in posts],
    }
    worst, best = min(scores, default=0), max(scores, default=0)
    relevance = [(score - worst) / (best - worst) if best > worst else 0.0 for score in scores]
    found: list[int] = []
    within = 0
    while len(found) < size:
        count = {name: Counter(value for one in found for value in of[name][one]) for name in of}
        left = [n for n in range(len(posts)) if n not in found]
        free = [n for n in left if all(count["author"][author] < rest.get(str(author), 99) for author in of["author"][n])]
        fit = [n for n in free if all(count[name][value] < most for name, most in caps.items() for value in of[name][n])]
        if not free:
            break
        within += bool(fit)

        def value(n: int) -> float:
            alike = [(overlap(of["author"][n], of["author"][m]) + overlap(of["topics"][n], of["topics"][m])) / 2 for m in found]
            return (1 - weight) * relevance[n] - weight * max(alike, default=0.0) if weight else -n

        found.append(max(fit or free, key=lambda n: (round(value(n), 12), -n)))
    return found, within


@given(
    posts_strategy,
    st.integers(1, 10),
    st.fixed_dictionaries({}, optional={"author": st.integers(1, 2), "topics": st.integers(1, 3)}),
    st.sampled_from([0.0, 0.25, 0.5]),
    st.lists(st.sampled_from(["p0", "p1", "p2"]), max_size=3),
)
def test_places_are_filled_as_a_naive_reader_would(
    posts: list[Post], size: int, caps: dict[str, int], weight: float, seen: list[str]
) -> None:
    seen = [post for post in seen if int(post[1:]) < len(posts)]
    spent = Counter(posts[int(post[1:])][0] for post in seen)
    rest = {str(author): 3 - spent[author] for author, _ in posts}
    selector = Slate(
        per_author=caps.get("author"),
        caps=tuple(Cap(name, most) for name, most in caps.items() if name == "topics"),
        diversity=Diversity(weight) if weight else None,
    )
    filters: list[Filter] = [FrequencyCap(times=3, within="1d", by="author")]
    scores = [float(8 - n // 2) for n in range(len(posts))]
    result, tracer = chosen(posts, selector, size, scores=scores, filters=filters, more=shown(*seen))
    wanted, within = naive(posts, scores, size, caps, rest, weight)
    assert result.candidates.tolist() == wanted
    assert result.within == within
    causes = {said.cause for said in tracer.degradations}
    assert ("no more items are left for this viewer" in causes) == (len(wanted) < size)
    assert bool(causes & {"too few authors", "too few values of topics"}) == (within < len(wanted))
    assert result.propensities == [None] * len(wanted)
    assert result.rules == [None] * len(wanted)


def effects(tracer: Tracer) -> list[str]:
    return [said.effect for said in tracer.degradations]


def test_caps_say_how_far_they_gave_way() -> None:
    posts: list[Post] = [("a", ["x"]), ("a", ["x"]), ("a", ["y"]), ("b", ["x", "y"])]
    result, tracer = chosen(posts, Slate(per_author=1, caps=(Cap("topics", 2),)), 4)
    assert result.candidates.tolist() == [0, 3, 1, 2]
    authors, topics = "2 items exceed the cap of 1 per author", "1 items exceed the cap of 2 per value of topics"
    assert (result.within, effects(tracer)) == (2, [authors, topics])
    result, tracer = chosen(posts, Slate(caps=(Cap("topics", 1),)), 4)
    assert result.candidates.tolist() == [0, 2, 1, 3]
    assert effects(tracer) == ["2 items exceed the cap of 1 per value of topics"]


def test_what_is_left_of_a_frequency_cap_does_not_give_way() -> None:
    posts: list[Post] = [("a", []), ("a", []), ("a", []), ("b", [])]
    filters = [FrequencyCap(times=3, within="1d", by="author")]
    result, tracer = chosen(posts, Slate(), 4, filters=filters, more=shown("p0"))
    assert result.candidates.tolist() == [0, 1, 3]
    assert effects(tracer) == ["3 of 4 items"]
    ruled, tracer = chosen(
        posts,
        Slate(),
        4,
        filters=filters,
        more=shown("p0", "p1"),
        rules=[Pin("one", item="p1", position=1), Pin("two", item="p2", position=0)],
    )
    assert ruled.candidates.tolist() == [2, 3], "the first place takes what is left of the author"
    assert [(said.rule, said.effect) for said in tracer.rules] == [
        ("one", "left out by frequency_cap"),
        ("two", "at position 0"),
    ]


def test_variety_weighs_likeness_against_the_score() -> None:
    posts: list[Post] = [("a", ["x"]), ("a", ["x"]), ("a", ["y"]), ("b", ["z"])]
    scores = [1.0, 0.9, 0.8, 0.0]
    for weight, order in ((0.01, [0, 1, 2, 3]), (0.3, [0, 2, 1, 3]), (0.7, [0, 3, 2, 1])):
        assert chosen(posts, Slate(diversity=Diversity(weight)), 4, scores=scores)[0].candidates.tolist() == order
    assert chosen(posts, Slate(diversity=Diversity(0.3)), 4, scores=[5.0] * 4)[0].candidates.tolist() == [0, 3, 2, 1]


@pytest.mark.parametrize("size", [1, 4, 9])
def test_no_candidates_and_too_many_places(size: int) -> None:
    selector = Slate(per_author=1, caps=(Cap("topics", 1),), diversity=Diversity(), explore=Explore())
    result, tracer = chosen([], selector, size)
    assert len(result) == 0
    assert effects(tracer) == [f"0 of {size} items"]


PLENTY: list[Post] = [("abc"[n % 3], ["xyz"[n % 3]]) for n in range(12)]


def test_drawn_items_fit_beside_the_slate_and_each_other() -> None:
    """Whatever is drawn, no cap is exceeded, places are told apart, and the rest stays where it was."""
    selector = Slate(caps=(Cap("topics", 3),), explore=Explore(0.5, 50))
    base = chosen(PLENTY, Slate(caps=(Cap("topics", 3),)), 5)[0].candidates.tolist()
    assert base == [0, 1, 2, 3, 4]
    draw, drawn = choosing(PLENTY, selector, 5), Counter[int]()
    for seed in range(300):
        result, tracer = draw(seed)
        found = result.candidates.tolist()
        assert len(set(found)) == 5
        assert max(Counter(PLENTY[n][1][0] for n in found).values()) <= 3
        assert tracer.degradations == []
        assert [n == kept for n, kept in zip(found, base, strict=True)] == [rule is None for rule in result.rules]
        assert result.propensities == [1.0, 0.5, 0.5, 0.5, 0.5], "four next ones, so four places may open, each by half"
        drawn.update(n for n in found if n not in base)
    assert set(drawn) == {5, 6, 7, 8}, "the next ones within the cap: 9 of all"


def test_the_stated_propensities_are_the_frequencies_over_seeds() -> None:
    """A chi-squared-like bound: with a fixed set of seeds, every frequency is within four standard errors."""
    trials = 4000
    draw = choosing(PLENTY, Slate(explore=Explore(0.3, 6)), 5, rules=[Pin("news", item="p11", position=2)])
    counts, stated = np.zeros(12), np.full(12, np.nan)
    for seed in range(trials):
        result, _ = draw(seed * 7919 + 1)
        counts[result.candidates] += 1
        stated[result.candidates] = result.propensities
    # Four places may open, six come next: 0.3 * 4 / 6 each.
    assert stated.tolist() == pytest.approx([0.7, 0.7, 0.7, 0.7, *[0.2] * 6, np.nan, 1.0], nan_ok=True)
    shown_at_all = ~np.isnan(stated)
    error = np.sqrt(stated * (1 - stated) / trials)[shown_at_all]
    assert (np.abs(counts / trials - stated)[shown_at_all] <= 4 * error).all()
    assert counts[10] == 0


def test_what_rules_hold_is_not_drawn() -> None:
    rules: list[Rule] = [Pin("news", item="p9", position=0), Promote("big", where="size >= 6", first=3, count=2)]
    draw = choosing(PLENTY, Slate(explore=Explore(0.5, 3)), 5, rules=rules)
    for seed in range(100):
        result, _ = draw(seed)
        assert result.candidates[0] == 9
        assert result.rules[0] == "news"
        assert sum(candidate >= 6 for candidate in result.candidates[:3]) >= 2
        assert result.propensities[0] == 1.0


def test_the_same_seed_draws_the_same() -> None:
    draw = choosing(PLENTY, Slate(explore=Explore(0.5)), 5)
    slates = [draw(seed)[0].candidates.tolist() for seed in (1, 1, 2, 3, 4)]
    assert slates[0] == slates[1]
    assert len({tuple(slate) for slate in slates}) > 1
