"""What the pipeline needs of trained models, as interfaces: the engine behind them may be in this process or elsewhere."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fourfold.candidates import ItemIndex, ItemNeighbours
from fourfold.features.assembly import Context
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Candidates
from fourfold.features.table import Int
from fourfold.features.view import View


class Scorer(Protocol):
    """The ranker: probabilities of every action for every candidate."""

    def score(self, context: Context, candidates: Candidates) -> NDArray[np.float32]:
        """Probabilities, shape (C, A)."""
        ...


class Retriever(ItemIndex, Protocol):
    """The retrieval model: nearest items, and the early ranker's dot product."""

    def similarity(self, context: Context, items: Int) -> NDArray[np.float32]:
        """Dot products of the viewer with items (rows), shape (C,)."""
        ...

    def item_vectors(self, items: Int) -> NDArray[np.float32]:
        """Vectors of items (rows), shape (C, D): the closer, the more alike."""
        ...


class Models(Protocol):
    """The trained parts of one recommender that serve now. Each may be missing."""

    @property
    def version(self) -> str | None:
        """The version of the registry that they are."""
        ...

    @property
    def scorer(self) -> Scorer | None:
        """The ranker."""
        ...

    def retriever(self, view: View, encoder: Encoder, time: int) -> Retriever | None:
        """The retrieval model over the items of a view."""
        ...

    def neighbours(self, view: View) -> ItemNeighbours | None:
        """The item-to-item table in rows of a view."""
        ...


@dataclass(frozen=True)
class Untrained:
    """Before the first model is trained."""

    version: str | None = None
    scorer: Scorer | None = None

    def retriever(self, view: View, encoder: Encoder, time: int) -> Retriever | None:  # noqa: ARG002
        """No retrieval model."""
        return None

    def neighbours(self, view: View) -> ItemNeighbours | None:  # noqa: ARG002
        """No item-to-item table."""
        return None
