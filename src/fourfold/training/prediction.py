"""What a ranker says of training rows, before calibration: calibrating and judging start from the same numbers."""

import numpy as np
import torch

from fourfold.features.inputs import Floats, Sequences
from fourfold.models.ranker import Ranker
from fourfold.training.loader import epoch_batches, take_sequences


@torch.inference_mode()
def predict_logits(ranker: Ranker, sequences: Sequences, batch_entries: int = 20_000) -> Floats:
    """Uncalibrated logits of every row, shape (N, A), by the forward pass of training; 0 in sequences without a weight."""
    ranker.eval()
    ends = np.cumsum(sequences.lengths)
    out = np.zeros(sequences.labels.shape, np.float32)
    for batch in epoch_batches(sequences, batch_entries, 0, 0):
        index = np.concatenate([np.arange(ends[s] - sequences.lengths[s], ends[s]) for s in batch])
        out[index] = ranker(take_sequences(sequences, batch)).float().cpu().numpy()
    return out
