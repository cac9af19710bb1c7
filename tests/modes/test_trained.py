"""Promoted models: what serves is what was published for this definition, and nothing else."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.definition import Age, ItemToItem, Trending
from fourfold.features.encoding import Encoder
from fourfold.modes.trained import PromotedModels, TrainedModels, load_models, load_ranker
from fourfold.pipeline.models import Untrained
from fourfold.scoring import item_vectors
from fourfold.scoring.retriever import Retriever
from fourfold.training.registry import CorruptModelError, DefinitionMismatch, UnknownVersionError
from tests.modes.samples import MADE, SMALL, made_home, train


def test_before_the_first_promotion_nothing_is_trained(tmp_path: Path) -> None:
    with made_home(tmp_path) as home:
        assert load_models(SMALL, home.registry) == Untrained()
        train(home, promote=False)
        models = PromotedModels(SMALL, home.registry)
        assert models() == Untrained()
        assert not models.refresh()
        assert load_models(SMALL, home.registry, "v1").version == "v1"
        with pytest.raises(UnknownVersionError):
            load_models(SMALL, home.registry, "v9")


def test_a_promotion_and_a_rollback_are_picked_up(tmp_path: Path) -> None:
    with made_home(tmp_path) as home:
        train(home)
        models = PromotedModels(SMALL, home.registry)
        first = models()
        assert not models.refresh()
        assert models() is first
        train(home, seed=1)
        assert models() is first, "only refresh changes what serves"
        assert models.refresh()
        assert models().version == "v2"
        home.registry.rollback("feed")
        assert models.refresh()
        assert models().version == "v1"


def test_a_model_of_another_definition_is_refused_with_the_difference(tmp_path: Path) -> None:
    other = replace(SMALL, features=(Age("another_age"),))
    with made_home(tmp_path) as home:
        train(home)
        models = PromotedModels(SMALL, home.registry)
        with pytest.raises(DefinitionMismatch, match=r"(?s)another definition.*another_age"):
            load_models(other, home.registry)
        # What weights do not depend on may change.
        assert load_models(replace(SMALL, sources=(Trending(), ItemToItem())), home.registry).version == "v1"
        assert models().version == "v1"


def test_a_corrupt_model_is_refused_and_the_old_one_serves_on(tmp_path: Path) -> None:
    with made_home(tmp_path) as home:
        train(home)
        models = PromotedModels(SMALL, home.registry)
        train(home, seed=1)
        file = tmp_path / "models/feed/v2/ranker.safetensors"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        with pytest.raises(CorruptModelError, match=r"ranker\.safetensors is not what was published"):
            models.refresh()
        assert models().version == "v1"


def test_neighbours_are_bound_once_per_catalogue(tmp_path: Path) -> None:
    with made_home(tmp_path) as home:
        train(home)
        models = load_models(SMALL, home.registry)
        assert isinstance(models, TrainedModels)
        consumer = home.consumer("feed")
        consumer.catch_up()
        view = consumer.state.view()
        bound = models.neighbours(view)
        assert bound is not None
        assert models.neighbours(view) is bound
        assert models.neighbours(replace(view, sizes={**view.sizes, "entity/post": 5})) is not bound
        retriever = models.retriever(view, Encoder(SMALL), MADE.end)
        assert retriever is not None
        assert retriever.items.finite
        assert retriever.items.size == view.size("post")


def test_upkeep_builds_anew_what_retrieval_searches_in_a_thread_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_vectors, "LEAST_REBUILD", 8)
    with made_home(tmp_path) as home:
        train(home)
        models = PromotedModels(SMALL, home.registry)
        consumer = home.consumer("feed")
        consumer.catch_up()
        view = consumer.state.view()

        def beside() -> int:
            retriever = models().retriever(view, Encoder(SMALL), MADE.end)
            assert isinstance(retriever, Retriever)
            return len(retriever.items.rows)

        assert beside() == 40, "little is built at once"
        models.refresh()
        for thread in threading.enumerate():
            if thread.name == "rebuild":
                thread.join(20)
        assert beside() == 0
        models.refresh()
        assert not any(thread.name == "rebuild" for thread in threading.enumerate()), "nothing changed since"


def test_a_version_without_a_ranker(tmp_path: Path) -> None:
    assert load_ranker(tmp_path) is None
