"""One LMDB environment per folder and process: shared by whoever opens it, growing up to a stated size, fit to be retried.

The log and the consumer stores run their transactions through it, so that a full map, a full disk, another process that
grew the map, or a reader that was killed are dealt with in one place.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import lmdb

from fourfold.durable.files import sync

if TYPE_CHECKING:
    from lmdb import _Database

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Body: TypeAlias = Callable[[Transaction], T]

MAX_READERS = 1024
UPKEEP_STEP = 1 << 20

# LMDB reports a write that the disk took only in part as EIO: that is how a disk that is just filling up looks.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


_TURN = b"\0turn"


class StorageFullError(Exception):
    """Nothing more can be written; what was written before is safe, and the failed transaction left no trace."""


class DamagedError(Exception):
    """The folder holds a file that is not what LMDB wrote."""


class Environment:
    """The environment of one folder in this process. Made by `open_environment`, for every caller the same object.

    A body handed to `read` or `write` runs in one transaction and may run again from its start when the map had to
    grow, so it must change nothing but the transaction. It must not open another transaction.
    """

    def __init__(self, path: Path, databases: Sequence[str], map_size: int, max_bytes: int) -> None:
        self.path, self.names, self.max_bytes = path, tuple(databases), max_bytes
        self.pid, self.handles = os.getpid(), 0
        self._gate, self._inside, self._resizing = threading.Condition(), 0, False
        self._writer = threading.Lock()
        self._open(min(map_size, max_bytes))

    def read(self, body: "Body[T]") -> T:
        """Run `body` in a read transaction: it sees one state, whatever others write meanwhile."""
        cleaned = False
        while True:
            try:
                with self._entered(), self._env.begin() as transaction:
                    return body(transaction)
            except lmdb.MapResizedError:
                self._alone(self._adopt)
            except lmdb.ReadersFullError:
                if cleaned:
                    raise
                self._env.reader_check()
                cleaned = True

    def write(self, body: "Body[T]", *, upkeep: bool = False) -> T:
        """Run `body` in a write transaction, all or nothing; returns when it is synced to disk.

        Parameters
        ----------
        body : callable
            What to do in the transaction; an exception of its own undoes all.
        upkeep : bool
            For bodies that free space: LMDB writes before it frees, so these may exceed `max_bytes` for a moment.

        Raises
        ------
        StorageFullError
            If the map is at `max_bytes`, or the disk takes no more.
        """
        with self._writer:
            try:
                return self._write(body, upkeep)
            finally:
                if self.map_size > self.max_bytes:
                    self._alone(lambda: self._env.set_mapsize(self.max_bytes))

    @property
    def map_size(self) -> int:
        """Bytes that the map can hold at present."""
        return self._env.info()["map_size"]

    def close(self) -> None:
        """Give up one handle; the last one closes the environment."""
        with _guard:
            self.handles -= 1
            if self.handles == 0:
                del _environments[self.path]
                self._alone(self._env.close)

    def _write(self, body: "Body[T]", upkeep: bool) -> T:
        reopened = turned = False
        while True:
            try:
                with self._entered(), self._env.begin(write=True) as transaction:
                    return body(transaction)
            except lmdb.MapFullError:
                if not self._grow(upkeep):
                    if turned:
                        raise StorageFullError(f"{self.path} has reached its max_bytes of {self.max_bytes:,}") from None
                    # What the transaction before freed can be used only by the one after the next.
                    self._write(lambda transaction: transaction.put(_TURN, b""), upkeep=True)
                    turned = True
            except lmdb.MapResizedError:
                self._alone(self._adopt)
            except lmdb.PanicError:
                if reopened:
                    raise
                self._alone(self._reopen)
                reopened = True
            except lmdb.Error as error:
                raise self._explained(error) from error

    def _grow(self, upkeep: bool) -> bool:
        """Make room in the map; False if there is none to be made."""
        # A reader that was killed keeps pages from being used again until its slot is cleared.
        if self._env.reader_check() > 0:
            return True
        size = self.map_size
        if not upkeep and size >= self.max_bytes:
            return False
        larger = min(2 * size, self.max_bytes) if size < self.max_bytes else size + UPKEEP_STEP
        self._alone(lambda: self._env.set_mapsize(larger))
        return True

    def _explained(self, error: lmdb.Error) -> Exception:
        if error.code not in _DISK_ERRORS:
            return error
        return StorageFullError(
            f"the disk under {self.path} takes no more ({os.strerror(error.code)}); free some space there and try again"
        )

    def _adopt(self) -> None:
        self._env.set_mapsize(0)
        if self.map_size > self.max_bytes:
            self._env.set_mapsize(self.max_bytes)

    def _open(self, map_size: int) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._env = lmdb.open(str(self.path), map_size=map_size, max_dbs=len(self.names), max_readers=MAX_READERS)
        except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError) as error:
            raise DamagedError(
                f"{self.path / 'data.mdb'} is damaged ({error}); put a copy of its folder back, "
                "or remove the folder if it holds a surface's state: that is computed from the log again"
            ) from error
        try:
            self._env.reader_check()
            self._open_databases()
        except BaseException:
            self._env.close()
            raise
        sync(self.path)
        sync(self.path.parent)

    def _open_databases(self) -> None:
        while True:
            try:
                self.db: dict[str, _Database] = {name: self._env.open_db(name.encode()) for name in self.names}
            except lmdb.MapResizedError:
                self._env.set_mapsize(0)
            except lmdb.MapFullError:
                self._env.set_mapsize(self.map_size + UPKEEP_STEP)
            except lmdb.Error as error:
                raise self._explained(error) from error
            else:
                return

    def _reopen(self) -> None:
        size = self.map_size
        self._env.close()
        self._open(size)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        if self.pid != os.getpid():
            raise RuntimeError(
                f"{self.path} was opened before this process was forked from another; "
                "open it after the fork, or start processes with the spawn method"
            )
        with self._gate:
            self._gate.wait_for(lambda: not self._resizing)
            self._inside += 1
        try:
            yield
        finally:
            with self._gate:
                self._inside -= 1
                self._gate.notify_all()

    def _alone(self, change: Callable[[], None]) -> None:
        """Change the map while no transaction of this process is open, as LMDB demands."""
        with self._gate:
            self._gate.wait_for(lambda: not self._resizing)
            self._resizing = True
            try:
                self._gate.wait_for(lambda: self._inside == 0)
                change()
            finally:
                self._resizing = False
                self._gate.notify_all()


_environments: dict[Path, Environment] = {}
_guard = threading.Lock()


def open_environment(path: Path, *, databases: Sequence[str], map_size: int, max_bytes: int) -> Environment:
    """The environment at `path`, made if there is none; each call must be matched by one `Environment.close`.

    Parameters
    ----------
    path : Path
        Its folder.
    databases : sequence of str
        Names of the databases inside, found again under ``environment.db[name]``.
    map_size, max_bytes : int
        Bytes the map holds at first, and to which it may grow. Only what is used takes space on disk.

    Raises
    ------
    DamagedError
        If the folder holds something else.
    """
    path = path.resolve()
    with _guard:
        environment = _environments.get(path)
        if environment is None:
            environment = _environments[path] = Environment(path, databases, map_size, max_bytes)
        if (environment.names, environment.max_bytes) != (tuple(databases), max_bytes):
            raise ValueError(
                f"{path} is open in this process with databases {environment.names} and "
                f"max_bytes={environment.max_bytes:,}; open it with the same again"
            )
        environment.handles += 1
        return environment
