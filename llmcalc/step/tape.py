"""Tensors that have a size and no numbers, and an autograd that runs on them.

The model's code of `llmcalc.step.decoder` runs on these tensors operation by operation, as PyTorch would run it on real
ones. A tensor's memory is freed when the last reference to it goes, which here too is Python's own reference counting:
a local variable of the model's code keeps a tensor alive exactly as long as it does in PyTorch. Every allocation and
every free is an `Event`.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from llmcalc.cached import cached_property
from llmcalc.catalog.precisions import BYTES
from llmcalc.errors import InputError
from llmcalc.step.names import Name

ALLOCATION_STEP = 512  # the CUDA caching allocator hands out multiples of it

Size = Any  # int, or a float64 array in a sweep


@dataclass(frozen=True, eq=False)
class Dim:
    """One side of a tensor: a name of the nomenclature and how long it is. Two are the same if they are one object."""

    name: str
    value: Size

    def __repr__(self) -> str:
        return f"{self.name}={self.value}"


Dims = tuple[Dim, ...]


class Place(NamedTuple):
    """Where in the step something happens: forward, loss, backward; in front of the layers, in one, or behind them."""

    phase: str
    layer: int | str  # a layer's number, or "front", "back"


@dataclass(frozen=True)
class Kind:
    """What a piece of memory is for. ``category`` groups the total, ``component`` is the part of the model it serves,
    ``role`` the operation whose result it is, ``weight`` the weight that it is, or is a copy or the gradient of; of a
    linear layer's weight, a product reads so many of its first sides (``reads``) and writes the others."""

    category: str
    component: str
    role: str
    dims: Dims
    dtype: str
    weight: Name | None = None
    reads: int = 0

    @property
    def id(self) -> str:
        """What a sum's term of it is called."""
        return f"{self.weight.id}_{self.role}" if self.weight else self.role

    @property
    def outlives_its_layer(self) -> bool:
        """Whether it goes when the forward pass of all layers is through: autocast's copies, the keys of a cache."""
        return self.category == "weight_casts" or self.role == "cached"

    @property
    def elements(self) -> Size:
        """How many numbers it holds."""
        return prod(dim.value for dim in self.dims)

    @property
    def sides(self) -> tuple[Size, ...]:
        """How long its sides are in PyTorch: of a linear layer's weight what is read and what is written, of its bias
        what is written."""
        sizes = tuple(dim.value for dim in self.dims)
        joined = sizes[: self.reads], sizes[self.reads :]
        return tuple(prod(side) for side in joined if side) if self.reads else sizes

    @cached_property
    def bytes(self) -> Size:
        """What it takes, rounded up to what the allocator hands out."""
        return -(-self.elements * BYTES[self.dtype] // ALLOCATION_STEP) * ALLOCATION_STEP


class Event(NamedTuple):
    """An allocation (sign 1) or a free (-1) of ``kind``: where it happens, and where the memory is from."""

    place: Place
    sign: int
    kind: Kind
    born: Place


class Storage:
    """One piece of memory; the event of its end is written when nothing refers to it any more."""

    __slots__ = ("born", "is_made", "kind", "tape")

    def __init__(self, tape: Tape, kind: Kind) -> None:
        self.tape, self.kind, self.born, self.is_made = tape, kind, tape.place, True
        tape.events.append(Event(tape.place, 1, kind, tape.place))

    def __del__(self) -> None:
        if self.is_made:
            self.tape.events.append(Event(self.tape.place, -1, self.kind, self.born))

    def is_not_made(self) -> None:
        """What was wanted is there before the operation runs whose result this would be: it never does."""
        event = self.tape.events[-1]
        if event.sign == 1 and event.kind is self.kind:
            self.tape.events.pop()
            self.is_made = False

    def becomes(self, category: str, weight: Name | None = None) -> None:
        """From here on it counts as ``category``: a weight's gradient, once it has arrived."""
        tape, old = self.tape, self.kind
        if old.category != category:
            self.kind = tape.kind(category, old.component, old.role, old.dims, old.dtype, weight)
            tape.events.append(Event(tape.place, -1, old, self.born))
            tape.events.append(Event(tape.place, 1, self.kind, self.born))

    def plays(self, role: str) -> None:
        """From here on it is told by another role."""
        tape, old = self.tape, self.kind
        self.kind = tape.kind(old.category, old.component, role, old.dims, old.dtype, old.weight)
        tape.events.append(Event(tape.place, -1, old, self.born))
        tape.events.append(Event(tape.place, 1, self.kind, self.born))


class Tensor:
    """A view of a storage: its sides, its number format, and the operation that made it (None: needs no gradient)."""

    __slots__ = ("dims", "dtype", "has_base", "heads_first", "index", "node", "storage")

    def __init__(self, storage: Storage, dims: Dims, dtype: str, node: Node | None = None, index: int = 0) -> None:
        self.storage, self.dims, self.dtype, self.node, self.index = storage, dims, dtype, node, index
        self.heads_first = False  # laid out in memory as (batch, head, token, channel)
        self.has_base = False  # a gradient that is a view: nothing is added to it in place

    @property
    def tape(self) -> Tape:
        """The device that it is on."""
        return self.storage.tape

    @property
    def weight(self) -> Name | None:
        """The weight that it is, or is a copy or the gradient of."""
        return self.storage.kind.weight

    def view(self, *dims: Dim) -> Tensor:
        """The same memory with other sides: view, transpose, unsqueeze. Nothing is allocated either way."""
        seen = Tensor(self.storage, dims or self.dims, self.dtype, self.node, self.index)
        seen.heads_first = self.heads_first
        return seen

    def laid_out_as(self, other: Tensor) -> Tensor:
        """Itself, marked as laid out like ``other``."""
        self.heads_first = other.heads_first
        return self

    def detach(self) -> Tensor:
        """The same memory without a history."""
        return Tensor(self.storage, self.dims, self.dtype)


class Parameter(Tensor):
    """A weight. ``grad`` is its gradient once the backward pass has made it, as memory of the category ``becomes``;
    ``uses`` counts where it enters."""

    __slots__ = ("becomes", "grad", "trains", "uses")

    def __init__(self, storage: Storage, dims: Dims, dtype: str, trains: bool, becomes: str = "gradients") -> None:
        super().__init__(storage, dims, dtype)
        self.becomes = becomes
        self.grad: Tensor | None = None
        self.uses = 0
        self.trains = trains


Grads = list[Tensor | None]
Rule = Callable[["Tape", Grads], Sequence[Tensor | None]]


class Node:
    """An operation in the graph: what it keeps for its backward, and what that does.

    ``inputs`` are the sides, the format and the weight of what went in: a gradient is brought to them.
    """

    __slots__ = ("away", "component", "edges", "frame", "inputs", "place", "rule", "saved", "sequence")

    saved: list[Storage] | int  # the number of them, where they are to be computed again

    def __init__(self, tape: Tape, edges: list[Tensor], saved: list[Storage], rule: Rule) -> None:
        self.edges: list[tuple[Node | Parameter | None, int]] = [_edge(t) for t in edges]
        self.inputs = [(t.dims, t.dtype, t.weight) for t in edges]
        self.saved, self.rule = (saved if tape.frame is None else len(saved)), rule
        self.away: list[Kind] = []  # what it keeps in the host's memory
        if tape.offloads and tape.frame is None:
            self.away, self.saved = [storage.kind for storage in saved], []
        self.sequence = tape.next_sequence()
        self.place, self.component = tape.place, tape.component
        self.frame = tape.frame
        if self.frame is not None:
            self.frame.nodes.append(self)


def _edge(tensor: Tensor) -> tuple[Node | Parameter | None, int]:
    if isinstance(tensor, Parameter):
        if not tensor.trains:
            return None, 0
        tensor.uses += 1
        return tensor, 0
    return tensor.node, tensor.index


@dataclass
class Frame:
    """A checkpointed stretch of the forward pass: its nodes keep nothing, and ``run`` computes them again. Where it
    ``keeps`` some results all the same, these are ``kept`` and taken, in order, when it runs again; ``products`` counts
    those that came by. What later stretches are called with is ``held`` until it has gone back."""

    run: Callable[[], None]
    keeps: bool = False
    nodes: list[Node] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)
    held: list[Tensor] = field(default_factory=list)
    products: int = 0


