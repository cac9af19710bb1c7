import numpy as np
import pytest
import torch
from numpy.random import default_rng

from fourfold.definition.models import TwoTower
from fourfold.models.io import build_two_tower
from fourfold.models.two_tower import TwoTowerModel
from tests.contract.ranker_contract import BARE, SCHEMA, rows_of, viewers_of


@pytest.fixture
def model() -> TwoTowerModel:
    return build_two_tower(TwoTower(width=8), SCHEMA).eval()


def test_vectors_have_length_one_and_do_not_depend_on_the_batch(model: TwoTowerModel) -> None:
    rng = default_rng(0)
    items, viewers = rows_of(rng, 9, SCHEMA).items, viewers_of(rng, 4, SCHEMA)
    vectors = model.item_vectors(items)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(9))
    torch.testing.assert_close(model.item_vectors(items[3:4]), vectors[3:4])
    recent = torch.tensor([[1, 2, -1], [-1, -1, -1], [8, -1, 0], [4, 4, 4]])
    found = model.viewer_vectors(viewers, vectors, recent)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(model.viewer_vectors(viewers[2:3], vectors, recent[2:3]), found[2:3])


def test_recent_items_are_a_set_without_its_padding(model: TwoTowerModel) -> None:
    rng = default_rng(1)
    vectors, viewer = model.item_vectors(rows_of(rng, 5, SCHEMA).items), viewers_of(rng, 1, SCHEMA)

    def of(*recent: int) -> torch.Tensor:
        return model.viewer_vectors(viewer, vectors, torch.tensor([recent]))

    torch.testing.assert_close(of(0, 3, -1, -1), of(-1, 3, 0))
    assert not torch.allclose(of(0, 3), of(0, 2))
    assert not torch.allclose(of(0, 3), of(-1, 3))


def test_no_viewer_fields_and_no_recent_items_still_make_a_vector() -> None:
    model = build_two_tower(TwoTower(width=8), BARE).eval()
    vectors = model.item_vectors(np.zeros((2, 1), np.int32))
    found = model.viewer_vectors(np.zeros((1, 0), np.int32), vectors, torch.tensor([[-1, -1]]))
    assert found.isfinite().all()
    assert model.viewer_vectors(np.zeros((1, 0), np.int32), vectors[:0], torch.zeros(1, 0).long()).isfinite().all()
