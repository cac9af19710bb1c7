"""The log consumer that keeps a recommender's state: catch up with the log, commit what was computed, go on after a crash.

The tables' sorted runs are saved as they are made, so a commit writes what is new since the last one. State and offset are
committed in one transaction; replaying events that are already in the state changes nothing.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
import pyarrow as pa

from fourfold.definition import Recommender
from fourfold.events.log import Log
from fourfold.features.state import State
from fourfold.features.table import Run, Table, pairs
from fourfold.features.view import View
from fourfold.stores.consumer import ConsumerStore

MANIFEST = b"manifest"
FORMAT = 2
ATTEMPTS = 20
"""How often loading begins anew because another process committed meanwhile."""


class StateLostError(RuntimeError):
    """The state must be computed anew, but the log no longer reaches back to its beginning."""


class Manifest(msgspec.Struct, frozen=True):
    """What a committed state consists of: its offset, the runs of each table, and where the saved names of each space end."""

    definition: str
    offset: int
    tables: dict[str, list[int]]
    names: dict[str, list[int]]
    next_run: int
    ignored: dict[str, int]
    format: int = FORMAT


class StateConsumer:
    """Keeps a `State` in step with a log.

    Parameters
    ----------
    definition : Recommender
        What to keep state for.
    log : Log
        Where events come from.
    store : ConsumerStore
        Where the state is committed. State of another definition in it is replaced.
    commits : bool
        Whether this consumer commits. A reader (False) starts from what is committed, catches up in memory, and leaves the
        store alone.

    Raises
    ------
    StateLostError
        If nothing usable is committed and the log's first events were dropped.
    """

    def __init__(self, definition: Recommender, log: Log, store: ConsumerStore, *, commits: bool = True) -> None:
        self.state = State(definition)
        self._log, self._store, self.commits = log, store, commits
        self._lock = threading.Lock()
        self._saved: dict[int, tuple[int, Run]] = {}
        self._replaced: list[bytes] = []
        self._manifest = self._restored()
        self._committed = self.state.offset

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None and self.commits:
            self.commit()

    def close(self) -> None:
        """Let go of the store, without committing."""
        self._store.close()

    def view(self, limit: int | None = None) -> View:
        """The state with everything that the log holds by now, or with at most `limit` more events than before."""
        self.catch_up(limit)
        return self.state.view()

    def catch_up(self, limit: int | None = None, on_progress: Callable[[int, int], None] | None = None) -> int:
        """Apply what the log got until now, at most `limit` events; returns how many. Progress is (done, total).

        With a limit, this does not wait for another thread that works off a backlog of more than `limit` events.
        """
        backlog = limit is not None and self.lag > limit
        if not self._lock.acquire(blocking=not backlog):
            return 0
        try:
            start, end = self.state.offset, self._log.end
            # Not beyond `end`: where events come as fast as they are applied, there would be no end.
            count = end - start if limit is None else min(end - start, limit)
            for offset, batch in self._log.read(start, count) if count > 0 else ():
                self.state.apply(batch, offset + batch.num_rows)
                if on_progress:
                    on_progress(self.state.offset - start, end - start)
            return self.state.offset - start
        finally:
            self._lock.release()

    @property
    def lag(self) -> int:
        """How many events of the log are not in the state yet."""
        return max(self._log.end - self.state.offset, 0)

    @property
    def reached(self) -> int:
        """Up to which offset the store holds a committed state, whoever committed it."""
        return self._store.offset

    def take_over(self) -> None:
        """Commit the whole state in place of what another process committed, and go on committing.

        Call it once the other one has stopped: if it has not, it is told so by a `StaleConsumerError`. State of another
        definition or format is left alone.

        Raises
        ------
        StaleConsumerError
            If another process commits meanwhile; this one still does not.
        """
        reached = self._store.refresh()
        found = self._store.get(MANIFEST)
        theirs = self._ours(found) if found else self._manifest
        if theirs is None or reached >= self.state.offset:
            return
        self._committed, self._saved, self._replaced = reached, {}, _keys(theirs)
        self._manifest = Manifest(theirs.definition, 0, {}, {}, theirs.next_run, {})
        self.commit()
        self.commits = True

    def commit(self) -> None:
        """Save what is new and the offset, in one transaction, then tell the log how far this consumer is.

        Raises
        ------
        StaleConsumerError
            If another process commits to this store too.
        """
        view = self.state.view()
        if view.offset == self._committed:
            return
        puts, manifest, saved = self._changes(view)
        gone = [_run_key(number) for identity, (number, _) in self._saved.items() if identity not in saved] + self._replaced
        puts[MANIFEST] = msgspec.json.encode(manifest)
        self._store.commit(view.offset, puts, gone, expected=self._committed)
        self._committed, self._manifest, self._saved, self._replaced = view.offset, manifest, saved, []
        self._log.acknowledge(f"state-{self.state.definition.surface}", view.offset)

    def _changes(self, view: View) -> tuple[dict[bytes, bytes], Manifest, dict[int, tuple[int, Run]]]:
        puts: dict[bytes, bytes] = {}
        saved: dict[int, tuple[int, Run]] = {}
        number = self._manifest.next_run
        tables: dict[str, list[int]] = {}
        for name, table in view.tables.items():
            tables[name] = []
            for run in table.runs:
                if id(run) not in self._saved:
                    puts[_run_key(number)] = _encode(run)
                    saved[id(run)] = (number, run)
                    number += 1
                else:
                    saved[id(run)] = self._saved[id(run)]
                tables[name].append(saved[id(run)][0])
        names = {space: list(ends) for space, ends in self._manifest.names.items()}
        for space, size in view.sizes.items():
            start = names.setdefault(space, [0])[-1]
            if size > start:
                puts[_names_key(space, start)] = msgspec.msgpack.encode(view.names[space].since(start)[: size - start])
                names[space].append(size)
        definition = self.state.definition.state_hash
        return puts, Manifest(definition, view.offset, tables, names, number, dict(view.ignored)), saved

    def _restored(self) -> Manifest:
        """Load what is committed; all of it from one commit, though another process may commit meanwhile."""
        for _ in range(ATTEMPTS):
            found = self._store.get(MANIFEST)
            try:
                manifest = self._load(found)
            except StateLostError:
                if self._store.get(MANIFEST) == found:
                    raise
            else:
                if self._store.get(MANIFEST) == found:
                    return manifest if manifest is not None else self._anew(found is not None)
        raise StateLostError(f"the state was committed {ATTEMPTS} times while it was read; try again")

    def _anew(self, replaces: bool) -> Manifest:
        """Start from nothing, because nothing usable is committed."""
        definition = self.state.definition
        if self._log.start > 0:
            raise StateLostError(
                f"the state of {definition.surface!r} must be computed anew, but the log starts at offset "
                f"{self._log.start}; import the exported events into a new home instead"
            )
        if replaces and self.commits:
            self._store.reset()
        self.state, self._saved = State(definition), {}
        return Manifest(definition.state_hash, 0, {}, {}, 0, {})

    def _load(self, found: bytes | None) -> Manifest | None:
        """Take over the state of a manifest; None if it is of another definition or format."""
        manifest = self._ours(found) if found else None
        if manifest is None:
            return None
        if manifest.offset > self._log.end:
            raise StateLostError(
                f"the committed state reaches offset {manifest.offset}, but the log ends at {self._log.end}: it was replaced; "
                f"remove the state of {self.state.definition.surface!r} to compute it from the present log"
            )
        self._saved = {}
        tables = {}
        for name, numbers in manifest.tables.items():
            runs = [_decode(self._needed(_run_key(number))) for number in numbers]
            self._saved |= {id(run): (number, run) for number, run in zip(numbers, runs, strict=True)}
            tables[name] = Table(tuple(runs))
        names = {space: self._names(space, ends) for space, ends in manifest.names.items()}
        self.state.restore(tables, names, manifest.offset, manifest.ignored)
        return manifest

    def _ours(self, found: bytes) -> Manifest | None:
        """A stored manifest, if it is of this definition and format."""
        try:
            manifest = msgspec.json.decode(found, type=Manifest)
        except msgspec.DecodeError:
            return None
        ours = manifest.definition == self.state.definition.state_hash and manifest.format == FORMAT
        return manifest if ours else None

    def _names(self, space: str, ends: list[int]) -> list[str]:
        chunks = (msgspec.msgpack.decode(self._needed(_names_key(space, start)), type=list[str]) for start in ends[:-1])
        return [name for chunk in chunks for name in chunk]

    def _needed(self, key: bytes) -> bytes:
        value = self._store.get(key)
        if value is None:
            raise StateLostError(
                f"the committed state lacks {key.decode()}; remove its folder to compute it from the log again"
            )
        return value


def _run_key(number: int) -> bytes:
    return f"run/{number}".encode()


def _names_key(space: str, start: int) -> bytes:
    return f"names/{space}/{start}".encode()


def _keys(manifest: Manifest) -> list[bytes]:
    """All keys of a committed state but that of its manifest."""
    runs = [_run_key(number) for numbers in manifest.tables.values() for number in numbers]
    return runs + [_names_key(space, start) for space, ends in manifest.names.items() for start in ends[:-1]]


def _encode(run: Run) -> bytes:
    """A run as an Arrow IPC stream: key, time and the payload columns."""
    columns = {"key": run.at.real.astype(np.int64), "time": run.at.imag.astype(np.int64), **run.columns}
    batch = pa.RecordBatch.from_pydict({name: pa.array(column) for name, column in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _decode(data: bytes) -> Run:
    batch = pa.ipc.open_stream(data).read_next_batch()
    columns = {name: batch[name].to_numpy(zero_copy_only=False) for name in batch.schema.names}
    return Run(pairs(columns.pop("key"), columns.pop("time")), columns)
