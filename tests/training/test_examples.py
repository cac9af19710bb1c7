"""Examples: every impression once, with the labels of the naive truth and inputs that nothing later can change."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import History, Recommender
from fourfold.definition.part import milliseconds
from fourfold.events.types import Action, EntityDelete, EntityUpsert, Event, Impression
from fourfold.features.encoding import Encoder
from fourfold.features.view import View
from fourfold.training.examples import Examples, examples, retrieval_examples
from tests.features.oracle import Oracle, knows
from tests.features.samples import state_of
from tests.strategies import HOUR, MEMBERS, START, TINY, logs, times

WINDOWED = replace(TINY, history=History(impressions=6, block=2))
END = START + (1 << 40)
COLUMNS = {action.name: column for column, action in enumerate(TINY.actions)}

Row = tuple[str, str, int, tuple[str, ...]]


def made(events: list[Event], since: int = 0, before: int = END, definition: Recommender = WINDOWED) -> Examples:
    return examples(state_of(events, definition).view(), Encoder(definition), since, before)


def described(view: View, found: Examples) -> list[Row]:
    """Viewer, item, request time and labels of each example."""
    return [
        (
            view.ids("member", found.viewer[row : row + 1])[0],
            view.ids("post", found.item[row : row + 1])[0],
            int(found.request[row]),
            tuple(sorted(_outcomes(found.sequences.labels[row].tolist()))),
        )
        for row in np.flatnonzero(found.sequences.weight > 0)
    ]


def _outcomes(labels: list[float]) -> Iterator[str]:
    """Actions that followed, and with a question mark those of which nobody knows."""
    for name, label in zip(COLUMNS, labels, strict=True):
        if label != 0:
            yield name if label == 1 else f"{name}?"


def outcomes(events: list[Event], since: int = 0, before: int = END, *, undated: bool = False) -> list[Row]:
    view = state_of(events, WINDOWED).view()
    return sorted(described(view, examples(view, Encoder(WINDOWED), since, before, undated=undated)))


def naive(events: list[Event], since: int, before: int, undated: bool) -> list[Row]:
    oracle, found = Oracle(TINY, events), []
    for member in MEMBERS:
        gone = oracle.deleted("member", member, before)
        mine = [
            e for e in oracle.events if isinstance(e, Impression | Action) and e.viewer == member and gone < e.time < before
        ]
        entries = oracle.timeline(member, before)
        labels: dict[int, set[str]] = {index: set() for index in range(len(entries))}
        for act in mine:
            shown = [
                e for e in mine if isinstance(e, Impression) and e.item == getattr(act, "item", None) and e.time <= act.time
            ]
            if not isinstance(act, Action) or not shown:
                continue
            last = max(e.time for e in shown)
            if act.time - last < milliseconds(TINY.attribution):
                own = [i for i, entry in enumerate(entries) if entry.item == act.item and entry.time <= last]
                labels[max(own, key=lambda i: entries[i].time)].add(act.name)
        for index, entry in enumerate(entries):
            first = entry.first
            dated = not (isinstance(first, Impression) and first.undated)
            if entry.shown and (entry.request or 0) >= since and (dated or undated):
                known = {name for name in COLUMNS if not isinstance(first, Impression) or knows(first, name)}
                unknown = {f"{name}?" for name in COLUMNS.keys() - known - labels[index]}
                found.append((member, entry.item, entry.request or 0, tuple(sorted(labels[index] | unknown))))
    return sorted(found)


@given(logs(60), times(), times(), st.booleans())
def test_examples_and_labels_equal_the_naive_truth(events: list[Event], since: int, before: int, undated: bool) -> None:
    assert outcomes(events, since, before, undated=undated) == naive(events, since, before, undated)


def test_what_is_unknown_of_an_undated_impression_is_no_label() -> None:
    before = Impression(id="i", time=START, viewer="m0", item="p0", surface="feed", known=["like"], undated=True)
    events: list[Event] = [before, act("a", 1, "like"), show("j", 10, "p1"), act("b", 11, item="p1")]
    assert [row[1:2] + row[3:] for row in outcomes(events)] == [("p1", ("click",))]
    assert [row[1:2] + row[3:] for row in outcomes(events, undated=True)] == [
        ("p0", ("click?", "hide?", "like")),
        ("p1", ("click",)),
    ]


@given(logs(60), times())
def test_as_of_the_split_the_future_does_not_exist(events: list[Event], before: int) -> None:
    """Inputs, windows and labels: with everything from the split on removed, each array is the same."""
    past = [event for event in events if event.time < before]
    pair = [arrays(given, before) for given in (events, past)]
    assert pair[0] == pair[1]


def arrays(events: list[Event], before: int) -> Counter[tuple[object, ...]]:
    """Every example as a whole: what it is, its row, its labels and the history before it."""
    view = state_of(events, WINDOWED).view()
    found = examples(view, Encoder(WINDOWED), 0, before)
    rows = found.sequences
    starts = np.repeat(np.cumsum(rows.lengths) - rows.lengths, rows.lengths)
    span = np.repeat(np.arange(len(rows.lengths)), rows.lengths)
    described_rows = iter(described(view, found))
    return Counter(
        (
            next(described_rows),
            rows.viewers[span[row]].tobytes(),
            *(getattr(rows, name)[row].tobytes() for name in ("items", "early", "late", "moments")),
            *(
                getattr(rows, name)[starts[row] : starts[row] + rows.seen[row]].tobytes()
                for name in ("items", "early", "moments", "actions", "seen")
            ),
        )
        for row in np.flatnonzero(rows.weight > 0)
    )


@given(logs(60), times())
def test_what_happens_later_changes_no_input_of_an_earlier_example(events: list[Event], moment: int) -> None:
    """Every example whose impression lies before `moment` is found unchanged, labels aside, whatever follows."""
    kept = [e for e in events if e.time < moment or not (isinstance(e, EntityDelete) and e.type == "member")]
    past = [event for event in kept if event.time < moment]
    before, after = (Counter(without_labels(arrays(given, END))) for given in (past, kept))
    assert before - after == Counter()


def without_labels(found: Counter[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [(row[0][:3], *row[1:]) for row in found.elements()]  # type: ignore[index]  # the first is a Row


def show(key: str, at: int, item: str = "p0", request: str | None = None, surface: str = "feed") -> Impression:
    return Impression(id=key, time=START + at, viewer="m0", item=item, surface=surface, request=request)


def act(key: str, at: int, name: str = "click", item: str = "p0") -> Action:
    return Action(id=key, time=START + at, viewer="m0", item=item, surface="feed", name=name)


def test_labels_by_hand() -> None:
    window = 6 * HOUR
    tables: list[tuple[list[Event], list[tuple[int, tuple[str, ...]]]]] = [
        ([show("i", 10), act("a", 9)], [(10, ())]),  # before the impression
        ([show("i", 10), act("a", 10)], [(10, ("click",))]),  # in the same millisecond
        ([show("i", 10), act("a", 9 + window)], [(10, ("click",))]),
        ([show("i", 10), act("a", 10 + window)], [(10, ())]),  # the window is over
        ([show("i", 10), act("a", 11), act("b", 12, "like")], [(10, ("click", "like"))]),
        ([show("i", 10), act("a", 11, item="p1")], [(10, ())]),  # of another item
        ([show("i", 10, request="r0"), show("j", 20, request="r1"), act("a", 21)], [(10, ()), (20, ("click",))]),
        ([show("i", 10, request="r0"), show("j", 20, request="r1"), act("a", 15)], [(10, ("click",)), (20, ())]),
        # Shown again in one request: one example, and its window counts from the last time that it was shown.
        ([show("i", 10, request="r0"), show("j", 20 + window, request="r0"), act("a", 21 + window)], [(10, ("click",))]),
        # Acted on before it was shown, both inside one cut: what came before is no outcome.
        ([show("h", 5, "p1", "r0"), act("a", 9), show("i", 12, request="r0")], [(5, ()), (5, ())]),
        ([show("i", 10, surface="elsewhere"), act("a", 11)], []),
    ]
    for events, expected in tables:
        assert [(request - START, labels) for _, _, request, labels in outcomes(events)] == expected, events


def test_the_request_of_an_example_is_that_of_its_first_impression() -> None:
    """An item that an older request shows again, further down, does not make the first impression older."""
    first: list[Event] = [show("i", 0, "p0", "r0"), show("j", 1, "p1", "r1")]
    assert [row[1:3] for row in outcomes([*first, show("k", 2, "p1", "r0")])] == [row[1:3] for row in outcomes(first)]
    # Acted on before it was shown: the example is the impression's, as of its own request.
    events: list[Event] = [show("i", 0, "p0", "r0"), act("a", 1, item="p1"), show("j", 2, "p1", "r0")]
    assert [row[1:] for row in outcomes(events)] == [("p0", START, ()), ("p1", START, ())]


def test_the_split_ends_labels_and_begins_examples() -> None:
    events: list[Event] = [show("i", 10), act("a", 20), show("j", 30, "p1", "r"), show("k", 40, "p2", "r")]
    split = START + 20
    assert [labels for *_, labels in outcomes(events, before=split)] == [()]
    assert [labels for *_, labels in outcomes(events, before=split + 1)] == [("click",)]
    # A request belongs to the side on which it began: an example of 30, though p2 was scrolled to at 40.
    assert [row[1] for row in outcomes(events, since=START + 31)] == []
    assert [row[1] for row in outcomes(events, since=START + 30)] == ["p1", "p2"]


def test_a_deleted_viewer_teaches_nothing() -> None:
    gone = EntityDelete(id="gone", time=START + 50, type="member", key="m0")
    assert outcomes([show("i", 10), act("a", 20), gone]) == []
    assert [row[2] - START for row in outcomes([show("i", 10), gone, show("j", 60), act("a", 61)])] == [60]


def test_windows_move_in_blocks_and_every_impression_is_an_example_once() -> None:
    events: list[Event] = [show(f"i{n}", n, f"p{n}") for n in range(20)]
    found = made(events)
    assert len(found) == 20
    assert found.sequences.seen[found.sequences.weight > 0].max() == 6
    lengths = found.sequences.lengths.tolist()
    # Windows start at 0 (entries 0 to 6), then move by two.
    assert lengths == [7, 7, 7, 7, 7, 7, 7, 6][: len(lengths)]
    assert len(lengths) == 8


def test_nothing_makes_nothing() -> None:
    found = made([])
    assert len(found) == 0
    assert found.sequences.labels.shape == (0, 3)
    assert found.sequences.late.shape == (0, sum(feature.late for feature in TINY.features))


def retrieved(events: list[Event], recent: int = 2, before: int = END) -> list[tuple[int, list[int]]]:
    """The id column of each target and of its recent items, as hashed ids."""
    view = state_of(events, WINDOWED).view()
    found = retrieval_examples(view, Encoder(WINDOWED), 0, before, recent)
    ids = np.append(found.items[:, 0], -1)
    return [(int(ids[target]), ids[liked].tolist()) for target, liked in zip(found.target, found.recent, strict=True)]


def test_retrieval_examples_by_hand() -> None:
    ids = dict(zip(("p0", "p1", "p2"), (row[0] for row in _own_ids()), strict=True))
    events: list[Event] = [
        show("i", 10), act("a", 11),
        show("j", 20, "p1"), act("b", 21, "like", "p1"),
        show("k", 30, "p2"), act("c", 31, "hide", "p2"),
        show("l", 40, "p0"), act("d", 41, "like"),
    ]  # fmt: skip
    assert retrieved(events) == [
        (ids["p0"], [-1, -1]),
        (ids["p1"], [ids["p0"], -1]),  # what was hidden is no target
        (ids["p0"], [ids["p1"], -1]),  # the target itself, liked before, is nothing to repeat
    ]
    assert retrieved(events, before=START + 41) == retrieved(events)[:2]


def _own_ids() -> list[list[int]]:
    view = state_of([show("i", 1), show("j", 2, "p1"), show("k", 3, "p2")], WINDOWED).view()
    ids: list[list[int]] = Encoder(WINDOWED).items(view, np.arange(3), np.full(3, END)).tolist()
    return ids


@given(logs(60), times())
def test_retrieval_examples_do_not_look_ahead(events: list[Event], before: int) -> None:
    past = [event for event in events if event.time < before]
    full, cut = (Counter(str(row) for row in retrieved(given, before=before)) for given in (events, past))
    assert full == cut


@given(logs(60), st.integers(1, 3))
def test_recent_items_were_liked_before_the_request_and_are_not_the_target(events: list[Event], recent: int) -> None:
    view = state_of(events, WINDOWED).view()
    found = retrieval_examples(view, Encoder(WINDOWED), 0, END, recent)
    own = found.items[:, 0]
    assert (own[found.recent] != own[found.target][:, None])[found.recent >= 0].all()
    padded = found.recent < 0
    assert found.recent.shape == (len(found.target), recent)
    assert padded.all() or found.recent.max() < len(found.items)


def test_an_item_that_changed_is_encoded_as_of_the_request() -> None:
    def named(key: str, at: int, title: str) -> EntityUpsert:
        return EntityUpsert(id=key, time=START + at, type="post", key="p0", attributes={"title": title})

    events: list[Event] = [
        named("u", 1, "red bird"), show("i", 10), act("a", 11),
        named("v", 20, "blue fish"), show("j", 30), act("b", 31),
    ]  # fmt: skip
    view = state_of(events, WINDOWED).view()
    encoder = Encoder(WINDOWED)
    found = retrieval_examples(view, encoder, 0, END, 1)
    wanted = encoder.items(view, np.zeros(2, np.int64), np.array([START + 10, START + 30]))
    np.testing.assert_array_equal(found.items[found.target], wanted)
    assert not np.array_equal(wanted[0], wanted[1])
