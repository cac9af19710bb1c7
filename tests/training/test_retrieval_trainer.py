from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from fourfold.definition.models import TwoTower
from fourfold.features.inputs import IdField, Schema
from fourfold.models.io import build_two_tower
from fourfold.training.loop import StepReport
from fourfold.training.retrieval_trainer import RETRIEVAL_CONFIG, RetrievalExamples, train_retrieval

SCHEMA = Schema(
    item=(IdField(name="item", buckets=40), IdField(name="group", buckets=4)),
    viewer=(IdField(name="country", buckets=3),),
    context=(),
    early=(),
    late=(),
    actions=(),
    passive=(),
    positive=(),
)
CONFIG = replace(RETRIEVAL_CONFIG, epochs=8, batch_entries=50, learning_rate=1e-2)


def examples(count: int = 400) -> RetrievalExamples:
    """Four groups of ten items; a viewer stays within one group."""
    rng = default_rng(0)
    items = np.stack([np.arange(40) + 2, np.arange(40) // 10 + 2], axis=1).astype(np.int32)
    group, picks = rng.integers(0, 4, count), np.argsort(rng.random((count, 10)), axis=1)[:, :4]
    chosen = group[:, None] * 10 + picks
    recent = np.where(rng.random((count, 3)) < 0.3, -1, chosen[:, :3])
    recent[:, 0] = chosen[:, 0]
    viewers = rng.integers(1, 5, (count, 1), dtype=np.int32)
    return RetrievalExamples(items=items, viewers=viewers, recent=recent, target=chosen[:, 3])


def test_the_group_of_the_recent_items_is_found_even_for_an_item_never_trained_on() -> None:
    rows, model = examples(), build_two_tower(TwoTower(width=8), SCHEMA)
    report = train_retrieval(model, rows, CONFIG)
    assert report.steps == 8 * 8
    newcomers = np.array([[1, group + 2] for group in range(4)], np.int32)
    with torch.no_grad():
        vectors = model.item_vectors(rows.items)
        viewers = model.viewer_vectors(rows.viewers, vectors, torch.from_numpy(rows.recent))
        best = (viewers @ vectors.T).topk(5).indices.numpy() // 10
        new = (viewers @ model.item_vectors(newcomers).T).argmax(1).numpy()
    assert (best == rows.target[:, None] // 10).mean() > 0.95
    assert (new == rows.target // 10).mean() > 0.95


def test_a_stopped_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, resumed = (build_two_tower(TwoTower(width=4), SCHEMA) for _ in range(2))
    config = replace(CONFIG, epochs=2)
    train_retrieval(whole, examples(120), config)

    def stop(report: StepReport) -> None:
        if report.step == 3:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train_retrieval(build_two_tower(TwoTower(width=4), SCHEMA), examples(120), config, path, stop, checkpoint_seconds=0)
    assert train_retrieval(resumed, examples(120), config, path).resumed_at == 3
    theirs = whole.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in resumed.state_dict().items())


def test_popular_items_are_not_pushed_down_for_being_popular() -> None:
    """With the correction, scores at equal evidence follow log popularity; without it they would be level."""
    rng, count = default_rng(1), 3000
    target = np.where(rng.random(count) < 0.9, 0, 1)
    items = np.array([[2, 2], [3, 3]], np.int32)
    rows = RetrievalExamples(
        items=items,
        viewers=np.full((count, 1), 2, np.int32),
        recent=np.full((count, 1), -1),
        target=target,
    )
    model = build_two_tower(TwoTower(width=4, id_dropout=0.0), SCHEMA)
    train_retrieval(model, rows, replace(CONFIG, epochs=3, batch_entries=64))
    with torch.no_grad():
        vectors = model.item_vectors(items)
        viewer = model.viewer_vectors(rows.viewers[:1], vectors, torch.tensor([[-1]]))
        scores = (viewer @ vectors.T)[0] / model.temperature
    assert scores[0] > scores[1] + 1


def test_examples_that_cannot_be_are_named() -> None:
    rows = examples(10)
    with pytest.raises(ValueError, match="10 targets, 9 viewers"):
        replace(rows, viewers=rows.viewers[:9])
    with pytest.raises(ValueError, match="target points outside of the 40 items"):
        replace(rows, target=rows.target * 0 - 1)
    with pytest.raises(ValueError, match="recent points outside of the 40 items"):
        replace(rows, recent=rows.recent * 0 + 40)
    with pytest.raises(ValueError, match="at least two positive actions"):
        train_retrieval(build_two_tower(TwoTower(width=4), SCHEMA), examples(1), CONFIG)
