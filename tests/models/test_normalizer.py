import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from fourfold.models.normalizer import KNOTS, SAMPLE, Normalizer, standard_ranks

NUMBERS = st.floats(-1e6, 1e6, width=32) | st.just(float("nan")) | st.sampled_from([0.0, 1.0])


def fitted(values: np.ndarray) -> Normalizer:
    normalizer = Normalizer(values.shape[1])
    normalizer.fit(values.astype(np.float32))
    return normalizer


def test_ranks_of_a_skewed_number_are_standard_normal() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=(20_000, 1)) * 3)
    ranks = fitted(values)(torch.from_numpy(values).float())[:, 0].numpy()
    expected = norm.ppf((np.argsort(np.argsort(values[:, 0])) + 0.5) / len(values))
    inner = np.abs(expected) < 1.9
    np.testing.assert_allclose(ranks[inner], expected[inner], atol=0.05)
    assert np.abs(ranks).max() == pytest.approx(norm.ppf(1 - 0.5 / KNOTS), rel=1e-6)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    values = np.repeat([[0.0], [7.0]], [750, 250], axis=0)
    ranks = fitted(values)(torch.tensor([[0.0], [7.0], [-5.0], [99.0]]))[:, 0]
    low, high = standard_ranks()[:48].mean().item(), standard_ranks()[48:].mean().item()
    torch.testing.assert_close(ranks, torch.tensor([low, high, low, high]), atol=1e-6, rtol=0)


def test_a_constant_column_is_zero_and_missing_values_are_zero_with_an_indicator() -> None:
    values = np.array([[3.0, np.nan, 1.0]] * 9)
    out = fitted(values)(torch.tensor([[3.0, 5.0, float("nan")], [8.0, float("nan"), float("inf")]]))
    torch.testing.assert_close(out[:, :3], torch.zeros(2, 3), atol=1e-6, rtol=0)
    assert out[:, 3:].tolist() == [[0, 0, 1], [0, 1, 0]]


def test_before_a_fit_numbers_pass_through_clipped() -> None:
    normalizer = Normalizer(1)
    assert not normalizer.fitted
    out = normalizer(torch.tensor([[0.25], [-1.5], [50.0]]))[:, 0]
    torch.testing.assert_close(out, torch.tensor([0.25, -1.5, standard_ranks()[-1].item()]))


@given(arrays(np.float32, st.tuples(st.integers(1, 40), st.just(1)), elements=NUMBERS))
@settings(max_examples=50, deadline=None)
def test_ranks_keep_the_order_and_stay_bounded(values: np.ndarray) -> None:
    known = np.sort(values[~np.isnan(values)])
    ranks = fitted(values)(torch.from_numpy(known)[:, None])[:, 0].numpy()
    assert np.isfinite(ranks).all()
    assert (np.diff(ranks) >= -1e-5).all()
    assert (np.abs(ranks) <= norm.ppf(1 - 0.5 / KNOTS) + 1e-5).all()


def test_a_fit_reads_an_even_sample_of_many_rows() -> None:
    values = np.arange(4 * SAMPLE, dtype=np.float32)[:, None]
    middle = fitted(values)(torch.tensor([[2.0 * SAMPLE]]))[0, 0]
    assert abs(middle.item()) < 1e-3


def test_no_numbers_are_no_columns() -> None:
    assert fitted(np.zeros((3, 0)))(torch.zeros(5, 0)).shape == (5, 0)


def test_a_missing_value_is_the_middle_and_not_the_rank_of_zero() -> None:
    normalizer = fitted(np.arange(5.0, 105.0)[:, None])
    missing, zero = normalizer(torch.tensor([[float("nan")], [0.0]]))
    assert missing.tolist() == [0, 1]
    assert zero[0] < -2
