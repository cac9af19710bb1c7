"""How a state is saved: small runs as values of the consumer's store, large ones as files that are mapped.

A manifest names both, and is committed with the offset in one transaction.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from fourfold.durable.environment import DamagedError
from fourfold.features.retention import Keep
from fourfold.features.table import Run, merged, pairs
from fourfold.stores.array_files import ArrayFiles
from fourfold.stores.consumer import ConsumerStore

FORMAT = 3
PIECE = 1 << 17
"""How many rows of each run are merged at a time: what is merged into a file does not have to fit into memory."""


class StateLostError(RuntimeError):
    """The state must be computed anew, but the log no longer reaches back to its beginning."""


class StoredRun(msgspec.Struct, frozen=True):
    """Where a run is: under a key of the store or, with a `size` in bytes, in a file."""

    name: str
    newest: int
    size: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """What a committed state consists of: its offset, the runs of each table, and where the saved names of each space end."""

    definition: str
    offset: int
    clock: int
    tables: dict[str, list[StoredRun]]
    names: dict[str, list[int]]
    next_run: int
    ignored: dict[str, int]
    format: int = FORMAT

    @property
    def keys(self) -> list[bytes]:
        """All keys of the state but that of its manifest."""
        runs = [stored.name.encode() for stored in self._runs() if stored.size is None]
        return runs + [names_key(space, start) for space, ends in self.names.items() for start in ends[:-1]]

    @property
    def files(self) -> set[str]:
        """The names of the state's files."""
        return {stored.name for stored in self._runs() if stored.size is not None}

    def _runs(self) -> Iterable[StoredRun]:
        return (stored for runs in self.tables.values() for stored in runs)


def names_key(space: str, start: int) -> bytes:
    """Where the names of a space from `start` on are."""
    return f"names/{space}/{start}".encode()


def needed(store: ConsumerStore, key: bytes) -> bytes:
    """A value that a manifest speaks of.

    Raises
    ------
    StateLostError
        If it is not there.
    """
    value = store.get(key)
    if value is None:
        raise StateLostError(f"the committed state lacks {key.decode()}; remove its folder to compute it from the log again")
    return value


def load_run(store: ConsumerStore, stored: StoredRun) -> Run:
    """A saved run; one in a file is mapped, not read.

    Raises
    ------
    StateLostError
        If it is missing or damaged.
    """
    if stored.size is None:
        return decode(needed(store, stored.name.encode()), stored.newest)
    try:
        return _mapped(store.files, stored)
    except DamagedError as error:
        raise StateLostError(f"{error}; remove the state's folder to compute it from the log again") from error


def write_merged(files: ArrayFiles, runs: Sequence[Run], keep: Keep | None) -> tuple[StoredRun, Run] | None:
    """Merge runs into one in a new file, and map it; None if no row is to be kept.

    Parameters
    ----------
    files : ArrayFiles
        Where the file goes; the caller has it for itself.
    runs : sequence of Run
        What to merge, at least one.
    keep : callable, optional
        Says which rows to keep; None: all.

    Raises
    ------
    StorageFullError
        If there is no room for the file.
    """
    length = sum(map(len, runs)) if keep is None else sum(int(keep(run).sum()) for run in _parts(runs))
    if not length:
        return None
    types = {name: np.result_type(*(run.columns[name] for run in runs)) for name in runs[0].columns}
    with files.new({"at": runs[0].at.dtype, **types}, length) as (name, arrays):
        end = 0
        for piece in _pieces(runs):
            rows = np.ones(len(piece), bool) if keep is None else keep(piece)
            start, end = end, end + int(rows.sum())
            for column, values in (("at", piece.at), *piece.columns.items()):
                arrays[column][start:end] = values[rows]
    stored = StoredRun(name, max(run.newest for run in runs), files.size(name))
    return stored, _mapped(files, stored)


def encode(run: Run) -> bytes:
    """A run as an Arrow IPC stream: key and time, or the hash of ids, and the payload columns."""
    at = {"key": run.keys, "time": run.times} if np.iscomplexobj(run.at) else {"at": run.at}
    batch = pa.RecordBatch.from_pydict({name: pa.array(column) for name, column in (at | dict(run.columns)).items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(data: bytes, newest: int) -> Run:
    """The run that `encode` made."""
    batch = pa.ipc.open_stream(data).read_next_batch()
    columns = {name: batch[name].to_numpy(zero_copy_only=False) for name in batch.schema.names}
    at = columns.pop("at") if "at" in columns else pairs(columns.pop("key"), columns.pop("time"))
    return Run(at, columns, newest)


def _mapped(files: ArrayFiles, stored: StoredRun) -> Run:
    arrays = files.map(stored.name, stored.size or 0)
    if "at" not in arrays:
        raise DamagedError(f"{files.folder / stored.name} holds no run")
    return Run(arrays.pop("at"), arrays, stored.newest, mapped=True)


def _parts(runs: Sequence[Run]) -> Iterator[Run]:
    """The rows of runs, piece by piece, in no order."""
    for run in runs:
        for start in range(0, len(run), PIECE):
            yield _part(run, start, start + PIECE)


def _pieces(runs: Sequence[Run]) -> Iterator[Run]:
    """The rows of runs merged, piece by piece."""
    bounds = np.unique(np.concatenate([run.at[PIECE::PIECE] for run in runs]))
    starts = [0] * len(runs)
    for bound in [*bounds, None]:
        ends = [len(run) if bound is None else int(np.searchsorted(run.at, bound)) for run in runs]
        parts = [_part(run, start, end) for run, start, end in zip(runs, starts, ends, strict=True) if end > start]
        if parts:
            yield merged(parts)
        starts = ends


def _part(run: Run, start: int, end: int) -> Run:
    return Run(run.at[start:end], {name: column[start:end] for name, column in run.columns.items()}, run.newest)
