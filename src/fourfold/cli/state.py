"""How commands that train or judge come by a surface's state."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fourfold.cli.console import progress, say

LARGE_BACKLOG = 50_000
"""Events of the log that a command applies before it commits the state for others."""


@contextmanager
def caught_up(opened: Any, surface: str) -> Iterator[Any]:
    """The surface's state, in step with the log; committed only after a backlog that would take long to work off again.

    A service that runs beside keeps the state, and need not be disturbed for little.
    """
    from fourfold.stores.consumer import StaleConsumerError  # noqa: PLC0415

    consumer = opened.consumer(surface, commits=True, whole=True)
    backlog = consumer.lag
    if backlog:
        with progress("apply the log") as advance:
            consumer.catch_up(on_progress=lambda done, total: advance(done, total, "events"))
    if backlog >= LARGE_BACKLOG:
        try:
            consumer.commit()
        except StaleConsumerError:
            say("another process keeps this state; going on without committing")
    yield consumer
