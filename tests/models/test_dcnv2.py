import numpy as np
import torch
from numpy.random import default_rng

from fourfold.definition.models import DCNv2
from fourfold.models.io import build_ranker
from fourfold.models.rows import id_tensor
from tests.contract.ranker_contract import SCHEMA, history_of, sequences_of


def test_a_history_is_summed_per_action_and_the_entries_without_one_apart() -> None:
    model = build_ranker(DCNv2(width=4), SCHEMA).eval()
    history = history_of(default_rng(0), [2, 2], SCHEMA)
    history.actions[:] = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]]
    items = model.rows.items(id_tensor(history.items, model.prior_A))
    state = model.encode(history)
    sums, counts = state.tensors
    assert counts.tolist() == [2, 1, 0, 2]
    expected = torch.stack([items[0] + items[1], items[1], torch.zeros(4), items[2] + items[3]])
    torch.testing.assert_close(sums[:, :4], expected)
    torch.testing.assert_close(sums[0, 4:], model.history_values(history)[:2].sum(0))
    assert state.entries == 4
    assert model.encode(history_of(default_rng(0), [], SCHEMA)).tensors[1].tolist() == [0, 0, 0, 0]


def test_first_logits_start_from_each_action_s_rate() -> None:
    model = build_ranker(DCNv2(width=4), SCHEMA)
    sequences = sequences_of(default_rng(0), [[1, 1, 1, 1]], SCHEMA)
    sequences.labels[:] = np.array([[1, 0, np.nan], [1, 0, np.nan], [0, 0, np.nan], [1, 1, 1]])
    sequences.weight[:] = [1, 1, 2, 0]
    model.fit_inputs(sequences)
    expected = torch.tensor([0.0, np.log(1e-4 / (1 - 1e-4)), np.log(1e-4 / (1 - 1e-4))])
    torch.testing.assert_close(model.prior_A, expected.float())
