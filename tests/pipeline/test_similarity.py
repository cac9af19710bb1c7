"""How alike candidates are, by hand."""

import numpy as np
import pytest

from fourfold.pipeline.similarity import by_categories, by_vectors, relevance
from tests.pipeline.places import asked_of


def test_cosines_of_vectors_from_nothing_to_one() -> None:
    alike = by_vectors(np.array([[2, 0], [1, 1], [-3, 0], [0, 0]], np.float32))
    assert alike(0).tolist() == pytest.approx([1, 0.5**0.5, 0, 0])
    assert alike(1).tolist() == pytest.approx([0.5**0.5, 1, 0, 0])
    assert alike(3).tolist() == [0, 0, 0, 0]
    assert by_vectors(np.zeros((0, 2), np.float32)) is not None


def test_the_share_of_values_in_common_over_all_categories() -> None:
    asked, items = asked_of([("a", ["x", "y"]), ("a", ["x"]), ("b", ["y", "z"]), (None, [])])
    alike = by_categories(asked, items)
    assert alike(0).tolist() == pytest.approx([1, (1 + 1 / 2) / 2, (0 + 1 / 3) / 2, 0])
    assert alike(3).tolist() == [0, 0, 0, 0]


def test_relevance_goes_from_the_worst_to_the_best() -> None:
    assert relevance([3.0, 1.0, 2.0]).tolist() == [1, 0, 0.5]
    assert relevance([-1.0, -1.0]).tolist() == [0, 0]
    assert relevance([]).tolist() == []
