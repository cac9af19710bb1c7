"""The bounded pool: so many at once, so many waiting, and the rest told at once."""

import threading
import time
from contextlib import ExitStack

import anyio
import pytest

from fourfold.api.errors import ApiError
from fourfold.api.workers import Workers


def test_places_are_bounded_and_given_back() -> None:
    workers = Workers(threads=1, queue=2)
    with workers.place(), workers.place():
        with workers.place(), pytest.raises(ApiError) as caught, workers.place():
            pass
        assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
        with pytest.raises(ZeroDivisionError), workers.place():
            raise ZeroDivisionError
        with workers.place():
            pass


def test_no_more_threads_than_said_work_at_once() -> None:
    workers, lock, inside, most = Workers(threads=2, queue=10), threading.Lock(), [0], [0]

    def work() -> int:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        with lock:
            inside[0] -= 1
        return 1

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(workers.run, work)

    anyio.run(run)
    assert most == [2]


def test_who_would_wait_too_long_is_told_at_once() -> None:
    workers = Workers(threads=2, queue=100, patience=0.05)
    with ExitStack() as held:
        for _ in range(20):
            held.enter_context(workers.place())  # nothing is known of how long work takes
    for _ in range(40):
        anyio.run(workers.run, lambda: time.sleep(0.01))
    with ExitStack() as held:
        while workers.waiting < 11:  # each waits for at least 5 ms of the two threads
            try:
                held.enter_context(workers.place())
            except ApiError:
                break
        with pytest.raises(ApiError) as caught:
            held.enter_context(workers.place())
        assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
        assert workers.waiting
    with workers.place():
        pass
