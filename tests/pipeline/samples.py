"""A recommender with every stage over the tiny world, models with random weights for it, and pipelines over a state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fourfold.definition import (
    Blocked,
    DotProduct,
    EmbeddingRetrieval,
    Excluded,
    Expired,
    FeedSR,
    Hidden,
    InNetwork,
    ItemToItem,
    Own,
    Recommender,
    Seen,
    Slate,
    Trending,
    TwoTower,
)
from fourfold.definition.models import DCNv2
from fourfold.events.types import Event, batch_of
from fourfold.features.encoding import Encoder, schema_of
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.models.io import build_ranker, build_two_tower
from fourfold.pipeline.models import Models
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Request
from fourfold.pipeline.slate import Slate as Answer
from fourfold.scoring.engine import ScoringEngine
from fourfold.scoring.item_table import ItemNeighbours, ItemTable
from fourfold.scoring.local import LocalScorer
from fourfold.scoring.retriever import EmbeddingIndex, Retriever
from tests.strategies import POSTS, TINY

TABLE = ItemTable(
    list(POSTS),
    np.array([[1, 2], [0, 3], [3, -1], [2, 0]], np.int32),
    np.array([[0.9, 0.1], [0.9, 0.3], [0.5, 0.0], [0.5, 0.2]], np.float32),
)

BARE = replace(
    TINY,
    sources=(Trending(half_life="6h"), InNetwork()),
    filters=(Seen(), Expired(), Hidden(), Own(), Blocked(), Excluded()),
    selector=Slate(size=3, per_author=1),
)
"""Every filter and the sources that need no model."""

FULL = replace(
    BARE,
    sources=(*BARE.sources, ItemToItem(), EmbeddingRetrieval()),
    retrieval=TwoTower(width=4, recent=3),
    early_ranker=DotProduct(keep=2),
    ranker=FeedSR(width=8, layers=1, heads=2),
)
"""Every stage; the early ranker keeps fewer than a slate holds."""

POINTWISE = replace(FULL, ranker=DCNv2(width=8))


@dataclass
class FixedModels:
    """Models with random weights."""

    scorer: LocalScorer | None
    index: EmbeddingIndex | None
    table: ItemTable | None
    version: str | None = "random"

    def retriever(self, view: View, encoder: Encoder, time: int) -> Retriever | None:
        return self.index.at(view, encoder, time) if self.index else None

    def neighbours(self, view: View) -> ItemNeighbours | None:
        return self.table.at(view) if self.table else None


@lru_cache
def _engine(definition: Recommender) -> ScoringEngine:
    assert definition.ranker is not None
    return ScoringEngine(build_ranker(definition.ranker, schema_of(definition), seed=3))


def random_models(definition: Recommender = FULL) -> FixedModels:
    """Models for a definition; the index is new, as it follows one log only."""
    assert definition.retrieval is not None
    index = EmbeddingIndex(build_two_tower(definition.retrieval, schema_of(definition), seed=4))
    return FixedModels(LocalScorer(_engine(definition)), index, TABLE)


class Serving:
    """A pipeline over a state in memory that takes further events."""

    def __init__(self, definition: Recommender, events: Sequence[Event], models: Models, budget_ms: int = 60_000) -> None:
        self.state, self.offset = State(definition), 0
        self.pipeline = Pipeline(definition, self.state.view, lambda: models, budget_ms=budget_ms)
        self.post(events)

    def post(self, events: Sequence[Event]) -> None:
        self.offset += len(events)
        self.state.apply(batch_of(events), self.offset)

    def ask(self, request: Request, now: int) -> Answer:
        return self.pipeline.recommend(request, now)


def items(slate: Answer) -> list[str]:
    """The ids of a slate."""
    return [item.item for item in slate.items]


def said(slate: Answer) -> set[str]:
    """The stages that said something went differently."""
    return {degradation.stage for degradation in slate.degradations}
