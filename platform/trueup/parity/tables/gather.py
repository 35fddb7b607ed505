"""Values in another order, the one costly step of comparing rows that are not aligned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def gathered(values: npt.NDArray[Any], places: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """values[places], of numbers or truth values. Each place must be one: nothing checks it.

    Arrow's kernel reads 32-bit places as they are, where numpy widens them first: three times as fast over a column
    that is larger than the processor's cache.
    """
    plain = values.view(np.uint8) if values.dtype == np.bool_ else values
    found = pc.take(pa.array(plain), pa.array(places), boundscheck=False)
    return np.asarray(found).view(values.dtype)
