"""A step as it goes by: its peak, what the peak is made of, and the memory of every moment.

It is the same for a step on one device and for what one device of several holds of it; they differ in what stays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.precisions import BYTES
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, given_quantity, product, total
from llmcalc.sizes import larger
from llmcalc.sources import PYTORCH
from llmcalc.step.run import TrainingRun
from llmcalc.step.tape import Kind
from llmcalc.step.timeline import Change, Moment, Segment, Timeline
from llmcalc.transformer.model import Model

if TYPE_CHECKING:
    import pandas as pd

Size = Any  # int, or a float64 array in a sweep

# The moments of a step that may be its peak, in order, each as the phase and region of the timeline where it lies
MOMENTS: Mapping[str, tuple[str, str]] = {
    "rollout": ("rollout", "back"),
    "scores": ("scores", "back"),
    "forward": ("forward", "layers"),
    "loss_forward": ("loss", "back"),
    "loss_backward": ("backward", "back"),
    "layers_backward": ("backward", "layers"),
    "backward_end": ("backward", "front"),
    "optimizer_step": ("optimizer", "back"),
}
_SAVED = PYTORCH.at("autograd: tensors saved for backward")


class Course(ABC):
    """The memory of one device through a step of ``model``, run as ``run`` says, in bytes."""

    model: Model
    run: TrainingRun

    def __repr__(self) -> str:
        return f"<step with {self.peak}>"

    def _repr_markdown_(self) -> str:
        from llmcalc import notebook

        return notebook.step(self)

    # What stays, and what comes and goes as a whole

    @property
    @abstractmethod
    def weights(self) -> Quantity:
        """Weights as the forward pass finds them; frozen ones in the format of their base."""

    @property
    @abstractmethod
    def buffers(self) -> Quantity:
        """What the model's class registers beside its weights."""

    @property
    @abstractmethod
    def gradients(self) -> Quantity:
        """Gradients once the backward pass is through."""

    @property
    @abstractmethod
    def optimizer_state(self) -> Quantity:
        """What the optimizer keeps from step to step."""

    @property
    @abstractmethod
    def optimizer_temporary(self) -> Quantity:
        """What the optimizer allocates while it steps."""

    @property
    @abstractmethod
    def inputs(self) -> Quantity:
        """The batch of token ids."""

    @property
    @abstractmethod
    def course(self) -> Timeline:
        """All changes of memory, in order."""

    @property
    def offloads_optimizer(self) -> bool:
        """Whether the optimizer's states are in the host's memory."""
        return False

    @property
    def between_steps(self) -> Sequence[Quantity]:
        """What else stays from step to step."""
        return ()

    def between_devices(self, alive: Mapping[Kind, int]) -> list[Quantity]:
        """What there is only on one of several devices, of what is ``alive``."""
        return []

    @cached_property
    def steady_state(self) -> Quantity:
        """What is there between steps: weights and what is registered beside them, optimizer states, and the next
        batch."""
        stays = [self.weights]
        stays += [self.gradients] if self.run.gradients_stay else []
        stays += [] if self.offloads_optimizer else [self.optimizer_state]
        stays.append(self.inputs)
        stays += [self.buffers] if self.buffers.value else []
        stays += self.between_steps
        return total("between_steps", r"M_\text{steady}", *stays)

    # How it goes by

    @cached_property
    def peak_by_moment(self) -> dict[str, Size]:
        """The most that is held in each of the `MOMENTS`, in bytes."""
        most = self.course.most_by_phase()
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
        """What is alive when the forward pass is through, and the loss, if it is taken here."""
        return self.course.end_of("forward", "loss", "forward_end").alive

    @cached_property
    def saved_activations(self) -> Quantity:
        """What autograd keeps for the backward pass, by component; autocast's copies of weights are `weight_casts`."""
        self._one_run()
        parts = by_component(self._saved, "activations")
        if not parts:
            return Quantity("saved_activations", 0, "bytes", r"M_\text{act}", meaning="Nothing is kept.")
        return total("saved_activations", r"M_\text{act}", *parts)

    @cached_property
    def saved_bytes(self) -> int:
        """The same in one number, for whom its terms would be too many: they take longer than the step itself."""
        self._one_run()
        return sum(kind.bytes * n for kind, n in self._saved.items() if kind.category == "activations")

    @cached_property
    def _saved(self) -> Mapping[Kind, int]:
        """What is alive when the forward pass is through, and kept by autograd."""
        return {kind: n for kind, n in self._kept.items() if not self._is_argument(kind)}

    def _is_argument(self, kind: Kind) -> bool:
        """What a checkpointed layer is called with again: masks, angles and what an earlier layer lends are held, but
        not kept by autograd."""
        kept = self.model.code is not None and self.model.code.mask_kept
        arguments = ("rotary", "lent") if kept else ("rotary", "lent", "attention_mask")
        return self.run.recompute in ("full", "selective_ops") and kind.role in arguments

    @cached_property
    def weight_casts(self) -> Quantity:
        """Autocast's copies of weights that are alive when the forward pass is through."""
        self._one_run()
        return of_category(self._kept, "weight_casts") or nothing("weight_casts", r"M_\text{casts}")

    @cached_property
    def logits(self) -> Quantity:
        """All that is as large as the logits at the peak: themselves, what the loss keeps of them, their gradients."""
        alive = self.course.moment_of_most().alive
        as_large = {kind: n for kind, n in alive.items() if _as_large_as_logits(kind)}
        return _sum("logits", r"M_\text{logits}", as_large) or nothing("logits", r"M_\text{logits}")

    @cached_property
    def timeline(self) -> pd.DataFrame:
        """Every change of memory in order: phase, layer, category, component, role, bytes, and bytes alive after it, in
        all and in each category (``live``, ``live_weights``, …)."""
        self._one_run()
        rows = [
            (phase, layer, kind.category, kind.component, kind.id, int(weight * kind.bytes), _drawn(kind))
            for phase, layer, segment in self.course.stretches
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
        for phase, layer, segment in self.course.stretches:
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
        found = {"weights": weights}
        if not self.offloads_optimizer:
            found["optimizer_state"] = int(self.optimizer_state.value)
        return found | ({"gradients": int(self.gradients.value)} if self.run.gradients_stay else {})

    def _at(self, id: str, moment: Moment) -> Quantity:
        """A moment as a sum of what is alive then."""
        alive = moment.alive
        parts = [self.weights, self.buffers]
        if self.run.gradients_stay or id == "optimizer_step":
            parts.append(self.gradients)
        elif gradients := of_category(alive, "gradients"):
            parts.append(gradients)
        parts += [] if self.offloads_optimizer else [self.optimizer_state]
        parts += [self.inputs] if of_category(alive, "inputs") else []
        scratch = () if id == "optimizer_step" else ("optimizer_temporary",)
        for category in ("weight_casts", "held_logits", *scratch):
            if found := of_category(alive, category):
                parts.append(found)
        parts += by_component(alive, "activations", "activation_gradients")
        if id == "optimizer_step":
            parts.append(self.optimizer_temporary)
        parts += self.between_devices(alive)
        parts = [part for part in parts if part.value]
        return total(
            id, r"M_\text{" + id.replace("_", " ") + "}", *parts, *rounding(moment.bytes, parts, self.course.peak())
        )

    @property
    def _is_sweep(self) -> bool:
        return any(isinstance(size, np.ndarray) for size in (self.run.batch_size, self.run.seq_len))

    def _one_run(self) -> None:
        if self._is_sweep:
            raise InputError("batch_size", "a sweep has peaks but no composition: ask one run at a time")


class _Moments(Mapping[str, Quantity]):
    """`Course.moments`."""

    def __init__(self, step: Course) -> None:
        self._step = step
        self._found = {"between_steps": step.steady_state}

    def __getitem__(self, name: str) -> Quantity:
        if name not in self._found:
            self._found[name] = self._step._at(name, self._step.course.moment_of_most(*MOMENTS[name]))
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("between_steps", *self._step.peak_by_moment))

    def __len__(self) -> int:
        return 1 + len(self._step.peak_by_moment)


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
        key = kind.component, kind.id, kind.dims, kind.dtype
        merged[key] = kind, merged.get(key, (kind, 0))[1] + n
    terms = [_term(kind, n) for kind, n in merged.values() if n]
    if not terms:
        return None
    exact = sum(kind.bytes * n for kind, n in kinds.items())
    return total(id, symbol, *_unlike(sorted(terms, key=lambda term: -term.value)), *rounding(exact, terms))


