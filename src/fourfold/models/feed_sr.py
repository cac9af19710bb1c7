"""Feed-SR, the sequential ranker: a causal transformer over what a viewer was shown and did (arXiv 2602.12354).

Training runs every entry of many packed histories at once. Serving encodes a history once, as the keys and values of each
layer, and scores any number of candidates against it. Both follow the same token layout (see `models.attention`), so a
candidate's logits are those that the same row would have had in training.

Shape suffixes: N entries, T new entries, C candidates, M tokens, S sequences, D width, H heads, P width of a head,
K cached tokens, A actions.
"""
# ruff: noqa: N803, N806  # shape suffixes are upper case

from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fourfold.definition.models import FeedSR
from fourfold.features.inputs import Candidates, Counts, History, Ids, Schema, Sequences
from fourfold.models.attention import (
    QueryBlock,
    Rotation,
    history_mask,
    masked_attention,
    rotation_at,
    split_attention,
)
from fourfold.models.block import Block
from fourfold.models.embeddings import IdEmbeddings
from fourfold.models.heads import MMoEHead, ParallelDCNv2Head
from fourfold.models.packed_attention import PackedAttention
from fourfold.models.packing import pack
from fourfold.models.ranker import HistoryState, Ranker
from fourfold.models.rows import RowTensors, check_seen, check_viewers, float_tensor, id_tensor


