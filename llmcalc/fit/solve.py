"""The largest whole number whose memory is no more than a device has: exact, and for many devices at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

MOST = 2**20  # where the search ends, since some memory does not grow at all
_POINTS = 24  # into how many pieces, in equal ratios, each round cuts what is left to search


def largest_that_fits(needs: Callable[[Any], Any], memory: Any, most: int = MOST, every: int = 1) -> Any:
    """The largest multiple n of ``every`` up to ``most`` with needs(n) ≤ ``memory``, for each memory; 0 where there is
    none.

    ``needs`` takes an array of whole numbers in rising order and never falls, so each round of sweeps leaves one gap to
    search, for each memory, until the gap is closed.
    """
    memory = np.asarray(memory, float)
    most //= every
    fits, fails = np.zeros(memory.shape, int), np.full(memory.shape, most + 1)
    while np.any(open_ := fails - fits > 1):
        gaps = np.unique(np.stack([fits[open_], fails[open_]], axis=-1), axis=0)
        tried = np.unique(np.concatenate([_between(int(low), int(high)) for low, high in gaps]))
        needed = np.broadcast_to(needs(every * tried.astype(float)), tried.shape)
        ends = np.concatenate([[0], tried, [most + 1]])
        place = np.searchsorted(needed, memory, side="right")
        fits, fails = np.maximum(fits, ends[place]), np.minimum(fails, ends[place + 1])
    return every * fits[()]


def _between(low: int, high: int) -> np.ndarray:
    """Some of the whole numbers between two others, neither of them among these."""
    points = np.unique(np.geomspace(low + 1, high - 1, min(_POINTS, high - low - 1)).round().astype(int))
    return points[(points > low) & (points < high)]
