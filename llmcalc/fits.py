"""The largest batch, and the longest sequence, whose memory is no more than a device has: exact, and for many at once.

>>> import llmcalc
>>> run = llmcalc.TrainingRun(batch_size=8, seq_len=1024)
>>> int(largest_batch(llmcalc.Dimensions().model(), run, 80e9))
81
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from llmcalc.step.run import TrainingRun
from llmcalc.step.step import peak_sweep
from llmcalc.transformer.model import Model

MOST = 2**20  # where the search ends, since some memory does not grow at all
_POINTS = 24  # into how many pieces, in equal ratios, each round cuts what is left to search


def largest_batch(model: Model, run: TrainingRun, memory: Any, *, most: int = MOST) -> Any:
    """The largest batch with which a training step peaks at no more than ``memory`` bytes (one or many), up to
    ``most``; 0 where not even one sequence fits. The batch size of ``run`` does not matter."""
    return largest_that_fits(lambda n: peak_sweep(model, replace(run, batch_size=n)), memory, most)


def longest_sequence(model: Model, run: TrainingRun, memory: Any, *, most: int = MOST) -> Any:
    """The longest sequence with which a training step peaks at no more than ``memory`` bytes (one or many), up to
    ``most``; 0 where not even one token fits. The sequence length of ``run`` does not matter."""
    return largest_that_fits(lambda n: peak_sweep(model, replace(run, seq_len=n)), memory, most)


def largest_that_fits(needs: Callable[[Any], Any], memory: Any, most: int = MOST) -> Any:
    """The largest whole number n up to ``most`` with needs(n) ≤ ``memory``, for each memory; 0 where there is none.

    ``needs`` takes an array of whole numbers in rising order and never falls, so each round of sweeps leaves one gap to
    search, for each memory, until the gap is closed.
    """
    memory = np.asarray(memory, float)
    fits, fails = np.zeros(memory.shape, int), np.full(memory.shape, most + 1)
    while np.any(open_ := fails - fits > 1):
        gaps = np.unique(np.stack([fits[open_], fails[open_]], axis=-1), axis=0)
        tried = np.unique(np.concatenate([_between(int(low), int(high)) for low, high in gaps]))
        needed = np.broadcast_to(needs(tried.astype(float)), tried.shape)
        ends = np.concatenate([[0], tried, [most + 1]])
        place = np.searchsorted(needed, memory, side="right")
        fits, fails = np.maximum(fits, ends[place]), np.minimum(fails, ends[place + 1])
    return fits[()]


def _between(low: int, high: int) -> np.ndarray:
    """Some of the whole numbers between two others, neither of them among these."""
    points = np.unique(np.geomspace(low + 1, high - 1, min(_POINTS, high - low - 1)).round().astype(int))
    return points[(points > low) & (points < high)]
