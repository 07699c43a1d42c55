"""One training step: its peak, what the peak is made of, and the memory of every moment.

>>> import llmcalc
>>> step = llmcalc.training_step(llmcalc.from_config({"model_type": "gpt2"}), llmcalc.TrainingRun(batch_size=8))
>>> step.peak_phase
'loss_backward'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.catalog.precisions import BYTES
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, given_quantity, product, total
from llmcalc.sources import PYTORCH
from llmcalc.step.buffers import MODEL_BUFFERS, buffers_memory
from llmcalc.step.run import TrainingRun
from llmcalc.step.state import (
    adapter_parameters,
    factored_optimizer_memory,
    frozen_weights_memory,
    gradients_memory,
    input_memory,
    largest_temporary_memory,
    optimizer_memory,
    optimizer_temporary_memory,
    weights_memory,
)
from llmcalc.step.tape import Kind
from llmcalc.step.timeline import Change, Moment, Segment, Timeline, larger, piece, timeline, weights_of
from llmcalc.transformer.model import Model

if TYPE_CHECKING:
    import pandas as pd

Size = Any  # int, or a float64 array in a sweep

# The moments of a step that may be its peak, in order, each as the phase and region of the timeline where it lies
MOMENTS: Mapping[str, tuple[str, str]] = {
    "forward": ("forward", "layers"),
    "loss_forward": ("loss", "back"),
    "loss_backward": ("backward", "back"),
    "layers_backward": ("backward", "layers"),
    "backward_end": ("backward", "front"),
    "optimizer_step": ("optimizer", "back"),
}
_SAVED = PYTORCH.at("autograd: tensors saved for backward")
_ALLOCATED = PYTORCH.at("torch.cuda.max_memory_allocated")


@dataclass(frozen=True, eq=False)
class Step:
    """A training step of ``model`` run as ``run`` says. All memory is in bytes, as the allocator counts what is
    allocated.

    ``counted`` is the model whose parameters are counted, where ``model`` only stands in for its layers.
    """

    model: Model
    run: TrainingRun
    counted: Model

    # What stays

    @cached_property
    def _weights(self) -> tuple[int, int, int, int]:
        return weights_of(self.model, self.run)

    @cached_property
    def trainable(self) -> Quantity:
        """Parameters that train: all that can, or those of LoRA's adapters."""
        if not self.run.lora_rank:
            return self.counted.trainable_parameters()
        return adapter_parameters(parameters=self._weights[0])

    @cached_property
    def weights(self) -> Quantity:
        """Weights as the forward pass finds them; frozen ones in the format of their base."""
        run, bytes_each = self.run, self.run.numbers.weight_bytes
        if not run.lora_rank:
            return weights_memory(parameters=self.counted.parameters(), weight_bytes=bytes_each).named("weights")
        bits = 8 * bytes_each if run.lora_base == "same" else WEIGHT_FORMATS[run.lora_base].bits
        quantised = self._weights[3]
        rest = self.counted.parameters().value - quantised
        return total(
            "weights",
            r"M_\text{weights}",
            frozen_weights_memory(parameters=quantised, bits_per_weight=bits).named("frozen_weights"),
            weights_memory(parameters=rest, weight_bytes=bytes_each).named("other_weights"),
            weights_memory(parameters=self.trainable, weight_bytes=bytes_each).named("adapters"),
        )

    @cached_property
    def gradients(self) -> Quantity:
        """Gradients once the backward pass is through."""
        q = gradients_memory(parameters=self.trainable, gradient_bytes=self.run.numbers.gradient_bytes)
        return q.named("gradients")

    @cached_property
    def optimizer_state(self) -> Quantity:
        """What the optimizer keeps from step to step."""
        numbers, optimizer = self.run.numbers, self.run.updates
        n = {"parameters": self.trainable, "master_bytes": numbers.master_bytes}
        if optimizer.factored:
            states = factored_optimizer_memory(**n, d_model=self.model.width, state_bytes=numbers.state_bytes)
        else:
            state_bytes = optimizer.quantized_state_bytes or numbers.state_bytes
            states = optimizer_memory(**n, n_states=optimizer.n_states, state_bytes=state_bytes)
        return states.named("optimizer_state")

    @cached_property
    def optimizer_temporary(self) -> Quantity:
        """What the optimizer allocates while it steps."""
        optimizer, state_bytes = self.run.updates, self.run.numbers.state_bytes
        if optimizer.temporary_largest:
            found = largest_temporary_memory(
                largest_parameters=self._weights[1],
                temporary_states=optimizer.temporary_largest,
                state_bytes=state_bytes,
            )
        else:
            found = optimizer_temporary_memory(
                parameters=self.trainable, temporary_states=optimizer.temporary_states, state_bytes=state_bytes
            )
        return found.named("optimizer_temporary")

    @cached_property
    def inputs(self) -> Quantity:
        """The batch of token ids."""
        return input_memory(batch_size=self.run.batch_size, seq_len=self.run.seq_len).named("inputs")

    @cached_property
    def buffers(self) -> Quantity:
        """What the model's class registers beside its weights."""
        found = buffers_memory(self.counted, self.run, layers=self.counted.n_layers)
        return found or _none(MODEL_BUFFERS, r"M_\text{buffers}")

    @cached_property
    def steady_state(self) -> Quantity:
        """What is there between steps: weights and what is registered beside them, optimizer states, and the next
        batch."""
        stays = [self.weights, self.optimizer_state, self.inputs]
        if self.run.gradients_stay:
            stays.insert(1, self.gradients)
        if self.buffers.value:
            stays.append(self.buffers)
        return total("between_steps", r"M_\text{steady}", *stays)

    # The timeline

    @cached_property
    def _timeline(self) -> Timeline:
        base = self.steady_state.value - self.inputs.value
        scratch = self.optimizer_temporary.value
        changes = [Change(sign, piece("optimizer_temporary", "optimizer", scratch, "fp8")) for sign in (1, -1)]
        if self.counted is not self.model and not self.run.gradients_stay:
            simulated = self._weights[0] * self.run.numbers.gradient_bytes
            changes.insert(0, Change(1, piece("gradients", "gradients", self.gradients.value - simulated, "fp8")))
        return timeline(self.model, self.run, base, changes)

    @cached_property
    def peak_by_moment(self) -> dict[str, Size]:
        """The most that is held in each of the `MOMENTS`, in bytes."""
        most = self._timeline.most_by_phase()
        return {moment: most[place] for moment, place in MOMENTS.items() if place in most}

    @cached_property
    def peak(self) -> Quantity:
        """The most that is allocated at once, as a sum of what is alive then; in a sweep the largest of the moments."""
        if self._is_sweep:
            value: Size = 0
            for size in self.peak_by_moment.values():
                value = larger(value, size)
            return Quantity("peak", value, "bytes", r"M_\text{peak}", meaning="The largest of the step's moments.")
        return self.moments[self.peak_phase].named("peak", r"M_\text{peak}")

    @cached_property
    def peak_phase(self) -> str:
        """The moment with the largest memory, a key of `MOMENTS`. Raises InputError for a sweep."""
        self._one_run()
        return max(self.peak_by_moment, key=lambda moment: self.peak_by_moment[moment])

    @cached_property
    def moments(self) -> Mapping[str, Quantity]:
        """The memory between steps and at the highest point of each moment, each a sum of what is alive then, which is
        worked out when it is asked for. Raises InputError for a sweep."""
        self._one_run()
        return _Moments(self)

    @cached_property
    def _kept(self) -> Mapping[Kind, int]:
        """What is alive when the forward pass is through."""
        return self._timeline.end_of("forward_end").alive

    @cached_property
    def saved_activations(self) -> Quantity:
        """What autograd keeps for the backward pass, by component; autocast's copies of weights are `weight_casts`."""
        self._one_run()
        kept = {kind: n for kind, n in self._kept.items() if not self._is_argument(kind)}
        parts = by_component(kept, "activations")
        if not parts:
            return Quantity("saved_activations", 0, "bytes", r"M_\text{act}", meaning="Nothing is kept.")
        return total("saved_activations", r"M_\text{act}", *parts)

    def _is_argument(self, kind: Kind) -> bool:
        """What a checkpointed layer is called with again: masks and angles are held, but not kept by autograd."""
        kept = self.model.code is not None and self.model.code.mask_kept
        arguments = ("rotary",) if kept else ("rotary", "attention_mask")
        return self.run.recompute == "full" and kind.role in arguments

    @cached_property
    def weight_casts(self) -> Quantity:
        """Autocast's copies of weights that are alive when the forward pass is through."""
        self._one_run()
        return of_category(self._kept, "weight_casts") or _none("weight_casts", r"M_\text{casts}")

    @cached_property
    def logits(self) -> Quantity:
        """All that is as large as the logits at the peak: themselves, what the loss keeps of them, their gradients."""
        alive = self._timeline.moment_of_most().alive
        as_large = {kind: n for kind, n in alive.items() if _as_large_as_logits(kind)}
        return _sum("logits", r"M_\text{logits}", as_large) or _none("logits", r"M_\text{logits}")

    @cached_property
    def timeline(self) -> pd.DataFrame:
        """Every change of memory in order: phase, layer, category, component, role, bytes, and bytes alive after it, in
        all and in each category (``live``, ``live_weights``, …)."""
        self._one_run()
        rows = [
            (phase, layer, kind.category, kind.component, kind.role, int(weight * kind.bytes), _drawn(kind))
            for phase, layer, segment in self._timeline.stretches
            for weight, kind in segment.changes
        ]
        names = ["phase", "layer", "category", "component", "role", "change", "drawn"]
        return self._with_alive(rows, names).drop(columns="drawn")

    @cached_property
    def profile(self) -> pd.DataFrame:
        """The same at fewer points, for a chart: the highest point and the end of every stretch of the step.

        Columns: phase, layer, ``live``, and ``live_…`` for each category.
        """
        self._one_run()
        rows = []
        shapes: dict[int, tuple[dict[str, int], dict[str, int]]] = {}
        for phase, layer, segment in self._timeline.stretches:
            if id(segment) not in shapes:
                shapes[id(segment)] = _rises(segment)
            for rise in shapes[id(segment)]:
                rows += [(phase, layer, change, drawn) for drawn, change in rise.items()]
                rows.append((phase, layer, 0, ""))
        frame = self._with_alive(rows, ["phase", "layer", "change", "drawn"])
        points = frame[frame["drawn"] == ""].drop(columns=["change", "drawn"])
        return points.reset_index(drop=True)

    def _with_alive(self, rows: list[tuple[Any, ...]], names: list[str]) -> pd.DataFrame:
        """Changes with what is alive after each, in all and as it is ``drawn``."""
        import pandas as pd

        frame = pd.DataFrame(rows, columns=names)
        start = self._steady_by_category
        change, drawn = frame["change"].to_numpy(), frame["drawn"].to_numpy()
        alive = {
            f"live_{name}": start.get(name, 0) + np.where(drawn == name, change, 0).cumsum()
            for name in dict.fromkeys([*start, *drawn])
            if name
        }
        live = sum(alive.values())
        return pd.concat([frame, pd.DataFrame({"live": live, **alive})], axis=1)

    @property
    def _steady_by_category(self) -> dict[str, int]:
        weights = int(self.weights.value + self.buffers.value)
        found = {"weights": weights, "optimizer_state": int(self.optimizer_state.value)}
        return found | ({"gradients": int(self.gradients.value)} if self.run.gradients_stay else {})

    def _at(self, id: str, moment: Moment) -> Quantity:
        """A moment as a sum of what is alive then."""
        alive = moment.alive
        parts = [self.weights, self.buffers]
        if self.run.gradients_stay or id == "optimizer_step":
            parts.append(self.gradients)
        elif gradients := of_category(alive, "gradients"):
            parts.append(gradients)
        parts += [self.optimizer_state, self.inputs]
        for category in ("weight_casts", "held_logits"):
            if found := of_category(alive, category):
                parts.append(found)
        parts += by_component(alive, "activations", "activation_gradients")
        if id == "optimizer_step":
            parts.append(self.optimizer_temporary)
        parts = [part for part in parts if part.value]
        return total(id, r"M_\text{" + id.replace("_", " ") + "}", *parts, *rounding(moment.bytes, parts))

    @property
    def _is_sweep(self) -> bool:
        return any(isinstance(size, np.ndarray) for size in (self.run.batch_size, self.run.seq_len))

    def _one_run(self) -> None:
        if self._is_sweep:
            raise InputError("batch_size", "a sweep has peaks but no composition: ask one run at a time")


