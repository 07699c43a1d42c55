"""Serving against the number of users: how fast it is, what bounds it, and how many are served in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.quantity import Quantity
from llmcalc.serving.job import Serving
from llmcalc.serving.speed import Speed, machine_of, speed_of
from llmcalc.transformer.model import Model

MOST_USERS = 65_536


@dataclass(frozen=True, eq=False)
class Batches:
    """A step of decoding by the number of users, in rising order; times in s, a sweep each.

    ``first`` is the wait for the first token, None where it is not known. ``reading`` and ``arithmetic`` are what a
    step takes for either, at the shares of the peak that are reached: the longer decides.
    """

    users: np.ndarray
    between: np.ndarray
    first: np.ndarray | None
    rate: np.ndarray
    reading: np.ndarray
    arithmetic: np.ndarray

    @property
    def turn(self) -> int | None:
        """From how many users on arithmetic takes as long as reading does; None: with no number that was tried."""
        bound = self.arithmetic >= self.reading
        return int(self.users[np.argmax(bound)]) if bound.any() else None

    def within(self, seconds: float) -> int:
        """The most users between whose tokens no more time passes; 0 where there are none."""
        late = self.between > seconds
        return int(self.users[-1]) if not late.any() else int(self.users[np.argmax(late)]) - 1


def batches(model: Model, job: Serving, most: int = MOST_USERS) -> Batches | None:
    """Every number of users from one to ``most``; None where nothing is known of the device's speed."""
    users = np.arange(1.0, most + 1)
    found = speed_of(model, job, concurrency=users)
    if found is None:
        return None
    work = next(part for part in found.step.parts if part.id == "work_time").inputs
    first = found.time_to_first_token
    return Batches(
        users,
        _over(users, found.time_between_tokens.value),
        None if first is None else _over(users, first.value),
        _over(users, found.tokens_per_second.value),
        _over(users, work["reading_seconds"].value / work["bandwidth_share"].value),
        _over(users, work["arithmetic_seconds"].value / work["compute_share"].value),
    )


def _over(users: np.ndarray, value: Any) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, float), users.shape)


@dataclass(frozen=True)
class Pass:
    """A pass on the device that does most: ``flops`` in it, ``bytes`` read, and the ``seconds`` it is predicted to
    take."""

    id: str
    flops: float
    bytes: float
    seconds: float

    @property
    def intensity(self) -> float:
        """Operations for each byte that is read."""
        return self.flops / self.bytes

    @property
    def rate(self) -> float:
        """Operations in a second."""
        return self.flops / self.seconds


def passes(found: Speed, job: Serving) -> list[Pass]:
    """A step of decoding, and the pass over a prompt, as points beside the roofline; none without a rate of products.
    A step of decoding takes its whole time, with what it spends on prompts and on what is fixed."""
    machine = machine_of(ACCELERATORS[job.device], job.weight_format)
    if machine.product_flops is None or found.prompt_bound is None or found.time_to_first_token is None:
        return []
    prompt = next(time for _, time in found.time_to_first_token.walk() if time.id == "prompt_time")
    times = (("decoding", found.step_bound, found.step), ("prefill", found.prompt_bound, prompt))
    rates = {"product_seconds": machine.product_flops, "score_seconds": machine.score_flops}
    return [
        Pass(
            id,
            sum(part.value * rates[part.id] for part in bound.inputs["arithmetic_seconds"].parts),
            bound.inputs["reading_seconds"].value * machine.bandwidth,
            float(time.value),
        )
        for id, bound, time in times
    ]


def quantity_of_turn(found: Batches) -> Quantity | None:
    """From how many users on decoding is bound by arithmetic, as a number that says how it was found."""
    if (users := found.turn) is None:
        return None
    meaning = "The first number of users with which arithmetic takes as long as reading, found by trying each."
    return Quantity("turning_point", users, "", r"B_\text{turn}", meaning=meaning)
