"""What one device holds of a training step on several, on the pipeline rank that needs most.

Derived from the simulation of the step on one device, every piece of memory cut up as the layout says. On one device it
is that simulation to the byte; on several it is an estimate, with buffers for messages, and nothing for fragmentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from llmcalc.devices.layout import Layout, check_layout
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.shard import smaller
from llmcalc.devices.stage import Stage
from llmcalc.devices.work import Work
from llmcalc.quantity import Quantity, total
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import by_component, of_category, rounding
from llmcalc.transformer.model import Model

_FIRST_STAGES = 3  # layers of other kinds, such as dense ones before mixtures of experts, come first
_OF_A_MOMENT = (
    "gradients",
    "inputs",
    "weight_casts",
    "held_logits",
    "activation_gradients",
    "optimizer_temporary",
    "in_flight",
    "communication",
)


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


@dataclass(frozen=True, eq=False)
class RankMemory:
    """The memory of a step laid out as ``layout`` says, in bytes. What it is made of is that of `neediest`."""

    work: Work
    run: TrainingRun
    layout: Layout

    @cached_property
    def neediest(self) -> Stage:
        """The pipeline rank that needs most."""
        return max(candidates(self.work, self.run, self.layout), key=lambda stage: stage.peak)

    @property
    def weights(self) -> Quantity:
        """Weights as the forward pass finds them."""
        return self.neediest.weights

    @property
    def gradients(self) -> Quantity:
        """Gradients once the backward pass is through."""
        return self.neediest.gradients

    @property
    def optimizer_state(self) -> Quantity:
        """What the optimizer keeps, wherever it is."""
        return self.neediest.optimizer_state

    @property
    def in_flight(self) -> Quantity:
        """Activations of the micro-batches in flight but the one in its backward pass."""
        return self.neediest.waiting

    @property
    def communication(self) -> Quantity:
        """Buffers of messages to and from other ranks."""
        return self.neediest.buffers

    @property
    def traffic(self) -> Quantity:
        """Bytes that the rank sends in one step."""
        return self.neediest.traffic

    @property
    def _temporary(self) -> Quantity:
        meaning = "What the optimizer allocates while it steps."
        size = self.neediest.optimizer_temporary
        return Quantity("optimizer_temporary", size, "bytes", r"M_\text{temporary}", meaning=meaning)

    @cached_property
    def peak(self) -> Quantity:
        """The most that is allocated at once, as a sum of what is alive then."""
        stage = self.neediest
        moment = stage.timeline.moment_of_most()
        alive = {category: of_category(moment.alive, category) for category in _OF_A_MOMENT}
        stays = [stage.weights, stage.model_buffers]
        all_there = self.run.gradients_stay or alive["optimizer_temporary"]
        gradients = stage.gradients if all_there else alive["gradients"]
        stays += [gradients] if gradients else []
        stays += [] if self.layout.offload_optimizer else [stage.optimizer_state]
        passing = [stage.inputs if alive["inputs"] else None, alive["weight_casts"], alive["held_logits"]]
        passing += by_component(moment.alive, "activations")
        passing += [alive["activation_gradients"], self._temporary if alive["optimizer_temporary"] else None]
        passing += [stage.waiting if alive["in_flight"] else None, stage.buffers if alive["communication"] else None]
        parts = tuple(part for part in (*stays, *passing) if part and part.value)
        return total("rank_peak", r"M_\text{rank}", *parts, *rounding(moment.bytes, parts))


def rank_memory(model: Model, run: TrainingRun, layout: Layout, *, counted: Model | None = None) -> RankMemory:
    """Memory of one device where ``run`` of ``model`` is laid out over several.

    The run's ``batch_size`` is one micro-batch of one data-parallel rank, its ``gradient_accumulation`` the number of
    micro-batches in a step. ``counted`` is the model whose weights are counted, where ``model`` only stands in for its
    layers.

    Raises InputError, naming the input to change, for a layout that cannot be, and for a model whose code has not been
    read.
    """
    check_layout(model, run, layout)
    return RankMemory(Work(model, run, counted or model), run, layout)
