"""Numbers as Gaussian ranks: counts, rates and ages of any scale reach the network with the same bounded spread.

Shape suffixes: N rows, F numbers, K knots.
"""
# ruff: noqa: N803, N806, N815  # shape suffixes are upper case

import torch
from torch import Tensor, nn

from fourfold.features.inputs import Floats

KNOTS = 64
SAMPLE = 200_000
"""Rows that a fit reads at most, evenly spaced: enough for 64 quantiles."""


class Normalizer(nn.Module):
    """Maps each number to its rank among the training values, as a quantile of the standard normal.

    Piecewise linear between `KNOTS` quantiles, constant beyond the outer two. Equal training values share the mean of
    their ranks, so a constant column maps to 0. NaN maps to 0 with a missing indicator. Before `fit`, the identity,
    clipped to the range of the ranks.

    Parameters
    ----------
    numbers : int
        How many numbers a row holds.
    """

    knots_FK: Tensor
    ranks_FK: Tensor
    fitted: Tensor

    def __init__(self, numbers: int) -> None:
        super().__init__()
        ranks_FK = standard_ranks().float().repeat(numbers, 1)
        self.register_buffer("knots_FK", ranks_FK)
        self.register_buffer("ranks_FK", ranks_FK.clone())
        self.register_buffer("fitted", torch.tensor(False))

    def fit(self, values: Floats) -> None:
        """Take the quantiles of training values, shape (N, F). NaN and infinite values are left out."""
        step = max(1, -(-len(values) // SAMPLE))
        columns = torch.from_numpy(values[::step]).double().unbind(1)
        for index, column in enumerate(columns):
            knots_K, ranks_K = _quantiles(column[column.isfinite()])
            self.knots_FK[index], self.ranks_FK[index] = knots_K, ranks_K
        self.fitted.fill_(True)

    def forward(self, values_NF: Tensor) -> Tensor:
        """Ranks, then indicators of what is missing: shape (N, 2F)."""
        missing_NF = values_NF.isnan()
        ranks_NF = self._ranks(values_NF.nan_to_num()).masked_fill(missing_NF, 0.0)
        return torch.cat([ranks_NF, missing_NF.to(ranks_NF.dtype)], dim=1)

    def _ranks(self, values_NF: Tensor) -> Tensor:
        low_F1, high_F1 = self.knots_FK[:, :1], self.knots_FK[:, -1:]
        values_FN = values_NF.T.contiguous().clamp(low_F1, high_F1)
        right_FN = torch.searchsorted(self.knots_FK, values_FN).clamp(1, KNOTS - 1)
        start_FN, end_FN = (self.knots_FK.gather(1, index) for index in (right_FN - 1, right_FN))
        span_FN = end_FN - start_FN
        part_FN = (values_FN - start_FN) / torch.where(span_FN > 0, span_FN, 1.0)
        start_FN, end_FN = (self.ranks_FK.gather(1, index) for index in (right_FN - 1, right_FN))
        ranks_FN: Tensor = torch.lerp(start_FN, end_FN, part_FN)
        return ranks_FN.T


def standard_ranks() -> Tensor:
    """Quantiles of the standard normal at the middles of `KNOTS` equal parts, shape (K,), float64."""
    ranks_K: Tensor = torch.special.ndtri(_probabilities())
    return ranks_K


def _probabilities() -> Tensor:
    return (torch.arange(KNOTS, dtype=torch.float64) + 0.5) / KNOTS


def _quantiles(values_N: Tensor) -> tuple[Tensor, Tensor]:
    if not len(values_N):
        return torch.zeros(KNOTS), torch.zeros(KNOTS)
    # In the buffer's precision already: knots that differ only beyond it are ties and must share a rank.
    knots_K = torch.quantile(values_N, _probabilities()).float()
    _, tie_K, count_U = torch.unique_consecutive(knots_K, return_inverse=True, return_counts=True)
    sums_U = torch.zeros(len(count_U), dtype=torch.float64).index_add_(0, tie_K, standard_ranks())
    return knots_K, (sums_U / count_U)[tie_K].float()
