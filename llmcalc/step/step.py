"""One training step: its peak, what the peak is made of, and the memory of every moment.

>>> import llmcalc
>>> step = llmcalc.training_step(llmcalc.from_config({"model_type": "gpt2"}), llmcalc.TrainingRun(batch_size=8))
>>> step.peak_phase
'loss_backward'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.catalog.precisions import BYTES, Precision
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, total
from llmcalc.step.buffers import MODEL_BUFFERS, buffers_memory
from llmcalc.step.course import Course, nothing
from llmcalc.step.delta_net import CHUNK
from llmcalc.step.masks import MASK_STEP
from llmcalc.step.optimizer import optimizer_state, optimizer_temporary
from llmcalc.step.run import BASE_FORMATS, TrainingRun
from llmcalc.step.state import (
    adapter_parameters,
    frozen_weights_memory,
    gradients_memory,
    input_memory,
    module_parameters,
    weights_memory,
)
from llmcalc.step.timeline import Change, Timeline, piece, timeline
from llmcalc.step.weights import Weights, weights_of
from llmcalc.transformer.delta_net import DeltaNet
from llmcalc.transformer.model import Model

Size = Any  # int, or a float64 array in a sweep


@dataclass(frozen=True, eq=False, repr=False)
class Step(Course):
    """A training step of ``model`` run as ``run`` says. All memory is in bytes, as the allocator counts what is
    allocated.

    ``counted`` is the model whose parameters are counted, where ``model`` only stands in for its layers.
    """

    model: Model
    run: TrainingRun
    counted: Model

    # What stays

    @cached_property
    def _weights(self) -> Weights:
        return weights_of(self.model, self.run, self.counted)

    @cached_property
    def _adapters(self) -> Quantity:
        rank = self.run.lora_rank
        return adapter_parameters(lora_rank=rank, adapted_widths=self._weights.adapters.trainable // rank)

    @cached_property
    def _trained(self) -> tuple[tuple[Quantity, Callable[[], Weights], Precision], ...]:
        """What trains, the weights that are meant (which takes a run of the code), and the formats that they are in:
        all of a model; or adapters, and whole modules beside them."""
        run = self.run
        if not run.lora_rank:
            return ((self.counted.trainable_parameters(), lambda: self._weights, run.numbers),)
        weights = self._weights
        adapters, modules = (self._adapters, lambda: weights.adapters, run.trained), weights.modules
        if not modules.each:
            return (adapters,)
        return (adapters, (module_parameters(parameters=modules.trainable), lambda: modules, run.saved))

    @cached_property
    def trainable(self) -> Quantity:
        """Parameters that train: all that can, or those of LoRA's adapters and of modules trained beside them."""
        terms = [n for n, _, _ in self._trained]
        return terms[0] if len(terms) == 1 else total("trainable", r"N_\text{trainable}", *terms)

    @cached_property
    def weights(self) -> Quantity:
        """Weights as the forward pass finds them; frozen ones in the format of their base."""
        run, bytes_each = self.run, self.run.numbers.weight_bytes
        if not run.lora_rank:
            return weights_memory(parameters=self.counted.parameters(), weight_bytes=bytes_each).named("weights")
        frozen = BYTES[run.frozen]
        base = BASE_FORMATS[run.lora_base]
        bits = 8 * frozen if base is None else WEIGHT_FORMATS[base].bits
        quantised = self._weights.adapted
        rest = self.counted.parameters().value - quantised
        beside = [
            weights_memory(parameters=n, weight_bytes=numbers.weight_bytes).named(id, rf"M_\text{{{id}}}")
            for (n, _, numbers), id in zip(self._trained, ("adapters", "modules"), strict=False)
        ]
        return total(
            "weights",
            r"M_\text{weights}",
            frozen_weights_memory(parameters=quantised, bits_per_weight=bits).named("frozen_weights"),
            weights_memory(parameters=rest, weight_bytes=frozen).named("other_weights", r"M_\text{other weights}"),
            *beside,
        )

    @cached_property
    def gradients(self) -> Quantity:
        """Gradients once the backward pass is through."""
        if self.run.steps_in_backward:
            return nothing("gradients", r"M_\text{gradients}")
        terms = [
            gradients_memory(parameters=n, gradient_bytes=numbers.gradient_bytes) for n, _, numbers in self._trained
        ]
        return _summed("gradients", r"M_\text{gradients}", terms)

    @cached_property
    def optimizer_state(self) -> Quantity:
        """What the optimizer keeps from step to step."""
        terms = [optimizer_state(self.run, weights, n, numbers) for n, weights, numbers in self._trained]
        return _summed("optimizer_state", r"M_\text{optimizer}", terms)

    @cached_property
    def optimizer_temporary(self) -> Quantity:
        """What the optimizer allocates while it steps, once the backward pass is through."""
        if self.run.steps_in_backward:
            return nothing("optimizer_temporary", r"M_\text{temporary}")
        terms = [optimizer_temporary(self.run, weights, n, numbers) for n, weights, numbers in self._trained]
        if self.run.updates.of_each:
            return max(terms, key=lambda q: q.value)
        return _summed("optimizer_temporary", r"M_\text{temporary}", terms)

    @cached_property
    def inputs(self) -> Quantity:
        """The batch of token ids."""
        return input_memory(batch_size=self.run.batch_size, seq_len=self.run.seq_len).named("inputs")

    @cached_property
    def buffers(self) -> Quantity:
        """What the model's class registers beside its weights."""
        found = buffers_memory(self.counted, self.run, layers=self.counted.n_layers)
        return found or nothing(MODEL_BUFFERS, r"M_\text{buffers}")

    @cached_property
    def course(self) -> Timeline:
        """All changes of memory, in order."""
        base = self.steady_state.value - self.inputs.value
        scratch = self.optimizer_temporary.value
        changes = [Change(sign, piece("optimizer_temporary", "optimizer", scratch, "fp8")) for sign in (1, -1)]
        gradients = []
        given_back = self.run.gradients_stay or self.run.steps_in_backward
        if (self.counted is not self.model or self.counted.beside) and not given_back:
            simulated = weights_of(self.model, self.run).trainable * self.run.numbers.gradient_bytes
            simulated = self.gradients.value if self.run.lora_rank else simulated
            gradients = [Change(1, piece("gradients", "gradients", self.gradients.value - simulated, "fp8"))]
        return timeline(self.model, self.run, base, changes, gradients)


