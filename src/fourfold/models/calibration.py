"""Calibration: each action's logits bent so that its probabilities come true, without changing their order.

Shape suffixes: N rows, A actions, K knots.
"""
# ruff: noqa: N803, N806, N815  # shape suffixes are upper case

import torch
from torch import Tensor, nn

KNOTS = 64


class Calibration(nn.Module):
    """A strictly increasing, piecewise-linear map from logits to logits for each action; the identity until it is set.

    Beyond the outer knots the outer lines go on, so that no two logits share a value anywhere.

    Parameters
    ----------
    actions : int
        How many actions a row has.
    """

    knots_AK: Tensor
    values_AK: Tensor

    def __init__(self, actions: int) -> None:
        super().__init__()
        line_AK = torch.arange(KNOTS, dtype=torch.float64).repeat(actions, 1)
        self.register_buffer("knots_AK", line_AK)
        self.register_buffer("values_AK", line_AK.clone())

    def reset(self) -> None:
        """Become the identity again."""
        self.set(torch.arange(KNOTS).expand_as(self.knots_AK), torch.arange(KNOTS).expand_as(self.values_AK))

    def set(self, knots_AK: Tensor, values_AK: Tensor) -> None:
        """Take over a map: logits and what becomes of them, both strictly increasing along K."""
        for name, table in (("knots", knots_AK), ("values", values_AK)):
            if table.shape != self.knots_AK.shape:
                raise ValueError(f"{name} have shape {tuple(table.shape)}; give {tuple(self.knots_AK.shape)}")
            if not (table.isfinite().all() and (table.diff(dim=1) > 0).all()):
                raise ValueError(f"{name} do not rise from each to the next; order would be lost")
        self.knots_AK.copy_(knots_AK)
        self.values_AK.copy_(values_AK)

    def forward(self, logits_NA: Tensor) -> Tensor:
        """Calibrated logits, shape (N, A), in double precision: flat stretches of the map would swallow single ones."""
        knots_AK, values_AK = self.knots_AK.double(), self.values_AK.double()
        logits_AN = logits_NA.double().T.contiguous()
        right_AN = torch.searchsorted(knots_AK, logits_AN).clamp(1, KNOTS - 1)
        (start_AN, end_AN), (low_AN, high_AN) = (
            (table.gather(1, right_AN - 1), table.gather(1, right_AN)) for table in (knots_AK, values_AK)
        )
        calibrated_AN = low_AN + (high_AN - low_AN) * ((logits_AN - start_AN) / (end_AN - start_AN))
        return calibrated_AN.T
