"""Training rows cut into batches: sequences of similar length together, in an order that seed and epoch alone decide.

Shape suffixes: N rows, S sequences, K chosen sequences.
"""

# ruff: noqa: N803, N806  # shape suffixes are upper case

from dataclasses import fields

import numpy as np

from fourfold.features.inputs import Counts, History, Sequences

JITTER = 0.25
"""How far a sequence may stray among its neighbours in length, on a log scale: batches differ from epoch to epoch."""


def epoch_batches(sequences: Sequences, entries: int, seed: int, epoch: int) -> list[Counts]:
    """Which sequences make up each batch of an epoch.

    Parameters
    ----------
    sequences : Sequences
        All training rows. Sequences without any weight are left out: they would teach nothing.
    entries : int
        The most entries in a batch; a longer sequence is a batch of its own.
    seed, epoch : int
        The order is a function of these two (and the lengths) alone.

    Returns
    -------
    list of Counts
        Indices of sequences, each once.
    """
    if entries < 1:
        raise ValueError(f"a batch of {entries} entries holds nothing; write a positive number, such as 6000")
    rng = np.random.default_rng([seed, epoch])
    kept = np.flatnonzero(_weight_of_sequence(sequences) > 0)
    keys = np.log(sequences.lengths[kept]) + JITTER * rng.random(len(kept))
    order = kept[np.argsort(keys, kind="stable")]
    batches = _cut(order, np.cumsum(sequences.lengths[order]), entries)
    return [batches[index] for index in rng.permutation(len(batches))]


def take_sequences(sequences: Sequences, chosen_K: Counts) -> Sequences:
    """The chosen sequences, in that order."""
    lengths_K = sequences.lengths[chosen_K]
    starts_K = (np.cumsum(sequences.lengths) - sequences.lengths)[chosen_K]
    shift_K = starts_K - (np.cumsum(lengths_K) - lengths_K)
    rows_N = np.arange(lengths_K.sum()) + np.repeat(shift_K, lengths_K)
    by_row = {f.name: getattr(sequences, f.name)[rows_N] for f in fields(History)}
    return Sequences(
        **by_row,
        lengths=lengths_K,
        viewers=sequences.viewers[chosen_K],
        labels=sequences.labels[rows_N],
        weight=sequences.weight[rows_N],
    )


def _weight_of_sequence(sequences: Sequences) -> Counts:
    weighted_N = np.concatenate([[0], np.cumsum(sequences.weight > 0)])
    ends_S = np.cumsum(sequences.lengths)
    counts_S: Counts = weighted_N[ends_S] - weighted_N[ends_S - sequences.lengths]
    return counts_S


def _cut(order: Counts, ends: Counts, entries: int) -> list[Counts]:
    batches, start, taken = [], 0, 0
    while start < len(order):
        stop = max(int(np.searchsorted(ends, taken + entries, side="right")), start + 1)
        batches.append(order[start:stop])
        start, taken = stop, int(ends[stop - 1])
    return batches