class _Moments(Mapping[str, Quantity]):
    """`Step.moments`."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._found = {"between_steps": step.steady_state}

    def __getitem__(self, name: str) -> Quantity:
        if name not in self._found:
            self._found[name] = self._step._at(name, self._step._timeline.moment_of_most(*MOMENTS[name]))
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("between_steps", *self._step.peak_by_moment))

    def __len__(self) -> int:
        return 1 + len(self._step.peak_by_moment)


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
    """Peak memory in bytes over arrays of batch size and sequence length, shaped as they broadcast.

    A layer that sees a window runs other kernels once the sequence reaches it, and a batch of one needs no copies of
    its heads, so lengths on either side of a window, and batches of one and of more, are swept apart.
    """
    batch, length = np.broadcast_arrays(np.asarray(run.batch_size, float), np.asarray(run.seq_len, float))
    windows = sorted({w for block, _ in model.blocks for p in block.parts if (w := getattr(p, "window", None))})
    side = 2 * np.digitize(length, windows) + (batch == 1)
    peaks = np.empty(batch.shape)
    for group in np.unique(side):
        here = side == group
        part = replace(run, batch_size=batch[here], seq_len=length[here])
        peaks[here] = training_step(model, part, counted=counted).peak.value
    return peaks


# Sums of pieces of memory


def _rises(segment: Segment) -> tuple[dict[str, int], dict[str, int]]:
    """What a segment adds to each category up to its highest point, and from there to its end."""
    heights = [0, *segment.heights]
    highest = heights.index(max(heights))
    up, down = segment.changes[:highest], segment.changes[highest:]
    return _added(up), _added(down)


def _added(changes: Iterable[Change]) -> dict[str, int]:
    added: dict[str, int] = {}
    for weight, kind in changes:
        added[_drawn(kind)] = added.get(_drawn(kind), 0) + int(weight * kind.bytes)
    return added


def _as_large_as_logits(kind: Kind) -> bool:
    names = {dim.name for dim in kind.dims}
    return "vocab_size" in names and bool(names & {"seq_len", "chunk_tokens"})


def _drawn(kind: Kind) -> str:
    """The category that a piece is drawn as: activations by the component that they serve."""
    if kind.category in ("activations", "activation_gradients") and (_as_large_as_logits(kind) or kind.role == "loss"):
        return "logits"
    return kind.component if kind.category == "activations" else kind.category


def by_component(alive: Mapping[Kind, int], *categories: str) -> list[Quantity]:
    """What is alive of some categories, a sum for each component that it serves."""
    groups: dict[str, dict[Kind, int]] = {}
    for kind, n in alive.items():
        if kind.category in categories:
            groups.setdefault(_drawn(kind), {})[kind] = n
    made = (
        _sum(
            component if component in categories else f"activations_{component}",
            rf"M_\text{{{component.replace('_', ' ')}}}",
            kinds,
        )
        for component, kinds in groups.items()
    )
    return [quantity for quantity in made if quantity]


def of_category(alive: Mapping[Kind, int], category: str) -> Quantity | None:
    """What is alive of a category as a sum; None where there is nothing."""
    return _sum(
        category,
        rf"M_\text{{{category.replace('_', ' ')}}}",
        {kind: n for kind, n in alive.items() if kind.category == category},
    )


def _sum(id: str, symbol: str, kinds: Mapping[Kind, int]) -> Quantity | None:
    """The sum of so many pieces of each kind, alike ones together, and what rounding adds to them."""
    merged: dict[tuple[Any, ...], tuple[Kind, int]] = {}
    for kind, n in kinds.items():
        key = kind.component, kind.role, kind.dims, kind.dtype
        merged[key] = kind, merged.get(key, (kind, 0))[1] + n
    terms = [_term(kind, n) for kind, n in merged.values() if n]
    if not terms:
        return None
    exact = sum(kind.bytes * n for kind, n in kinds.items())
    return total(id, symbol, *_unlike(sorted(terms, key=lambda term: -term.value)), *rounding(exact, terms))


def rounding(exact: Size, parts: Sequence[Quantity]) -> tuple[Quantity, ...]:
    """What the allocator's steps add to the sum of the parts, where they add anything.

    Raises ArithmeticError where the parts are more than there is: one was never allocated, or is counted twice.
    """
    rest = exact - sum(part.value for part in parts)
    if rest <= -1:  # less is a float's
        names = ", ".join(part.id for part in parts)
        raise ArithmeticError(f"{names} are {-rest:,.0f} bytes more than the {exact:,.0f} that are allocated")
    if rest <= 0:
        return ()
    meaning = "The allocator hands out multiples of 512 bytes."
    return (Quantity("rounding", rest, "bytes", r"\epsilon", meaning=meaning),)


def _term(kind: Kind, n: int) -> Quantity:
    factors = [given_quantity("count", n)] if n != 1 else []
    factors += [given_quantity(dim.name, dim.value) for dim in kind.dims]
    factors.append(given_quantity("element_bytes", BYTES[kind.dtype]))
    return product(kind.role, r"M_\text{" + kind.role.replace("_", " ") + "}", "bytes", _SAVED, *factors)


def _unlike(terms: Iterable[Quantity]) -> list[Quantity]:
    """The terms with ids that differ: the second of a name is its second."""
    seen: dict[str, int] = {}
    result = []
    for term in terms:
        seen[term.id] = seen.get(term.id, 0) + 1
        result.append(term if seen[term.id] == 1 else term.named(f"{term.id}_{seen[term.id]}"))
    return result


def _none(id: str, symbol: str) -> Quantity:
    return Quantity(id, 0, "bytes", symbol, meaning="There is none.")