class FeedSRRanker(Ranker):
    """The network of a `FeedSR` definition.

    Its `HistoryState` holds keys, then values, of each layer in turn: each (H, K, P), two tokens per entry.

    Parameters
    ----------
    config : FeedSR
        Width, depth, heads, head and dropout.
    schema : Schema
        The inputs that it reads.
    """

    def __init__(self, config: FeedSR, schema: Schema) -> None:
        super().__init__(config, schema)
        width, actions = config.width, len(schema.actions)
        self.heads, self.head_width = config.heads, width // config.heads
        self.post_token = nn.Linear(width + self.rows.early_width, width)
        self.action_token = nn.Linear(width + actions + 1 + self.value_width, width)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.layers))
        self.post_norm = nn.LayerNorm(width)
        self.sequence_only = nn.Linear(width, actions)
        self.viewers = IdEmbeddings(schema.viewer, width)
        self.dropout = nn.Dropout(config.dropout)
        fused_width = 2 * width + self.rows.late_width
        self.head: nn.Module
        if config.head == "dcnv2":
            self.head = ParallelDCNv2Head(fused_width, width, actions, config.dropout)
        else:
            self.head = MMoEHead(fused_width, width, schema.passive, config.dropout)

    def forward_with_auxiliary(self, sequences: Sequences) -> tuple[Tensor, Tensor | None]:
        """Logits (N, A), and those from the post alone: their loss keeps the sequence from leaning on late numbers."""
        check_viewers(sequences.viewers, self.schema, len(sequences.lengths))
        rows = self.rows(sequences)
        post_ND = self.post_norm(self._posts_in_context(rows, sequences))
        viewer_SD = self.viewers(id_tensor(sequences.viewers, self.prior_A))
        sequence_of_entry_N = id_tensor(np.repeat(np.arange(len(viewer_SD)), sequences.lengths), self.prior_A)
        logits_NA = self._fused_logits(post_ND, rows, functional.embedding(sequence_of_entry_N, viewer_SD))
        return logits_NA, self.prior_A + self.sequence_only(post_ND)

    def empty_state(self) -> HistoryState:
        """No tokens in any layer."""
        no_tokens_HKP = self.prior_A.new_zeros(self.heads, 0, self.head_width)
        return HistoryState(0, (no_tokens_HKP,) * (2 * len(self.blocks)))

    def extend(self, state: HistoryState, entries: History) -> HistoryState:
        """Append keys and values. Exact: no token of an older entry attends to a newer one."""
        start, added = state.entries, len(entries)
        if not added:
            return state
        check_seen(entries.seen, np.arange(start, start + added))
        tokens_MD = self._history_tokens(self.rows(entries), entries)
        rotation = self._history_rotation(entries.seen)
        window_M = torch.arange(2 * start, 2 * (start + added), device=tokens_MD.device)
        mask = history_mask(window_M, id_tensor(entries.seen[None], tokens_MD), start, tokens_MD)
        tensors: list[Tensor] = []
        for layer, block in enumerate(self._layers()):
            cached = state.tensors[2 * layer : 2 * layer + 2]
            new = block.keys_values(tokens_MD, rotation)
            k_HKP, v_HKP = (torch.cat([old, x.transpose(0, 1)], dim=1) for old, x in zip(cached, new, strict=True))
            tensors += [k_HKP, v_HKP]
            if layer < len(self.blocks) - 1:  # the last layer's outputs would have no reader
                tokens_MD = block(tokens_MD, rotation, partial(_attend_history, k_HKP, v_HKP, mask))
        return HistoryState(start + added, tuple(tensors))

    def beginning(self, state: HistoryState, entries: int) -> HistoryState:
        """The keys and values of the first entries: those of no entry depend on a later one."""
        return HistoryState(entries, tuple(x_HKP[:, : 2 * entries] for x_HKP in state.tensors))

    def score_logits(self, state: HistoryState, viewer: Ids, candidates: Candidates) -> Tensor:
        """Logits (C, A): each candidate is a post at the end of the history, alone with it."""
        check_viewers(viewer[None], self.schema, 1)
        rows = self.rows(candidates)
        post_CD = self._post_tokens(rows)
        end = torch.tensor([2 * state.entries], device=post_CD.device)
        rotation = rotation_at(end, self.head_width, post_CD)
        for layer, block in enumerate(self._layers()):
            k_HKP, v_HKP = state.tensors[2 * layer : 2 * layer + 2]
            own_k_CHP, own_v_CHP = block.keys_values(post_CD, rotation)
            attend = partial(_attend_as_candidates, k_HKP, v_HKP, own_k_CHP, own_v_CHP)
            post_CD = block(post_CD, rotation, attend)
        viewer_1D = self.viewers(id_tensor(viewer[None], post_CD))
        return self._fused_logits(self.post_norm(post_CD), rows, viewer_1D.expand(len(post_CD), -1))

    def _posts_in_context(self, rows: RowTensors, sequences: Sequences) -> Tensor:
        packing = pack(sequences.lengths, sequences.seen)
        tokens_MD = self._history_tokens(rows, sequences)
        rotation = self._history_rotation(sequences.seen)
        *earlier, last = self._layers()
        if earlier:
            attend = PackedAttention(packing, tokens_MD)
        for block in earlier:
            k_MHP, v_MHP = block.keys_values(tokens_MD, rotation)
            tokens_MD = block(tokens_MD, rotation, partial(attend, k_NHP=k_MHP, v_NHP=v_MHP))
        k_MHP, v_MHP = last.keys_values(tokens_MD, rotation)
        attend_posts = partial(PackedAttention(packing, tokens_MD, posts_only=True), k_NHP=k_MHP, v_NHP=v_MHP)
        posts_ND: Tensor = last(tokens_MD[::2], Rotation(*(part[::2] for part in rotation)), attend_posts)
        return posts_ND

    def _post_tokens(self, rows: RowTensors) -> Tensor:
        post_ND: Tensor = self.dropout(self.post_token(torch.cat([rows.item_ND, rows.early_NF], dim=1)))
        return post_ND

    def _history_tokens(self, rows: RowTensors, history: History) -> Tensor:
        actions_NA = float_tensor(history.actions, rows.item_ND)
        none_N1 = (actions_NA == 0).all(1, keepdim=True).to(actions_NA.dtype)
        did = [rows.item_ND, actions_NA, none_N1, self.history_values(history)]
        action_ND = self.dropout(self.action_token(torch.cat(did, dim=1)))
        return torch.stack([self._post_tokens(rows), action_ND], dim=1).flatten(0, 1)

    def _history_rotation(self, seen_N: Counts) -> Rotation:
        positions_M = id_tensor(2 * seen_N[:, None] + np.arange(2), self.prior_A).flatten()
        return rotation_at(positions_M, self.head_width, self.prior_A)

    def _fused_logits(self, post_ND: Tensor, rows: RowTensors, viewer_ND: Tensor) -> Tensor:
        fused_NF = torch.cat([post_ND, rows.late_NF, self.dropout(viewer_ND)], dim=1)
        logits_NA: Tensor = self.prior_A + self.head(fused_NF)
        return logits_NA

    def _layers(self) -> list[Block]:
        return cast("list[Block]", list(self.blocks))


def _attend_history(k_HKP: Tensor, v_HKP: Tensor, mask: list[QueryBlock], q_MHP: Tensor) -> Tensor:
    q_1HMP = q_MHP.transpose(0, 1)[None]
    return masked_attention(q_1HMP, k_HKP[None], v_HKP[None], mask)[0].transpose(0, 1)


def _attend_as_candidates(k_HKP: Tensor, v_HKP: Tensor, own_k_CHP: Tensor, own_v_CHP: Tensor, q_CHP: Tensor) -> Tensor:
    q_HCP, own_k_HCP, own_v_HCP = (x.transpose(0, 1) for x in (q_CHP, own_k_CHP, own_v_CHP))
    return split_attention(q_HCP, k_HKP, v_HKP, own_k_HCP, own_v_HCP).transpose(0, 1)
