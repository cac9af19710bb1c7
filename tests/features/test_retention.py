"""Lateness and memory: batch and stream follow them alike, whether or not the stream drops what nobody can ask for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fourfold.features.consumer as module
from fourfold.definition import Recommender
from fourfold.definition.part import milliseconds
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import Action, EntityUpsert, Event, Impression, batch_of
from fourfold.features.consumer import StateConsumer
from fourfold.features.numbers import numbers
from fourfold.features.retention import drops
from fourfold.features.state import State
from fourfold.features.timeline import timeline
from fourfold.features.view import View
from fourfold.stores.consumer import ConsumerStore
from tests.features.oracle import Oracle
from tests.features.samples import all_pairs, codes_of, state_of
from tests.strategies import HOUR, MEMBERS, START, TINY, logs, times

rules = st.tuples(st.sampled_from([None, "2h", "7h"]), st.sampled_from([None, "1h", "3h", "9h"]))
cuts = st.lists(st.integers(0, 100), max_size=5)


def ruled(lateness: str | None, memory: str | None) -> Recommender:
    return replace(TINY, lateness=lateness, memory=memory)


def asked_for(view: View, moments: Sequence[int]) -> np.ndarray:
    members, posts, when, asked = all_pairs(view, moments)
    return numbers(view, view.definition.features, members, posts, when, codes_of(view, asked))


def histories(view: View, moment: int) -> list[tuple[int, int, str, tuple[int, int, bool]]]:
    """Viewer, time, item and the rest of every entry as of a moment."""
    rows = view.rows("member", MEMBERS)
    found = timeline(view, rows, np.full(len(rows), moment))
    rest = zip(found.request.tolist(), found.seen.tolist(), found.shown.tolist(), strict=True)
    return list(zip(found.viewer.tolist(), found.time.tolist(), view.ids("post", found.item), rest, strict=True))


@settings(max_examples=max(15, settings().max_examples // 4))
@given(logs(25), cuts, rules, times())
def test_features_and_histories_equal_the_naive_truth(
    events: list[Event], cuts: list[int], rule: tuple[str | None, str | None], moment: int
) -> None:
    definition = ruled(*rule)
    view, oracle = state_of(events, definition, cuts).view(), Oracle(definition, events)
    _, _, _, asked = all_pairs(view, [moment])
    wanted = [[oracle.feature(f, *one) for f in definition.features] for one in asked]
    np.testing.assert_array_equal(asked_for(view, [moment]), np.array(wanted, np.float32))
    entries = {(v, e.item, e.time): (e.request, e.seen, e.shown) for v in MEMBERS for e in oracle.timeline(v, moment)}
    assert {(MEMBERS[v], item, time): rest for v, time, item, rest in histories(view, moment)} == entries


@settings(max_examples=max(15, settings().max_examples // 4))
@given(logs(), st.lists(st.integers(1, 20), min_size=1, max_size=6), st.sampled_from(["1h", "3h"]), st.data())
def test_dropping_changes_no_answer_within_the_lateness(
    events: list[Event], steps: list[int], memory: str, data: st.DataObject
) -> None:
    definition = ruled("2h", memory)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "LARGE_RUN", 2)
        view = streamed(definition, events, steps, Path(folder))
        kept = state_of(events, definition).view()
        assert dict(view.ignored) == dict(kept.ignored)
        since = view.clock - milliseconds("2h")
        moments = [data.draw(st.integers(since, view.clock + 2 * HOUR)) for _ in range(3)] if events else [START]
        np.testing.assert_array_equal(asked_for(view, moments), asked_for(kept, moments))
        for moment in moments:
            assert sorted(histories(view, moment)) == sorted(histories(kept, moment))


def streamed(definition: Recommender, events: Sequence[Event], steps: Sequence[int], folder: Path) -> View:
    """What a service has after taking the log in steps, a commit and a restart after each."""
    with LmdbLog(folder / "log", map_size=1 << 20) as log:
        log.append(batch_of(events), START)
        for step in (*steps, len(events)):
            with ConsumerStore(folder / "state", map_size=1 << 20) as store:
                consumer = StateConsumer(definition, log, store)
                consumer.catch_up(step)
                consumer.commit()
    return consumer.state.view()


def shown(number: int, hours: float, viewer: str = "m0") -> Impression:
    return Impression(id=f"i{number}", time=START + int(hours * HOUR), viewer=viewer, item="p0", surface="feed")


def test_what_comes_too_late_is_counted_and_not_taken_however_it_is_batched() -> None:
    done = Action(id="a", time=START, viewer="m0", item="p0", surface="feed", name="like")
    edge = EntityUpsert(id="u", time=START, type="post", key="p9", attributes={})
    events: list[Event] = [shown(0, 5), shown(1, 3), shown(2, 2.999), done, edge, shown(3, 5.001), shown(4, 3)]
    for cuts in ((), range(8)):
        view = state_of(events, ruled("2h", None), cuts).view()
        assert dict(view.ignored) == {"impression more than 2h late": 2, "action more than 2h late": 1}
        taken = [time - START for run in view.table("impression").runs for time in run.times.tolist()]
        assert sorted(taken) == [3 * HOUR, 5 * HOUR, int(5.001 * HOUR)]
        assert view.size("post") == 2, "upserts are never too late"


def test_an_id_counts_again_once_a_repeat_would_be_too_late() -> None:
    """Whether or not the id is still kept, so that dropping it changes nothing."""
    again = [shown(0, 0), shown(1, 2), shown(0, 0), shown(2, 2.001), shown(0, 2.001), shown(0, 2.001)]
    times = [0, 2, 2.001, 2.001]
    for cuts in ((), range(8)):
        view = state_of(again, ruled("2h", None), cuts).view()
        taken = [time - START for run in view.table("impression").runs for time in run.times.tolist()]
        assert sorted(taken) == [int(hours * HOUR) for hours in times]


def test_events_of_others_move_the_clock_too() -> None:
    elsewhere = replace_surface(shown(0, 9), "elsewhere")
    view = state_of([elsewhere, shown(1, 5)], ruled("2h", None)).view()
    assert view.clock == START + 9 * HOUR
    assert len(view.table("impression")) == 0


def replace_surface(event: Impression, surface: str) -> Impression:
    return Impression(id=event.id, time=event.time, viewer=event.viewer, item=event.item, surface=surface)


def test_a_failed_batch_does_not_move_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(ruled("2h", None))
    with monkeypatch.context() as patched:
        patched.setattr(State, "_take_edges", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            state.apply(batch_of([shown(0, 9)]))
    assert state.apply(batch_of([shown(1, 5)])) == 1


def test_a_history_keeps_its_start_for_an_eighth_of_the_memory() -> None:
    view = state_of([], ruled(None, "8h")).view()
    moments = START + np.arange(0, 3 * HOUR, HOUR // 4)
    starts = view.history_start(moments)
    assert (starts >= moments - 8 * HOUR).all()
    assert (starts < moments - 7 * HOUR).all()
    assert len(np.unique(starts)) == 4
    assert (view.reach(moments) == moments - 8 * HOUR).all()


def test_what_is_old_is_dropped_and_a_whole_state_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE_RUN", 8)
    definition = ruled("1h", "2h")
    assert drops(definition)
    assert not drops(ruled("1h", None))
    assert not drops(ruled(None, "1h"))
    with LmdbLog(tmp_path / "log") as log:
        sizes = {}
        for whole in (False, True):
            log_events = [shown(n, n / 10) for n in range(1_000)]
            if log.end == 0:
                log.append(batch_of(log_events), START)
            with ConsumerStore(tmp_path / f"state{whole}") as store:
                consumer = StateConsumer(definition, log, store, whole=whole)
                while consumer.catch_up(50):
                    consumer.commit()
                view = consumer.state.view()
                tables = ("impression", "count/impression/item", "event")
                sizes[whole] = [len(view.table(name)) for name in tables]
                now, everything = [view.clock + 1], state_of(log_events, definition).view()
                np.testing.assert_array_equal(asked_for(view, now), asked_for(everything, now))
        assert sizes[True] == [1_000] * 3
        # Five hours of events at ten an hour must stay, and the ids of one; files shed what is old as they are merged.
        shown_, counted, ids = sizes[False]
        assert 50 <= shown_ < 250
        assert 50 <= counted < 250
        assert 10 <= ids < 50
        with ConsumerStore(tmp_path / "stateFalse") as store:
            assert StateConsumer(definition, log, store, commits=False, whole=True).state.offset == 0, "taken for a whole one"
