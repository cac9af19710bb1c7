"""What surrounds every request: keys, roles and limits, security headers, one log line, and an answer where the code fails."""

import logging
import math
import re
import time
import uuid
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fourfold.api.errors import ApiError
from fourfold.api.keys import ANYBODY, Caller, Keys
from fourfold.api.limits import Limits, Rate
from fourfold.api.roles import needed_role

logger = logging.getLogger("fourfold.api.requests")

OPEN_PATHS = ("/healthz", "/readyz")
"""What orchestrators ask without a key."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CLIENT_LEFT = 499


class Guard:
    """ASGI middleware around the whole service.

    Parameters
    ----------
    app : ASGIApp
        What it surrounds.
    keys : Keys
        With keys, every path but `OPEN_PATHS` needs one. Without, only requests that name this machine as their host are
        served, so that no web page can reach the service through a name of its own that leads here.
    rate : Rate
        What each caller may send to this process.
    """

    def __init__(self, app: ASGIApp, keys: Keys, rate: Rate | None = None) -> None:
        self._app, self._keys, self._limits = app, keys, Limits(rate or Rate())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            try:
                self._admit(exchange)
            except ApiError as refusal:
                await refusal.response()(scope, receive, exchange.send)
            else:
                await self._app(scope, self._counted(exchange, receive), exchange.send)
        except ClientDisconnect:
            exchange.status = _CLIENT_LEFT
        except Exception:
            logger.exception("request failed request_id=%s", exchange.id)
            await exchange.fail(receive)
        finally:
            exchange.log()

    def _admit(self, exchange: "_Exchange") -> None:
        """Let a request in, or say why not."""
        method, path = exchange.scope["method"], exchange.scope["path"]
        if path in OPEN_PATHS:
            return
        exchange.caller = caller = self._caller(exchange.headers)
        needed = needed_role(method, path)
        if not caller.role.allows(needed):
            error = f"the key's role is {caller.role}, and this needs {needed}"
            raise ApiError(403, error, f"a key that `fourfold keys create NAME --role {needed}` makes")
        if exchange.headers.get("content-encoding", "identity").strip().lower() != "identity":
            # What a small body unpacks to has no bound that is known before.
            raise ApiError(415, "the body is compressed", "the same body without Content-Encoding")
        wait = self._limits.admit(caller.name, time.monotonic())
        if wait > 0:
            again = {"Retry-After": str(math.ceil(wait))}
            raise ApiError(429, "this key has sent all that it may for now", "it again after Retry-After seconds", again)

    def _caller(self, headers: Headers) -> Caller:
        if not self._keys:
            if _names_this_machine(headers.getlist("host")):
                return ANYBODY
            raise _elsewhere()
        given = headers.getlist("authorization")
        caller = self._keys.caller(given[0].encode("latin-1")) if len(given) == 1 else None
        if caller is None:
            raise ApiError(401, "no valid API key", "a header Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"})
        return caller

    def _counted(self, exchange: "_Exchange", receive: Receive) -> Receive:
        """The same, counting the bytes of the body against the caller's limit."""

        async def counted() -> Message:
            message = await receive()
            if exchange.caller is not None and message["type"] == "http.request":
                self._limits.took(exchange.caller.name, len(message.get("body", b"")))
            return message

        return counted


class _Exchange:
    """One request and the start of its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self._send, self.headers = scope, send, Headers(scope=scope)
        given = self.headers.get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self.status, self._started = 0, time.perf_counter()
        self.caller: Caller | None = None

    async def send(self, message: Message) -> None:
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

    def log(self) -> None:
        # The path of the route, not of the request: a client must not be able to write into the log.
        route = getattr(self.scope.get("route"), "path", "-")
        took = (time.perf_counter() - self._started) * 1_000
        fields = (self.scope["method"], route, self.status, took, self.id)
        logger.info("method=%s route=%s status=%d ms=%.1f request_id=%s", *fields)


def _names_this_machine(hosts: Iterable[str]) -> bool:
    names = [re.sub(r":\d*$", "", host).strip("[]").lower() for host in hosts]
    return len(names) == 1 and names[0] in LOOPBACK


def _elsewhere() -> ApiError:
    write = "Host: 127.0.0.1 or localhost; to be reached by another name, configure API keys (FOURFOLD_API_KEYS)"
    return ApiError(421, "this service has no API keys and answers only under the names of its own machine", write)
