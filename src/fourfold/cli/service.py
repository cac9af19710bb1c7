"""How commands ask a running service."""

import json
import os
import urllib.error
import urllib.request
from typing import Any


class ServiceError(RuntimeError):
    """A service did not answer as it should; the message holds what it said."""


def asked(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON that a service answers at an address: to a POST of `body`, or to a GET. Its key is the first configured one.

    Raises
    ------
    ServiceError
        If it cannot be reached, or refuses.
    """
    headers = {"Content-Type": "application/json"}
    keys = os.environ.get("FOURFOLD_API_KEYS")
    if keys:
        headers["Authorization"] = f"Bearer {keys.split(',')[0].strip()}"
    if not url.startswith(("http://", "https://")):
        raise ServiceError(f"{url} is not the address of a service; write one such as http://127.0.0.1:8000")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # checked just above
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise ServiceError(f"{url} answered {error.code}: {error.read(2000).decode(errors='replace')}") from None
    except urllib.error.URLError as error:
        raise ServiceError(f"{url} cannot be reached: {error.reason}") from None
    return found
