"""The engine against a naive oracle that shares none of its attention: one dense sequence per candidate."""

from typing import cast

import numpy as np
import torch
from numpy.random import default_rng
from torch import Tensor

from fourfold.definition.models import FeedSR
from fourfold.features.inputs import History, Ids
from fourfold.models.block import Block
from fourfold.models.feed_sr import FeedSRRanker
from fourfold.models.io import build_ranker
from tests.contract.ranker_contract import (
    SCHEMA,
    as_sequences,
    candidates_of,
    history_of,
    logits_of,
    sequences_of,
    take,
    viewers_of,
)
from tests.models.test_attention import visible


def ranker(layers: int = 3) -> FeedSRRanker:
    rng, model = default_rng(0), build_ranker(FeedSR(width=16, layers=layers, heads=2), SCHEMA)
    model.fit_inputs(sequences_of(rng, [[2, 3]] * 10, SCHEMA))
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    assert isinstance(model, FeedSRRanker)
    return model.double().eval()


def turned(x_MHP: Tensor, positions_M: np.ndarray) -> Tensor:
    """Rotary embedding as complex numbers."""
    half = x_MHP.shape[-1] // 2
    angles = torch.from_numpy(positions_M)[:, None] * 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    complex_x = torch.complex(x_MHP[..., :half], x_MHP[..., half:]) * torch.polar(torch.ones_like(angles), angles)[:, None]
    return torch.cat([complex_x.real, complex_x.imag], dim=-1)


def naive_logits(model: FeedSRRanker, history: History, viewer: Ids) -> Tensor:
    """Logits of the last entry of one history, by a dense mask over all of its tokens in all layers."""
    rows = model.rows(history)
    actions = torch.from_numpy(history.actions).double()
    none = (actions.sum(1, keepdim=True) == 0).double()
    posts = model.post_token(torch.cat([rows.item_ND, rows.early_NF], dim=1))
    assert model.values is not None
    did = [rows.item_ND, actions, none, model.values(torch.from_numpy(history.values).double())]
    tokens = torch.stack([posts, model.action_token(torch.cat(did, dim=1))], 1).flatten(0, 1)
    positions = np.stack([2 * history.seen, 2 * history.seen + 1], axis=1).ravel()
    mask = torch.from_numpy(visible(history.seen))
    for block in cast("list[Block]", list(model.blocks)):
        normed = block.attention_norm(tokens)
        split = [x.reshape(len(tokens), 2, 8) for x in (block.query(normed), *block.key_value(normed).chunk(2, -1))]
        q, k, v = turned(split[0], positions), turned(split[1], positions), split[2]
        scores = torch.einsum("qhp,khp->hqk", q, k) / 8**0.5
        found = torch.einsum("hqk,khp->qhp", scores.masked_fill(~mask, -torch.inf).softmax(-1), v).flatten(1)
        tokens = tokens + block.attention_scale * block.out(found)
        tokens = tokens + block.feed_forward_scale * block.feed_forward(block.feed_forward_norm(tokens))
    post = model.post_norm(tokens[-2:-1])
    fused = torch.cat([post, rows.late_NF[-1:], model.viewers(torch.from_numpy(viewer[None]).long())], dim=1)
    logits: Tensor = model.prior_A + model.head(fused)
    return logits[0]


@torch.no_grad()
def test_cached_scores_equal_the_naive_oracle_in_double_precision() -> None:
    rng, model = default_rng(2), ranker()
    history, candidates = history_of(rng, [2, 1, 3, 1, 4], SCHEMA), candidates_of(rng, 5, SCHEMA)
    viewer = viewers_of(rng, 1, SCHEMA)[0]
    cut = 4
    state = model.extend(model.encode(take(history, slice(0, cut))), take(history, slice(cut, None)))
    scores = model.score_logits(state, viewer, candidates)
    for index in range(5):
        whole = as_sequences(history, viewer, take(candidates, [index]))
        full = History(**{name: getattr(whole, name) for name in History.__dataclass_fields__})
        torch.testing.assert_close(scores[index], naive_logits(model, full, viewer), atol=1e-12, rtol=0)


def test_packed_training_rows_equal_the_naive_oracle() -> None:
    rng, model = default_rng(3), ranker(layers=2)
    sequences = sequences_of(rng, [[1, 2], [4, 1, 1, 2], [1]], SCHEMA)
    logits = logits_of(model, sequences)
    for viewer, entry in ((0, 1), (0, 2), (1, 6), (1, 10), (2, 11)):
        start = [0, 3, 11][viewer]
        seen = sequences.seen[entry]
        rows = [*range(start, start + seen), entry]
        history = History(**{name: getattr(sequences, name)[rows] for name in History.__dataclass_fields__})
        with torch.no_grad():
            expected = naive_logits(model, history, sequences.viewers[viewer]).numpy()
        np.testing.assert_allclose(logits[entry], expected, atol=1e-12)


def test_a_state_holds_keys_and_values_of_two_tokens_per_entry_and_layer() -> None:
    model = ranker(layers=3).float()
    state = model.encode(history_of(default_rng(0), [3, 2], SCHEMA))
    assert [tuple(tensor.shape) for tensor in state.tensors] == [(2, 10, 8)] * 6
    assert state.nbytes == 6 * 2 * 10 * 8 * 4
