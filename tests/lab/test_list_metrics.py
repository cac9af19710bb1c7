"""Metrics of lists by hand, and against scikit-learn."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from fourfold.events.types import EntityUpsert
from fourfold.lab.list_metrics import Catalogue, ListMetrics, diversity, list_metrics, ndcg
from tests.features.samples import state_of
from tests.strategies import START, TINY


def rows(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


def catalogue(items: int = 10, shown: tuple[int, ...] = (), categories: list[list[int]] | None = None) -> Catalogue:
    counts = np.bincount(rows(*shown), minlength=items) + 1
    codes = np.array(categories, np.int64) if categories else np.zeros((items, 0), np.int64)
    return Catalogue(np.ones(items, bool), -np.log2(counts / counts.sum()), codes)


def value(found: ListMetrics, name: str) -> float:
    one = found[name]
    assert isinstance(one, float)
    return one


def test_metrics_by_hand() -> None:
    lists, liked = [rows(1, 2, 3, 4), rows(5), rows()], [rows(2, 9), rows(5), rows(1)]
    found = list_metrics(lists, liked, catalogue(), cutoffs=[1, 3], k=3)
    assert found["members"] == 3
    assert found["recall@3"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found["recall@1"] == pytest.approx((0 + 1 + 0) / 3)
    first = (1 / log2(3)) / (1 + 1 / log2(3))
    assert found["ndcg@3"] == pytest.approx((first + 1 + 0) / 3)
    assert found["coverage@3"] == pytest.approx(4 / 10)  # 1, 2, 3 and 5; the fourth place is beyond k
    assert "diversity@3" not in found
    interval = found["recall@3_ci"]
    assert isinstance(interval, tuple)
    assert interval[0] <= value(found, "recall@3") <= interval[1]
    assert interval[1] - interval[0] > 0.3


def test_more_liked_than_places_can_still_be_perfect() -> None:
    found = list_metrics([rows(1, 2)], [rows(1, 2, 3, 4)], catalogue(4), cutoffs=[2], k=2)
    assert (found["recall@2"], found["ndcg@2"], found["coverage@2"]) == (0.5, 1.0, 0.5)


def test_nobody() -> None:
    found = list_metrics([], [], catalogue(0), cutoffs=[2], k=2)
    assert found == {
        "members": 0,
        "coverage@2": 0.0,
        **dict.fromkeys(["recall@2", "recall@2_ci", "ndcg@2", "ndcg@2_ci", "novelty@2", "novelty@2_ci"]),
    }


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.integers(0, 5))
def test_ndcg_equals_that_of_scikit_learn(hits: list[bool], missed: int) -> None:
    if not any(hits):
        return
    k = len(hits)
    truth = np.array([[*hits, *[True] * missed]], float)
    score = np.array([[*range(k, 0, -1), *[0] * missed]], float)
    expected = ndcg_score(truth, score - np.arange(len(score[0])) * 1e-9, k=k)
    assert ndcg(np.array(hits), min(sum(hits) + missed, k)) == pytest.approx(expected)


def test_novelty_is_the_information_of_what_is_shown() -> None:
    # Items 0 and 1 were shown 3 and 1 times, 2 and 3 never: with one more each, shares of 1/2, 1/4, 1/8 and 1/8.
    known = catalogue(4, (0, 0, 0, 1))
    counts = rows(3, 1, 0, 0) + 1
    assert counts.tolist() == [4, 2, 1, 1]
    found = list_metrics([rows(0, 1), rows(2)], [rows(0), rows(0)], known, cutoffs=[2], k=2)
    assert found["novelty@2"] == pytest.approx(((1 + 2) / 2 + 3) / 2)


def test_diversity_by_hand() -> None:
    # Of three items the first two share one of two categories; the third is unlike both: unknown is not alike.
    assert diversity(np.array([[1, 5], [1, 6], [-1, -1]])) == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert diversity(np.array([[1], [1]])) == 0.0
    assert diversity(np.array([[-1], [-1]])) == 1.0
    assert np.isnan(diversity(np.array([[1]])))
    known = catalogue(3, categories=[[1], [1], [2]])
    found = list_metrics([rows(0, 1), rows(0, 2), rows(0)], [rows(0)] * 3, known, cutoffs=[2], k=2)
    assert found["diversity@2"] == pytest.approx(1 / 2)  # a list of one item has no pairs


def test_the_interval_is_of_members() -> None:
    rng = np.random.default_rng(0)
    hit = rng.random(400) < 0.3
    found = list_metrics([rows(1) if one else rows(2) for one in hit], [rows(1)] * 400, catalogue(), cutoffs=[1], k=1, seed=3)
    margin = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    interval = found["recall@1_ci"]
    assert isinstance(interval, tuple)
    assert interval == pytest.approx((hit.mean() - margin, hit.mean() + margin), abs=0.01)
    again = list_metrics([rows(1) if one else rows(2) for one in hit], [rows(1)] * 400, catalogue(), cutoffs=[1], k=1, seed=3)
    assert again == found


def test_a_catalogue_is_as_of_its_time() -> None:
    events = [
        EntityUpsert(id=f"u{n}", time=START + n, type="post", key=f"p{n}", attributes={"author": f"m{n % 2}"}) for n in range(3)
    ]
    view = state_of(events, TINY).view()
    known = Catalogue.of(view, view.rows("post", ["p0", "p0"]), START + 2)
    p0, p1, p2 = view.rows("post", ["p0", "p1", "p2"]).tolist()
    assert known.exists[[p0, p1, p2]].tolist() == [True, True, False]
    assert known.information[[p0, p1]].tolist() == pytest.approx([-log2(3 / 5), -log2(1 / 5)])
    assert known.categories.shape == (3, 1)  # topics holds many values and does not count
    assert known.categories[p0] != known.categories[p1]
    assert known.categories[p2] == -1
