"""Connections at their ends: a head that does not come in time ends one; a service that ends lets in what is on its way."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""What the head of a request may take, from the connection or from its first byte on one that is kept alive."""

LAST_SECONDS = 1.0
"""How long a connection without a request stays open when the service ends: its request may be on its way already."""


class Connection(H11Protocol):
    """uvicorn's connection, with a deadline for the head; bodies have one of their own, see `fourfold.api.bodies.read_body`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # those of the class above, which uvicorn passes
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the class above has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes in; those that end a head end the waiting."""
        if self._deadline is None and self._between_requests:
            self._expect_head()
        super().data_received(data)
        if not self._between_requests:
            self._stop_waiting()
            if self._ending:
                super().shutdown()

    def shutdown(self) -> None:
        """End after the request under way, or after one that comes within `LAST_SECONDS`."""
        if self._ending or not self._between_requests:
            super().shutdown()
        else:
            self._stop_waiting()
            self._deadline = self.loop.call_later(LAST_SECONDS, self.shutdown)
        self._ending = True

    def on_response_complete(self) -> None:
        """End a request; bytes of the next one may be there already, and they begin its waiting."""
        super().on_response_complete()
        if self._between_requests and self.conn.trailing_data[0]:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
