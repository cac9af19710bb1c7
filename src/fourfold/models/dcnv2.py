"""The pointwise baseline: deep and cross network over engineered inputs and a pooled history (arXiv 2008.13535).

Shape suffixes: N rows, S sequences, B sequences of a bucket, T entries, C candidates, D width, F inputs, A actions,
G groups of entries: one per action, and one for the entries without any.
"""
# ruff: noqa: N803, N806  # shape suffixes are upper case

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fourfold.definition.models import DCNv2
from fourfold.features.inputs import Candidates, History, Ids, Schema, Sequences
from fourfold.models.embeddings import IdEmbeddings
from fourfold.models.heads import ActionTowers, CrossNetwork, MemberLinear
from fourfold.models.packing import pack
from fourfold.models.ranker import HistoryState, Ranker
from fourfold.models.rows import RowTensors, check_seen, check_viewers, float_tensor, id_tensor


class DCNv2Ranker(Ranker):
    """The network of a `DCNv2` definition.

    A history is pooled: for each action, the mean embedding of the items that the viewer took it on, with the values of
    actions beside it, and how many there are. Its `HistoryState` holds the sums (G, D) and counts (G,).

    Parameters
    ----------
    config : DCNv2
        Width, number of cross layers and dropout.
    schema : Schema
        The inputs that it reads.
    """

    def __init__(self, config: DCNv2, schema: Schema) -> None:
        super().__init__(config, schema)
        width, groups = config.width, len(schema.actions) + 1
        self.groups = groups
        self.viewers = IdEmbeddings(schema.viewer, width)
        self.pooled_width = width + self.value_width
        self.pooled = nn.Linear(groups * self.pooled_width, width)
        inputs = 3 * width + groups + self.rows.early_width + self.rows.late_width
        self.dropout = nn.Dropout(config.dropout)
        self.cross = CrossNetwork(1, inputs, config.cross_layers)
        self.deep = nn.Sequential(
            MemberLinear(1, inputs, 2 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            MemberLinear(1, 2 * width, width),
            nn.GELU(),
        )
        self.towers = ActionTowers(inputs + width, width, schema.passive)

    def forward_with_auxiliary(self, sequences: Sequences) -> tuple[Tensor, Tensor | None]:
        """Logits (N, A); there is no auxiliary head."""
        check_viewers(sequences.viewers, self.schema, len(sequences.lengths))
        rows = self.rows(sequences)
        viewer_SD = self.viewers(id_tensor(sequences.viewers, self.prior_A))
        sequence_of_entry_N = id_tensor(np.repeat(np.arange(len(viewer_SD)), sequences.lengths), self.prior_A)
        viewer_ND = functional.embedding(sequence_of_entry_N, viewer_SD)
        return self._logits(rows, viewer_ND, *self._pools_seen(rows, sequences)), None

    def empty_state(self) -> HistoryState:
        """Sums and counts of nothing."""
        sums_GD = self.prior_A.new_zeros(self.groups, self.pooled_width)
        return HistoryState(0, (sums_GD, sums_GD[:, 0]))

    def extend(self, state: HistoryState, entries: History) -> HistoryState:
        """Add the entries to the sums and counts."""
        check_seen(entries.seen, np.arange(state.entries, state.entries + len(entries)))
        groups_TG = self._groups(entries)
        sums_TGD = self._pooled_rows(self.rows(entries), entries)[:, None] * groups_TG[..., None]
        sums_GD, counts_G = state.tensors
        return HistoryState(state.entries + len(entries), (sums_GD + sums_TGD.sum(0), counts_G + groups_TG.sum(0)))

    def score_logits(self, state: HistoryState, viewer: Ids, candidates: Candidates) -> Tensor:
        """Logits (C, A) from the pooled history."""
        check_viewers(viewer[None], self.schema, 1)
        rows = self.rows(candidates)
        viewer_1D = self.viewers(id_tensor(viewer[None], self.prior_A))
        shared = (viewer_1D, *(tensor[None] for tensor in state.tensors))
        viewer_CD, sums_CGD, counts_CG = (x.expand(len(rows), *x.shape[1:]) for x in shared)
        return self._logits(rows, viewer_CD, sums_CGD, counts_CG)

    def _pools_seen(self, rows: RowTensors, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """Sums (N, G, D) and counts (N, G) of what each entry sees, by running sums within each sequence."""
        packing = pack(sequences.lengths, sequences.seen)
        groups_NG, pooled_ND = self._groups(sequences), self._pooled_rows(rows, sequences)
        parts = []
        for bucket in packing.buckets:
            rows_BT, seen_BT, taken = (id_tensor(x, groups_NG) for x in (bucket.rows_BT, bucket.seen_BT, bucket.taken))
            items_BTD, groups_BTG = functional.embedding(rows_BT, pooled_ND), groups_NG[rows_BT]
            ones_BT1 = items_BTD.new_ones(*rows_BT.shape, 1)
            values_BTGE = groups_BTG[..., None] * torch.cat([items_BTD, ones_BT1], dim=2)[:, :, None]
            running_BTX = functional.pad(values_BTGE.flatten(2).cumsum(1), (0, 0, 1, 0))
            parts.append(running_BTX.gather(1, seen_BT[..., None].expand(-1, -1, running_BTX.shape[2])).flatten(0, 1)[taken])
        inverse_N = id_tensor(packing.inverse_N, groups_NG)
        pools_NGE = torch.cat(parts)[inverse_N].view(len(rows), self.groups, -1)
        return pools_NGE[..., :-1], pools_NGE[..., -1]

    def _pooled_rows(self, rows: RowTensors, history: History) -> Tensor:
        return torch.cat([rows.item_ND, self.history_values(history)], dim=1)

    def _groups(self, history: History) -> Tensor:
        actions_NA = float_tensor(history.actions, self.prior_A)
        none_N1 = (actions_NA == 0).all(1, keepdim=True).to(actions_NA.dtype)
        return torch.cat([actions_NA, none_N1], dim=1)

    def _logits(self, rows: RowTensors, viewer_ND: Tensor, sums_NGD: Tensor, counts_NG: Tensor) -> Tensor:
        means_NGD = sums_NGD / counts_NG.clamp(min=1.0)[..., None]
        history_ND = self.pooled(means_NGD.flatten(1))
        parts = [rows.item_ND, viewer_ND, history_ND, counts_NG.log1p(), rows.early_NF, rows.late_NF]
        x_1NF = self.dropout(torch.cat(parts, dim=1))[None]
        trunk_NF = torch.cat([self.cross(x_1NF), self.deep(x_1NF)], dim=-1)[0]
        logits_NA: Tensor = self.prior_A + self.towers([trunk_NF] * len(self.towers.groups))
        return logits_NA
