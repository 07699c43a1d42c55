"""A configuration with something varied: batch and length, the device, the size of the model, the model itself.

Pages draw these, and the tables to take home hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.catalog.accelerators import devices_by_memory
from llmcalc.comparison import Pinned
from llmcalc.configuration import Configuration
from llmcalc.inputs import integer
from llmcalc.quantity import Quantity
from llmcalc.scaling import (
    KAPLAN_CRITICAL_PARAMETERS,
    loss_from_parameters,
    parameters_for_better_metric,
    parameters_for_lower_loss,
    performance_from_parameters,
)

KNOBS = ("batch_size", "seq_len")


@dataclass(frozen=True)
class Growth:
    """Bytes of the training peak and of inference at each stop of an input, with its present value among them."""

    stops: np.ndarray
    training: np.ndarray
    inference: np.ndarray


def growth(config: Configuration) -> dict[str, Growth]:
    """Memory against the batch and against the length, each at the stops of its slider, the other as it is."""
    here = {knob: config.values[knob] for knob in KNOBS}
    stops = {knob: np.array(sorted({*integer(knob).scale, now}), dtype=float) for knob, now in here.items()}
    count = len(stops["batch_size"])
    batch = np.concatenate([stops["batch_size"], np.full(len(stops["seq_len"]), here["batch_size"])])
    length = np.concatenate([np.full(count, here["seq_len"]), stops["seq_len"]])
    # one sweep for both
    memory = [config.training_peak_of(batch, length), config.inference_of(batch, length).value]
    training, inference = (np.split(np.broadcast_to(found, batch.shape), [count]) for found in memory)
    return {knob: Growth(stops[knob], training[at], inference[at]) for at, knob in enumerate(KNOBS)}


def largest(config: Configuration, purpose: str) -> dict[str, dict[int, int]]:
    """Of each knob the largest value that fits, by the memory of a device, the other as it is; 0 for none."""
    sizes = list(devices_by_memory())
    found = {knob: config.largest_that_fits(purpose, knob, np.array(sizes)) for knob in KNOBS}
    return {knob: dict(zip(sizes, values.tolist(), strict=True)) for knob, values in found.items()}


def law_loss(config: Configuration, parameters: Any) -> Quantity:
    """The loss by Kaplan et al.'s law at the reader's exponent, in nats a token, of a model of so many parameters."""
    alpha = config.values["alpha"]
    found: Quantity = loss_from_parameters(
        critical_parameters=KAPLAN_CRITICAL_PARAMETERS, parameters=parameters, alpha=alpha
    )
    return found


def law_performance(config: Configuration, parameters: Any) -> Any:
    """The article's performance at the reader's exponent, in terms of what this model has."""
    alpha, here = config.values["alpha"], config.model.non_embedding_parameters()
    ours, theirs = (performance_from_parameters(parameters=n, alpha=alpha) for n in (here, parameters))
    return theirs.value / ours.value


def times_parameters(config: Configuration, improvement: float | None = None) -> dict[str, Quantity]:
    """How many times the parameters an improvement in % takes, or the one that the reader wants, by what improves."""
    percent = config.values["improvement"] if improvement is None else improvement
    asked = {"improvement": percent, "alpha": config.values["alpha"]}
    return {"performance": parameters_for_better_metric(**asked), "loss": parameters_for_lower_loss(**asked)}


def side_by_side(config: Configuration, pinned: Iterable[Pinned]) -> Iterator[Configuration]:
    """The model and the pinned ones, all run as it is."""
    yield config
    yield from (Configuration(model.values(config.values)) for model in pinned)
