"""The larger and the smaller of two sizes: exact integers of Python, or arrays in a sweep or a table.

NumPy's own make int64 of two integers, which is too small for what a reader can ask for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmcalc.errors import InputError

Size = Any  # int, or a float64 array


def check_size(name: str, value: Size, least: int = 1) -> None:
    """Raise InputError, naming the input, unless ``value`` is a whole number of at least ``least``, or an array of
    numbers of at least that (a sweep may stand between whole ones). True and false are no numbers."""
    if not _are_numbers(value):
        raise InputError(name, f"{name} must be a whole number, not {value!r}")
    if np.any(value < least if isinstance(value, int) else np.asarray(value) < least):
        raise InputError(name, f"{name} must be at least {least}")


def _are_numbers(value: Size) -> bool:
    if isinstance(value, int):  # as large as it is
        return not isinstance(value, bool)
    given = np.asarray(value)
    if given.dtype.kind not in "iuf" or not np.all(np.isfinite(given)):
        return False
    return given.ndim > 0 or bool(given == np.floor(given))


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
