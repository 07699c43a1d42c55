"""A configuration with something varied: batch and length, the device, the size of the model, the model itself.

Pages draw these, and the tables to take home hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.cached import once
from llmcalc.catalog.accelerators import devices_by_memory
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.comparison import Pinned
from llmcalc.configuration import Configuration
from llmcalc.fit.alignment import AlignedStep
from llmcalc.inputs import integer
from llmcalc.quantity import Quantity
from llmcalc.scaling import (
    KAPLAN_CRITICAL_PARAMETERS,
    loss_from_parameters,
    parameters_for_better_metric,
    parameters_for_lower_loss,
    performance_from_parameters,
)
from llmcalc.serving.job import runs_on
from llmcalc.step.step import Step

KNOBS = ("batch_size", "seq_len")


@dataclass(frozen=True)
class Growth:
    """Bytes of the training peak and of inference at each stop of an input, with its present value among them."""

    stops: np.ndarray
    training: np.ndarray
    inference: np.ndarray


@once
def growth_of_batch(config: Configuration, *, last: int) -> Growth:
    """Memory against the batch up to its last stop, the length as it is."""
    here, length = (config.values[knob] for knob in KNOBS)
    stops = np.array(sorted({here, *(stop for stop in integer("batch_size").scale if stop <= last)}), dtype=float)
    inference = np.broadcast_to(config.inference_of(stops, length).value, stops.shape)
    return Growth(stops, config.training_peak_of(stops, length), inference)


@once
def with_each_optimizer(config: Configuration) -> dict[str, Step | AlignedStep]:
    """The training step on one device with every optimizer of the catalogue."""
    return {id: Configuration({**config.values, "optimizer": id}).step for id in OPTIMIZERS}


@once
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


@once
def largest(config: Configuration, purpose: str) -> dict[str, dict[int, int]]:
    """Of each knob the largest value that fits, by the memory of a device, the other as it is; 0 for none."""
    sizes = list(devices_by_memory())
    found = {knob: config.largest_that_fits(purpose, knob, np.array(sizes)) for knob in config.knobs_of(purpose)}
    return {knob: dict(zip(sizes, values.tolist(), strict=True)) for knob, values in found.items()}


@once
def devices_for(config: Configuration, purpose: str) -> dict[int, list[str]]:
    """The devices by their memory, the smallest first; for inference those that its engine runs on."""
    found = devices_by_memory()
    if purpose == "training":
        return found
    engine = config.requests.engine
    of_engine = {size: [id for id in names if runs_on(engine, id)] for size, names in found.items()}
    return {size: names for size, names in of_engine.items() if names}


@dataclass(frozen=True)
class MemoryMap:
    """Bytes that a process needs over batch × length: at points that lie evenly on logarithmic scales, and at the whole
    sequences and tokens nearest to each."""

    batches: np.ndarray
    lengths: np.ndarray
    needed: np.ndarray
    needed_by_whole: np.ndarray

    @property
    def whole_batches(self) -> np.ndarray:
        """Whole sequences."""
        return self.batches.round()

    @property
    def whole_lengths(self) -> np.ndarray:
        """Whole tokens."""
        return self.lengths.round()


@once
def memory_map(
    config: Configuration, purpose: str, *, batches: tuple[float, float, int], lengths: tuple[float, float, int]
) -> MemoryMap:
    """From the first to the last of both, in so many points; further where the present run is."""
    batch, length = (
        np.geomspace(min(first, here), max(last, here), count)
        for here, (first, last, count) in zip(config.sizes_of(purpose).values(), (batches, lengths), strict=True)
    )
    both = np.stack([batch, batch.round()])[:, :, None], np.stack([length, length.round()])[:, None, :]
    return MemoryMap(batch, length, *config.needed_for(purpose, *both))  # one sweep for both


@once
def least_needed(config: Configuration, purpose: str) -> float:
    """Bytes that a process needs for a single sequence, or request, of the present length."""
    _, length = config.sizes_of(purpose).values()
    return float(config.needed_for(purpose, np.ones(1), np.array([float(length)]))[0])


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
    yield from (Configuration(model.values(config.run_alike, config.base)) for model in pinned)
