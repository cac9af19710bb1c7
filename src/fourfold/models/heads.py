"""From one vector per row to one logit per action: the heads that the sequential ranker can wear.

Shape suffixes: N rows, G members of an ensemble or experts, F inputs, A actions.
"""
# ruff: noqa: N803, N806  # shape suffixes are upper case

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MEMBERS = 4
EXPERTS = 6
CROSS_LAYERS = 2


class MemberLinear(nn.Module):
    """G linear layers side by side, as one batched product: (G, N, inputs) to (G, N, outputs)."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x_GNF: Tensor) -> Tensor:
        """Apply member g to ``x_GNF[g]``."""
        return torch.baddbmm(self.bias, x_GNF, self.weight)


class CrossNetwork(nn.Module):
    r"""Explicit feature crosses of DCNv2 (arXiv 2008.13535, eq. 2): :math:`x_{l+1} = x_0 \odot (U V x_l + b) + x_l`.

    The matrix has low rank, a quarter of the width, which the paper finds as good as a full one.
    """

    def __init__(self, members: int, inputs: int, layers: int) -> None:
        super().__init__()
        rank = max(1, inputs // 4)
        self.down = nn.ModuleList(MemberLinear(members, inputs, rank) for _ in range(layers))
        self.up = nn.ModuleList(MemberLinear(members, rank, inputs) for _ in range(layers))

    def forward(self, x_GNF: Tensor) -> Tensor:
        """Cross the inputs with themselves; the shape stays."""
        crossed_GNF = x_GNF
        for down, up in zip(self.down, self.up, strict=True):
            crossed_GNF = x_GNF * up(down(crossed_GNF)) + crossed_GNF
        return crossed_GNF


class ParallelDCNv2Head(nn.Module):
    """Cross layers beside a multilayer perceptron, joined by a linear layer; the mean of a few small ones.

    The best head of the published model (arXiv 2602.12354 v2). A mean of several small heads is worth more than one
    wide head, and costs the same.

    Parameters
    ----------
    inputs : int
        Width of a row.
    hidden : int
        Width of the perceptron's two layers.
    actions : int
        Number of logits.
    dropout : float
        Of the perceptron's first layer.
    """

    def __init__(self, inputs: int, hidden: int, actions: int, dropout: float, members: int = MEMBERS) -> None:
        super().__init__()
        self.members = members
        self.cross = CrossNetwork(members, inputs, CROSS_LAYERS)
        self.deep = nn.Sequential(
            MemberLinear(members, inputs, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            MemberLinear(members, hidden, hidden),
            nn.GELU(),
        )
        self.out = MemberLinear(members, inputs + hidden, actions)

    def forward(self, x_NF: Tensor) -> Tensor:
        """Logits of shape (N, A)."""
        x_GNF = x_NF.expand(self.members, -1, -1)
        logits_GNA: Tensor = self.out(torch.cat([self.cross(x_GNF), self.deep(x_GNF)], dim=-1))
        return logits_GNA.mean(0)


class ActionTowers(nn.Module):
    """One small tower for the passive actions and one for the active ones; a group without actions has none."""

    def __init__(self, inputs: int, hidden: int, passive: Sequence[bool]) -> None:
        super().__init__()
        self.groups = [group for group in (True, False) if group in passive]
        columns = [action for group in self.groups for action, kind in enumerate(passive) if kind == group]
        self.column_of_action = sorted(range(len(columns)), key=columns.__getitem__)
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, list(passive).count(group)))
            for group in self.groups
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, A) in the order of the actions, from one input (N, F) per group, passive first."""
        parts = [tower(x_NF) for tower, x_NF in zip(self.towers, inputs, strict=True)]
        return torch.cat(parts, dim=1)[:, self.column_of_action]


class MMoEHead(nn.Module):
    """Shared experts mixed by one gate for passive and one for active actions (multi-gate mixture of experts).

    Dropout acts on the gates after the softmax, so that no expert becomes the only one (arXiv 2602.12354 v1).

    Parameters
    ----------
    inputs : int
        Width of a row.
    hidden : int
        Width of the experts and towers.
    passive : sequence of bool
        Which actions are passive.
    dropout : float
        Of the gates.
    """

    def __init__(self, inputs: int, hidden: int, passive: Sequence[bool], dropout: float) -> None:
        super().__init__()
        self.experts = nn.Sequential(
            MemberLinear(EXPERTS, inputs, hidden), nn.GELU(), MemberLinear(EXPERTS, hidden, hidden), nn.GELU()
        )
        self.towers = ActionTowers(hidden, hidden, passive)
        self.gates = nn.ModuleList(nn.Linear(inputs, EXPERTS) for _ in self.towers.groups)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NF: Tensor) -> Tensor:
        """Logits of shape (N, A)."""
        found_GNF = self.experts(x_NF.expand(EXPERTS, -1, -1))
        shares_NG = [self.dropout(gate(x_NF).softmax(-1)) for gate in self.gates]
        logits_NA: Tensor = self.towers([torch.einsum("ng,gnf->nf", share, found_GNF) for share in shares_NG])
        return logits_NA
