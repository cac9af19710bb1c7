"""Item-to-item similarity against a naive computation over sets, and as it serves."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import Action, Event, Impression
from fourfold.scoring.item_table import ItemTable
from fourfold.training import item_to_item as module
from fourfold.training.item_to_item import item_to_item, save
from tests.features.samples import state_of
from tests.strategies import START

likes = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=25)


def log(liked: set[tuple[int, int]]) -> list[Event]:
    return [
        Action(id=f"{member}-{item}", time=START + member, viewer=f"m{member}", item=f"p{item}", surface="feed", name="like")
        for member, item in sorted(liked)
    ]


def naive(liked: set[tuple[int, int]], shrink: float) -> dict[tuple[str, str], float]:
    fans = {item: {m for m, i in liked if i == item} for _, item in liked}
    return {
        (f"p{a}", f"p{b}"): len(fans[a] & fans[b]) / (np.sqrt(len(fans[a]) * len(fans[b])) + shrink)
        for a in fans
        for b in fans
        if a != b and fans[a] & fans[b]
    }


def found_in(events: list[Event], before: int = START + 1_000, **options: float) -> dict[tuple[str, str], float]:
    view = state_of(events).view()
    table = item_to_item(view, before, **options)  # type: ignore[arg-type]  # keep or shrink
    names = view.ids("post", table.rows)
    return {
        (names[row], names[other]): float(table.similarity[row, column])
        for row in range(len(names))
        for column, other in enumerate(table.neighbours[row])
        if other >= 0
    }


@given(likes, st.sampled_from([0.0, 10.0]), st.sampled_from([1, 2, 2048]))
def test_equals_the_naive_truth(liked: set[tuple[int, int]], shrink: float, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        assert found_in(log(liked), shrink=shrink) == pytest.approx(naive(liked, shrink))


@given(likes, st.integers(1, 3))
def test_the_best_are_kept_best_first(liked: set[tuple[int, int]], keep: int) -> None:
    table = item_to_item(state_of(log(liked)).view(), START + 1_000, keep=keep, shrink=0.0)
    assert (np.diff(table.similarity, axis=1) <= 0).all()
    assert ((table.similarity > 0) == (table.neighbours >= 0)).all()
    everything = naive(liked, 0.0)
    names = [f"p{item}" for item in range(7)]
    best = {a: max((value for (one, _), value in everything.items() if one == a), default=0.0) for a in names}
    if table.similarity.shape[1]:
        assert sorted(table.similarity[:, 0]) == pytest.approx(sorted(best[f"p{i}"] for i in {i for _, i in liked}))


@pytest.mark.parametrize("liked", [set(), {(0, 0)}, {(0, 0), (1, 0)}])
def test_too_little_to_compare(liked: set[tuple[int, int]]) -> None:
    assert found_in(log(liked)) == {}


def test_only_what_is_good_on_balance_and_before_the_time_counts() -> None:
    events = log({(0, 0), (0, 1), (1, 0), (1, 1), (0, 2)})
    events.append(Action(id="h", time=START, viewer="m0", item="p2", surface="feed", name="hide"))
    events.append(Impression(id="s", time=START + 9, viewer="m0", item="p3", surface="feed"))
    assert set(found_in(events)) == {("p0", "p1"), ("p1", "p0")}
    # Before member 1 acted, one fan stands behind the pair.
    assert found_in(events, before=START + 1, shrink=0.0)["p0", "p1"] == pytest.approx(1.0)
    assert found_in(events, before=START + 1, shrink=1.0)["p0", "p1"] == pytest.approx(0.5)
    assert found_in(events, shrink=1.0)["p0", "p1"] == pytest.approx(2 / 3)


def test_liking_twice_is_liking_once() -> None:
    events = log({(0, 0), (0, 1), (1, 0), (1, 1)})
    again = Action(id="again", time=START + 9, viewer="m0", item="p0", surface="feed", name="click")
    assert found_in([*events, again]) == found_in(events)


def test_a_table_serves_in_the_rows_of_a_later_state(tmp_path: Path) -> None:
    events = log({(0, 0), (0, 1), (1, 0), (1, 1)})
    view = state_of(events).view()
    save(view, item_to_item(view, START + 1_000), tmp_path)
    later = state_of([*log({(5, 6)}), *events]).view()  # another order of arrival numbers the items differently
    bound = ItemTable.load(tmp_path).at(later)
    query, other, similarity = bound.of(later.rows("post", ["p1", "p6"]))
    assert later.ids("post", other) == ["p0"]
    assert query.tolist() == [0]
    assert similarity.tolist() == pytest.approx([2 / 12])
