"""The sources of one request, side by side within the budget; one that fails or is late is left out and named."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, wait

import numpy as np

from fourfold.candidates import SOURCES, Ask, Proposal, Unavailable
from fourfold.definition import Source
from fourfold.pipeline.pool import Pool
from fourfold.pipeline.trace import Tracer

logger = logging.getLogger(__name__)

SOURCES_SHARE = 0.6
"""How much of what is left of the budget sources may take together, so that a slow one leaves time to rank the others."""


def proposed(ask: Ask, sources: Sequence[Source], executor: Executor, tracer: Tracer) -> Pool:
    """The pool of what sources propose in time."""
    with tracer.stage("sources", 0) as given:
        futures = {str(declared.kind): executor.submit(SOURCES[declared.kind], ask, declared) for declared in sources}
        wait(futures.values(), timeout=tracer.seconds_left * SOURCES_SHARE)
        pool = Pool.merge(_proposals(futures, tracer), ask.view.definition.source_weights)
        given.append(len(pool))
    return pool


def _proposals(futures: Mapping[str, Future[Proposal]], tracer: Tracer) -> dict[str, Proposal]:
    proposals = {}
    for kind, future in futures.items():
        problem = _problem(kind, future)
        if problem is None:
            proposals[kind] = future.result()
            tracer.proposed[kind] = len(proposals[kind])
        else:
            tracer.degraded("sources", problem, "its candidates are missing")
    return proposals


def _problem(kind: str, future: Future[Proposal]) -> str | None:
    """Why a source's proposal cannot be used, or None."""
    if not future.done():
        future.cancel()
        return f"{kind} did not answer within the budget"
    error = future.exception()
    if isinstance(error, Unavailable):
        return f"{kind}: {error}"
    if error is not None:
        logger.error("source %s failed", kind, exc_info=error)
        return f"{kind} failed: {type(error).__name__}"
    return None if np.isfinite(future.result().scores).all() else f"{kind} gave scores that are not numbers"
