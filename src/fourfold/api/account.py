"""What is told of every request once it has its answer: a line in the log, metrics, and a trace. Never keys, bodies or ids."""

import logging
import random
from collections.abc import Collection

from fourfold.api.exchange import Exchange
from fourfold.api.metrics import Metrics
from fourfold.api.tracing import Tracing

logger = logging.getLogger("fourfold.api.requests")


class Account:
    """Tells what came of requests.

    Parameters
    ----------
    metrics : Metrics
        Where they are counted.
    surfaces : collection of str
        What is served; other names stay out of metrics and logs.
    tracing : Tracing, optional
        Where traces go.
    log_share : float
        Which share of the requests that went well has a line in the log, from 0 to 1; those that did not always have one.
    """

    def __init__(
        self, metrics: Metrics, surfaces: Collection[str], tracing: Tracing | None = None, log_share: float = 1.0
    ) -> None:
        self._metrics, self._surfaces, self._tracing, self._log_share = metrics, surfaces, tracing, log_share

    def settle(self, exchange: Exchange) -> None:
        """Tell what came of a request; what goes wrong here is logged, for its answer is already under way."""
        try:
            self._settle(exchange)
        except Exception:
            logger.exception("request could not be accounted for")

    def _settle(self, exchange: Exchange) -> None:
        seconds = exchange.seconds
        surface = exchange.surface if exchange.surface in self._surfaces else None
        self._metrics.answered(exchange.route, surface or "-", exchange.status, seconds, exchange.slate)
        if exchange.accepted:
            self._metrics.accepted(exchange.accepted)
        if self._tracing is not None:
            self._tracing.record(exchange, surface, seconds)
        if exchange.status >= 400 or exchange.status == 0 or random.random() < self._log_share:
            self._log(exchange, surface, seconds)

    def _log(self, exchange: Exchange, surface: str | None, seconds: float) -> None:
        fields: dict[str, object] = {
            "method": exchange.method,
            "route": exchange.route,
            "surface": surface,
            "status": exchange.status,
            "ms": round(seconds * 1_000, 1),
            "caller": exchange.caller.name if exchange.caller else None,
            "degraded": sorted({one.stage for one in exchange.slate.degradations}) if exchange.slate else None,
            "request_id": exchange.id,
        }
        logger.info("request", extra={name: value for name, value in fields.items() if value})
