"""Versions are whole, unchanging and numbered once; promotions go forward and back; nothing that serves is deleted."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fourfold.definition import Action, Count, Entity, History, Recommender, Slate
from fourfold.training.manifest import Artefact, Manifest, TrainingData
from fourfold.training.registry import (
    CorruptModelError,
    DefinitionMismatch,
    Registry,
    RegistryError,
    UnknownVersionError,
    check,
)
from tests.durable.children import Child

FEED = Recommender(
    surface="feed",
    viewer=Entity("member"),
    item=Entity("post"),
    actions=(Action("click", 1.0), Action("hide", -5.0)),
    features=(Count("clicks", by=("item",), event="click", window="7d"),),
)


def manifest_of(definition: Recommender = FEED) -> Manifest:
    return Manifest(
        surface=definition.surface,
        kind="feed_sr",
        created=1_650_000_000_000,
        definition_hash=definition.hash,
        trained_hash=definition.trained_hash,
        definition=definition.to_dict(),
        data=TrainingData(events=10, first=5, last=9, offset=12),
        seed=3,
        code="0.1.0",
        metrics={"auc_click": 0.75, "auc_hide": None},
    )


def writes(name: str = "ranker.safetensors", data: bytes = b"12345") -> Callable[[Path], None]:
    """What writes two files, one of them as given."""

    def write(folder: Path) -> None:
        (folder / "vocabulary.json").write_bytes(b"{}")
        (folder / name).write_bytes(data)

    return write


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def published(registry: Registry, count: int) -> list[str]:
    return [registry.publish(manifest_of(), writes()) for _ in range(count)]


def test_what_is_published_is_loaded(registry: Registry) -> None:
    weights = {"weight": np.arange(6, dtype=np.float32)}

    def write(folder: Path) -> None:
        save_file(weights, folder / "ranker.safetensors")
        (folder / "calibration.json").write_text("[1]")

    assert registry.publish(manifest_of(), write) == "v1"
    manifest, folder = registry.load("feed", "v1")
    assert msgspec.structs.replace(manifest, version="", files={}) == manifest_of()
    assert manifest.version == "v1"
    assert set(manifest.files) == {"ranker.safetensors", "calibration.json"}
    # The SHA-256 of "[1]", worked out elsewhere.
    digest = "080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22"  # pragma: allowlist secret
    assert manifest.files["calibration.json"] == Artefact(sha256=digest, size=3)
    assert np.array_equal(load_file(folder / "ranker.safetensors")["weight"], weights["weight"])
    assert Recommender.from_dict(manifest.definition) == FEED


def test_versions_count_up_beyond_nine_and_per_surface(registry: Registry) -> None:
    assert published(registry, 11) == registry.versions("feed") == [f"v{n}" for n in range(1, 12)]
    other = replace(FEED, surface="catch_up")
    assert registry.publish(manifest_of(other), writes()) == "v1"
    assert registry.versions("nothing") == []


def test_a_write_that_fails_publishes_nothing(registry: Registry) -> None:
    def fail(folder: Path) -> None:
        (folder / "half.safetensors").write_bytes(b"1")
        raise KeyError("no")

    with pytest.raises(KeyError):
        registry.publish(manifest_of(), fail)
    assert registry.versions("feed") == []
    assert list((registry.folder / "feed").iterdir()) == []
    assert registry.publish(manifest_of(), writes()) == "v1"


@pytest.mark.parametrize("name", ["weights.pt", "model.pkl", "manifest.json", "noname"])
def test_only_safetensors_and_json_are_published(registry: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match=f"'{name}' cannot be part of a version; write plain files"):
        registry.publish(manifest_of(), writes(name))
    assert registry.versions("feed") == []


def test_folders_and_links_are_not_published(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_bytes(b"1")
    for write in (
        lambda folder: (folder / "sub.json").mkdir(),
        lambda folder: (folder / "link.json").symlink_to(tmp_path / "elsewhere.json"),
    ):
        with pytest.raises(RegistryError, match="plain files"):
            registry.publish(manifest_of(), write)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"surface": "catch_up"}, "surface is 'catch_up'; write 'feed'"),
        ({"definition_hash": "0"}, "definition_hash"),
        ({"trained_hash": "0"}, "trained_hash"),
        ({"version": "v7"}, "version is 'v7'"),
        ({"metrics": {"auc": float("nan")}}, r"metrics\['auc'\] is nan; write None"),
        ({"intervals": {"auc": (0.1, float("inf"))}}, r"intervals\['auc'\] is inf; write None"),
        ({"definition": {}}, "definition is not valid.*to_dict"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(registry: Registry, change: dict[str, object], problem: str) -> None:
    with pytest.raises(RegistryError, match=problem):
        registry.publish(msgspec.structs.replace(manifest_of(), **change), writes())
    assert registry.versions("feed") == []


def test_corruption_is_refused(registry: Registry) -> None:
    def damaged(damage: Callable[[Path], object]) -> str:
        version = registry.publish(manifest_of(), writes())
        damage(registry.folder / "feed" / version)
        with pytest.raises(CorruptModelError, match="publish the model again") as caught:
            registry.load("feed", version)
        with pytest.raises(CorruptModelError):
            registry.promote("feed", version)
        assert registry.promoted("feed") is None
        return str(caught.value)

    assert "ranker.safetensors is not what was" in damaged(lambda folder: (folder / "ranker.safetensors").write_bytes(b"12346"))
    assert "ranker.safetensors is not what was" in damaged(lambda folder: (folder / "ranker.safetensors").write_bytes(b"1234"))
    assert "ranker.safetensors is missing" in damaged(lambda folder: (folder / "ranker.safetensors").unlink())
    assert "extra.json was added" in damaged(lambda folder: (folder / "extra.json").write_bytes(b"1"))
    assert "manifest.json is missing" in damaged(lambda folder: (folder / "manifest.json").unlink())
    assert "manifest.json is damaged" in damaged(lambda folder: (folder / "manifest.json").write_bytes(b"{"))
    assert "holds the manifest of feed v1" in damaged(
        lambda folder: (folder / "manifest.json").write_bytes((folder.parent / "v1" / "manifest.json").read_bytes())
    )


def test_promotion_and_rollback(registry: Registry) -> None:
    published(registry, 3)
    assert registry.promoted("feed") is None
    with pytest.raises(UnknownVersionError, match="no version of 'feed' is promoted; promote one of: v1, v2, v3"):
        registry.load("feed")
    registry.promote("feed", "v1")
    with pytest.raises(RegistryError, match="no earlier promotion"):
        registry.rollback("feed")
    registry.promote("feed", "v3")
    registry.promote("feed", "v3")
    registry.promote("feed", "v2")
    assert registry.load("feed")[0].version == registry.promoted("feed") == "v2"
    assert registry.rollback("feed") == registry.promoted("feed") == "v3"
    assert registry.rollback("feed") == registry.promoted("feed") == "v1"
    assert Registry(registry.folder).promoted("feed") == "v1"


def test_an_unknown_version_lists_the_known_ones(registry: Registry) -> None:
    with pytest.raises(UnknownVersionError, match="there is none yet"):
        registry.load("feed", "v1")
    published(registry, 2)
    for use in (registry.load, registry.promote):
        with pytest.raises(UnknownVersionError, match="'feed' has no version 'v3'; write one of: v1, v2"):
            use("feed", "v3")
    with pytest.raises(UnknownVersionError):
        registry.load("feed", "../feed/v1")
    with pytest.raises(RegistryError, match="names no surface"):
        registry.load("../feed", "v1")


def test_pruning_spares_what_serves_what_served_before_and_the_newest(registry: Registry) -> None:
    published(registry, 7)
    for version in ("v1", "v2", "v3", "v4"):
        registry.promote("feed", version)
    registry.promote("feed", "v2")
    assert registry.prune("feed", keep=2) == ["v1", "v3", "v5"]
    assert registry.versions("feed") == ["v2", "v4", "v6", "v7"]
    assert registry.rollback("feed") == "v4"
    assert registry.rollback("feed") == "v2"
    with pytest.raises(RegistryError, match="no earlier promotion"):
        registry.rollback("feed")
    assert registry.prune("feed", keep=1) == ["v4", "v6"]
    assert registry.publish(manifest_of(), writes()) == "v8"
    with pytest.raises(ValueError, match="keep at least 1"):
        registry.prune("feed", keep=0)


def test_pruning_spares_what_is_needed(registry: Registry) -> None:
    published(registry, 5)
    assert registry.prune("feed", 1, {"v2", "v9"}) == ["v1", "v3", "v4"]
    assert registry.versions("feed") == ["v2", "v5"]


def test_a_damaged_promotion_says_what_to_do(registry: Registry) -> None:
    published(registry, 1)
    (registry.folder / "feed" / "promotions.json").write_bytes(b"[")
    with pytest.raises(RegistryError, match=r"damaged.*remove it, and promote one of: v1"):
        registry.promoted("feed")


def test_versions_published_at_once_get_numbers_of_their_own(registry: Registry) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda _: registry.publish(manifest_of(), writes()), range(24)))
    assert sorted(versions) == sorted(f"v{n}" for n in range(1, 25))
    assert {registry.load("feed", version)[0].version for version in versions} == set(versions)


def test_a_reader_never_sees_half_a_version(registry: Registry) -> None:
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(lambda: [registry.publish(manifest_of(), writes(data=bytes(3 << 20))) for _ in range(8)])
        loads = 0
        while not publishing.done():
            for version in registry.versions("feed")[-1:]:
                assert registry.load("feed", version)[0].files["ranker.safetensors"].size == 3 << 20
                loads += 1
        publishing.result()
    assert loads > 0


def test_promotions_at_once_are_all_in_the_history(registry: Registry) -> None:
    versions = published(registry, 8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda version: registry.promote("feed", version), versions))
    seen = [registry.promoted("feed")] + [registry.rollback("feed") for _ in range(7)]
    assert set(seen) == set(versions)


def test_a_model_serves_definitions_that_agree_in_what_was_trained(registry: Registry) -> None:
    manifest = manifest_of()
    check(FEED, manifest)
    check(replace(FEED, selector=Slate(size=5)), manifest)
    check(replace(FEED, actions=(Action("click", 3.0), Action("hide", -1.0))), manifest)


def test_a_definition_that_the_model_does_not_fit_is_refused_with_the_difference() -> None:
    longer = (Count("clicks", by=("item",), event="click", window="1d"),)
    with pytest.raises(DefinitionMismatch) as caught:
        check(replace(FEED, features=longer, history=History(impressions=300)), manifest_of())
    assert 'features[0].window: "7d" -> "1d"' in str(caught.value)
    assert "history.impressions: 200 -> 300" in str(caught.value)
    assert "selector" not in str(caught.value)


def test_a_model_of_a_definition_that_is_not_valid_any_more_is_refused() -> None:
    old = msgspec.structs.replace(manifest_of(), definition={"colour": "red"}, trained_hash="0")
    with pytest.raises(DefinitionMismatch, match=r"not valid any more.*train it again"):
        check(FEED, old)


PUBLISH_FOREVER = """
import sys
from pathlib import Path
from fourfold.training.registry import Registry
from tests.training.test_registry import manifest_of
registry = Registry(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    version = registry.publish(manifest_of(), lambda folder: (folder / "a.json").write_bytes(b"1" * 300_000) and None)
    print(version, flush=True)
    registry.promote("feed", version)
"""


def test_a_kill_leaves_whole_versions(registry: Registry) -> None:
    chance, told = random.Random(5), list[str]()
    for _ in range(3):
        with Child(PUBLISH_FOREVER, registry.folder) as child:
            assert child.line() == "ready"
            told += [child.line()]
            told += child.killed_after(chance.uniform(0.02, 0.15))
        for version in registry.versions("feed"):
            assert registry.load("feed", version)[0].files["a.json"].size == 300_000
        if promoted := registry.promoted("feed"):
            registry.load("feed", promoted)
    assert set(told) <= set(registry.versions("feed"))
    assert len(set(told)) == len(told)
