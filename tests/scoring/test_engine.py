"""The engine scores in chunks, without gradients or dropout, and says calibrated probabilities from cache and without."""

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from fourfold.definition.models import FeedSR
from fourfold.features.inputs import History
from fourfold.models.io import build_ranker
from fourfold.scoring.engine import ScoringEngine
from tests.contract.ranker_contract import SCHEMA, candidates_of, history_of, viewers_of


def test_the_engine_scores_in_chunks_without_gradients_or_dropout() -> None:
    rng, model = default_rng(0), build_ranker(FeedSR(width=8, heads=2), SCHEMA).train()
    sizes: list[int] = []
    engine = ScoringEngine(model, chunk=4)
    model.rows.register_forward_hook(lambda module, args, out: sizes.append(len(args[0])))
    history, candidates = history_of(rng, [1, 2], SCHEMA), candidates_of(rng, 10, SCHEMA)
    state, viewer = engine.encode(history), viewers_of(rng, 1, SCHEMA)[0]
    scores = engine.score(state, viewer, candidates)
    assert sizes == [3, 4, 4, 2]
    assert not any(tensor.requires_grad for tensor in state.tensors)
    np.testing.assert_array_equal(engine.score(state, viewer, candidates), scores)
    with torch.inference_mode():
        logits = model.score_logits(state, viewer, candidates)
    np.testing.assert_allclose(scores, torch.sigmoid(logits).numpy(), atol=1e-6)
    assert scores.dtype == np.float32


def test_probabilities_are_calibrated_with_the_cache_and_without() -> None:
    rng, model = default_rng(1), build_ranker(FeedSR(width=8, heads=2), SCHEMA)
    history, candidates = history_of(rng, [1, 2, 2], SCHEMA), candidates_of(rng, 6, SCHEMA)
    viewer, engine = viewers_of(rng, 1, SCHEMA)[0], ScoringEngine(model)
    plain = engine.score(engine.encode(history), viewer, candidates)
    steps = torch.arange(64.0).expand(3, -1)
    model.calibration.set(steps - 32, 2 * (steps - 32) + 1)
    first = engine.encode(History(**{name: rows[:3] for name, rows in vars(history).items()}))
    cached = engine.extend(first, History(**{name: rows[3:] for name, rows in vars(history).items()}))
    calibrated = engine.score(cached, viewer, candidates)
    np.testing.assert_allclose(calibrated, engine.score(engine.encode(history), viewer, candidates), atol=1e-5)
    logits = np.log(plain / (1 - plain))
    np.testing.assert_allclose(calibrated, 1 / (1 + np.exp(-(2 * logits + 1))), atol=1e-5)


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="chunk is 0; write a number of candidates"):
        ScoringEngine(build_ranker(FeedSR(width=8, heads=2), SCHEMA), chunk=0)
