"""The losses of rankers and of the retrieval model.

Shape suffixes: N rows, A actions, B examples.
"""

# ruff: noqa: N803, N806  # shape suffixes are upper case

import torch
from torch import Tensor
from torch.nn import functional


def action_loss(logits_NA: Tensor, labels_NA: Tensor, weight_N: Tensor) -> Tensor:
    r"""Binary cross-entropy, summed over actions, averaged over rows by weight.

    .. math:: \sum_n w_n \sum_a \mathrm{BCE}(x_{na}, y_{na}) \,/\, \sum_n w_n

    Parameters
    ----------
    logits_NA : Tensor
        Shape (N, A).
    labels_NA : Tensor
        1 where the viewer took the action, 0 where not, NaN where that is not known: such a label teaches nothing.
    weight_N : Tensor
        At least 0; a row of weight 0 is history only.
    """
    known_NA = ~labels_NA.isnan()
    losses_NA = functional.binary_cross_entropy_with_logits(logits_NA, labels_NA.nan_to_num(), reduction="none")
    # Selected, not multiplied: what an unweighted row's logits are must not matter, even if they overflow.
    used_NA = known_NA & (weight_N > 0)[:, None]
    return (torch.where(used_NA, losses_NA, 0.0).sum(1) * weight_N).sum() / weight_N.sum()


def sampled_softmax_loss(scores_BB: Tensor, log_q_B: Tensor, target_B: Tensor) -> Tensor:
    """Softmax over the targets of the batch, corrected for how often each is sampled (logQ, Yi et al., RecSys 2019).

    A popular item is a negative of other viewers more often than a rare one. Subtracting the logarithm of its sampling
    probability makes the expected loss that of a softmax over the whole catalogue.

    Parameters
    ----------
    scores_BB : Tensor
        Score of viewer (row) and target (column), divided by the temperature.
    log_q_B : Tensor
        Log of each target's probability to be in a batch's column.
    target_B : Tensor
        Index of each target item: the same item in another column is no negative.
    """
    repeated_BB = (target_B[:, None] == target_B[None]) & ~torch.eye(len(target_B), dtype=torch.bool, device=target_B.device)
    corrected_BB = (scores_BB - log_q_B).masked_fill(repeated_BB, -torch.inf)
    return functional.cross_entropy(corrected_BB, torch.arange(len(target_B), device=target_B.device))
