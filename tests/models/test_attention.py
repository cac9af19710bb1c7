import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.models.attention import (
    QUERY_BLOCK,
    flash_attention,
    history_mask,
    masked_attention,
    plain_attention,
    rotate,
    rotation_at,
    split_attention,
)
from tests.contract.ranker_contract import seen_of

DOUBLE = torch.zeros((), dtype=torch.float64)


def visible(seen: np.ndarray) -> np.ndarray:
    """The rule in words, token by token: (2T, 2T), true where the row's token sees the column's."""
    tokens = [(entry, kind) for entry in range(len(seen)) for kind in ("post", "action")]
    return np.array(
        [
            [
                other < seen[entry] or (other == entry and (kind == "action" or other_kind == "post"))
                for other, other_kind in tokens
            ]
            for entry, kind in tokens
        ]
    )


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_the_mask_is_the_rule(requests: list[int], first: int) -> None:
    seen = seen_of(requests)
    first = min(first, len(seen) - 1)
    tokens = torch.arange(2 * first, 2 * len(seen))
    (block,) = history_mask(tokens, torch.from_numpy(seen[first:])[None], first, DOUBLE)
    assert block.keys == 2 * len(seen)
    np.testing.assert_array_equal(block.mask_B1QK[0, 0].numpy() == 0, visible(seen)[2 * first :])
    assert set(np.unique(block.mask_B1QK.numpy())) <= {0.0, -np.inf}


def test_blocks_of_queries_give_what_one_dense_mask_gives() -> None:
    seen = seen_of([3, 1, 2] * 45)
    count = 2 * len(seen)
    assert count > 2 * QUERY_BLOCK
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, count, 4, dtype=torch.float64)
    mask = history_mask(torch.arange(count), torch.from_numpy(seen)[None], 0, DOUBLE)
    scores = (q @ k.transpose(2, 3) / 2).masked_fill(torch.from_numpy(~visible(seen)), -torch.inf)
    torch.testing.assert_close(masked_attention(q, k, v, mask), scores.softmax(-1) @ v)
    assert [block.keys for block in mask] == [256, 512, count]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("keys", [1, 7, 600])
def test_the_fused_kernel_and_the_plain_path_agree(dtype: torch.dtype, keys: int) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 5, 8, dtype=dtype), torch.randn(2, keys, 8, dtype=dtype), torch.randn(2, keys, 8, dtype=dtype)
    for ours, theirs in zip(flash_attention(q, k, v), plain_attention(q, k, v), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("keys", [0, 1, 9])
def test_split_attention_is_attention_over_history_and_self(keys: int, scale: float) -> None:
    torch.manual_seed(0)
    q, own_k, own_v = torch.randn(3, 2, 6, 4, dtype=torch.float64)
    k, v = torch.randn(2, 2, keys, 4, dtype=torch.float64)
    split = split_attention(q * scale, k, v, own_k, own_v)
    for candidate in range(6):
        one = slice(candidate, candidate + 1)
        all_k, all_v = torch.cat([k, own_k[:, one]], dim=1), torch.cat([v, own_v[:, one]], dim=1)
        expected, _ = plain_attention(q[:, one] * scale, all_k, all_v)
        torch.testing.assert_close(split[:, one], expected, atol=1e-12, rtol=0)


def test_rotated_products_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 8, dtype=torch.float64)

    def product(at: int, other: int) -> float:
        turned = [rotate(x, rotation_at(torch.tensor([p]), 8, DOUBLE)) for x, p in ((q, at), (k, other))]
        return float((turned[0] * turned[1]).sum())

    assert product(7, 3) == pytest.approx(product(1007, 1003), abs=1e-10)
    assert product(7, 7) == pytest.approx(float((q * k).sum()), abs=1e-12)
    assert abs(product(7, 3) - product(7, 4)) > 1e-3