def _summed(id: str, symbol: str, terms: list[Quantity]) -> Quantity:
    """The one term by this name, or the sum of those of adapters and of whole modules."""
    if len(terms) == 1:
        return terms[0].named(id)
    names = ("adapters", "modules")
    return total(id, symbol, *(term.named(f"{id}_{name}") for term, name in zip(terms, names, strict=True)))


def training_step(model: Model, run: TrainingRun, *, counted: Model | None = None) -> Step:
    """Simulate one optimizer step of ``model``: every allocation and every free of forward, backward and optimizer.

    ``counted`` is the model whose parameters are counted, where ``model`` only stands in for its layers.
    ``batch_size`` and ``seq_len`` of the run may be arrays: then `Step.peak` and `Step.peak_by_moment` hold arrays.

    Raises InputError for a model whose family's code has not been read.
    """
    return Step(model, run, counted or model)


def is_simulated(step: Step) -> bool:
    """Whether the code of the model's family has been read, and all its parts are known to run."""
    try:
        return bool(step.peak_by_moment)
    except InputError:
        return False


def peak_sweep(model: Model, run: TrainingRun, *, counted: Model | None = None) -> Size:
    """Peak memory in bytes over arrays of batch size and sequence length, shaped as they broadcast."""
    return swept(model, run, lambda part: training_step(model, part, counted=counted).peak.value)


def swept(model: Model, run: TrainingRun, peak_of: Callable[[TrainingRun], Size]) -> np.ndarray:
    """What ``peak_of`` finds for arrays of batch size and sequence length, in bytes, shaped as they broadcast.

    A layer that sees a window runs other kernels once the sequence reaches it, and a batch of one needs no copies of
    its heads, so lengths on either side of a window, and batches of one and of more, are swept apart; with padding,
    which masks every layer, also lengths that a mask is padded from; and where tokens go by in chunks, lengths that
    fill them.
    """
    batch, length = np.broadcast_arrays(np.asarray(run.batch_size, float), np.asarray(run.seq_len, float))
    windows = sorted({mixer.window for mixer in model.mixers if mixer.window})
    side = 2 * np.digitize(length, windows) + (batch == 1)
    if run.padding:
        side = 2 * side + (length % MASK_STEP == 0)
    if any(mixer.id == DeltaNet.id for mixer in model.mixers):
        side = 2 * side + (length % CHUNK == 0)
    for size in model.chunk_sizes:
        side = 4 * side + 2 * (length % size == 0) + (length <= size)
    peaks = np.empty(batch.shape)
    for group in np.unique(side):
        here = side == group
        peaks[here] = peak_of(replace(run, batch_size=batch[here], seq_len=length[here]))
    return peaks
