"""The promoted version of a surface's models, loaded to serve, and replaced when another version is promoted."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from fourfold.definition import Recommender
from fourfold.features.encoding import Encoder
from fourfold.features.view import View
from fourfold.models.io import RANKER_FILE, RETRIEVAL_FILE, load_model
from fourfold.models.ranker import Ranker
from fourfold.models.two_tower import TwoTowerModel
from fourfold.pipeline.models import Models, Untrained
from fourfold.scoring.engine import ScoringEngine
from fourfold.scoring.item_table import ItemNeighbours, ItemTable
from fourfold.scoring.local import LocalScorer
from fourfold.scoring.retriever import EmbeddingIndex, Retriever
from fourfold.training.registry import Registry, check


@dataclass(frozen=True)
class TrainedModels:
    """One version's models, ready to serve."""

    version: str | None
    scorer: LocalScorer | None
    _index: EmbeddingIndex | None
    _table: ItemTable | None
    _bound: dict[int, ItemNeighbours] = field(default_factory=dict)

    def retriever(self, view: View, encoder: Encoder, time: int) -> Retriever | None:
        """The retrieval model over the items of a view."""
        return self._index.at(view, encoder, time) if self._index else None

    def upkeep(self) -> None:
        """Build anew, in a thread of its own, what retrieval searches, if so much changed that it pays."""
        if self._index is not None and self._index.worn:
            # Nobody waits for it when the process ends: nothing of it is kept on disk.
            threading.Thread(target=self._index.rebuild, name="rebuild", daemon=True).start()

    def neighbours(self, view: View) -> ItemNeighbours | None:
        """The item-to-item table in rows of a view; bound anew when items came."""
        if self._table is None:
            return None
        size = view.size(view.definition.item.name)
        bound = self._bound.get(size)
        if bound is None:
            bound = self._table.at(view)
            self._bound.clear()
            self._bound[size] = bound
        return bound


def load_models(definition: Recommender, registry: Registry, version: str | None = None, *, cache_bytes: int = 0) -> Models:
    """The promoted version (or another one) of a surface; `Untrained` if none was ever promoted.

    `cache_bytes` is what the ranker may take to keep encoded histories.

    Raises
    ------
    DefinitionMismatch
        If it was trained for a definition that differs in what its weights depend on.
    CorruptModelError
        If its files are not those that were published.
    """
    if version is None and registry.promoted(definition.surface) is None:
        return Untrained()
    manifest, folder = registry.load(definition.surface, version)
    check(definition, manifest)
    ranker, index = load_ranker(folder), None
    if (folder / RETRIEVAL_FILE).exists():
        tower = load_model(folder / RETRIEVAL_FILE)
        assert isinstance(tower, TwoTowerModel)
        index = EmbeddingIndex(tower)
    table = ItemTable.load(folder) if (folder / "item_to_item.safetensors").exists() else None
    scorer = LocalScorer(ScoringEngine(ranker), cache_bytes) if ranker else None
    return TrainedModels(manifest.version, scorer, index, table)


def load_ranker(folder: Path) -> Ranker | None:
    """The ranker of a version's folder, if it has one."""
    path = folder / RANKER_FILE
    if not path.exists():
        return None
    model = load_model(path)
    assert isinstance(model, Ranker)
    return model


class PromotedModels:
    """What a service asks for its models: the promoted version, replaced by `refresh` between requests.

    Encoded histories belong to the version that encoded them and go with it.
    """

    def __init__(self, definition: Recommender, registry: Registry, *, cache_bytes: int = 0) -> None:
        self._definition, self._registry, self._lock = definition, registry, threading.Lock()
        self._cache_bytes = cache_bytes
        self._models = self._loaded()

    def __call__(self) -> Models:
        """The models to serve a request with."""
        return self._models

    def refresh(self) -> bool:
        """Load what is promoted now, if it is another version; returns whether it was. Also the upkeep of what serves."""
        with self._lock:
            if isinstance(self._models, TrainedModels):
                self._models.upkeep()
            if self._registry.promoted(self._definition.surface) in (None, self._models.version):
                return False
            self._models = self._loaded()
            return True

    def _loaded(self) -> Models:
        return load_models(self._definition, self._registry, cache_bytes=self._cache_bytes)


class PinnedModels:
    """One version, whatever is promoted: what a variant of an experiment serves.

    Raises
    ------
    RegistryError
        As `load_models`.
    """

    def __init__(self, definition: Recommender, registry: Registry, version: str, *, cache_bytes: int = 0) -> None:
        self._models = load_models(definition, registry, version, cache_bytes=cache_bytes)

    def __call__(self) -> Models:
        """The models to serve a request with."""
        return self._models

    def refresh(self) -> None:
        """The upkeep of what serves."""
        if isinstance(self._models, TrainedModels):
            self._models.upkeep()
