"""A replay finds nothing where stream and batch agree, every planted difference, and tells what is merely late."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.definition import Recommender
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import Action, Event, Impression, batch_of
from fourfold.features import replay as module
from fourfold.features.consumer import StateConsumer
from fourfold.features.numbers import numbers
from fourfold.features.replay import Parity, replay
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.stores.consumer import ConsumerStore
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY, logs


class Memory:
    """As much of a log as a replay reads, in batches of three events."""

    def __init__(self, events: list[Event]) -> None:
        self._events, self.start, self.end = events, 0, len(events)

    def read(self, offset: int, limit: int | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        stop = self.end if limit is None else min(offset + limit, self.end)
        for start in range(offset, stop, 3):
            yield start, batch_of(self._events[start : min(start + 3, stop)])


class Stream:
    """As much of a consumer as a replay asks of one."""

    def __init__(self, log: Memory, definition: Recommender = TINY) -> None:
        self.state, self._log = State(definition), log

    def catch_up(self, limit: int) -> None:
        for offset, batch in self._log.read(self.state.offset, limit):
            self.state.apply(batch, offset + batch.num_rows)


def replayed(events: list[Event], piece: int = 4, batch: View | None = None, skip: int = 0) -> Parity:
    log = Memory(events)
    stream = Stream(log)
    stream.catch_up(skip)
    whole = state_of(events).view() if batch is None else batch
    return replay(log, whole, stream, piece)  # type: ignore[arg-type]  # as much of them as it asks


@given(logs(), st.integers(1, 12))
@settings(max_examples=15)
def test_any_log_agrees_with_itself(events: list[Event], piece: int) -> None:
    found = replayed(events, piece)
    assert found.mismatches == 0
    assert found.events == len(events)
    shown = sum(isinstance(event, Impression) and event.surface == "feed" for event in events)
    assert found.impressions == shown
    assert all(one.values == shown for one in found.features.values())


@given(logs(), st.integers(1, 12))
@settings(max_examples=15)
def test_where_nothing_is_late_nothing_differs(events: list[Event], piece: int) -> None:
    found = replayed(sorted(events, key=lambda event: event.time), piece)
    assert found.late_events == 0
    assert sum(one.late + one.mismatches for one in found.features.values()) == 0


def shown(n: int, hour: int, item: str = "p0") -> Impression:
    return Impression(id=f"i{n}", time=START + hour * HOUR, viewer="m0", item=item, surface="feed")


SHOWN: list[Event] = [shown(n, n) for n in range(9)]


def test_a_late_event_is_told_from_a_mismatch() -> None:
    late = [*SHOWN, shown(99, 3)]
    found = replayed(late)
    assert (found.mismatches, found.late_events) == (0, 1)
    assert found.features["shown"].late > 0
    assert found.features["viewer_likes"].late == 0


def test_an_event_that_only_one_side_has_is_found() -> None:
    batch = state_of([*SHOWN[:3], shown(99, 2), *SHOWN[3:]]).view()
    found = replay(Memory(SHOWN), _until(batch, len(SHOWN)), Stream(Memory(SHOWN)), 4)  # type: ignore[arg-type]
    first = found.features["shown"].first
    assert found.mismatches > 0
    assert first is not None
    assert (first.viewer, first.item, first.time) == ("m0", "p0", START + 3 * HOUR)
    assert (first.streamed, first.batch) == (3.0, 4.0)
    assert found.features["viewer_likes"].mismatches == 0


def _until(view: View, offset: int) -> View:
    return View(view.definition, view.tables, view.names, view.details, offset, view.sizes)


@pytest.mark.parametrize("piece", [1, 4])
def test_a_feature_that_looks_ahead_is_found(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It agrees with itself once its own event is there, so only what is asked before can tell."""

    def ahead(view, features, viewers, items, times, context):  # type: ignore[no-untyped-def]
        return numbers(view, features, viewers, items, times + 1, context)

    monkeypatch.setattr(module, "numbers", ahead)
    found = replayed(SHOWN, piece)
    assert found.features["shown"].mismatches == found.before > 0


def test_a_stream_that_loses_something_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    likes = [Action(id=f"a{n}", time=START + n * HOUR, viewer="m0", item="p0", surface="feed", name="like") for n in range(9)]
    events: list[Event] = sorted([*SHOWN, *likes], key=lambda event: event.time)
    apply = State.apply
    batch = state_of(events).view()
    monkeypatch.setattr(State, "apply", lambda self, events, offset: apply(self, events.slice(1), offset))
    found = replayed(events, batch=batch)
    assert found.mismatches > 0


def test_only_the_newest_events_may_be_replayed() -> None:
    found = replayed(SHOWN, skip=5)
    assert (found.events, found.impressions, found.mismatches) == (4, 4, 0)
    nothing = replayed(SHOWN, skip=9)
    assert (nothing.events, nothing.impressions, nothing.mismatches) == (0, 0, 0)
    assert replayed([]).impressions == 0


def test_progress_and_a_real_log(tmp_path: Path) -> None:
    with LmdbLog(tmp_path / "log") as log:
        for part in (SHOWN[:2], SHOWN[2:]):
            log.append(batch_of(part), 0)
        stream = StateConsumer(TINY, log, ConsumerStore(tmp_path / "state"), commits=False)
        steps: list[tuple[int, int]] = []
        found = replay(log, state_of(SHOWN).view(), stream, 4, lambda done, total: steps.append((done, total)))
        stream.close()
        assert dict(log.consumers()) == {}
    assert steps == [(4, 9), (8, 9), (9, 9)]
    assert (found.impressions, found.mismatches) == (9, 0)
