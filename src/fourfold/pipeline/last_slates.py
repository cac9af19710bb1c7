"""Last slates: what a ranker last made of each viewer's candidates, to stand in when it fails. Filters are asked again then."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

KEPT = 200
"""How many items of a ranking are kept: of a slate that was seen, a filter may leave nothing."""


@dataclass(frozen=True)
class LastSlate:
    """The best items (ids, best first) of one viewer as of a time, in milliseconds."""

    items: tuple[str, ...]
    time: int


class LastSlates(Protocol):
    """Where the last slates of one surface are kept."""

    def get(self, viewer: str) -> LastSlate | None:
        """The last slate of a viewer, if it is still there."""
        ...

    def put(self, viewer: str, slate: LastSlate) -> None:
        """Keep a slate, unless one of a later time is there."""
        ...


class RecentSlates:
    """Last slates in this process's memory, those of the viewers who asked last.

    Parameters
    ----------
    viewers : int
        Of how many viewers; each takes about 2 kB, as ids are shared with the state.
    """

    def __init__(self, viewers: int = 10_000) -> None:
        self._viewers, self._lock = viewers, threading.Lock()
        self._slates: OrderedDict[str, LastSlate] = OrderedDict()

    def get(self, viewer: str) -> LastSlate | None:
        """The last slate of a viewer, if it is still there."""
        with self._lock:
            return self._slates.get(viewer)

    def put(self, viewer: str, slate: LastSlate) -> None:
        """Keep a slate, unless one of a later time is there; the viewer who has not asked for longest makes room."""
        with self._lock:
            known = self._slates.get(viewer)
            if known is None or known.time <= slate.time:
                self._slates[viewer] = slate
                self._slates.move_to_end(viewer)
            if len(self._slates) > self._viewers:
                self._slates.popitem(last=False)
