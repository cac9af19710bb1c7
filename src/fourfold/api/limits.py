"""How much each caller may ask of a service: requests and bytes a second, as token buckets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """What every caller may send each second; None sets no limit.

    Each worker process counts for itself: a service of several gives each its share, so that together they let through what
    is allowed. A caller whose connections all end in one worker then gets that worker's share only.

    Parameters
    ----------
    requests : float, optional
        Requests a second. As many as one second allows may come at once.
    bytes : float, optional
        Bytes of request bodies a second. A body is let in while there is anything left of the allowance, and paid off after.
    """

    requests: float | None = None
    bytes: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("requests", self.requests), ("bytes", self.bytes)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise RateError(f"a rate of {value} {name} a second lets nothing through; write a number above 0, or none")

    def share(self, workers: int) -> "Rate":
        """What one of several worker processes lets through."""
        return Rate(*(None if value is None else value / workers for value in (self.requests, self.bytes)))


class RateError(ValueError):
    """A rate that lets nothing through; the message says what to write."""


class Bucket:
    """A token bucket that may be overdrawn once: what a request costs is known only when its body has been read.

    Parameters
    ----------
    rate : float
        Tokens that come back each second; it holds a second's worth, and never less than one token.
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._size = rate, max(rate, 1.0)
        self._tokens, self._at = self._size, -math.inf

    def wait(self, cost: float, now: float) -> float:
        """Seconds from `now` (any clock's seconds) until there are `cost` tokens; 0 if there are."""
        if now > self._at:
            self._tokens = min(self._tokens + (now - self._at) * self._rate, self._size)
            self._at = now
        return max((cost - self._tokens) / self._rate, 0.0)

    def take(self, cost: float) -> None:
        """Take tokens out, whether they are there or not."""
        self._tokens -= cost


class Limits:
    """The buckets of all callers: there are as many as keys, so nobody can make them many.

    Parameters
    ----------
    rate : Rate
        What each may send.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: dict[str, Mapping[str, Bucket]] = {}

    def admit(self, caller: str, now: float) -> float:
        """0 if a request of the caller may come in, and is counted; else seconds until one may. `now` is in seconds."""
        buckets = self._of(caller)
        wait = max((bucket.wait(1.0, now) for bucket in buckets.values()), default=0.0)
        if wait == 0.0 and "requests" in buckets:
            buckets["requests"].take(1.0)
        return wait

    def took(self, caller: str, size: int) -> None:
        """Count bytes of a body."""
        buckets = self._of(caller)
        if "bytes" in buckets:
            buckets["bytes"].take(size)

    def _of(self, caller: str) -> Mapping[str, Bucket]:
        if caller not in self._buckets:
            rates = {"requests": self._rate.requests, "bytes": self._rate.bytes}
            self._buckets[caller] = {name: Bucket(rate) for name, rate in rates.items() if rate is not None}
        return self._buckets[caller]
