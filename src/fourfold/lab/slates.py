"""Lists judged: what the whole pipeline, each source, all sources together and popularity would have shown.

Sources are asked deeper than they answer in serving, so that their reach is seen apart from how much of it the slate keeps.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

import numpy as np

from fourfold.candidates import SOURCES, Ask, Proposal, Unavailable
from fourfold.candidates.ordering import best_first
from fourfold.definition import Source, Trending
from fourfold.features.assembly import Context, context
from fourfold.features.encoding import Encoder
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.lab.list_metrics import Catalogue, ListMetrics, list_metrics
from fourfold.lab.truth import Truth
from fourfold.pipeline.backfill import by_popularity
from fourfold.pipeline.filters import Asked, kept
from fourfold.pipeline.models import Models
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.pool import Pool
from fourfold.pipeline.slate import Request
from fourfold.pipeline.values import Mask

CUTOFFS = (20, 100, 500)
"""Where the recall of sources is measured."""

SLATE, POPULARITY, UNION = "slate", "popularity", "union"
PATIENCE_MS = 60_000
"""The budget of a slate that is judged: no source is cut short."""

OnMember = Callable[[int, int | None], None]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class _Lists:
    """Makes the lists of one member at a time, best first; what is the same for all members is made once."""

    view: View
    models: Models
    pipeline: Pipeline
    encoder: Encoder
    k: int
    executor: Executor
    popular: dict[int, Int]

    def of(self, viewer: int, time: int, where: Mapping[str, str]) -> Mapping[str, Int]:
        name = self.view.ids(self.view.definition.viewer.name, np.array([viewer]))[0]
        everything = self.view.all_rows(self.view.definition.item.name)
        allowed = kept(Asked(self.view, name, viewer, time), self.view.definition.filters, everything)[0]
        if time not in self.popular:
            self.popular[time] = by_popularity(Asked(self.view, "", -1, time))
        popular = self.popular[time]
        lists = {SLATE: self._slate(name, time, where), POPULARITY: popular[allowed[popular]][: CUTOFFS[-1]]}
        proposals = self._proposals(viewer, time, allowed)
        pool = Pool.merge(proposals, self.view.definition.source_weights)
        lists[UNION] = pool.items[best_first(self.view, pool.items, pool.source_scores(), CUTOFFS[-1])]
        return lists | {kind: proposal.items for kind, proposal in proposals.items()}

    def _slate(self, viewer: str, time: int, where: Mapping[str, str]) -> Int:
        slate = self.pipeline.recommend(Request(viewer=viewer, size=self.k, time=time, context=dict(where)), time)
        return self.view.rows(self.view.definition.item.name, [item.item for item in slate.items])

    def _proposals(self, viewer: int, time: int, allowed: Mask) -> dict[str, Proposal]:
        """What each source proposes of the items that the member may see, `CUTOFFS[-1]` at most."""
        known = context(self.view, self.encoder, viewer, time)
        ask = Ask(self.view, known, self.models.retriever(self.view, self.encoder, time), self.models.neighbours(self.view))
        found = {}
        for source in self.view.definition.sources:
            try:
                proposal = self._asked(ask, source, known)
            except Unavailable:
                continue
            keep = np.flatnonzero(allowed[proposal.items])[: CUTOFFS[-1]]
            found[str(source.kind)] = Proposal(proposal.items[keep], proposal.scores[keep], proposal.because[keep])
        return found

    def _asked(self, ask: Ask, source: Source, known: Context) -> Proposal:
        """A source's proposal, deep enough to leave `CUTOFFS[-1]` items when those that the member has met are gone."""
        met = len(np.unique(known.entries.item))
        depth = max(ask.view.size(ask.view.definition.item.name), 1) if isinstance(source, Trending) else CUTOFFS[-1] + met
        return self.executor.submit(SOURCES[source.kind], ask, replace(source, keep=depth)).result()


class _Sharing(ThreadPoolExecutor):
    """Where sources run. What is trending is the same for all members as of a time, and is computed once."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._trending: dict[tuple[Trending, int], Future[Any]] = {}

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        ask, source = args[0], args[1]
        if not (isinstance(ask, Ask) and isinstance(source, Trending)):
            return super().submit(fn, *args, **kwargs)
        key = source, ask.context.time
        if key not in self._trending:
            self._trending[key] = super().submit(fn, *args, **kwargs)
        return self._trending[key]


def judge_lists(
    view: View,
    models: Models,
    truth: Truth,
    catalogue: Catalogue,
    *,
    k: int,
    seed: int = 0,
    contexts: Sequence[Mapping[str, str]] | None = None,
    on_member: OnMember,
) -> dict[str, ListMetrics]:
    """Metrics of ``slate`` (the whole pipeline), ``popularity``, each source by its kind, and the ``union`` of all sources.

    Parameters
    ----------
    view : View
        The state; lists see of it what lies before each member's time.
    models : Models
        What serves.
    truth : Truth
        Who is asked, when, and what they liked.
    catalogue : Catalogue
        What is known of the items.
    k : int
        How long slates are, and where all but the recall of sources is measured.
    seed : int
        Of the bootstrap.
    contexts : sequence of dict, optional
        The context that each member's slate is asked for with; none by default.
    on_member : callable
        Called with the members done so far and their total.

    Notes
    -----
    Each source is asked for 500 items that the member may see, whatever its `keep`. The union fuses their places, as the
    pipeline does where it has no model. Popularity is the order in which the
    pipeline fills up slates: most positive actions first, then the newest.
    """
    lists: dict[str, list[Int]] = {}
    with _Sharing(max(len(view.definition.sources), 1)) as executor:
        pipeline = Pipeline(view.definition, lambda: view, lambda: models, budget_ms=PATIENCE_MS, executor=executor)
        maker = _Lists(view, models, pipeline, Encoder(view.definition), k, executor, {})
        asked = zip(truth.viewers.tolist(), truth.times.tolist(), contexts or [{}] * len(truth), strict=True)
        for done, (viewer, time, where) in enumerate(asked):
            for name, items in maker.of(viewer, time, where).items():
                lists.setdefault(name, []).append(items)
            on_member(done + 1, len(truth))
    return {
        name: list_metrics(found, truth.liked, catalogue, cutoffs=_cutoffs(name, k), k=k, seed=seed)
        for name, found in lists.items()
    }


def _cutoffs(name: str, k: int) -> Sequence[int]:
    return [k] if name == SLATE else sorted({k, *CUTOFFS})