class _Recomputed(Exception):  # noqa: N818
    """All that was wanted has been computed again."""


class Tape:
    """One device's memory through a step. ``autocast`` is the format that matrix products run in, None without it."""

    def __init__(self, autocast: str | None = None) -> None:
        self.events: list[Event] = []
        self.place = Place("forward", "front")
        self.component = "embedding"
        self.autocast = autocast
        self.casts: dict[int, Tensor] = {}
        self.records = True
        self.frame: Frame | None = None
        self.offloads = False
        self.step: Callable[[Parameter], list[Kind]] | None = None  # what a weight's optimizer step makes, if at once
        self._again: Frame | None = None  # the stretch that is computed again
        self._kinds: dict[tuple[Any, ...], Kind] = {}
        self._sequence = 0
        self._wanted = 0
        self._found: list[Storage] | None = None

    def next_sequence(self) -> int:
        """The number of the next operation."""
        self._sequence += 1
        return self._sequence

    @contextmanager
    def at(self, phase: str, layer: int | str) -> Iterator[None]:
        """What happens inside happens in this phase and place."""
        before, self.place = self.place, Place(phase, layer)
        yield
        self.place = before

    @contextmanager
    def serving(self, component: str) -> Iterator[None]:
        """What is allocated inside serves this component."""
        before, self.component = self.component, component
        yield
        self.component = before

    def new(self, dims: Dims, dtype: str, role: str, category: str | None = None, weight: Name | None = None) -> Tensor:
        """Allocate a tensor. In the backward pass it is a gradient of activations, unless told otherwise."""
        if category is None:
            category = (
                "activation_gradients" if self.place.phase == "backward" and self.records is False else "activations"
            )
        return Tensor(Storage(self, self.kind(category, self.component, role, dims, dtype, weight)), dims, dtype)

    def kind(self, *traits: Any) -> Kind:
        """The kind of memory with these traits: one object for all that is alike."""
        known = self._kinds.get(traits)
        if known is None:
            known = self._kinds[traits] = Kind(*traits)
        return known

    def operation(self, out: Tensor, inputs: Sequence[Tensor], saved: Sequence[Tensor], rule: Rule) -> Tensor:
        """Write ``out`` down as made from ``inputs`` by an operation that keeps ``saved`` and goes back by ``rule``."""
        if not self.records or not any(needs_gradient(t) for t in inputs):
            return out
        storages = [t.storage for t in saved]
        if self._found is None:
            out.node = Node(self, list(inputs), storages, rule)
            return out
        out.node = _SOURCE
        self._found += storages
        if storages and len(self._found) >= self._wanted:
            if out.storage not in storages:
                out.storage.is_not_made()
            raise _Recomputed
        return out

    # Autocast

    def cast_weight(self, weight: Tensor, narrow: str | None = None) -> Tensor:
        """Autocast's copy of a weight, made once a forward pass; in the format ``narrow`` where one is given."""
        if self.autocast is None or weight.dtype == self.autocast:
            return weight
        cached = self.casts.get(id(weight))
        if cached is None:
            cached = self.narrowed(weight, narrow or self.autocast, "weight_cast", "weight_casts")
            if isinstance(weight, Parameter) and (weight.trains or not self.records):
                self.casts[id(weight)] = cached
        return cached

    def narrowed(self, tensor: Tensor, dtype: str, role: str, category: str | None = None) -> Tensor:
        """A copy in another format that goes on, and whose gradient comes back, in autocast's: an fp8 operand."""
        out = self.cast(tensor, dtype, role, category)
        if out is not tensor and self.autocast:
            out.dtype = self.autocast
        return out

    @contextmanager
    def without_autocast(self) -> Iterator[None]:
        """What happens inside is not autocast."""
        before, self.autocast = self.autocast, None
        yield
        self.autocast = before

    @contextmanager
    def without_gradients(self) -> Iterator[None]:
        """What happens inside is not written down: nothing is kept (``torch.no_grad``)."""
        before, self.records = self.records, False
        yield
        self.records = before

    def leave_autocast(self) -> None:
        """Forget the copies: those that the graph keeps stay until their backward."""
        self.casts.clear()

    def cast(self, tensor: Tensor, dtype: str, role: str = "cast", category: str | None = None) -> Tensor:
        """``tensor`` in another format: itself if it has it, else a copy."""
        if tensor.dtype == dtype:
            return tensor
        out = self.new(tensor.dims, dtype, role, category, tensor.weight)
        out.heads_first = tensor.heads_first
        before = tensor.dtype

        def rule(tape: Tape, grads: Grads) -> Grads:
            return [tape.cast(given(grads), before, "gradient")]

        return self.operation(out, [tensor], [], rule)

    # Recomputation

    def result(self, dims: Dims, dtype: str, role: str, *, product: bool | None = None) -> Tensor:
        """A new tensor that a checkpointed stretch may keep: attention's, or of every second ``product`` without a bias
        (torchtitan's selective recomputation, `_apply_op_sac`)."""
        frame = self.frame or self._again
        if frame is None or not frame.keeps or product is False:
            return self.new(dims, dtype, role)
        frame.products += bool(product)
        if product and frame.products % 2 == 0:
            return self.new(dims, dtype, role)
        if self._again is frame:
            return frame.kept.pop(0)
        out = self.new(dims, dtype, role)
        frame.kept.append(out.detach().laid_out_as(out))
        return out

    def checkpoint(self, function: Callable[..., Tensor], *inputs: Tensor, keeps: bool = False) -> Tensor:
        """Run ``function`` and keep only its inputs, and what it ``keeps``; the backward pass runs it again."""
        kept = [(self._put_away(x), needs_gradient(x)) for x in inputs]

        def again() -> None:
            function(*[_source(x()) if needed else x() for x, needed in kept])

        before, self.frame = self.frame, Frame(again, keeps)
        out = function(*inputs)
        self.frame = before
        return out

    def _put_away(self, x: Tensor) -> Callable[[], Tensor]:
        """How to get ``x`` without its history again: it stays, or is brought back from the host's memory."""
        if not self.offloads:
            stays = x.detach().laid_out_as(x)
            return lambda: stays
        kind, dims, dtype, heads_first = x.storage.kind, x.dims, x.dtype, x.heads_first

        def back() -> Tensor:
            found = Tensor(Storage(self, kind), dims, dtype)
            found.heads_first = heads_first
            return found

        return back

    @property
    def again(self) -> list[Storage]:
        """What has been computed again so far of a checkpointed stretch, to be kept; nothing outside of one."""
        return self._found or []

    @property
    def keeps(self) -> bool:
        """Whether operations keep now what their backward needs: it is recorded, and not to be computed again."""
        return self.records and self.frame is None

    @property
    def is_again(self) -> bool:
        """Whether a checkpointed stretch is being computed again."""
        return self._found is not None

    def _recompute(self, frame: Frame) -> None:
        """Compute again what the nodes of ``frame`` would have kept, and give it to them."""
        before = self.records, self.place
        self._again, frame.products = frame, 0
        wanted = [node.saved for node in frame.nodes if isinstance(node.saved, int)]
        self.records, self._found, self._wanted = True, [], sum(wanted)
        self.place = Place("recompute", self.place.layer)
        try:
            frame.run()
        except _Recomputed as stop:
            stop.__traceback__ = None
        finally:
            found, self._found, self._again = self._found, None, None
            self.records, self.place = before
            self.leave_autocast()
        assert found is not None
        at = 0
        for node in frame.nodes:
            if isinstance(node.saved, int):  # else it kept nothing and has gone back already
                at, node.saved = at + node.saved, found[at : at + node.saved]
        frame.nodes.clear()

    # Backward

    def backward(self, loss: Tensor) -> None:
        """Run the graph back from ``loss``: the latest operation first, as PyTorch's engine does."""
        if loss.node is None:
            message = "the model has none of the modules that adapters are put on: nothing would train"
            raise InputError("lora_targets", message, ("all",), code="nothing_trains")
        self.records = False
        root, loss.node = loss.node, None
        waiting: dict[Node, Grads] = {root: [self.new(loss.dims, loss.dtype, "gradient")]}
        arrived: dict[int, tuple[Tensor, int]] = {}
        queue = [(-root.sequence, root)]
        del root
        while queue:
            _, node = heapq.heappop(queue)
            self.place, self.component = Place("backward", node.place.layer), node.component
            if node.frame is not None and isinstance(node.saved, int) and node.saved:
                self._recompute(node.frame)
            produced = self._apply(node, waiting.pop(node))
            edges, node.edges, node.rule = node.edges, [], _nothing
            del node
            for i, (target, index) in enumerate(edges):
                gradient, produced[i] = produced[i], None
                if target is None or target is _SOURCE or gradient is None:
                    continue
                if isinstance(target, Parameter):
                    self._arrive(target, gradient, arrived)
                    continue
                slots = waiting.get(target)
                if slots is None:
                    slots = waiting[target] = []
                    heapq.heappush(queue, (-target.sequence, target))
                slots.extend([None] * (index + 1 - len(slots)))
                present, slots[index] = slots[index], None
                slots[index] = self._add(present, gradient)
                del present, gradient, slots
            del edges, target
        self.records = True

    def _apply(self, node: Node, grads: Grads) -> Grads:
        """The gradients of what went into ``node``, each in its input's shape and format.

        What was computed again is freed by the rule that takes it, what was kept all the while only in the end.
        """
        back = [Storage(self, self.kind("activations", *_traits(kind))) for kind in node.away]
        produced = list(node.rule(self, grads))
        if node.frame is not None:
            node.saved = []
        for i, (dims, dtype, weight) in enumerate(node.inputs):
            gradient, produced[i] = produced[i], None
            if gradient is not None:
                produced[i] = self._fit(gradient, dims, dtype, weight)
            del gradient
        node.saved = []
        del back
        return produced

    def _fit(self, gradient: Tensor, dims: Dims, dtype: str, weight: Name | None) -> Tensor:
        """A gradient summed over what was broadcast, and cast where formats differ."""
        if frozenset(gradient.dims) != frozenset(dims):
            gradient = self.new(dims, gradient.dtype, "gradient", weight=weight)
        return self.cast(gradient, dtype, "gradient")

    def _arrive(self, weight: Parameter, gradient: Tensor, arrived: dict[int, tuple[Tensor, int]]) -> None:
        """A gradient of ``weight``: it waits for those of its other uses, then becomes, or is added to, ``grad``."""
        present, count = arrived.pop(id(weight), (None, 0))
        summed = self._add(present, gradient)
        del present, gradient
        if weight.grad is None:
            summed.storage.becomes(weight.becomes, weight.weight)
        if count + 1 < weight.uses:
            arrived[id(weight)] = summed, count + 1
            return
        weight.uses = 0
        if self.step and weight.becomes == "gradients":
            _made = [Storage(self, kind) for kind in self.step(weight)]
        elif weight.grad is None:
            weight.grad = summed

    def _add(self, present: Tensor | None, gradient: Tensor) -> Tensor:
        """The sum of two gradients, in place where nothing else refers to the first."""
        if present is None:
            return gradient
        if sys.getrefcount(present.storage) <= 2 and not present.has_base:
            return present
        return self.new(present.dims, present.dtype, "gradient", weight=present.weight)


def _traits(kind: Kind) -> tuple[Any, ...]:
    return kind.component, kind.role, kind.dims, kind.dtype, kind.weight


def given(grads: Grads) -> Tensor:
    """The gradient of an operation with one result."""
    (grad,) = grads
    assert grad is not None
    return grad


def needs_gradient(tensor: Tensor) -> bool:
    """Does a gradient go back through it?"""
    return tensor.trains if isinstance(tensor, Parameter) else tensor.node is not None


def _source(tensor: Tensor) -> Tensor:
    """``tensor`` as the beginning of a recomputed stretch: something before it needs a gradient."""
    source = tensor.view()
    source.node = _SOURCE
    return source


def _nothing(*_: Any) -> Any:
    return []


_SOURCE: Any = Node.__new__(Node)  # what a recomputed stretch's input pretends to be made by
