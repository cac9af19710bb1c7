import numpy as np
import pyarrow as pa

from fourfold.features.values import LARGEST, MISSING, SCALE, fixed, floats


def test_values_are_kept_as_multiples() -> None:
    found = fixed(pa.array([1.5, None, -2.0, 1e300, -1e300, 2**-17 + 2**-20, 0.0]))
    assert found.dtype == np.int64
    assert found.tolist() == [3 * SCALE // 2, MISSING, -2 * SCALE, LARGEST * SCALE, -LARGEST * SCALE, 1, 0]


def test_and_read_again() -> None:
    assert floats(fixed(pa.array([1.5, None])))[0] == 1.5
    assert np.isnan(floats(fixed(pa.array([1.5, None])))[1])
    assert fixed(pa.array([], pa.float64())).shape == (0,)
    assert fixed(pa.array([None], pa.float64())).tolist() == [MISSING]
