"""What a rank holds from step to step: weights, gradients, what its optimizer keeps and makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.catalog.optimizers import Beside
from llmcalc.catalog.precisions import BYTES, Precision
from llmcalc.devices import formulas as f
from llmcalc.devices.layers import Layers
from llmcalc.devices.layout import chosen
from llmcalc.devices.shard import is_of_experts
from llmcalc.quantity import Formula, Quantity, total
from llmcalc.sizes import larger
from llmcalc.step.buffers import buffers_memory
from llmcalc.step.optimizer import bytes_beside, factors, whole_bytes
from llmcalc.step.run import BASE_FORMATS, TrainingRun
from llmcalc.step.tape import Kind
from llmcalc.step.weights import Weight

Size = Any  # int, or a float64 array in a table of plans


@dataclass(frozen=True, eq=False)
class Holdings:
    """What a rank with these layers holds. The run's batch may be an array."""

    layers: Layers
    run: TrainingRun

    def _number(self, *, experts: bool, trains: bool | None = None, role: str = "", others: bool = False) -> Size:
        """Numbers in its weights that are, or are not, of experts and train (None: either), and have this role, or none
        but it (``others``)."""

        def meant(w: Weight) -> bool:
            fits = trains in (None, w.trains) and is_of_experts(w.kind) == experts
            return fits and (not role or (w.kind.role == role) != others)

        n: Size = 0
        for weights, count in self.layers.held:
            if chosen_weights := tuple(filter(meant, weights)):
                n = n + count * self.layers.pieces.elements(chosen_weights)
        return n

    @cached_property
    def parameters(self) -> dict[bool, Size]:
        """Numbers in its weights that train: of experts (True), and of all else."""
        return {experts: self._number(experts=experts, trains=True) for experts in (False, True)}

    @cached_property
    def weights(self) -> Quantity:
        """Its weights as the forward pass finds them; frozen ones in the format of their base."""
        terms = [
            term
            for experts in (False, True)
            for term in self.stored(experts=experts, shards=self.layers.layout.sharing(3, experts=experts))
        ]
        return summed("weights", r"M_\text{weights}", terms)

    def stored(self, *, experts: bool, shards: Size, cast: float | None = None) -> list[Quantity]:
        """Its weights that are, or are not, of experts, in their own formats, or all but quantised ones ``cast`` to so
        many bytes, so many ranks sharing them out."""
        run = self.run
        base, frozen = BASE_FORMATS[run.lora_base], cast or BYTES[run.frozen]
        packed = WEIGHT_FORMATS[base].bits / 8 if base else frozen
        kinds: list[tuple[str, bool | None, str, bool, float]] = [
            ("", None, "", False, cast or run.numbers.weight_bytes)
        ]
        if run.lora_rank:
            kinds = [
                ("frozen_", False, "matrix", False, packed),
                ("other_", False, "matrix", True, frozen),
                ("", True, "module", True, cast or run.trained.weight_bytes),
                ("module_", True, "module", False, cast or run.saved.weight_bytes),
            ]
        terms = []
        for name, trains, role, others, bytes_each in kinds:
            n = self._number(experts=experts, trains=trains, role=role, others=others)
            if np.any(n):
                sizes = {"rank_parameters": n, "weight_bytes": bytes_each}
                term = _among(shards, f.rank_weights, f.shared_weights, **sizes)
                terms.append(term.named(f"{'expert_' if experts else ''}{name}weights"))
        return terms

    def of_trained(self, of: Callable[[Precision], float], *, experts: bool) -> Size:
        """What each number that trains takes: of adapters and whole modules beside them the average."""
        run = self.run
        if not run.lora_rank:
            return of(run.numbers)
        n, modules = self.parameters[experts], self._number(experts=experts, trains=True, role="module")
        if not np.any(modules):
            return of(run.trained)
        return (of(run.trained) * (n - modules) + of(run.saved) * modules) / larger(n, 1)

    @cached_property
    def model_buffers(self) -> Quantity | None:
        """What the model's class registers beside the weights of its layers."""
        return buffers_memory(
            self.layers.work.counted, self.run, layers=self.layers.n_layers, first=self.layers.is_first
        )

    @cached_property
    def gradients(self) -> Quantity:
        """Its gradients once the backward pass is through."""
        if self.run.steps_in_backward:
            return summed("gradients", r"M_\text{gradients}", [])
        return self._shared(
            "gradients",
            f.rank_gradients,
            f.shared_gradients,
            2,
            gradient_bytes=lambda experts: self.of_trained(lambda numbers: numbers.gradient_bytes, experts=experts),
        )

    @cached_property
    def optimizer_state(self) -> Quantity:
        """What its optimizer keeps, on the device or in the host's memory."""
        formulas = f.rank_optimizer_state, f.shared_optimizer_state
        if np.any(self.layers.layout.offload_optimizer):
            formulas = f.offloaded_optimizer_state, f.shared_offloaded_optimizer_state
        return self._shared("optimizer_state", *formulas, 1, optimizer_bytes=self._state_bytes)

    def _state_bytes(self, experts: bool) -> Size:
        """Bytes that the optimizer keeps for each number that trains, of tensors smaller than their weight on average:
        of experts, or of all else."""
        states = self.run.updates.states
        whole = self.of_trained(lambda n: whole_bytes(states, n) + n.master_bytes, experts=experts)
        small = self._made(factors(states), experts=experts)
        return whole + small / larger(self.parameters[experts], 1) if np.any(small) else whole

    def _made(self, tensors: tuple[Beside, ...], *, experts: bool) -> Size:
        """Bytes of an optimizer's tensors beside its weights that train: of experts, or of all else."""
        size: Size = 0
        for weights, count in self.layers.held if tensors else ():
            meant = [w for w in weights if w.trains and is_of_experts(w.kind) == experts]
            size = size + count * self.layers.pieces.of_weights(meant, self._beside(tensors))
        return size

    def _beside(self, tensors: tuple[Beside, ...]) -> Callable[[Kind], Size]:
        return lambda kind: bytes_beside(kind, tensors, self.run.formats_of(kind.role))

    def _shared(
        self, id: str, alone: Formula, shared: Formula, from_stage: int, **each: Callable[[bool], Size]
    ) -> Quantity:
        terms = []
        for experts, n in self.parameters.items():
            if np.any(n):
                sizes = {name: size(experts) for name, size in each.items()}
                shards = self.layers.layout.sharing(from_stage, experts=experts)
                term = _among(shards, alone, shared, rank_parameters=n, **sizes)
                terms.append(term.named(f"expert_{id}" if experts else id))
        return summed(id, alone.symbol, terms)

    @cached_property
    def optimizer_temporary(self) -> Size:
        """Bytes that the optimizer allocates while it steps, once the backward pass is through."""
        optimizer = self.run.updates
        if self.run.steps_in_backward:
            return 0
        made: Size = 0
        if optimizer.of_each:
            size = self._beside(optimizer.of_each)
            for weights, count in self.layers.held:
                for w in filter(lambda w: w.trains, weights):
                    shards = self.layers.layout.sharing(1, experts=is_of_experts(w.kind))
                    made = larger(made, self.layers.pieces.of_weights([w], size) / shards * (count > 0))
        else:
            small = factors(self.run.made_of_all)
            for experts, n in self.parameters.items():
                whole = self.of_trained(lambda n: whole_bytes(self.run.made_of_all, n), experts=experts)
                of_all = n * whole + self._made(small, experts=experts)
                made = made + of_all / self.layers.layout.sharing(1, experts=experts)
        return self.on_device(made)

    def on_device(self, size: Size) -> Size:
        """What of the optimizer is on the device: nothing where it is in the host's memory."""
        return size * chosen(self.layers.layout.offload_optimizer, 0, 1)


def _among(shards: Size, alone: Formula, shared: Formula, **sizes: Any) -> Quantity:
    """What a rank holds by itself, or its share where several share it out."""
    return shared(**sizes, shards=shards) if np.any(shards > 1) else alone(**sizes)


def summed(id: str, symbol: str, terms: Sequence[Quantity]) -> Quantity:
    """The sum of the terms: none, the only one, or all."""
    if not terms:
        return Quantity(id, 0, "bytes", symbol, meaning="There is none.")
    if len(terms) == 1 and terms[0].id == id:
        return terms[0].named(id, symbol)
    return total(id, symbol, *(term.named(term.id, rf"M_\text{{{term.id.replace('_', ' ')}}}") for term in terms))
