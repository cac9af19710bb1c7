"""The benchmark of sources: its references by hand, and that it compares what it says."""

from pathlib import Path

import numpy as np

from benchmarks import sources


def test_cosine_and_the_linear_autoencoder_by_hand() -> None:
    likes = sources._matrix(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 1]), (2, 3))
    shared = (likes.T @ likes).toarray()
    assert shared.tolist() == [[2, 2, 0], [2, 2, 0], [0, 0, 0]]
    np.testing.assert_allclose(sources._cosine(shared), np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), rtol=1e-6)
    weights = sources._ease(shared)
    # inv([[1002, 2], [2, 1002]]) is [[1002, -2], [-2, 1002]] / 1004000
    np.testing.assert_allclose(weights, np.array([[0, 2, 0], [2, 0, 0], [0, 0, 0]]) / 1002, rtol=1e-6)


def test_what_may_not_be_listed_is_not() -> None:
    found = sources._best(np.array([[0.5, -np.inf, 0.7], [-np.inf, -np.inf, 0.1]], np.float32))
    assert [items.tolist() for items in found] == [[2, 0], [2]]


def test_a_quick_run_measures_sources_and_references(tmp_path: Path) -> None:
    found = sources.run(quick=True, folder=tmp_path, say=lambda _: None)
    assert found.equal
    names = {name.partition(".")[0] for name in found.detail} - {"members", "items"}
    assert names >= {"union", "embedding_retrieval", "item_to_item", "trending", "popular", "cosine", "ease"}
