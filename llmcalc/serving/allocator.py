"""What PyTorch's CUDA allocator counts as allocated for tensors of given sizes (c10/cuda/CUDACachingAllocator.cpp).

It takes memory in segments and cuts tensors out of them; what is left of a segment stays with the last tensor where it
is too little to be worth a piece of its own.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

STEP = 512  # every size is a multiple of it
_SMALL = 2**20  # tensors up to so many bytes share small segments,
_SMALL_SEGMENT = 2 * 2**20
_LARGE = 10 * 2**20  # and those below this share large ones; others have a segment of their own,
_LARGE_SEGMENT = 20 * 2**20
_SEGMENT_STEP = 2 * 2**20  # a multiple of this


def allocated(sizes: Iterable[int]) -> int:
    """Bytes that are counted as allocated once tensors of these sizes, in bytes, were made one after the other."""
    free: dict[bool, list[int]] = {True: [], False: []}
    taken = 0
    for size in sizes:
        rounded = max(STEP, -(-size // STEP) * STEP)
        small = rounded <= _SMALL
        pool = free[small]
        at = bisect_left(pool, rounded)
        block = pool.pop(at) if at < len(pool) else _segment(rounded)
        left = block - rounded
        if left >= STEP if small else left > _SMALL:  # worth a piece of its own
            insort(pool, left)
            block = rounded
        taken += block
    return taken


def _segment(size: int) -> int:
    if size <= _SMALL:
        return _SMALL_SEGMENT
    return _LARGE_SEGMENT if size < _LARGE else -(-size // _SEGMENT_STEP) * _SEGMENT_STEP
