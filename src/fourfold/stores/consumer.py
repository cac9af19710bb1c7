"""The state of one consumer of the log, committed together with the offset it has reached: replays then change nothing.

A consumer reads events from `offset` on, works out what they change, and commits both in one transaction. After a crash
it goes on from exactly what it had committed.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Self

from fourfold.durable.environment import Transaction, open_environment
from fourfold.stores.array_files import ArrayFiles

SCAN_BYTES = 4 << 20
MAX_KEY = 511

_FORMAT, _OFFSET, _REVISION = b"format", b"offset", b"revision"
_VERSION = (1).to_bytes(8)


class ConsumerError(Exception):
    """Something that a consumer's store refuses."""


class StaleConsumerError(ConsumerError):
    """Another process has committed meanwhile: what this one holds in memory is no longer the store's state."""


class ConsumerStore:
    """Keys and values of one consumer and the log offset that they reflect, in one folder.

    One process commits at a time: whoever commits must have seen the latest commit. The others learn it by a
    `StaleConsumerError` and open the store anew. Any number of processes may read.

    Parameters
    ----------
    path : Path
        The folder, made if it is not there.
    map_size, max_bytes : int
        Bytes that the store's map holds at first, and to which it may grow. Only what is used takes space on disk.

    Attributes
    ----------
    files : ArrayFiles
        Large values beside the store. A value in it must name those that count, since only the store is transactional.
    """

    def __init__(self, path: Path, *, map_size: int = 64 << 20, max_bytes: int = 64 << 30) -> None:
        self._environment = open_environment(path, databases=("consumer", "state"), map_size=map_size, max_bytes=max_bytes)
        self._closed = False
        self.files = ArrayFiles(self._environment.path / "arrays")
        try:
            self._prepare()
            self._revision = self._environment.read(partial(self._number, name=_REVISION))
        except BaseException:
            self.close()
            raise

    @property
    def offset(self) -> int:
        """The committed state reflects all events below this offset."""
        self._check_open()
        return self._environment.read(partial(self._number, name=_OFFSET))

    def get(self, key: bytes) -> bytes | None:
        """The value of one key, or None."""
        self._check_open()
        _check_key(key)
        return self._environment.read(lambda transaction: transaction.get(key, db=self._environment.db["state"]))

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All keys that start with `prefix` and their values, in the order of keys, from one and the same state.

        Raises
        ------
        StaleConsumerError
            If anyone commits before the scan is through: collect what it gives before committing.
        """
        self._check_open()
        if prefix:
            _check_key(prefix)
        return self._scan(prefix, self._environment.read(partial(self._number, name=_REVISION)))

    def commit(self, offset: int, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = (), *, expected: int) -> None:
        """Change the state and move the offset, all or nothing; returns when that is synced to disk.

        Parameters
        ----------
        offset : int
            Where the next event is to be read from. It may stay, but not move backwards.
        puts : mapping of bytes to bytes
            Keys of 1 to 511 bytes with their new values.
        deletes : iterable of bytes
            Keys to remove; one that is not there is no error. A key in both is put.
        expected : int
            The offset of the state that the changes were computed from.

        Raises
        ------
        StaleConsumerError
            If another process has committed since this store was opened or last committed.
        ConsumerError
            If the offset would move backwards.
        StorageFullError
            If there is no room; nothing has changed.
        """
        self._check_open()
        gone = tuple(deletes)
        for key in (*puts, *gone):
            _check_key(key)

        def body(transaction: Transaction) -> None:
            self._check_lease(transaction, expected)
            if offset < expected:
                raise ConsumerError(f"offset {offset} lies before {expected}; to start over, call reset() first")
            state = self._environment.db["state"]
            for key in gone:
                transaction.delete(key, db=state)
            for key, value in puts.items():
                transaction.put(key, value, db=state)
            self._advance(transaction, offset, self._revision + 1)

        self._environment.write(body)
        self._revision += 1

    def refresh(self) -> int:
        """Take note of the latest commit, whoever made it, so that this store may commit on top of it; returns its offset."""
        self._check_open()

        def body(transaction: Transaction) -> tuple[int, int]:
            return self._number(transaction, _OFFSET), self._number(transaction, _REVISION)

        offset, self._revision = self._environment.read(body)
        return offset

    def reset(self) -> None:
        """Remove all state and go back to offset 0, whoever committed last; this store may then commit again."""
        self._check_open()

        def body(transaction: Transaction) -> int:
            revision = self._number(transaction, _REVISION) + 1
            transaction.drop(self._environment.db["state"], delete=False)
            self._advance(transaction, 0, revision)
            return revision

        self._revision = self._environment.write(body, upkeep=True)

    def close(self) -> None:
        """Let go of the store. Using it afterwards is an error."""
        if not self._closed:
            self._closed = True
            self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _prepare(self) -> None:
        def body(transaction: Transaction) -> None:
            version = transaction.get(_FORMAT, db=self._environment.db["consumer"])
            if version is None:
                transaction.put(_FORMAT, _VERSION, db=self._environment.db["consumer"])
            elif version != _VERSION:
                raise ConsumerError(
                    f"{self._environment.path} holds format {int.from_bytes(version)} of a consumer's state, not 1; "
                    "remove the folder, and the state is computed from the log again"
                )

        if self._environment.read(partial(self._number, name=_FORMAT)) != int.from_bytes(_VERSION):
            self._environment.write(body)

    def _scan(self, prefix: bytes, revision: int) -> Iterator[tuple[bytes, bytes]]:
        last: bytes | None = None
        while True:
            self._check_open()
            items = self._environment.read(partial(self._items, prefix=prefix, last=last, revision=revision))
            if not items:
                return
            yield from items
            last = items[-1][0]

    def _check_lease(self, transaction: Transaction, expected: int) -> None:
        offset, revision = (self._number(transaction, name) for name in (_OFFSET, _REVISION))
        if offset != expected or revision != self._revision:
            raise StaleConsumerError(
                f"{self._environment.path} has been committed at offset {offset} since this state (offset {expected}) "
                "was read; run one consumer per store, or open the store anew and go on from there"
            )

    def _advance(self, transaction: Transaction, offset: int, revision: int) -> None:
        for name, number in ((_OFFSET, offset), (_REVISION, revision)):
            transaction.put(name, number.to_bytes(8), db=self._environment.db["consumer"])

    def _items(
        self, transaction: Transaction, *, prefix: bytes, last: bytes | None, revision: int
    ) -> list[tuple[bytes, bytes]]:
        """The next few keys with `prefix` after `last`, with their values."""
        if self._number(transaction, _REVISION) != revision:
            raise StaleConsumerError(f"{self._environment.path} was committed during a scan; scan it again")
        items: list[tuple[bytes, bytes]] = []
        size = 0
        with transaction.cursor(self._environment.db["state"]) as cursor:
            if last is not None:
                found = cursor.set_key(last) and cursor.next()
            else:
                found = cursor.set_range(prefix) if prefix else cursor.first()
            while found and size < SCAN_BYTES and cursor.key().startswith(prefix):
                items.append(cursor.item())
                size += len(items[-1][0]) + len(items[-1][1])
                found = cursor.next()
        return items

    def _number(self, transaction: Transaction, name: bytes) -> int:
        return int.from_bytes(transaction.get(name, b"", db=self._environment.db["consumer"]))

    def _check_open(self) -> None:
        if self._closed:
            raise ConsumerError(f"the store at {self._environment.path} is closed; open it again")


def _check_key(key: bytes) -> None:
    if not 0 < len(key) <= MAX_KEY:
        raise ValueError(f"a key of {len(key)} bytes; write keys of 1 to {MAX_KEY} bytes")
