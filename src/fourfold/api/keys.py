"""API keys: where they come from, and whether a request brings one. They are kept as digests and never logged."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

VARIABLE = "FOURFOLD_API_KEYS"

_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
_ADVICE = (
    "write keys of 16 to 512 letters, digits and any of ._~+/=- such as "
    "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes"
)


class ApiKeyError(ValueError):
    """A key that cannot be used, or a file of keys that cannot be read. The key itself is not in the message."""


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


class Keys:
    """The keys that a service accepts; with none, it accepts everybody.

    Raises
    ------
    ApiKeyError
        If one of them is too short or cannot stand in a header.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        named = list(keys)
        for number, key in enumerate(named, start=1):
            if not _KEY.fullmatch(key):
                raise ApiKeyError(f"API key {number} of {len(named)} cannot be used; {_ADVICE}")
        self._digests = [_digest(key.encode()) for key in named]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, authorization: bytes) -> bool:
        """Whether an Authorization header carries one of the keys, in a time that does not depend on how near it comes."""
        scheme, _, key = authorization.partition(b" ")
        given = _digest(key.strip())
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return scheme.lower() == b"bearer" and any(matches)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
