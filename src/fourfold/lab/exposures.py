"""What the viewers of an experiment did, counted from the log alone: one row per viewer, from the first exposure on.

The log is read twice, or more often where it is long: first for who was exposed when, then, a part of the viewers at a time,
for what they did. What is held is a row for each viewer and the events of that part.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.events.types import EventKind, decode_details
from fourfold.features.names import hash64
from fourfold.features.table import Int, pairs

Mask = NDArray[np.bool_]
Hashes = NDArray[np.uint64]
Progress = Callable[[int, int], None]

EVENTS_AT_ONCE = 4_000_000
"""How many events of viewers are held at a time, about 200 MB."""

INTERLEAVED = "interleaved"
"""Where a variant's name stands, that of viewers whose slates two rankers fill."""

_COMPACT = 1 << 20
_MOST_ARMS = 62
"""What clients post may name any variant; each has a bit of a number."""


class Readable(Protocol):
    """A log that can be read from an offset on."""

    @property
    def start(self) -> int:
        """Offset of the oldest event."""

    @property
    def end(self) -> int:
        """Offset that the next event will get."""

    def read(self, offset: int, limit: int | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of events with their offsets."""


@dataclass(frozen=True)
class Asked:
    """Which experiment, with the times (ms) from and before which events count, the actions, and the teams if it has them.

    With a `window` (ms), a viewer counts with what happened so long after the first exposure, and only once that is over.
    """

    surface: str
    experiment: str
    actions: Sequence[str]
    teams: Sequence[str] = ()
    since: int = 0
    until: int | None = None
    window: int | None = None


@dataclass(frozen=True)
class Outcomes:
    """What V viewers did. G are the teams and a last column for what belongs to none; A the actions.

    `crossed` viewers saw more than one variant and count in the first one; `unmarked` impressions name the experiment, but no
    variant and no team.
    """

    arms: list[str]
    arm: Int  # (V,), index into `arms`
    first: Int  # (V,), ms
    impressions: Int  # (V, G)
    actions: Int  # (V, G, A)
    crossed: int
    unmarked: int
    last: int  # time of the newest impression or action of the surface in the experiment's time, or -1

    def of(self, arm: str) -> Mask:
        """Which viewers are in a variant, shape (V,)."""
        found: Mask = self.arm == self.arms.index(arm) if arm in self.arms else np.zeros(len(self.arm), bool)
        return found


@dataclass(frozen=True)
class _Exposed:
    """Viewers by the hash of their ids, sorted, with when each was first exposed, to which arm, and to which ones at all."""

    viewer: Hashes
    first: Int
    arm: Int
    seen: Int  # a bit for each arm

    def __getitem__(self, rows: Int | Mask) -> "_Exposed":
        return _Exposed(self.viewer[rows], self.first[rows], self.arm[rows], self.seen[rows])


def outcomes(log: Readable, asked: Asked, on_progress: Progress | None = None, at_once: int = EVENTS_AT_ONCE) -> Outcomes:
    """Count what the viewers of an experiment did.

    An event id counts once. Impressions count where they name the experiment; actions of a viewer on the surface count from the
    viewer's first exposure on. Where there are teams, an action counts for that of the last impression of its item before it.

    Parameters
    ----------
    log : Log
        The events.
    asked : Asked
        Which experiment.
    on_progress : callable, optional
        Told how many events were read, of how many.
    at_once : int
        How many events may be held.
    """
    reading = _Reading(log, asked, on_progress or (lambda _done, _total: None))
    exposed = reading.exposed()
    if asked.window is not None:
        exposed = exposed[exposed.first + asked.window <= reading.last + 1]
    shape = len(exposed.viewer), len(asked.teams) + 1, len(asked.actions) + 1
    counts = np.zeros(shape, np.int64)
    parts = -(-reading.events // at_once)
    for part in range(parts):
        rows = reading.rows(exposed, part, parts)
        cells = np.ravel_multi_index((rows.viewer, rows.team, rows.kind), shape)
        counts += np.bincount(cells, minlength=counts.size).reshape(shape)
    crossed = int((exposed.seen & (exposed.seen - 1) != 0).sum())
    return Outcomes(
        arms=reading.arms,
        arm=exposed.arm,
        first=exposed.first,
        impressions=counts[:, :, 0],
        actions=counts[:, :, 1:],
        crossed=crossed,
        unmarked=reading.unmarked,
        last=reading.last,
    )


def first_exposure(log: Readable, surface: str, experiment: str) -> int | None:
    """About when the first impression of an experiment was: the earliest of those that the log took first; None without any."""
    reading = _Reading(log, Asked(surface, experiment, ()), lambda _done, _total: None)
    return next((time for batch in reading.batches() if (time := reading.earliest(batch)) is not None), None)


@dataclass(frozen=True)
class _Rows:
    """Impressions (kind 0) and actions (kind from 1) of exposed viewers as columns."""

    id: Hashes
    viewer: Int  # row of the exposed
    kind: Int
    team: Int  # -1 where there is none
    pair: Hashes  # of viewer and item
    time: Int

    def __getitem__(self, rows: Int | Mask) -> "_Rows":
        return _Rows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, found: "Sequence[_Rows]") -> "_Rows":
        """All rows, each event id once."""
        every = cls(*(np.concatenate([getattr(one, name) for one in found]) for name in cls.__dataclass_fields__))
        return every[np.unique(every.id, return_index=True)[1]]


class _Reading:
    """Reads what an experiment's report needs from a log, as long as it was at the beginning."""

    def __init__(self, log: Readable, asked: Asked, on_progress: Progress) -> None:
        self._log, self._asked, self._on_progress = log, asked, on_progress
        self._start, self._end = log.start, log.end
        self._read, self._total = 0, 2 * (self._end - self._start)
        self.arms: list[str] = []
        self.events, self.unmarked, self.last = 0, 0, -1

    def exposed(self) -> _Exposed:
        """Who was exposed, and when first; counts the surface's events on the way."""
        none = np.zeros(0, np.int64)
        found = [_Exposed(none.astype(np.uint64), none, none, none)]
        for batch in self.batches():
            self.events += len(batch)
            self.last = max(self.last, int(batch["time"].to_numpy().max()))
            marked, arm, _ = self._marked(batch)
            self.unmarked += int((arm < 0).sum())
            viewer, time, arm = _hashed(marked["subject"])[arm >= 0], marked["time"].to_numpy()[arm >= 0], arm[arm >= 0]
            found.append(_first([_Exposed(viewer, time, arm, 1 << arm)]))
            if sum(len(one.viewer) for one in found[1:]) > max(_COMPACT, len(found[0].viewer)):
                found = [_first(found)]
        return _first(found)

    def earliest(self, batch: pa.RecordBatch) -> int | None:
        """When the first impression of the experiment in a batch was."""
        time: int | None = pc.min(self._marked(batch)[0]["time"]).as_py()
        return time

    def rows(self, exposed: _Exposed, part: int, parts: int) -> _Rows:
        """What a part of the viewers did, out of so many parts."""
        self._total = self._read + (parts - part) * (self._end - self._start)
        found = []
        for batch in self.batches():
            subjects = _hashed(batch["subject"])
            viewer = np.searchsorted(exposed.viewer, subjects)
            inside = (viewer < len(exposed.viewer)) & (viewer % parts == part)
            inside[inside] = exposed.viewer[viewer[inside]] == subjects[inside]
            place = np.flatnonzero(inside)
            age = batch["time"].to_numpy()[place] - exposed.first[viewer[place]]
            place = place[(age >= 0) & (age < (self._asked.window or np.inf))]
            found.append(self._rows(batch.take(pa.array(place)), viewer[place], subjects[place]))
        rows = _Rows.joined(found)
        return _credited(rows, len(self._asked.teams))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The impressions and actions of the surface in the experiment's time."""
        for _, batch in self._log.read(self._start, self._end - self._start):
            self._read += len(batch)
            self._on_progress(self._read, self._total)
            times = batch["time"]
            mask = pc.and_(pc.less_equal(batch["kind"], int(EventKind.ACTION)), pc.equal(batch["surface"], self._asked.surface))
            mask = pc.and_(mask, pc.greater_equal(times, self._asked.since))
            if self._asked.until is not None:
                mask = pc.and_(mask, pc.less(times, self._asked.until))
            # A null is a surface that is not there.
            kept = batch.filter(pc.fill_null(mask, False))
            if len(kept):
                yield kept

    def _rows(self, batch: pa.RecordBatch, viewer: Int, subjects: Hashes) -> _Rows:
        shown = batch["kind"].to_numpy() == EventKind.IMPRESSION
        kind = _index(batch["name"], self._asked.actions) + 1
        kind[shown] = 0
        _, team, marked = self._details(batch["attributes"])
        kept = np.flatnonzero(np.where(shown, marked, kind > 0))
        pair = subjects ^ (_hashed(batch["object"]) * np.uint64(0x9E3779B97F4A7C15))
        rows = _Rows(hash64(batch["id"]), viewer, kind, team, pair, batch["time"].to_numpy())
        return rows[kept]

    def _marked(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Int, Int]:
        """The impressions that name the experiment, with the arm and the team of each; -1 where there is none."""
        shown = batch.filter(pc.equal(batch["kind"], int(EventKind.IMPRESSION)))
        arm, team, marked = self._details(shown["attributes"])
        return shown.filter(pa.array(marked)), arm[marked], team[marked]

    def _details(self, column: pa.Array) -> tuple[Int, Int, Mask]:
        """The arm and the team of each event, and whether it names the experiment at all."""
        # What cannot name the experiment need not be decoded: details may differ in much else.
        named = pc.fill_null(pc.match_substring(column, f'"experiment":"{self._asked.experiment}"'), False)
        distinct = pc.if_else(named, column, pa.scalar(None, column.type)).dictionary_encode()
        decoded = [decode_details(data) for data in distinct.dictionary.to_pylist()]
        mine = [details.experiment == self._asked.experiment for details in decoded]
        arms = [self._arm(d.variant, d.team) if is_mine else -1 for d, is_mine in zip(decoded, mine, strict=True)]
        teams = [self._asked.teams.index(d.team) if d.team in self._asked.teams else -1 for d in decoded]
        at = distinct.indices.fill_null(len(decoded)).to_numpy(zero_copy_only=False)
        return np.array([*arms, -1])[at], np.array([*teams, -1])[at], np.array([*mine, False])[at]

    def _arm(self, variant: str | None, team: str | None) -> int:
        name = variant or (INTERLEAVED if team else None)
        if name is None or (name not in self.arms and len(self.arms) == _MOST_ARMS):
            return -1
        if name not in self.arms:
            self.arms.append(name)
        return self.arms.index(name)


def _first(found: Sequence[_Exposed]) -> _Exposed:
    """One row for each viewer: the earliest exposure, of several at one time that to the arm found first."""
    every = _Exposed(*(np.concatenate([getattr(one, name) for one in found]) for name in _Exposed.__dataclass_fields__))
    every = every[np.lexsort((every.arm, every.first, every.viewer))]
    starts = np.flatnonzero(np.diff(every.viewer, prepend=~every.viewer[:1]))
    seen = np.bitwise_or.reduceat(every.seen, starts) if len(starts) else every.seen
    firsts = every[starts]
    return _Exposed(firsts.viewer, firsts.first, firsts.arm, seen)


def _credited(rows: _Rows, nobody: int) -> _Rows:
    """The rows with the team of each: an action has that of the last impression of its item to its viewer, at or before it."""
    shown, acted = rows[rows.kind == 0], rows[rows.kind > 0]
    codes = np.unique(np.concatenate([shown.pair, acted.pair]), return_inverse=True)[1]
    at = pairs(codes[: len(shown.id)], shown.time)
    order = np.argsort(at, kind="stable")
    wanted = codes[len(shown.id) :]
    row = np.append(order, -1)[np.searchsorted(at[order], pairs(wanted, acted.time), side="right") - 1]
    same = row >= 0
    same[same] = codes[row[same]] == wanted[same]
    team = np.concatenate([shown.team, np.append(shown.team, -1)[np.where(same, row, -1)]])
    every = _Rows(*(np.concatenate([getattr(one, name) for one in (shown, acted)]) for name in _Rows.__dataclass_fields__))
    return replace(every, team=np.where(team < 0, nobody, team))


def _hashed(column: pa.Array) -> Hashes:
    encoded = column.dictionary_encode()
    hashes = np.append(hash64(encoded.dictionary), np.uint64(0))
    found: Hashes = hashes[encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)]
    return found


def _index(column: pa.Array, names: Sequence[str]) -> Int:
    """The place of each text among some names; -1 where it is none of them."""
    found: Int = pc.fill_null(pc.index_in(column, value_set=pa.array(names, pa.string())), -1).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)
