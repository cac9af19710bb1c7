"""Keeps the worker processes of a service alive: starts them, replaces those that die, and ends them without losing requests.

All workers accept from one listening socket, which stays open whoever dies. A worker tells of itself by lines on its standard
output, and ends when its standard input does: workers never outlive the process that started them.
"""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Literal

logger = logging.getLogger(__name__)

LISTENING, READY = "listening", "ready"
"""What a worker says: it accepts requests; it can answer them."""

STEADY_SECONDS = 10.0
"""A worker that dies sooner is started again after a pause, which doubles up to `MAX_PAUSE_SECONDS`."""

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 30.0
END_SECONDS = 90.0
"""How long workers may take to finish the requests under way and commit, before they are killed."""


class WorkerFailedError(RuntimeError):
    """The first workers did not start; what they wrote to the log says why."""


@dataclass(frozen=True)
class Start:
    """How a worker is started: its place among the workers from 0, and whether it accepts requests only once it is ready."""

    place: int
    warm_first: bool


class _Worker:
    """One process, and what it said so far. `events` gets ``(worker, line)`` for a line, and ``(worker, None)`` at its end."""

    def __init__(self, start: Start, process: "subprocess.Popen[str]", events: "SimpleQueue[_Event]") -> None:
        self.start, self.process, self._events = start, process, events
        self.since, self.ready, self.leaving = time.monotonic(), False, False
        self._thread = threading.Thread(target=self._follow, name=f"worker-{start.place}", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Ask it to finish the requests under way, and to end."""
        self.leaving = True
        self.process.terminate()

    def _follow(self) -> None:
        # The context closes the pipes and waits for the process.
        with self.process as process:
            assert process.stdout is not None
            for line in process.stdout:
                self._events.put((self, line.strip()))
        self._events.put((self, None))


_Event = tuple[_Worker, str | None] | Literal["stop", "renew"]


class Supervisor:
    """Runs a number of workers until it is asked to stop.

    Parameters
    ----------
    count : int
        How many.
    spawn : callable
        Starts a worker's process, with text pipes as its standard input and output.
    on_listening : callable
        Called once, when the first worker accepts requests.
    """

    def __init__(self, count: int, spawn: Callable[[Start], "subprocess.Popen[str]"], on_listening: Callable[[], None]) -> None:
        self._count, self._spawn, self._on_listening = count, spawn, on_listening
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._due: list[tuple[float, int]] = []  # when to start a worker again, and its place
        self._pause = [FIRST_PAUSE_SECONDS] * count
        self._renewing: list[int] = []  # places whose worker is to be replaced by a new one
        self._announced, self._stopping = False, False

    def run(self) -> None:
        """Supervise until SIGINT or SIGTERM. At SIGHUP every worker is replaced, one by one, each once the new one is ready.

        Raises
        ------
        WorkerFailedError
            If a worker ends before any was ever able to listen.
        """
        with _signals(self._events):
            try:
                for place in range(self._count):
                    self._start(place, warm_first=False)
                while not self._stopping:
                    self._turn()
            finally:
                self._end()

    def _turn(self) -> None:
        """Wait for the next thing to happen, and react to it."""
        now = time.monotonic()
        for due, place in [one for one in self._due if one[0] <= now]:
            self._due.remove((due, place))
            self._start(place, warm_first=any(worker.ready for worker in self._workers))
        wait = max(min((due for due, _ in self._due), default=now + 60.0) - now, 0.0)
        try:
            event = self._events.get(timeout=wait)
        except Empty:
            return
        if event == "stop":
            self._stopping = True
        elif event == "renew":
            logger.info("replacing all workers, one by one")
            self._renewing = [*range(self._count)]
            self._renew()
        else:
            self._heard(*event)

    def _heard(self, worker: _Worker, line: str | None) -> None:
        if line == LISTENING and not self._announced:
            self._announced = True
            self._on_listening()
        elif line == READY:
            worker.ready = True
            for older in self._at(worker.start.place):
                if older.since < worker.since:
                    older.leave()
        elif line is None:
            self._workers.remove(worker)
            self._gone(worker)

    def _gone(self, worker: _Worker) -> None:
        """What follows when a worker has ended."""
        if worker.leaving:
            self._renew()
            return
        place, code = worker.start.place, worker.process.returncode
        if not self._announced:
            raise WorkerFailedError(f"worker {place} ended with {_how(code)} before it could listen; the log above says why")
        others = [other for other in self._at(place) if not other.leaving]
        if others:
            logger.error("worker %d (process %d) ended with %s while it was replaced", place, worker.process.pid, _how(code))
            if all(other.since < worker.since for other in others):
                # It was the new one that ended: whatever is wrong with it is wrong with the next ones too.
                self._renewing = []
            self._renew()
            return
        steady = time.monotonic() - worker.since >= STEADY_SECONDS
        pause = 0.0 if steady else self._pause[place]
        self._pause[place] = FIRST_PAUSE_SECONDS if steady else min(2 * pause, MAX_PAUSE_SECONDS)
        logger.error("worker %d (process %d) ended with %s; starting another", place, worker.process.pid, _how(code))
        self._due.append((time.monotonic() + pause, place))

    def _renew(self) -> None:
        """Start the next replacement, unless one is under way."""
        if self._renewing and all(len(self._at(place)) < 2 for place in range(self._count)):
            self._start(self._renewing.pop(0), warm_first=True)

    def _start(self, place: int, *, warm_first: bool) -> None:
        start = Start(place, warm_first)
        self._workers.append(_Worker(start, self._spawn(start), self._events))

    def _at(self, place: int) -> Sequence[_Worker]:
        return [worker for worker in self._workers if worker.start.place == place]

    def _end(self) -> None:
        """End all workers, by force if they take too long."""
        for worker in self._workers:
            worker.leave()
        deadline = time.monotonic() + END_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                logger.error("worker %d did not end within %.0f s; it is killed", worker.start.place, END_SECONDS)  # noqa: TRY400
                worker.process.kill()
                worker.process.wait()
        self._workers.clear()


@contextmanager
def _signals(events: "SimpleQueue[_Event]") -> Iterator[None]:
    """Turn signals into events. A `SimpleQueue` may be put to from a handler."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        events.put("stop")

    def renew(_number: int, _frame: FrameType | None) -> None:
        events.put("renew")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, renew)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
