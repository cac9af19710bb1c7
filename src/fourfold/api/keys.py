"""API keys: where they come from, and who a request comes from. They are kept as digests and never logged."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fourfold.api.key_file import ApiKeyError, KeyFile, StoredKey, digest_of
from fourfold.api.roles import Role
from fourfold.modes.clock import wall_clock

logger = logging.getLogger(__name__)

VARIABLE = "FOURFOLD_API_KEYS"
LOOK_SECONDS = 0.5
"""How often a service looks whether the file of keys has changed."""

_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
_ADVICE = (
    "write keys of 16 to 512 letters, digits and any of ._~+/=- such as "
    "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes"
)


def api_keys(environment: Mapping[str, str], file: Path | None = None) -> tuple[str, ...]:
    """The configured keys: those of ``FOURFOLD_API_KEYS`` (comma separated) and of a file (one a line, ``#`` for comments).

    Raises
    ------
    ApiKeyError
        If the file cannot be read or holds none.
    """
    keys = [key.strip() for key in environment.get(VARIABLE, "").split(",")]
    if file is not None:
        try:
            lines = [line.strip() for line in file.read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ApiKeyError(f"cannot read the API keys in {file}: {error}; name a text file with one key a line") from None
        named = [line for line in lines if line and not line.startswith("#")]
        if not named:
            raise ApiKeyError(f"{file} holds no API key; write one a line")
        keys += named
    return tuple(key for key in keys if key)


@dataclass(frozen=True)
class Caller:
    """Who a request comes from: what logs and limits call them, and what they may do."""

    name: str
    role: Role
    expires: int | None = None


ANYBODY = Caller("anybody", Role.ADMIN)
"""Whoever reaches a service that has no keys, and so answers under the names of its own machine only."""


class Keys:
    """The keys that a service accepts: those it was started with, as admins, and those of its home, which it follows.

    Where the home has a file of keys, or had one, every request needs a key: a service does not open up when its last
    key is revoked, nor in a worker that was started after that.

    Parameters
    ----------
    given : iterable of str
        Keys that it was started with.
    file : KeyFile, optional
        The keys of the home.
    closed : bool
        Whether requests need a key even where there is none: so on a host that others can reach.
    clock : callable
        Milliseconds since 1970.

    Raises
    ------
    ApiKeyError
        If a given one is too short or cannot stand in a header, or the file cannot be read.
    """

    def __init__(
        self,
        given: Iterable[str],
        file: KeyFile | None = None,
        *,
        closed: bool = False,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        named = list(given)
        for number, key in enumerate(named, start=1):
            if not _KEY.fullmatch(key):
                raise ApiKeyError(f"API key {number} of {len(named)} cannot be used; {_ADVICE}")
        callers = enumerate(named, start=1)
        self._given = {digest_of(key.encode()): Caller(f"configured-{number}", Role.ADMIN) for number, key in callers}
        self._file, self._clock = file, clock
        self._stamp = file.stamp if file else None
        self._looked = time.monotonic()
        self._callers = self._given | _callers(file.read() if file else [])
        self._closed = closed or bool(self._callers) or self._stamp is not None

    def __bool__(self) -> bool:
        """Whether requests need a key."""
        self._follow()
        return self._closed

    def caller(self, authorization: bytes) -> Caller | None:
        """Who an Authorization header belongs to; None if to nobody."""
        self._follow()
        scheme, _, key = authorization.partition(b" ")
        # How long this takes depends on the digest only, which nobody can steer towards another without knowing its key.
        found = self._callers.get(digest_of(key.strip()))
        if scheme.lower() != b"bearer" or found is None:
            return None
        return found if _valid(found, self._clock()) else None

    def _follow(self) -> None:
        """Take in what the file holds now; where it cannot be read, the keys known before stay."""
        if self._file is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        stamp = self._file.stamp
        if stamp == self._stamp:
            return
        self._stamp, self._closed = stamp, self._closed or stamp is not None
        try:
            self._callers = self._given | _callers(self._file.read())
            logger.info("API keys were read again: %d are known", len(self._callers))
        except (ApiKeyError, OSError) as error:
            logger.error("API keys could not be read again, the old ones stay: %s", error)  # noqa: TRY400  # it says it all


def _callers(stored: Iterable[StoredKey]) -> dict[str, Caller]:
    return {key.digest: Caller(f"{key.name}-{key.id}", key.role, key.expires) for key in stored}


def _valid(caller: Caller, now: int) -> bool:
    return caller.expires is None or now < caller.expires
