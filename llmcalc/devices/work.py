"""A step to be laid out over devices: what happens in it on one device, and the weights of every layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.devices.layout import Layout
from llmcalc.step.run import TrainingRun
from llmcalc.step.simulation import trace
from llmcalc.step.tape import Kind
from llmcalc.step.timeline import representatives
from llmcalc.step.weights import Weight, of_part, of_traced
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Part

Size = Any  # int or bool, or an array in a table of plans


def smallest(run: TrainingRun) -> TrainingRun:
    """The smallest run whose step has the same events: of one sequence, which needs no copies of its heads, or of two.
    A sweep is over batches of one, or over larger ones."""
    return replace(run, batch_size=int(min(np.min(run.batch_size), 2)))


def with_same_events(run: TrainingRun, layout: Layout) -> TrainingRun:
    """The smallest run with the events of one laid out so."""
    return in_gathered(smallest(run)) if np.any(layout.sharing(3) > 1) else smallest(run)


def casts_gathered(run: TrainingRun) -> bool:
    """Whether fully sharded weights are gathered in 16 bits where they are kept in 32: FSDP2's policy in place of
    autocast."""
    return run.numbers.weights == "fp32" and run.numbers.autocast is not None


def in_gathered(run: TrainingRun) -> TrainingRun:
    """The run as its code finds the weights that fully sharded data parallel has gathered: in 16 bits, and each layer's
    gradients there until it is through, whatever waits of them elsewhere."""
    run = replace(run, gradient_accumulation=1, set_to_none=True, optimizer_in_backward=False)
    numbers = run.numbers
    if casts_gathered(run) and numbers.linear is None:
        return replace(run, precision="bf16", lora_precision="same", kbit_prepared=False)
    return replace(run, precision="bf16") if numbers.weights == "bf16" and numbers.autocast is None else run


def shares_gradients(run: TrainingRun, layout: Layout) -> Size:
    """Where PyTorch's DistributedDataParallel has buckets for gradients: among replicas with whole gradients, but not
    those that a buffer of another format adds up, which is sent itself."""
    own_buffer = run.trained.gradients != run.trained.weights
    return (layout.zero_stage == 0) & (layout.replicas > 1) & (not own_buffer)


def under_ddp(run: TrainingRun, layout: Layout) -> TrainingRun:
    """The run on one of several replicas: gradients that are views of the buckets stay from step to step."""
    views = layout.ddp_bucket_view & shares_gradients(run, layout)
    return replace(run, set_to_none=False) if np.all(views) and not run.gradients_stay else run


class Alike(NamedTuple):
    """Layers alike that follow each other, from number ``begin`` to before ``end``; ``place`` of them was traced."""

    place: int
    weights: tuple[Weight, ...]
    begin: int
    end: int


class Work:
    """A step to be laid out: its events on one device, with one layer of each kind, and every layer's weights.

    Its events are the same for every batch of one sequence, and for every batch of more. ``counted`` is the model whose
    weights are held, where ``model`` only stands in for its layers.
    """

    def __init__(self, model: Model, run: TrainingRun, counted: Model) -> None:
        self.model, self.run, self.counted = model, run, counted
        shown, stands_for = representatives(model.layers())
        traced = trace(model, smallest(run), shown)
        self.events = traced.events
        kind_of = {layer: place for place, layers in enumerate(stands_for) for layer in layers}
        self.order = tuple(kind_of[i] for i in range(len(kind_of)))  # of every layer, which of those traced it is like
        weights = of_traced(traced.weights)
        of_place = [weights.get(place, ()) for place in range(len(shown))]
        if counted is model:
            layers = [of_place[place] for place in self.order]
            self.front, self.back = (weights.get(place, ()) for place in ("front", "back"))
        else:
            blocks = {block: _of_parts(block.parts, run) for block, _ in counted.blocks}
            adapters = [tuple(w for w in there if w.trains) if run.lora_rank else () for there in of_place]
            kinds = {(block, place): blocks[block] + adapters[place] for block in blocks for place in set(self.order)}
            layers = [kinds[layer] for layer in zip(counted.layers(), self.order, strict=True)]
            self.front, self.back = _of_parts(counted.front, run), _of_parts(counted.back, run)
        self.front += _of_parts(counted.beside, run)
        self.alike: list[Alike] = []
        for i, (place, of_layer) in enumerate(zip(self.order, layers, strict=True)):
            if self.alike and self.alike[-1][:2] == (place, of_layer):
                self.alike[-1] = self.alike[-1]._replace(end=i + 1)
            else:
                self.alike.append(Alike(place, of_layer, i, i + 1))

    @cached_property
    def handed_back(self) -> tuple[Kind, ...]:
        """What the backward pass of a layer leaves to the layer before: the gradient of the hidden state between them,
        as the last of the layers traced leaves it. A tied table's gradient, which waits for its other use, stays."""
        alive: Counter[Kind] = Counter()
        layers = sorted({e.place.layer for e in self.events if isinstance(e.place.layer, int)})
        for place, sign, kind, _ in self.events:
            if place.phase in ("backward", "recompute") and place.layer in layers[:-1]:
                break
            if kind.category == "activation_gradients" and all(dim.name != "vocab_size" for dim in kind.dims):
                alive[kind] += sign
        return tuple(alive.elements())

    @property
    def makes_table_gradient(self) -> bool:
        """Whether a tied table's gradient is made anew in front of the layers, not added to the head's in place."""
        table = self.front[0].kind.dims
        return any(
            kind.category == "gradients" and kind.dims == table and (place, sign) == (born, 1)
            for place, sign, kind, born in self.events
            if place == ("backward", "front")
        )

    @cached_property
    def simulated(self) -> Work:
        """The same with the weights that are simulated: those of the language model."""
        return Work(self.model.language, self.run, self.model.language)

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding table, so that a last stage of its own needs a copy of it."""
        return self.counted.tied


def _of_parts(parts: Iterable[Part], run: TrainingRun) -> tuple[Weight, ...]:
    return tuple(weight for part in parts for weight in of_part(part, trains=not run.lora_rank))
