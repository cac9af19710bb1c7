import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.models.packing import GROWTH, pack


@given(st.lists(st.integers(0, 60), max_size=12))
@settings(max_examples=50, deadline=None)
def test_every_row_is_in_one_view_and_finds_its_way_back(lengths: list[int]) -> None:
    sizes = np.array(lengths, dtype=np.int64)
    steps = np.concatenate([np.zeros(0, np.int64), *(np.arange(n) for n in lengths)])
    packing = pack(sizes, steps)
    order = np.concatenate([np.zeros(0, np.int64), *(b.rows_BT.ravel()[b.taken] for b in packing.buckets)])
    np.testing.assert_array_equal(order[packing.inverse_N], np.arange(sizes.sum()))
    for bucket in packing.buckets:
        real = np.zeros(bucket.rows_BT.size, dtype=bool)
        real[bucket.taken] = True
        counts = real.reshape(bucket.rows_BT.shape).sum(1)
        assert counts.max() == bucket.rows_BT.shape[1] <= counts.min() * GROWTH + 1
        np.testing.assert_array_equal(bucket.rows_BT.max(1) - bucket.rows_BT.min(1) + 1, counts)
        np.testing.assert_array_equal(bucket.seen_BT, steps[bucket.rows_BT])


def test_an_entry_that_sees_itself_is_refused() -> None:
    with pytest.raises(ValueError, match=r"seen\[3\] is 2; entry 1 of a window sees 0 to 1 entries"):
        pack(np.array([2, 2]), np.array([0, 1, 0, 2]))
    with pytest.raises(ValueError, match=r"seen\[0\] is -1"):
        pack(np.array([1]), np.array([-1]))
