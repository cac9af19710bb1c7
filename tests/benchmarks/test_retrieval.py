"""The benchmark of retrieval: truth and recall by hand, which setting of a peer counts, and that it compares what it says."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import retrieval
from benchmarks.peers.call import PeerMissingError
from benchmarks.retrieval import Answer, Sizes, best, make_vectors, nearest, recall, run
from fourfold.scoring.item_vectors import ItemVectors

SMALL = Sizes(3_000, 20, 4, 2, (1_200, 3_000), (500, 900))
LISTED = np.arange(8).reshape(2, 4)


def test_recall_counts_what_was_found_of_the_truth() -> None:
    assert recall(Answer(1.0, LISTED[:, ::-1]), LISTED) == 1
    assert recall(Answer(1.0, np.array([[0, 1, -1, -1], [4, 5, 6, 9]])), LISTED) == pytest.approx(5 / 8)


def test_the_fastest_setting_with_enough_recall_counts_or_else_the_best_one() -> None:
    good, bad = LISTED, np.full_like(LISTED, -1)
    rounds = [
        [Answer(1.0, bad), Answer(5.0, good), Answer(4.0, good)],
        [Answer(2.0, bad), Answer(5.0, good), Answer(6.0, good)],
    ]
    assert best((1, 2, 3), rounds, LISTED) == (2, 5.0, 1.0)
    poor = np.where(LISTED == 7, -1, LISTED)
    assert best((1, 2), [[Answer(1.0, bad), Answer(3.0, poor)]], LISTED) == (2, 3.0, 7 / 8)


def test_the_truth_is_a_full_sort_and_vectors_are_of_length_one() -> None:
    vectors, queries = make_vectors(SMALL)
    for one in (vectors, queries):
        np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    wanted = np.argsort(-(vectors.astype(np.float64) @ queries[2].astype(np.float64)))[: retrieval.KEEP]
    assert nearest(vectors, queries)[2].tolist() == wanted.tolist()


def test_a_run_compares_with_what_peers_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def peer(name: str, script: str, request: dict[str, str], _: Path) -> dict[str, object]:
        if name == "usearch":
            raise PeerMissingError("usearch is not installed: run make bench-env")
        if request["step"] == "build":
            return {"seconds": 7.0}
        np.save(request["found"], np.stack([np.full_like(truth, -1), truth]))
        return {"seconds": [1.0, 2.0]}

    truth = nearest(*make_vectors(SMALL))
    monkeypatch.setattr(retrieval, "call", peer)
    monkeypatch.setattr(retrieval, "QUICK", SMALL)
    found = run(quick=True, folder=tmp_path, say=lambda _: None)
    assert found.equal
    assert found.skipped == {"usearch": "usearch is not installed: run make bench-env"}
    assert (found.detail["faiss_hnsw_width"], found.detail["faiss_hnsw_recall"], found.detail["faiss_hnsw_build_s"]) == (
        900,
        1,
        7,
    )
    assert found.ratios == {"faiss_hnsw/fourfold": pytest.approx(2_000 / float(found.detail["fourfold_ms"]), rel=0.01)}
    assert set(found.detail) >= {"exact_1200_ms", "exact_3000_ms", "fourfold_build_s", "fourfold_recall"}


def test_an_exact_search_that_is_not_exact_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> dict[str, object]:
        raise PeerMissingError("not here")

    monkeypatch.setattr(retrieval, "call", missing)
    monkeypatch.setattr(retrieval, "QUICK", SMALL)
    monkeypatch.setattr(ItemVectors, "near", lambda self, query, keep: np.arange(keep))
    assert not run(quick=True, folder=tmp_path, say=lambda _: None).equal
