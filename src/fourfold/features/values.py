"""Values of actions as whole numbers, so that their sums do not depend on the order in which they are added."""

import numpy as np
import pyarrow as pa

from fourfold.features.table import Float, Int

SCALE = 1 << 16
"""Values are kept as whole multiples of one over this."""

LARGEST = 1 << 31
"""Values beyond this, either way, are kept as this. Sums below 2**47 are then exact."""

MISSING = int(np.iinfo(np.int64).min)
"""What stands for no value."""


def fixed(column: pa.Array) -> Int:
    """A float column as multiples of ``1 / SCALE``, shape (N,), int64; `MISSING` for null."""
    values = column.to_numpy(zero_copy_only=False)
    kept = np.rint(np.clip(np.nan_to_num(values), -LARGEST, LARGEST) * SCALE).astype(np.int64)
    return np.where(np.isnan(values), MISSING, kept)


def floats(values: Int) -> Float:
    """What `fixed` made, as numbers again; NaN where there is none."""
    return np.where(values == MISSING, np.nan, values / SCALE)