_IN_FLOATS = 1e-12  # of a sum may be lost where what each device holds is no whole number, or too large for one


def rounding(exact: Size, parts: Sequence[Quantity], passed: Size = 0) -> tuple[Quantity, ...]:
    """What the allocator's steps add to the sum of the parts, where they add anything. ``passed`` is the most that was
    there on the way to ``exact``, whose last digits are no finer than floats of that size.

    Raises ArithmeticError where the parts are more than there is: one was never allocated, or is counted twice.
    """
    rest = exact - sum(part.value for part in parts)
    if rest <= -max(1, exact * _IN_FLOATS, passed * _IN_FLOATS):
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
    symbol = r"M_\text{" + kind.role.replace("_", " ") + "}"
    if kind.weight:
        symbol = rf"\nabla {kind.weight.symbol}" if kind.role == "gradient" else kind.weight.symbol
    return product(kind.id, symbol, "bytes", _SAVED, *factors)


def _unlike(terms: Iterable[Quantity]) -> list[Quantity]:
    """The terms with ids and symbols that differ: several of one name or symbol are numbered."""
    terms = list(terms)
    many = Counter(term.symbol for term in terms)
    ids: Counter[str] = Counter()
    symbols: Counter[str] = Counter()
    result = []
    for term in terms:
        ids[term.id] += 1
        symbols[term.symbol] += 1
        id = term.id if ids[term.id] == 1 else f"{term.id}_{ids[term.id]}"
        symbol = term.symbol if many[term.symbol] == 1 else f"({term.symbol})_{symbols[term.symbol]}"
        result.append(term.named(id, symbol))
    return result


def nothing(id: str, symbol: str) -> Quantity:
    """A term that is not there."""
    return Quantity(id, 0, "bytes", symbol, meaning="There is none.")
