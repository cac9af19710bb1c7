"""A client of an ASGI application inside the test's process: its own event loop in a thread, and its lifespan around it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette


class Client:
    """Sends requests from any thread and waits for their answers."""

    def __init__(self, portal: BlockingPortal, client: httpx.AsyncClient) -> None:
        self._portal, self._client = portal, client

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send a request; `options` are those of httpx."""

        async def send() -> httpx.Response:
            return await self._client.request(method, url, **options)

        return self._portal.call(send)

    def get(self, url: str, **options: Any) -> httpx.Response:
        """Send a GET."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        """Send a POST."""
        return self.request("POST", url, **options)


@contextmanager
def client_of(app: Starlette, base_url: str = "http://127.0.0.1") -> Iterator[Client]:
    """A client of a running application."""

    @asynccontextmanager
    async def running() -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            yield client

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running()) as client:
        yield Client(portal, client)
