"""The ranking benchmark compares like with like: flat rows hold what the history holds, and nothing of their own outcome."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import ranking
from benchmarks.peers.call import PeerMissingError
from fourfold.features.encoding import Encoder
from fourfold.lab.benchmark import BenchmarkError
from fourfold.surfaces.presets import world
from fourfold.training.examples import examples


def test_a_flat_row_holds_the_last_entries_that_its_request_saw() -> None:
    view, until = ranking.small_view()
    encoder = Encoder(world())
    rows = examples(view, encoder, 0, until)
    numbers, categories = ranking._table(rows, encoder.schema)
    packed, actions = rows.sequences, len(encoder.schema.actions)
    starts = np.repeat(np.cumsum(packed.lengths) - packed.lengths, packed.lengths)
    last = numbers[:, -ranking.LAST * actions :].reshape(len(numbers), ranking.LAST, actions)
    for row in np.random.default_rng(0).permutation(len(numbers))[:200]:
        seen = packed.actions[starts[row] : starts[row] + packed.seen[row]][::-1][: ranking.LAST]
        np.testing.assert_array_equal(last[row, : len(seen)], seen)
        assert np.isnan(last[row, len(seen) :]).all()
    assert (packed.seen > ranking.LAST).any()
    assert len(categories) == len(numbers)


def test_without_the_peer_the_networks_are_compared_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise PeerMissingError("lightgbm is not installed: run make bench-env")

    monkeypatch.setattr(ranking, "call", missing)
    found = ranking.run(quick=True, folder=tmp_path, say=lambda _: None)
    assert found.equal
    assert found.skipped == {"lightgbm": "lightgbm is not installed: run make bench-env"}
    assert {"feed_sr.click.auc", "dcnv2.like.member_auc", "feed_sr-dcnv2.long_view.auc"} <= found.detail.keys()
    assert 0 < found.detail["feed_sr.click.auc"] < 1  # type: ignore[operator]  # a number


def test_kuairand_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOURFOLD_KUAIRAND", raising=False)
    with pytest.raises(BenchmarkError, match="set FOURFOLD_KUAIRAND"):
        ranking.run(quick=False, folder=tmp_path, say=lambda _: None)
