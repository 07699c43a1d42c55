"""Where no closed form is known: a root, and the lowest point of a valley. Both take arrays and look at all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_STEPS = 200  # halves any range of floats to its last bit
_GOLDEN = (5**0.5 - 1) / 2


def root_of_falling(function: Callable[[Any], Any], low: Any, high: Any) -> Any:
    """Where a function that falls goes through zero between ``low`` and ``high``, both positive; an end where it does
    not."""
    left, right = np.broadcast_arrays(np.log(np.asarray(low, dtype=float)), np.log(np.asarray(high, dtype=float)))
    for _ in range(_STEPS):
        middle = (left + right) / 2
        above = function(np.exp(middle)) > 0
        left, right = np.where(above, middle, left), np.where(above, right, middle)
    return _plain(np.exp((left + right) / 2))


def lowest(function: Callable[[Any], Any], low: Any, high: Any) -> Any:
    """Where a function that falls and then rises is lowest between ``low`` and ``high``, both positive."""
    left, right = np.broadcast_arrays(np.log(np.asarray(low, dtype=float)), np.log(np.asarray(high, dtype=float)))
    for _ in range(_STEPS):
        near, far = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
        falls = function(np.exp(near)) > function(np.exp(far))
        left, right = np.where(falls, near, left), np.where(falls, right, far)
    return _plain(np.exp((left + right) / 2))


def _plain(found: np.ndarray) -> Any:
    return found if found.ndim else float(found)
