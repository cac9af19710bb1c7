"""The log consumer that keeps a recommender's state: catch up with the log, commit what was computed, go on after a crash.

The tables' sorted runs are saved as they are made, so a commit writes what is new since the last one. Large runs are merged
into files and mapped from there: the process itself holds what came since. State and offset are committed in one transaction;
replaying events that are already in the state changes nothing.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import msgspec

from fourfold.definition import Recommender
from fourfold.events.log import Log
from fourfold.features.retention import all_outdated, drops, keep_of
from fourfold.features.saved import (
    FORMAT,
    Manifest,
    StateLostError,
    StoredRun,
    encode,
    load_run,
    names_key,
    needed,
    write_merged,
)
from fourfold.features.state import State
from fourfold.features.table import Run, Table
from fourfold.features.view import View
from fourfold.stores.consumer import ConsumerStore, StaleConsumerError

MANIFEST = b"manifest"
ATTEMPTS = 20
"""How often loading begins anew because another process committed meanwhile."""

LARGE_RUN = 1 << 15
"""From how many rows on what is new of a table goes into a file."""

SETTLE_EVENTS = 1 << 20
"""After how many events of a backlog the state is committed, or at least put into files, so that memory stays bounded."""

Runs = dict[str, tuple[Run, ...]]
Saved = dict[int, tuple[StoredRun, Run]]
"""The saved runs by identity; kept, so that no other takes their address."""


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
    whole : bool
        Keep what the definition's lateness and memory let a state drop that serves: training asks as of times long gone.
        Whole states and others have stores of their own.

    Raises
    ------
    StateLostError
        If nothing usable is committed and the log's first events were dropped.
    """

    def __init__(
        self, definition: Recommender, log: Log, store: ConsumerStore, *, commits: bool = True, whole: bool = False
    ) -> None:
        self.state = State(definition)
        self._log, self._store, self.commits = log, store, commits
        self._drops = drops(definition) and not whole
        self._lock, self._settling = threading.Lock(), threading.Lock()
        self._saved: Saved = {}
        self._replaced: list[bytes] = []
        self._manifest = self._restored()
        self._committed = self._settled = self.state.offset

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
                if self.state.offset - self._settled >= SETTLE_EVENTS:
                    self._settle()
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
        self._committed, self._saved, self._replaced = reached, {}, theirs.keys
        self._manifest = Manifest(theirs.definition, 0, -1, {}, {}, theirs.next_run, {})
        self.commit()
        self.commits = True

    def commit(self) -> None:
        """Save what is new and the offset, in one transaction, then tell the log how far this consumer is.

        Raises
        ------
        StaleConsumerError
            If another process commits to this store too.
        """
        with self._settling:
            if self.state.offset == self._committed:
                return
            with self._compacted() as (view, runs, written):
                puts, manifest, saved = self._changes(view, runs, written)
                puts[MANIFEST] = msgspec.json.encode(manifest)
                gone = {*self._manifest.keys, *self._replaced} - set(manifest.keys)
                self._store.commit(view.offset, puts, gone, expected=self._committed)
                self._committed, self._manifest, self._saved, self._replaced = view.offset, manifest, saved, []
            self._log.acknowledge(f"state-{self.state.definition.surface}", view.offset)

    def _settle(self) -> None:
        """Commit in the middle of a backlog; where another process commits, or this one does not, only let go of memory."""
        if self.commits:
            try:
                self.commit()
            except StaleConsumerError:
                # Said again by the commit that the caller asks for; what was new is in files all the same.
                self._settled = self.state.offset
        else:
            with self._settling, self._compacted():
                pass

    @contextmanager
    def _compacted(self) -> Iterator[tuple[View, Runs, Saved]]:
        """The state with large runs in files: a view, its runs now, and those of them that are new files.

        What is committed inside keeps its files. All others are removed at the end: who maps one keeps its rows.
        """
        files = self._store.files
        with files.exclusive():
            view, written = self.state.sealed(), Saved()
            runs = {name: table.runs for name, table in view.tables.items()}
            try:
                for name in view.tables:
                    runs[name] = self._in_files(name, view, written)
                yield view, runs, written
            finally:
                self.state.replace(view, runs)
                self._settled = view.offset
                committed = self._manifest.files
                for stored, _ in written.values():
                    if stored.name not in committed:
                        files.remove(stored.name)
            if self._committed == view.offset:
                files.sweep(committed)

    def _in_files(self, name: str, view: View, written: Saved) -> tuple[Run, ...]:
        """The runs of a table with what is new merged into a file, where it is much, and with files of like size."""
        definition, runs = self.state.definition, view.table(name).runs
        keep = keep_of(definition, name, view.clock) if self._drops else None
        if keep is not None:
            runs = tuple(run for run in runs if not (run.mapped and all_outdated(definition, name, view.clock, run)))
        mapped, fresh = [run for run in runs if run.mapped], [run for run in runs if not run.mapped]
        if sum(map(len, fresh)) < LARGE_RUN:
            return runs
        while mapped and len(mapped[-1]) < 2 * sum(map(len, fresh)):
            fresh.insert(0, mapped.pop())
        made = write_merged(self._store.files, fresh, keep)
        if made is None:
            return tuple(mapped)
        written[id(made[1])] = made
        return (*mapped, made[1])

    def _changes(self, view: View, runs: Runs, written: Saved) -> tuple[dict[bytes, bytes], Manifest, Saved]:
        puts: dict[bytes, bytes] = {}
        known, saved = self._saved | written, Saved()
        number = self._manifest.next_run
        for run in (run for of_table in runs.values() for run in of_table):
            if id(run) not in known:
                known[id(run)] = StoredRun(f"run/{number}", run.newest), run
                puts[known[id(run)][0].name.encode()] = encode(run)
                number += 1
            saved[id(run)] = known[id(run)]
        tables = {name: [saved[id(run)][0] for run in of_table] for name, of_table in runs.items()}
        names = {space: list(ends) for space, ends in self._manifest.names.items()}
        for space, size in view.sizes.items():
            start = names.setdefault(space, [0])[-1]
            if size > start:
                puts[names_key(space, start)] = msgspec.msgpack.encode(view.names[space].since(start)[: size - start])
                names[space].append(size)
        manifest = Manifest(self._identity, view.offset, view.clock, tables, names, number, dict(view.ignored))
        return puts, manifest, saved

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

    @property
    def _identity(self) -> str:
        """What a committed state must be of, to be this one's."""
        return self.state.definition.state_hash + ("-dropping" if self._drops else "")

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
        return Manifest(self._identity, 0, -1, {}, {}, 0, {})

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
        for name, stored in manifest.tables.items():
            runs = [load_run(self._store, one) for one in stored]
            self._saved |= {id(run): (one, run) for one, run in zip(stored, runs, strict=True)}
            tables[name] = Table().replaced((), runs)
        names = {space: self._names(space, ends) for space, ends in manifest.names.items()}
        self.state.restore(tables, names, manifest.offset, manifest.clock, manifest.ignored)
        return manifest

    def _ours(self, found: bytes) -> Manifest | None:
        """A stored manifest, if it is of this definition and format."""
        try:
            manifest = msgspec.json.decode(found, type=Manifest)
        except msgspec.DecodeError:
            return None
        ours = manifest.definition == self._identity and manifest.format == FORMAT
        return manifest if ours else None

    def _names(self, space: str, ends: list[int]) -> list[str]:
        chunks = [needed(self._store, names_key(space, start)) for start in ends[:-1]]
        return [name for chunk in chunks for name in msgspec.msgpack.decode(chunk, type=list[str])]
