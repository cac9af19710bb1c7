from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from fourfold.features.inputs import History, Sequences
from fourfold.training.loader import epoch_batches, take_sequences
from tests.contract.ranker_contract import BARE, sequences_of


def of_lengths(lengths: list[int]) -> Sequences:
    return sequences_of(default_rng(0), [[1] * length for length in lengths], BARE)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 50), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_every_sequence_is_in_one_batch_within_the_budget(lengths: list[int], entries: int, seed: int, epoch: int) -> None:
    sequences = of_lengths(lengths)
    batches = epoch_batches(sequences, entries, seed, epoch)
    chosen = np.concatenate([np.zeros(0, np.int64), *batches])
    np.testing.assert_array_equal(np.sort(chosen), np.flatnonzero(sequences.lengths))
    for batch in batches:
        assert len(batch) == 1 or sequences.lengths[batch].sum() <= entries
    for first, second in zip(batches, epoch_batches(sequences, entries, seed, epoch), strict=True):
        np.testing.assert_array_equal(first, second)


def test_batches_are_full_of_one_length_and_change_with_seed_and_epoch() -> None:
    sequences = of_lengths([2] * 60 + [20] * 6)
    batches = epoch_batches(sequences, 20, 0, 0)
    assert sorted(len(batch) for batch in batches) == [1] * 6 + [10] * 6
    assert all(len(set(sequences.lengths[batch])) == 1 for batch in batches)
    first = np.concatenate(batches)
    for seed, epoch in ((0, 1), (1, 0)):
        assert not np.array_equal(first, np.concatenate(epoch_batches(sequences, 20, seed, epoch)))


def test_sequences_without_an_example_are_left_out() -> None:
    sequences = of_lengths([2, 3, 0, 1])
    sequences.weight[:] = [0, 0.5, 0, 0, 0, 2]
    assert sorted(np.concatenate(epoch_batches(sequences, 100, 0, 0))) == [0, 3]
    assert epoch_batches(replace(sequences, weight=sequences.weight * 0), 100, 0, 0) == []


def test_an_impossible_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="write a positive number"):
        epoch_batches(of_lengths([1]), 0, 0, 0)


def test_taking_sequences_moves_all_their_rows() -> None:
    sequences = of_lengths([2, 0, 3, 1])
    taken = take_sequences(sequences, np.array([3, 1, 2]))
    rows = [5, 2, 3, 4]
    assert taken.lengths.tolist() == [1, 0, 3]
    for name in (*(f.name for f in fields(History)), "labels", "weight"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(sequences, name)[rows])
    np.testing.assert_array_equal(taken.viewers, sequences.viewers[[3, 1, 2]])
