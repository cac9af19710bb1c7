"""Exact finders leave out none of the nearest, however vectors, query and what is hidden are drawn."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from fourfold.scoring import nearest
from fourfold.scoring.nearest import ByteProducts, FloatProducts, Hidden, Vectors, exact_finder, multiplies_bytes

FINDERS = [FloatProducts, ByteProducts]


def drawn(seed: int, size: int, width: int, spread: float) -> tuple[Vectors, Vectors]:
    """Vectors around a few centres, so close that rounding to bytes confuses them, and a query among them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((4, width), np.float32)
    vectors = centres[rng.integers(0, 4, size)] + rng.standard_normal((size, width), np.float32) * np.float32(spread)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = centres[0] + rng.standard_normal(width, np.float32) * np.float32(0.3)
    return vectors, query / np.linalg.norm(query)


@pytest.mark.parametrize("finder", FINDERS)
@given(
    st.integers(0, 10_000), st.integers(1, 300), st.sampled_from([1, 3, 8, 64]), st.sampled_from([0.001, 0.1, 1.0]), st.data()
)
def test_none_of_the_nearest_is_left_out(
    finder: type[FloatProducts | ByteProducts], seed: int, size: int, width: int, spread: float, data: st.DataObject
) -> None:
    vectors, query = drawn(seed, size, width, spread)
    keep = data.draw(st.integers(1, size + 3))
    hidden = np.flatnonzero(np.random.default_rng(seed + 1).random(size) < data.draw(st.sampled_from([0.0, 0.1, 0.9, 1.1])))
    assume(finder is FloatProducts or multiplies_bytes(width))
    found = finder(vectors).near(query, keep, Hidden(size, hidden))
    exact = vectors.astype(np.float64) @ query
    shown = np.setdiff1d(np.arange(size), hidden)
    wanted = shown[np.argsort(-exact[shown], kind="stable")[:keep]]
    assert set(wanted) <= set(found.tolist()) <= set(shown)


def test_bytes_find_little_more_than_what_was_asked_for() -> None:
    vectors, query = drawn(1, 20_000, 64, 0.5)
    found = ByteProducts(vectors).near(query, 500, Hidden(20_000))
    assert 500 <= len(found) < 4_000


def test_what_rounding_puts_far_behind_is_still_found() -> None:
    widest = np.zeros(64, np.float32)
    widest[0] = -127  # so that a step of rounding is 1
    best = np.full(64, 10.49, np.float32)  # rounded: a product of 640 instead of 671.4
    other = np.tile(np.array([10.4, 10.51], np.float32), 32)  # 672 instead of 669.1
    vectors = np.stack([widest, best, other])
    assert set(ByteProducts(vectors).near(np.ones(64, np.float32), 1, Hidden(3)).tolist()) == {1, 2}


def test_a_query_of_zeros_finds_everything() -> None:
    vectors, query = drawn(2, 50, 8, 0.5)
    assert len(ByteProducts(vectors).near(np.zeros_like(query), 5, Hidden(50))) == 50


def test_the_rows_that_may_be_found_as_bits() -> None:
    bits = np.unpackbits(Hidden(11, np.array([0, 9])).others, bitorder="little")
    assert np.flatnonzero(bits).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 10]


def test_a_single_column_is_searched_in_single_precision() -> None:
    assert isinstance(exact_finder(np.ones((3, 1), np.float32)), FloatProducts)


@pytest.fixture
def anew() -> Iterator[None]:
    multiplies_bytes.cache_clear()
    yield
    multiplies_bytes.cache_clear()


@pytest.mark.usefixtures("anew")
def test_a_processor_that_saturates_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(query: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return (query.int() @ codes.int()).clamp(-32_768, 32_767)

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not multiplies_bytes(64)
    assert isinstance(exact_finder(np.ones((3, 64), np.float32)), FloatProducts)


@pytest.mark.usefixtures("anew")
def test_a_pytorch_without_products_of_bytes_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(torch, "_int_mm")
    with caplog.at_level(logging.INFO, nearest.__name__):
        assert isinstance(exact_finder(np.ones((3, 64), np.float32)), FloatProducts)
    assert "searched in single precision" in caplog.text
