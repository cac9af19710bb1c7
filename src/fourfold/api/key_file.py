"""The API keys of a home: a file of digests that commands write and running services follow."""

import fcntl
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fourfold.api.roles import Role
from fourfold.durable.files import write_file

NAME = "keys.json"
"""Where the file lies in a home."""

_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OWNER_ONLY = 0o600


class ApiKeyError(ValueError):
    """A key that cannot be used or found, or a file of keys that cannot be read. No key is in the message."""


class StoredKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as it is stored.

    Parameters
    ----------
    id : str
        Names the key in lists and logs. It stands in the key too, so that a key that is found somewhere can be revoked.
    name : str
        Whose key it is. A key and the one that replaces it share a name.
    role : Role
        What it allows.
    digest : str
        SHA-256 of the whole key, as 64 hexadecimal digits. A key holds 256 random bits, so nobody can try them all: a salt or
        a slow hash, which make up for what people choose as passwords, would add nothing but time to each request.
    created, expires : int
        Milliseconds since 1970; `expires` may be None.
    """

    id: str
    name: str
    role: Role
    digest: str
    created: int
    expires: int | None = None

    def valid(self, now: int) -> bool:
        """Whether it is accepted at a time in milliseconds."""
        return self.expires is None or now < self.expires


class KeyFile:
    """The file of a home's keys. Commands may change it at the same time, and while services read it.

    Parameters
    ----------
    path : Path
        Where it lies; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def stamp(self) -> tuple[int, int, int] | None:
        """What changes whenever the file does; None where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> list[StoredKey]:
        """All keys, in the order in which they were made; none where there is no file.

        Raises
        ------
        ApiKeyError
            If the file is not one that `create` wrote.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=list[StoredKey])
        except FileNotFoundError:
            return []
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            write = "move it away and make new keys with `fourfold keys create`"
            raise ApiKeyError(f"{self.path} is no file of API keys: {error}; {write}") from None

    def create(self, name: str, role: Role, now: int, expires: int | None = None) -> tuple[StoredKey, str]:
        """Make a key; returns what is stored and the key itself, which nobody can read again.

        Raises
        ------
        ApiKeyError
            If the name cannot be used, or a valid key has it already.
        """
        if not _NAMED.fullmatch(name):
            raise ApiKeyError(f"{name[:80]!r} is no name of a key; write 1 to 64 letters, digits and any of ._-, no sign first")
        made, key = _new(name, role, now, expires)
        with self._changed() as change:
            if any(stored.name == name and stored.valid(now) for stored in change.keys):
                advice = f"replace it with `fourfold keys rotate {name}`, or choose another name"
                raise ApiKeyError(f"there is a key named {name!r} already; {advice}")
            change.keys.append(made)
        return made, key

    def rotate(self, name: str, now: int, keep_ms: int) -> tuple[StoredKey, str]:
        """Make a new key with name, role and lifetime of the last valid one; all of them expire `keep_ms` milliseconds on.

        Raises
        ------
        ApiKeyError
            If no valid key has the name.
        """
        with self._changed() as change:
            old = [stored for stored in change.keys if stored.name == name and stored.valid(now)]
            if not old:
                raise ApiKeyError(
                    f"no valid key is named {name!r}; `fourfold keys list` shows all, `fourfold keys create` makes one"
                )
            last = old[-1]
            lifetime = None if last.expires is None else last.expires - last.created
            made, key = _new(name, last.role, now, None if lifetime is None else now + lifetime)
            change.update(old, lambda stored: replace(stored, expires=min(stored.expires or now + keep_ms, now + keep_ms)))
            change.keys.append(made)
        return made, key

    def revoke(self, name: str) -> list[StoredKey]:
        """Forget the key with an id, or all keys with a name; returns them.

        Raises
        ------
        ApiKeyError
            If there is none.
        """
        with self._changed() as change:
            gone = [stored for stored in change.keys if name in (stored.id, stored.name)]
            if not gone:
                raise ApiKeyError(f"no key has the id or name {name[:80]!r}; `fourfold keys list` shows all")
            change.keys = [stored for stored in change.keys if stored not in gone]
        return gone

    @contextmanager
    def _changed(self) -> Iterator["_Change"]:
        """What the file holds, to be changed by one process at a time; written when the block ends without an error."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            change = _Change(self.read())
            yield change
            write_file(self.path, msgspec.json.format(msgspec.json.encode(change.keys), indent=2), _OWNER_ONLY)


class _Change:
    def __init__(self, keys: list[StoredKey]) -> None:
        self.keys = keys

    def update(self, some: list[StoredKey], change: Callable[[StoredKey], StoredKey]) -> None:
        self.keys = [change(stored) if stored in some else stored for stored in self.keys]


def digest_of(key: bytes) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key).hexdigest()


def _new(name: str, role: Role, now: int, expires: int | None) -> tuple[StoredKey, str]:
    number = secrets.token_hex(4)
    key = f"fourfold_{number}_{secrets.token_urlsafe(32)}"
    digest = digest_of(key.encode())
    return StoredKey(id=number, name=name, role=role, digest=digest, created=now, expires=expires), key
