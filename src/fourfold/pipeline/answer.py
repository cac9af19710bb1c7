"""The slate that answers a request: what was chosen, in the words of the API."""

import hashlib
from collections.abc import Sequence

import numpy as np

from fourfold.definition import Recommender
from fourfold.events.log import MAX_ID
from fourfold.features.assembly import Context
from fourfold.features.view import View
from fourfold.pipeline.explain import reasons, titles
from fourfold.pipeline.ranking import Ranked
from fourfold.pipeline.select import Chosen
from fourfold.pipeline.slate import Request, SlateItem, Trace
from fourfold.pipeline.trace import Tracer


def request_id(definition: Recommender, request: Request, time: int) -> str:
    """The request's own id, or ``SURFACE-VIEWER-TIME``, with a digest for the viewer where that would be too long for an id."""
    if request.request is not None:
        return request.request
    readable = f"{definition.surface}-{request.viewer}-{time}"
    if len(readable) <= MAX_ID:
        return readable
    return f"{definition.surface}-{hashlib.sha256(request.viewer.encode()).hexdigest()}-{time}"


def trace_of(view: View, known: Context, tracer: Tracer) -> Trace:
    """How the slate came about."""
    newest, last = view.newest_time, max(known.entries.time[-1:].tolist(), default=-1)
    return Trace(
        stages=tracer.stages,
        dropped={name: count for name, count in tracer.dropped.items() if count},
        history=len(known.history),
        state_age_ms=known.time - newest if 0 <= newest <= known.time else None,
        viewer_age_ms=known.time - last if last >= 0 else None,
        offset=view.offset,
        rules=tracer.rules,
        proposed=tracer.proposed,
    )


def items_of(view: View, known: Context, ranked: Ranked, chosen: Chosen) -> list[SlateItem]:
    """The places of the slate; `ranked` holds the chosen candidates alone, in order."""
    name, pool = view.definition.item.name, ranked.pool
    origins = [pool.origins(row) for row in range(len(pool))]
    history, profile = len(known.history) > 0, bool(known.viewer_ids.any())
    why = reasons(view, [came[0] for came in origins], known.time, history=history, profile=profile)
    return [
        SlateItem(
            item=item,
            title=title,
            score=score,
            probabilities=probabilities,
            sources=[source for source, _ in came],
            reason=reason,
            rule=rule,
            propensity=propensity,
        )
        for item, title, score, probabilities, came, reason, rule, propensity in zip(
            view.ids(name, pool.items),
            titles(view, name, pool.items, known.time),
            ranked.scores.tolist(),
            _probabilities(view.definition, ranked),
            origins,
            why,
            chosen.rules,
            chosen.propensities,
            strict=True,
        )
    ]


def _probabilities(definition: Recommender, ranked: Ranked) -> Sequence[dict[str, float]]:
    if ranked.probabilities is None:
        return [{} for _ in range(len(ranked.pool))]
    actions = [action.name for action in definition.actions]
    rounded = np.round(ranked.probabilities.astype(np.float64), 6).tolist()
    return [dict(zip(actions, values, strict=True)) for values in rounded]
