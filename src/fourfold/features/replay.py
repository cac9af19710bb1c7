"""A log replayed both ways: the features of each impression as a stream had them then, against those of the whole log.

The stream takes the log piece by piece. The first impressions of a piece are asked before it is applied, when the state holds
only what the log held before them; the others right after it, when it may hold a few events more, all later in the log.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.definition import Recommender
from fourfold.events.log import Log
from fourfold.events.types import EventKind, decode_details
from fourfold.features.admission import clocks, in_time, spoken_of
from fourfold.features.consumer import StateConsumer
from fourfold.features.details import context_codes
from fourfold.features.numbers import numbers
from fourfold.features.table import Int
from fourfold.features.view import NEVER, View

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mismatch:
    """One value that differs; `streamed` and `batch` are None where there was none."""

    viewer: str
    item: str
    time: int
    streamed: float | None
    batch: float | None


@dataclass
class FeatureParity:
    """How many values of a feature were compared and differ; `late` are those that differ because of late events."""

    values: int = 0
    mismatches: int = 0
    late: int = 0
    first: Mismatch | None = None


@dataclass
class Parity:
    """What a replay of `events` found, by feature.

    `impressions` were compared, `before` of them before their piece was applied. `late_events` came after one of a later time.
    """

    features: dict[str, FeatureParity]
    events: int = 0
    impressions: int = 0
    before: int = 0
    late_events: int = 0

    @property
    def mismatches(self) -> int:
        """Values that differ though nothing was late."""
        return sum(found.mismatches for found in self.features.values())


@dataclass(frozen=True)
class _Asked:
    """Impressions of a piece of the log."""

    viewers: list[str]
    items: list[str]
    times: Int
    details: pa.Array

    def __len__(self) -> int:
        return len(self.times)

    def only(self, chosen: NDArray[np.bool_]) -> "_Asked":
        places = np.flatnonzero(chosen)
        viewers, items = ([names[place] for place in places.tolist()] for names in (self.viewers, self.items))
        return _Asked(viewers, items, self.times[chosen], self.details.filter(pa.array(chosen)))

    def values(self, view: View) -> Floats:
        """Every feature of the definition as of these impressions, shape (N, features)."""
        definition = view.definition
        if not len(self):
            return np.zeros((0, len(definition.features)), np.float32)
        viewers, items = view.rows(definition.viewer.name, self.viewers), view.rows(definition.item.name, self.items)
        return numbers(view, definition.features, viewers, items, self.times, self._context(view))

    def _context(self, view: View) -> Int:
        distinct = self.details.dictionary_encode()
        given = [decode_details(data).context for data in distinct.dictionary.to_pylist()]
        codes = np.stack([context_codes(view.definition, view.names, context) for context in [*given, {}]])
        found: Int = codes[distinct.indices.fill_null(len(given)).to_numpy(zero_copy_only=False)]
        return found


def replay(
    log: Log,
    batch: View,
    stream: StateConsumer,
    piece: int = 2048,
    on_progress: Callable[[int, int], None] | None = None,
) -> Parity:
    """Compare the values of every feature at every impression from the stream's offset on.

    Parameters
    ----------
    log : Log
        The events.
    batch : View
        The state after all of them, or as many as are to be replayed.
    stream : StateConsumer
        A state that keeps up with the log; it is where the replay is to begin.
    piece : int
        How many events are applied at once.
    on_progress : callable, optional
        Told how many events were replayed, of how many.

    Returns
    -------
    Parity
        A value that differs is `late` if an event came to the log after it was asked for, but is of an earlier time: the
        stream could not know it. A value that no such event excuses is a mismatch.
    """
    start, end = stream.state.offset, batch.offset
    parity = Parity({feature.name: FeatureParity() for feature in batch.definition.features})
    earliest, parity.late_events = _earliest(log, batch.definition, start, end, stream.state.view().clock, piece)
    for number, asked in enumerate(_pieces(log, batch.definition, start, end, piece)):
        before = asked.times <= earliest[number]
        streamed = np.empty((len(asked), len(parity.features)), np.float32)
        streamed[before] = asked.only(before).values(stream.state.view())
        stream.catch_up(min(piece, end - stream.state.offset))
        streamed[~before] = asked.only(~before).values(stream.state.view())
        late = ~before & (asked.times > earliest[number + 1])
        _compare(parity, asked, streamed, asked.values(batch), late)
        parity.before += int(before.sum())
        parity.events = stream.state.offset - start
        if on_progress:
            on_progress(parity.events, end - start)
    return parity


def _compare(parity: Parity, asked: _Asked, streamed: Floats, whole: Floats, late: NDArray[np.bool_]) -> None:
    """Count the values of some impressions that differ."""
    differs = (streamed != whole) & ~(np.isnan(streamed) & np.isnan(whole))
    for column, found in enumerate(parity.features.values()):
        wrong = differs[:, column] & ~late
        found.values += len(asked)
        found.mismatches += int(wrong.sum())
        found.late += int((differs[:, column] & late).sum())
        if found.first is None and wrong.any():
            row = int(np.argmax(wrong))
            values = (_number(side[row, column]) for side in (streamed, whole))
            found.first = Mismatch(asked.viewers[row], asked.items[row], int(asked.times[row]), *values)
    parity.impressions += len(asked)


def _number(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)


def _cut(log: Log, start: int, end: int, piece: int) -> Iterator[pa.RecordBatch]:
    """The log from `start` to `end` in pieces of that many events; the last may be shorter."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for _, batch in log.read(start, end - start) if end > start else ():
        waiting.append(batch)
        held += batch.num_rows
        if held >= piece:
            whole = pa.concat_batches(waiting)
            for place in range(0, held - held % piece, piece):
                yield whole.slice(place, piece)
            waiting, held = [whole.slice(held - held % piece)], held % piece
    if held:
        yield pa.concat_batches(waiting)


def _pieces(log: Log, definition: Recommender, start: int, end: int, piece: int) -> Iterator[_Asked]:
    for events in _cut(log, start, end, piece):
        mask = pc.and_(pc.equal(events["kind"], int(EventKind.IMPRESSION)), pc.equal(events["surface"], definition.surface))
        shown = events.filter(pc.fill_null(mask, False))
        viewers, items = shown["subject"].to_pylist(), shown["object"].to_pylist()
        yield _Asked(viewers, items, shown["time"].to_numpy(), shown["attributes"])


def _earliest(log: Log, definition: Recommender, start: int, end: int, clock: int, piece: int) -> tuple[Int, int]:
    """The earliest time of the events from each piece on that a state takes, and how many come after a later one."""
    found, late = [], 0
    for events in _cut(log, start, end, piece):
        clock_before = clocks(events, clock)
        clock = int(clock_before[-1])
        takes = spoken_of(definition, events)[0] & in_time(definition, events, clock_before[:-1])[0]
        times = events["time"].to_numpy()
        found.append(int(times[takes].min(initial=NEVER)))
        late += int((takes & (times < clock_before[:-1])).sum())
    ahead = np.array([*found, NEVER], np.int64)
    return np.minimum.accumulate(ahead[::-1])[::-1], late
