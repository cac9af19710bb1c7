"""What the HTTP routes stand on: an online runtime per surface, kept in step with the log by a thread of its own."""

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from fourfold.api.errors import ApiError
from fourfold.api.rules import EventRules
from fourfold.events.types import Event, batch_of
from fourfold.features.view import View
from fourfold.modes.clock import wall_clock
from fourfold.modes.home import Home
from fourfold.modes.online import EVENTS_PER_REQUEST, Online
from fourfold.stores.consumer import StaleConsumerError

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0
JOIN_SECONDS = 60.0
SILENT_ROUNDS, FEW_ROUNDS = 60, 5
"""After so many rounds without a commit of the process that commits, though there were new events, this one commits again.

Few are enough for the worker that was started in place of one that committed.
"""


class Follower:
    """Keeps one surface in step with the log: applies, commits, loads new models, about every second.

    Parameters
    ----------
    online : Online
        The runtime.
    seconds : float
        The pause between two rounds; after failures it doubles, up to `MAX_RETRY_SECONDS`.
    silent_rounds : int
        After how many rounds without a commit of the process that commits, though there were new events, this one does.
    """

    def __init__(self, online: Online, seconds: float = FOLLOW_SECONDS, silent_rounds: int = SILENT_ROUNDS) -> None:
        self.online, self.caught_up, self.warm = online, False, False
        self.problem: str | None = None
        self._seconds, self._failures, self._silent_rounds = seconds, 0, silent_rounds
        self._reached, self._silent = -1, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{online.surface}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present round, and commit all but a backlog."""
        self._stop.set()
        self._thread.join(JOIN_SECONDS)
        try:
            self.online.consumer.catch_up(EVENTS_PER_REQUEST)
            self.online.__exit__(None, None, None)
        except Exception as error:
            logger.warning("surface %s: not committed at shutdown: %s", self.online.surface, error)

    @property
    def ready(self) -> bool:
        """Whether the state has reached the log, and a first slate was made, so that the next request waits for neither."""
        return self.warm and self.online.consumer.lag <= EVENTS_PER_REQUEST

    def check_caught_up(self) -> None:
        """Refuse while the state has not reached the log yet: half a state would show what was hidden, blocked or deleted.

        Raises
        ------
        ApiError
            503.
        """
        if not self.caught_up:
            raise ApiError(503, "the state has not reached the log yet", "it again when /readyz says so", {"Retry-After": "1"})

    def present(self) -> View:
        """The state with everything that was acknowledged by now, but for a large backlog.

        Raises
        ------
        ApiError
            503 while the state has not reached the log yet.
        """
        self.check_caught_up()
        return self.online.consumer.view(EVENTS_PER_REQUEST)

    def round(self) -> None:
        """One round of upkeep; what goes wrong is logged and tried again in the next."""
        surface = self.online.surface
        try:
            self.online.consumer.catch_up()
            self.caught_up = True
            if not self.warm:
                self.online.warm()
                self.warm = True
            self.online.follow()
            if not self.online.consumer.commits:
                self._stand_in()
        except StaleConsumerError as error:
            self.online.consumer.commits = False
            logger.warning("surface %s: another process commits its state; this one goes on without: %s", surface, error)
        except Exception as error:
            self._failures += 1
            self.problem = f"{type(error).__name__}: {error}"
            logger.exception("surface %s: upkeep failed %d times, trying again", surface, self._failures)
        else:
            self._failures, self.problem = 0, self.online.problem

    def _stand_in(self) -> None:
        """Commit again once the process that took this over has ended: a training run, or a service that was replaced."""
        consumer, before = self.online.consumer, self._reached
        self._reached = consumer.reached
        silent = before == self._reached < consumer.state.offset
        self._silent = self._silent + 1 if silent else 0
        if self._silent >= self._silent_rounds:
            self._silent = 0
            consumer.take_over()
            if consumer.commits:
                logger.warning(
                    "surface %s: nobody else commits its state any more; this process does again", self.online.surface
                )

    @property
    def pause(self) -> float:
        """Seconds until the next round."""
        return min(self._seconds * (1 << min(self._failures, 16)), MAX_RETRY_SECONDS)

    def _run(self) -> None:
        self.round()
        while not self._stop.wait(self.pause):
            self.round()


class Service:
    """The surfaces of one home, served. Use it as a context manager.

    Parameters
    ----------
    home : Home
        Where everything lies; whoever opened it closes it.
    surfaces : sequence of str
        What to serve.
    follow_seconds : float
        The pause between two rounds of upkeep.
    commits : bool
        Whether the state that is computed here is committed. One process of a home should; if it ends, another one takes over.
    stands_in_soon : bool
        Whether this one does so after `FEW_ROUNDS`.
    """

    def __init__(
        self,
        home: Home,
        surfaces: Sequence[str],
        *,
        follow_seconds: float = FOLLOW_SECONDS,
        commits: bool = True,
        stands_in_soon: bool = False,
    ) -> None:
        if not surfaces:
            raise ValueError("no surface to serve; name at least one")
        self.home, self.surfaces = home, tuple(dict.fromkeys(surfaces))
        self._follow_seconds, self._commits = follow_seconds, commits
        self._silent_rounds = FEW_ROUNDS if stands_in_soon else SILENT_ROUNDS
        self._followers: dict[str, Follower] = {}
        self.rules = EventRules(home.definition(surface) for surface in self.surfaces)

    def __enter__(self) -> Self:
        """Open every surface, then start to follow the log.

        Raises
        ------
        DefinitionMismatch, HomeError, StateLostError
            If a surface cannot be served.
        """
        opened = [Online(self.home, surface, commits=self._commits) for surface in self.surfaces]
        self.rules = EventRules(online.definition for online in opened)
        self._followers = {online.surface: Follower(online, self._follow_seconds, self._silent_rounds) for online in opened}
        for follower in self._followers.values():
            follower.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for follower in self._followers.values():
            follower.stop()

    def of(self, surface: str) -> Follower:
        """The runtime of a surface.

        Raises
        ------
        ApiError
            404, listing the surfaces.
        """
        follower = self._followers.get(surface)
        if follower is None:
            known = ", ".join(self.surfaces)
            raise ApiError(404, f"surface: {surface[:64]!r} is not served here", f"one of: {known}")
        return follower

    @property
    def unready(self) -> list[str]:
        """The surfaces whose state has not reached the log yet."""
        return [surface for surface, follower in self._followers.items() if not follower.ready]

    def append(self, events: Sequence[Event], *, expected: int | None = None) -> int:
        """Check events and append them; returns the end of their offsets once they are synced to disk.

        A slate asked for from then on knows them: of what a request does not apply by itself, this applies the rest. With
        `expected`, they are appended only if the log still ends there.

        Raises
        ------
        ApiError
            422 if one is not about something declared; nothing is appended.
        LogMovedError, LogFullError
            If the log ends elsewhere, or there is no room; nothing is appended.
        """
        now = wall_clock()
        self.rules.check(events, now)
        end = self.home.log.append(batch_of(events), now, expected=expected).stop
        for follower in self._followers.values():
            self._keep_near(follower)
        return end

    def _keep_near(self, follower: Follower) -> None:
        consumer = follower.online.consumer
        try:
            if follower.caught_up and consumer.lag > EVENTS_PER_REQUEST // 2:
                consumer.catch_up()
        except Exception:
            # The events are safe: the answer must say so, and the next round of upkeep tries again.
            logger.exception("surface %s: could not apply new events", follower.online.surface)
