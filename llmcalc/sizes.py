"""The larger and the smaller of two sizes: exact integers of Python, or arrays in a sweep or a table.

NumPy's own make int64 of two integers, which is too small for what a reader can ask for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Size = Any  # int, or a float64 array


def larger(a: Size, b: Size) -> Size:
    """The larger of two sizes, cell by cell in an array."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.maximum(a, b)
    return max(a, b)


def smaller(a: Size, b: Size) -> Size:
    """The smaller of two sizes, cell by cell in an array."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.minimum(a, b)
    return min(a, b)
