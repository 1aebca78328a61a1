"""Item-by-item views of arrays, which give Python numbers and raise where numpy would wrap."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt


def int_view(array: npt.NDArray[np.int64] | npt.NDArray[np.int32]) -> "memoryview[int]":
    """Return a view of the integers of a contiguous array."""
    return memoryview(cast("Any", array))


def float_view(array: npt.NDArray[np.float64]) -> "memoryview[float]":
    """Return a view of the floats of a contiguous array."""
    return cast("memoryview[float]", memoryview(cast("Any", array)))
