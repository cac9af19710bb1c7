"""What surrounds every request: keys, roles and limits, an account of what came of it, and an answer where the code fails."""

import logging
import math
import re
import time
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from fourfold.api.account import Account
from fourfold.api.errors import ApiError
from fourfold.api.exchange import Exchange
from fourfold.api.keys import ANYBODY, Caller, Keys
from fourfold.api.limits import Limits, Rate
from fourfold.api.roles import needed_role

logger = logging.getLogger(__name__)

OPEN_PATHS = ("/healthz", "/readyz")
"""What orchestrators ask without a key."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")

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
    account : Account
        Who is told what came of each request.
    rate : Rate, optional
        What each caller may send to this process; no limit otherwise.
    """

    def __init__(self, app: ASGIApp, keys: Keys, account: Account, rate: Rate | None = None) -> None:
        self._app, self._keys, self._account, self._limits = app, keys, account, Limits(rate or Rate())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        with bound_contextvars(request_id=exchange.id):
            try:
                await self._serve(exchange, receive)
            except ClientDisconnect:
                exchange.status = _CLIENT_LEFT
            except Exception:
                logger.exception("request failed")
                await exchange.fail(receive)
            finally:
                self._account.settle(exchange)

    async def _serve(self, exchange: Exchange, receive: Receive) -> None:
        try:
            self._admit(exchange)
        except ApiError as refusal:
            await refusal.response()(exchange.scope, receive, exchange.send)
        else:
            await self._app(exchange.scope, self._counted(exchange, receive), exchange.send)

    def _admit(self, exchange: Exchange) -> None:
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

    def _counted(self, exchange: Exchange, receive: Receive) -> Receive:
        """The same, counting the bytes of the body against the caller's limit."""

        async def counted() -> Message:
            message = await receive()
            if exchange.caller is not None and message["type"] == "http.request":
                self._limits.took(exchange.caller.name, len(message.get("body", b"")))
            return message

        return counted


def _names_this_machine(hosts: Iterable[str]) -> bool:
    names = [re.sub(r":\d*$", "", host).strip("[]").lower() for host in hosts]
    return len(names) == 1 and names[0] in LOOPBACK


def _elsewhere() -> ApiError:
    write = "Host: 127.0.0.1 or localhost; to be reached by another name, configure API keys (FOURFOLD_API_KEYS)"
    return ApiError(421, "this service has no API keys and answers only under the names of its own machine", write)
