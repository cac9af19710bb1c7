"""One request and the start of its answer, as everything around the application sees them."""

import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from fourfold.api.errors import ApiError
from fourfold.api.keys import Caller
from fourfold.pipeline.slate import Slate

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Exchange:
    """One request and the start of its answer.

    Attributes
    ----------
    id : str
        The request's id: the client's, if it may stand in a log, or a new one.
    status : int
        The status of the answer; 0 before there is one.
    caller : Caller or None
        Who asks; None if nobody had to be known.
    began : int
        When it came, in nanoseconds since 1970.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self._send, self.headers = scope, send, Headers(scope=scope)
        self._state: dict[str, Any] = scope.setdefault("state", {})  # whatever handlers leave here
        given = self.headers.get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self.status = 0
        self.caller: Caller | None = None
        self.began, self._started = time.time_ns(), time.perf_counter()

    @property
    def method(self) -> str:
        """The method, if it is one that HTTP knows: it goes into logs and metrics."""
        method: str = self.scope["method"]
        return method if method in _METHODS else "-"

    @property
    def route(self) -> str:
        """The path of the route, not of the request: a client must not be able to write into logs and metrics."""
        return getattr(self.scope.get("route"), "path", "-")

    @property
    def surface(self) -> str | None:
        """The surface that the path names, which need not be served."""
        surface: str | None = self.scope.get("path_params", {}).get("surface")
        return surface

    @property
    def slate(self) -> Slate | None:
        """The slate that was answered with."""
        return self._state.get("slate")

    @property
    def accepted(self) -> int:
        """How many events were appended."""
        accepted: int = self._state.get("accepted", 0)
        return accepted

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.perf_counter() - self._started

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS | {"X-Request-Id": self.id})
        await self._send(message)

    async def fail(self, receive: Receive) -> None:
        """Say that the service failed, unless an answer is already under way."""
        if self.status == 0:
            write = f"to the operator of this service: its log tells more under {self.id}"
            await ApiError(500, "the service failed", write).response()(self.scope, receive, self.send)
