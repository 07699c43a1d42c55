"""What one device holds of a training step on several, on the pipeline rank that needs most.

Derived from the simulation of the step on one device, every piece of memory cut up as the layout says. On one device it
is that simulation to the byte; on several it is an estimate, with buffers for messages, and nothing for fragmentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.devices.layout import Layout, check_layout
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.stage import Stage
from llmcalc.devices.work import Work, under_ddp, with_same_events
from llmcalc.quantity import Quantity, total
from llmcalc.sizes import larger, smaller
from llmcalc.step.buffers import MODEL_BUFFERS
from llmcalc.step.course import Course, nothing, of_category
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step, swept, training_step
from llmcalc.step.tape import Kind
from llmcalc.step.timeline import Timeline
from llmcalc.transformer.model import Model

# What fully sharded data parallel holds for a while
OF_SHARDED = {
    "gathered_weights": "Whole weights of what is outside the layers, and of the layer that runs.",
    "gather_buffer": "The buffer that a layer's weights are gathered into.",
    "cast_shards": "The rank's share of a layer's weights, cast before it is sent.",
    "whole_gradients": "Whole gradients of what is not yet reduced.",
    "reduce_buffer": "The buffer that a layer's gradients are reduced from.",
    "added_up": "Weights that stay gathered and gradients that are added up whole, through all micro-batches.",
}
_FIRST_STAGES = 3  # layers of other kinds, such as dense ones before mixtures of experts, come first


def candidates(work: Work, run: TrainingRun, layout: Layout) -> Iterator[Stage]:
    """The pipeline ranks of which one needs most.

    Of two made of layers alike the earlier needs more, as more micro-batches wait in it: so it is one of the first,
    or the last, which has the logits.
    """
    pieces, last = Pieces(work, run, layout), layout.pipeline_parallel - 1
    for number in range(_FIRST_STAGES if len(work.counted.blocks) > 1 else 1):
        if np.any(last > number):
            yield Stage(work, run, layout, smaller(number, last), pieces)
    yield Stage(work, run, layout, last, pieces)


def senders(work: Work, run: TrainingRun, layout: Layout) -> Iterator[Stage]:
    """The pipeline ranks of which one sends most: those, and the second, which sends both ways."""
    *firsts, last = candidates(work, run, layout)
    yield from firsts
    if np.any(layout.pipeline_parallel > 2):
        yield replace(last, stage=smaller(1, layout.pipeline_parallel - 1))
    yield last


@dataclass(frozen=True, eq=False, repr=False)
class RankMemory(Course):
    """The memory of a step laid out as ``layout`` says, in bytes. What it is made of is that of `neediest`."""

    model: Model
    run: TrainingRun
    layout: Layout
    work: Work

    @cached_property
    def neediest(self) -> Stage:
        """The pipeline rank that needs most."""
        return max(candidates(self.work, self.run, self.layout), key=lambda stage: stage.peak)

    @property
    def weights(self) -> Quantity:
        """Weights as the forward pass finds them."""
        return self.neediest.holds.weights

    @property
    def buffers(self) -> Quantity:
        """What the model's class registers beside the weights of the rank's layers."""
        return self.neediest.holds.model_buffers or nothing(MODEL_BUFFERS, r"M_\text{buffers}")

    @property
    def gradients(self) -> Quantity:
        """Gradients once the backward pass is through."""
        return self.neediest.holds.gradients

    @property
    def optimizer_state(self) -> Quantity:
        """What the optimizer keeps, wherever it is."""
        return self.neediest.holds.optimizer_state

    @property
    def optimizer_temporary(self) -> Quantity:
        """What the optimizer allocates while it steps."""
        meaning = "What the optimizer allocates while it steps."
        size = self.neediest.holds.optimizer_temporary
        return Quantity("optimizer_temporary", size, "bytes", r"M_\text{temporary}", meaning=meaning)

    @property
    def inputs(self) -> Quantity:
        """Token ids of one micro-batch."""
        return self.neediest.inputs

    @property
    def course(self) -> Timeline:
        """All changes of memory, in order."""
        return self.neediest.timeline

    @property
    def offloads_optimizer(self) -> bool:
        """Whether the optimizer's states are in the host's memory."""
        return bool(self.layout.offload_optimizer)

    @property
    def between_steps(self) -> Sequence[Quantity]:
        """The buckets of gradients stay."""
        exchange = self.neediest.exchange
        return [exchange.buckets] if exchange.buckets.value and not exchange.buckets_go else []

    def between_devices(self, alive: Mapping[Kind, int]) -> list[Quantity]:
        """Activations of micro-batches that wait for their backward pass, and buffers of messages."""
        exchange = self.neediest.exchange
        sizes: dict[str, float] = {}
        for kind, n in alive.items():
            if kind.category == "communication":
                sizes[kind.role] = sizes.get(kind.role, 0) + n * kind.bytes
        parts: list[Quantity] = []
        for role, size in sizes.items():
            if role == "communication":
                parts += exchange.passing.parts or [exchange.passing]
            elif role == "gradient_buckets":
                parts += exchange.buckets.parts or [exchange.buckets]
            elif size:
                symbol = rf"M_\text{{{role.replace('_', ' ')}}}"
                parts.append(Quantity(role, size, "bytes", symbol, meaning=OF_SHARDED[role]))
        waiting = [self.in_flight] if of_category(alive, "in_flight") else []
        parts = [part for part in parts if part.value]
        return [*waiting, *([total("communication", r"M_\text{comm}", *parts)] if parts else [])]

    @property
    def in_flight(self) -> Quantity:
        """Activations of the micro-batches in flight but the one in its backward pass."""
        return self.neediest.passage.waiting

    @property
    def communication(self) -> Quantity:
        """Buffers of messages to and from other ranks."""
        return self.neediest.exchange.buffers

    @cached_property
    def traffic(self) -> Quantity:
        """Bytes that the rank that sends most sends in one step."""
        ranks = senders(self.work, self.run, self.layout)
        return max((stage.traffic for stage in ranks), key=lambda sent: sent.value)

    @cached_property
    def peak(self) -> Quantity:
        """The most that is allocated at once, as a sum of what is alive then."""
        return super().peak.named("rank_peak", r"M_\text{rank}")


def rank_memory(model: Model, run: TrainingRun, layout: Layout, *, counted: Model | None = None) -> RankMemory:
    """Memory of one device where ``run`` of ``model`` is laid out over several.

    The run's ``batch_size`` is one micro-batch of one data-parallel rank, its ``gradient_accumulation`` the number of
    micro-batches in a step. ``counted`` is the model whose weights are counted, where ``model`` only stands in for its
    layers.

    Raises InputError, naming the input to change, for a layout that cannot be, and for a model whose code has not been
    read.
    """
    check_layout(model, run, layout)
    run = under_ddp(run, layout)
    return RankMemory(model, run, layout, _work(model, with_same_events(run, layout), counted or model))


@lru_cache(maxsize=64)
def _work(model: Model, run: TrainingRun, counted: Model) -> Work:
    """The events of a step: the same for every batch of more than one sequence, and for every layout."""
    return Work(model, run, counted)


@lru_cache(maxsize=256)
def step_on_each(model: Model, run: TrainingRun, layout: Layout, *, counted: Model | None = None) -> Step | RankMemory:
    """The step of the device that needs most: on one device alone the simulated step itself. Not for sweeps.

    Raises InputError as `rank_memory` does.
    """
    if layout == Layout():
        return step_on_one(model, run, counted or model)
    return rank_memory(model, run, layout, counted=counted)


@lru_cache(maxsize=256)
def step_on_one(model: Model, run: TrainingRun, counted: Model) -> Step:
    """The simulated step on one device, worked out once for all who ask. Not for sweeps."""
    return training_step(model, run, counted=counted)


def peak_on_each(model: Model, run: TrainingRun, layout: Layout, *, counted: Model | None = None) -> np.ndarray:
    """The peak of the device that needs most, in bytes, over arrays of batch size and sequence length, shaped as they
    broadcast. Lengths that the layout does not divide are rounded up, rank by rank."""

    def peak_of(part: TrainingRun) -> Any:
        if layout == Layout():
            return training_step(model, part, counted=counted).peak.value
        peak: Any = 0
        part = under_ddp(part, layout)
        for stage in candidates(Work(model, with_same_events(part, layout), counted or model), part, layout):
            peak = larger(peak, stage.peak)
        return peak

    return swept(model, run, peak_of)
