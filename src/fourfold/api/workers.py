"""Where requests are computed: a few threads, and a short queue before them. Who finds the queue full is told so at once."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
import anyio.to_thread

from fourfold.api.errors import ApiError

T = TypeVar("T")

RECOMMEND_THREADS, RECOMMEND_QUEUE = 2, 64
"""One thread computes while another waits for sources or the disk; more of them only slow each other down."""

RECOMMEND_PATIENCE = 0.25
"""Seconds that a slate may wait for a thread: under more load than a process can bear, those that it serves stay quick."""

EVENT_THREADS, EVENT_QUEUE = 8, 24
"""More threads than cores, because appends wait for the disk together; a short queue, because bodies of 10 MB wait in it."""

SMOOTHING = 0.1
"""How much one request changes what is held to be usual."""


class Workers:
    """A bounded pool of threads.

    Parameters
    ----------
    threads : int
        How many requests are computed at once.
    queue : int
        How many more may be read or wait.
    patience : float
        How long, in seconds, they may have to wait, by what the last ones took.
    """

    def __init__(self, threads: int, queue: int, patience: float = math.inf) -> None:
        self._limiter = anyio.CapacityLimiter(threads)
        self._threads, self._places, self._patience = threads, threads + queue, patience
        self._taken, self._usual = 0, 0.0

    @property
    def running(self) -> int:
        """How many requests are computed now."""
        return self._limiter.borrowed_tokens

    @property
    def waiting(self) -> int:
        """How many more have a place: they are read, or wait for a thread."""
        return max(self._taken - self.running, 0)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for one request, from before its body is read until it is answered.

        Raises
        ------
        ApiError
            429 if all are taken, or the wait would be too long.
        """
        if self._taken >= self._places or self.waiting * self._usual / self._threads > self._patience:
            raise ApiError(429, "too many requests wait already", "it again in a second", {"Retry-After": "1"})
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in one of the threads."""
        return await anyio.to_thread.run_sync(lambda: self._timed(work), limiter=self._limiter)

    def _timed(self, work: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return work()
        finally:
            self._usual += SMOOTHING * (time.monotonic() - began - self._usual)
