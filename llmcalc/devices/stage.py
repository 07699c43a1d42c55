"""One pipeline rank: which layers it has, what it holds from step to step, and its memory through a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.catalog.optimizers import Beside
from llmcalc.catalog.precisions import BYTES, Precision
from llmcalc.devices import formulas as f
from llmcalc.devices.layout import Layout, chosen
from llmcalc.devices.pieces import Pieces, Place, Summary
from llmcalc.devices.shard import is_of_experts, smaller
from llmcalc.devices.work import Work
from llmcalc.quantity import Formula, Quantity, total
from llmcalc.rates import messages as sent
from llmcalc.step.buffers import buffers_memory
from llmcalc.step.optimizer import bytes_beside, factors, whole_bytes
from llmcalc.step.run import BASE_FORMATS, TrainingRun
from llmcalc.step.state import input_memory
from llmcalc.step.tape import Kind
from llmcalc.step.timeline import Change, Segment, Stretch, Timeline, larger, piece
from llmcalc.step.weights import Weight
from llmcalc.symbols import SYMBOLS
from llmcalc.transformer.dimensions import plain_sizes

Size = Any  # int, or a float64 array in a table of plans


@dataclass(frozen=True, eq=False)
class Stage:
    """Pipeline rank number ``stage`` of a run of the work. That, the layout and the run's batch may be arrays."""

    work: Work
    run: TrainingRun
    layout: Layout
    stage: Size
    pieces: Pieces

    # Which layers it has

    @cached_property
    def is_first(self) -> Size:
        """Whether it has the embedding."""
        return 1 * (self.stage == 0)

    @cached_property
    def is_last(self) -> Size:
        """Whether it has the head and the loss."""
        return 1 * (self.stage == self.layout.pipeline_parallel - 1)

    @property
    def is_whole(self) -> Size:
        """Whether it has both."""
        return self.is_first * self.is_last

    @cached_property
    def stretches(self) -> list[tuple[Size, Size]]:
        """The stretches of layers that it has, each by its first and from its end. Earlier ones have one more layer
        where they cannot all have as many."""
        p, v = self.layout.pipeline_parallel, self.layout.interleave
        least, more = divmod(len(self.work.order), p * v)

        def begin(chunk: Size) -> Size:
            return chunk * least + smaller(chunk, more)

        found = []
        for k in range(int(np.max(v))):
            chunk = self.stage + k * p
            found.append((begin(chunk), chosen(k < v, begin(chunk + 1), begin(chunk))))
        return found

    @cached_property
    def counts(self) -> list[Size]:
        """How many layers it has of each stretch of layers alike."""
        return [
            sum(larger(smaller(alike.end, end) - larger(alike.begin, begin), 0) for begin, end in self.stretches)
            for alike in self.work.alike
        ]

    @cached_property
    def n_layers(self) -> Size:
        """How many layers it has."""
        return sum(self.counts)

    # What it holds from step to step

    @cached_property
    def _held(self) -> list[tuple[tuple[Weight, ...], Size]]:
        """Weights that it may have, and how many times it has them: of layers alike, and of what is outside."""
        layers: dict[tuple[Weight, ...], Size] = {}
        for alike, count in zip(self.work.alike, self.counts, strict=True):
            layers[alike.weights] = layers.get(alike.weights, 0) + count
        return [*layers.items(), *self._outside]

    @cached_property
    def _outside(self) -> list[tuple[tuple[Weight, ...], Size]]:
        """The same outside the layers. A last stage that is not the first has a copy of a tied embedding table."""
        tied, alone = self.work.front[:1] if self.work.tied else (), 1 - self.is_first
        return [(self.work.front, self.is_first), (self.work.back, self.is_last), (tied, self.is_last * alone)]

    def _number(self, *, experts: bool, trains: bool | None = None, role: str = "", others: bool = False) -> Size:
        """Numbers in its weights that are, or are not, of experts and train (None: either), and have this role, or none
        but it (``others``)."""

        def meant(w: Weight) -> bool:
            fits = trains in (None, w.trains) and is_of_experts(w.kind) == experts
            return fits and (not role or (w.kind.role == role) != others)

        n: Size = 0
        for weights, count in self._held:
            if chosen_weights := tuple(filter(meant, weights)):
                n = n + count * self.pieces.elements(chosen_weights)
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
            for term in self._weights(experts=experts, shards=self.layout.sharing(3, experts=experts))
        ]
        return _summed("weights", r"M_\text{weights}", terms)

    def _weights(self, *, experts: bool, shards: Size, cast: float | None = None) -> list[Quantity]:
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

    def _of_trained(self, of: Callable[[Precision], float], *, experts: bool) -> Size:
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
        return buffers_memory(self.work.counted, self.run, layers=self.n_layers, first=self.is_first)

    @cached_property
    def gradients(self) -> Quantity:
        """Its gradients once the backward pass is through."""
        if self.run.steps_in_backward:
            return _summed("gradients", r"M_\text{gradients}", [])
        return self._shared(
            "gradients",
            f.rank_gradients,
            f.shared_gradients,
            2,
            gradient_bytes=lambda experts: self._of_trained(lambda numbers: numbers.gradient_bytes, experts=experts),
        )

    @cached_property
    def optimizer_state(self) -> Quantity:
        """What its optimizer keeps, on the device or in the host's memory."""
        formulas = f.rank_optimizer_state, f.shared_optimizer_state
        if np.any(self.layout.offload_optimizer):
            formulas = f.offloaded_optimizer_state, f.shared_offloaded_optimizer_state
        return self._shared("optimizer_state", *formulas, 1, optimizer_bytes=self._state_bytes)

    def _state_bytes(self, experts: bool) -> Size:
        """Bytes that the optimizer keeps for each number that trains, of tensors smaller than their weight on average:
        of experts, or of all else."""
        states = self.run.updates.states
        whole = self._of_trained(lambda n: whole_bytes(states, n) + n.master_bytes, experts=experts)
        small = self._made(factors(states), experts=experts)
        return whole + small / larger(self.parameters[experts], 1) if np.any(small) else whole

    def _made(self, tensors: tuple[Beside, ...], *, experts: bool) -> Size:
        """Bytes of an optimizer's tensors beside its weights that train: of experts, or of all else."""
        size: Size = 0
        for weights, count in self._held if tensors else ():
            meant = [w for w in weights if w.trains and is_of_experts(w.kind) == experts]
            size = size + count * self.pieces.of_weights(meant, self._beside(tensors))
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
                shards = self.layout.sharing(from_stage, experts=experts)
                term = _among(shards, alone, shared, rank_parameters=n, **sizes)
                terms.append(term.named(f"expert_{id}" if experts else id))
        return _summed(id, alone.symbol, terms)

    @cached_property
    def optimizer_temporary(self) -> Size:
        """Bytes that the optimizer allocates while it steps, once the backward pass is through."""
        optimizer = self.run.updates
        if self.run.steps_in_backward:
            return 0
        made: Size = 0
        if optimizer.of_each:
            size = self._beside(optimizer.of_each)
            for weights, count in self._held:
                for w in filter(lambda w: w.trains, weights):
                    shards = self.layout.sharing(1, experts=is_of_experts(w.kind))
                    made = larger(made, self.pieces.of_weights([w], size) / shards * (count > 0))
        else:
            small = factors(self.run.made_of_all)
            for experts, n in self.parameters.items():
                whole = self._of_trained(lambda n: whole_bytes(self.run.made_of_all, n), experts=experts)
                of_all = n * whole + self._made(small, experts=experts)
                made = made + of_all / self.layout.sharing(1, experts=experts)
        return self._on_device(made)

    def _on_device(self, size: Size) -> Size:
        return size * chosen(self.layout.offload_optimizer, 0, 1)

    # Buffers of communication

    @cached_property
    def messages(self) -> dict[str, Any]:
        """The sizes that buffers and messages are made of."""
        run, layout, model = self.run, self.layout, self.work.model
        sizes = plain_sizes(model)  # of latent attention what it expands to: a key and a value for every head
        return {
            "batch_size": run.batch_size,
            "rank_tokens": run.seq_len // layout.context_parallel,
            "d_model": model.width,
            "split": chosen(layout.sequence_parallel, layout.tensor_parallel, 1),
            "n_kv_heads": larger(sizes.kv_heads() // layout.tensor_parallel, 1) if model.mixers else 0,
            "d_head": sizes.head_width(),
            "top_k": max((mixture.top_k for mixture in model.mixtures), default=0),
            "products": BYTES[run.numbers.autocast or run.numbers.weights],
            "hidden": run.numbers.weight_bytes,
        }

    def _sized(self, *names: str) -> dict[str, Any]:
        return {name: self.messages[name] for name in names}

    @cached_property
    def buffers(self) -> Quantity:
        """All buffers that messages to and from other ranks need."""
        layout, run, m = self.layout, self.run, self.messages
        size = self._sized("batch_size", "rank_tokens")
        found = [
            (
                layout.sequence_parallel & (layout.tensor_parallel > 1),
                f.sequence_gather_buffer(**size, d_model=m["d_model"], element_bytes=m["products"]),
            ),
            (
                layout.pipeline_parallel > 1,
                f.pipeline_buffers(**size, **self._sized("d_model", "split"), element_bytes=m["hidden"]),
            ),
            (
                layout.context_parallel > 1,
                f.ring_buffers(**size, **self._sized("n_kv_heads", "d_head"), element_bytes=m["products"]),
            ),
            (
                layout.expert_parallel > 1,
                f.dispatch_buffers(**size, **self._sized("d_model", "split", "top_k"), element_bytes=m["products"]),
            ),
            (
                self.layout.sharing(3) > 1,
                f.gathered_weights(
                    root_parameters=self._root,
                    block_parameters=self._largest_layer(),
                    element_bytes=m["products"],
                ),
            ),
            (
                self.layout.sharing(2) > 1,
                f.reduce_buffer(
                    block_parameters=self._largest_layer(trains=True), gradient_bytes=run.trained.gradient_bytes
                ),
            ),
        ]
        terms = [
            replace(q, value=chosen(used, q.value, 0)) if isinstance(used, np.ndarray) else q
            for used, q in found
            if np.any(used)
        ]
        return _summed("communication", r"M_\text{comm}", terms)

    @property
    def _root(self) -> Size:
        """Numbers in its weights outside the layers."""
        return sum(count * self.pieces.elements(weights) for weights, count in self._outside if weights)

    def _largest_layer(self, *, trains: bool = False) -> Size:
        """Numbers in the weights of its largest layer: in all, or in those that train."""
        largest: Size = 0
        for alike, count in zip(self.work.alike, self.counts, strict=True):
            meant = tuple(w for w in alike.weights if w.trains or not trains)
            largest = larger(largest, self.pieces.elements(meant) * (count > 0))
        return largest

    # The step

    @cached_property
    def _summaries(self) -> list[tuple[str, Summary, Size]]:
        """Segments of the step in its order, each with its phase and how many times it comes here."""
        layers = list(zip(self.work.alike, self.counts, strict=True))
        pieces = self.pieces
        found: list[tuple[str, Summary, Size]] = []

        def add(of: Mapping[Place, Summary], phase: str, place: int | str, times: Size) -> None:
            if summary := of.get((phase, place)):
                found.append((phase, summary, times))

        def in_front(phase: str) -> None:
            add(pieces.summaries, phase, "front", self.is_whole)
            add(pieces.apart_summaries, phase, "front", self.is_first - self.is_whole)
            add(pieces.shared_summaries, phase, "front", 1 - self.is_first)

        def behind(phase: str) -> None:
            add(pieces.summaries, phase, "back", self.is_whole)
            add(pieces.apart_summaries, phase, "back", self.is_last - self.is_whole)

        def handed_over(phase: str, sign: int, times: Size) -> None:
            size = sign * pieces.handed_over_bytes[phase]
            found.append((phase, Summary(size, larger(size, 0), size if phase == "forward" else 0), times))

        in_front("forward")
        handed_over("forward", 1, 1 - self.is_first)
        for alike, count in layers:
            add(pieces.summaries, "forward", alike.place, count)
        handed_over("forward", -1, 1 - self.is_last)
        found.append(("forward", pieces.let_go_summaries[True], self.is_first - self.is_whole))
        found.append(("forward", pieces.let_go_summaries[False], 1 - self.is_first))
        behind("loss")
        found.append(("forward_end", Summary(self._casts_gone, 0, 0), 1))
        behind("forward_end")
        behind("backward")
        handed_over("backward", 1, 1 - self.is_last)
        for alike, count in reversed(layers):
            add(pieces.summaries, "backward", alike.place, count)
        handed_over("backward", -1, 1 - self.is_first)
        in_front("backward")
        found.append(("backward", pieces.let_go_behind_summary, self.is_last - self.is_whole))
        for place, summary in pieces.left_over_summaries.items():
            found.append(("backward", summary, 1 * (self._of_place(place) == 0)))
        return found

    def _of_place(self, place: int) -> Size:
        """How many layers it has of the kind that was traced as number ``place``."""
        return sum(count for alike, count in zip(self.work.alike, self.counts, strict=True) if alike.place == place)

    @cached_property
    def _casts_gone(self) -> Size:
        """Bytes of autocast's copies that go when the forward pass is through, negative."""
        casts, layers = self.pieces.cast_bytes, zip(self.work.alike, self.counts, strict=True)
        return sum(count * casts.get(alike.place, 0) for alike, count in layers)

    @cached_property
    def kept(self) -> Size:
        """Bytes of activations that one micro-batch leaves when its forward pass is through."""
        return sum(times * summary.kept for phase, summary, times in self._summaries if phase != "backward")

    @cached_property
    def in_flight(self) -> Quantity:
        """Micro-batches whose activations are there at once."""
        v = self.layout.interleave
        sizes = {"pipeline_parallel": self.layout.pipeline_parallel, "stage": self.stage}
        sizes["micro_batches"] = self.run.gradient_accumulation
        plain = f.micro_batches_in_flight(**sizes)
        if not np.any(v > 1):
            return plain
        interleaved = f.interleaved_in_flight(**sizes, interleave=v)
        return replace(interleaved, value=chosen(v > 1, interleaved.value, plain.value))

    @cached_property
    def waiting(self) -> Quantity:
        """Activations of all micro-batches in flight but the one in its backward pass."""
        return f.other_micro_batches(in_flight=self.in_flight, kept_bytes=self.kept).named("in_flight")

    @cached_property
    def base(self) -> Size:
        """Bytes that stay for the whole run."""
        stays = self.weights.value + self._on_device(self.optimizer_state.value)
        stays += self.model_buffers.value if self.model_buffers else 0
        return stays + self.gradients.value if self.run.gradients_stay else stays

    @cached_property
    def _during(self) -> tuple[Segment, Segment, Segment]:
        """What is there for as long as micro-batches go through, before and after: those that wait, and buffers; and
        the optimizer's step."""
        held = [
            piece("in_flight", "in_flight", self.waiting.value, "fp8"),
            piece("communication", "communication", self.buffers.value, "fp8"),
        ]
        scratch = piece("optimizer_temporary", "optimizer", self.optimizer_temporary, "fp8")
        gone = [Change(-1, kind) for kind in held]
        if np.any(table := self._table_gradient):
            gone.append(Change(1, piece("gradients", "gradients", table, "fp8")))
        steps = [Change(1, scratch), Change(-1, scratch)]
        counted, given_back = self.work.counted, self.run.gradients_stay or self.run.steps_in_backward
        if (counted is not self.work.model or counted.beside) and not given_back:
            simulated = replace(self, work=self.work.simulated).gradients.value
            more = piece("gradients", "gradients", self.gradients.value - simulated, "fp8")
            gone.append(Change(1, more))
        return Segment([Change(1, kind) for kind in held]), Segment(gone), Segment(steps)

    @property
    def _table_gradient(self) -> Size:
        """Bytes of a tied table's gradient on a first stage that is not the last, where a whole model adds it to the
        head's, which is not there."""
        work, run = self.work, self.run
        work = work if work.counted is work.model else work.simulated
        if (
            not work.tied
            or run.gradients_stay
            or run.steps_in_backward
            or not work.front[0].trains
            or work.makes_table_gradient
        ):
            return 0
        each = run.numbers.gradient_bytes / self.layout.sharing(2, experts=False)
        return (self.is_first - self.is_whole) * self.pieces.elements(work.front[:1]) * each

    @cached_property
    def peak(self) -> Size:
        """The most that it holds at once, in bytes."""
        before, after, steps = self._during
        height = peak = self.base + before.net
        for _, summary, times in self._summaries:  # of segments alike the first or the last has the most
            there = times > 0
            first = height + there * summary.most
            peak = larger(peak, larger(first, first + there * (times - 1) * summary.net))
            height = height + times * summary.net
        return larger(peak, height + after.net + steps.most)

    @cached_property
    def timeline(self) -> Timeline:
        """All changes of memory of one step. Not for a table."""
        before, after, steps = self._during
        pieces, order = self.pieces, self.work.order
        numbers = [i for begin, end in self.stretches for i in range(int(begin), int(end))]
        ends = pieces.segments if self.is_whole else pieces.apart_segments
        front = ends if self.is_first else pieces.shared_segments
        gone = [change for i in numbers for change in pieces.casts.get(order[i], ())]
        stretches = [Stretch("forward", "front", before)]

        def add(segments: dict[Place, Segment], phase: str, place: int | str, layer: int | str | None = None) -> None:
            if segment := segments.get((phase, place)):
                stretches.append(Stretch(phase, place if layer is None else layer, segment))

        def handed_over(phase: str, sign: int, place: str, happens: Size) -> None:
            changes = [Change(sign, kind) for _, kind in pieces.handed_over[phase].changes]
            if happens and changes:
                stretches.append(Stretch(phase, place, Segment(changes)))

        add(front, "forward", "front")
        handed_over("forward", 1, "front", not self.is_first)
        for i in numbers:
            add(pieces.segments, "forward", order[i], i)
        handed_over("forward", -1, "front", not self.is_last)
        if not self.is_whole:
            stretches.append(Stretch("forward", "front", pieces.let_go[bool(self.is_first)]))
        behind = ends if self.is_last else {}
        add(behind, "loss", "back")
        stretches.append(Stretch("forward_end", "back", Segment(gone)))
        add(behind, "forward_end", "back")
        add(behind, "backward", "back")
        handed_over("backward", 1, "back", not self.is_last)
        for i in reversed(numbers):
            add(pieces.segments, "backward", order[i], i)
        handed_over("backward", -1, "front", not self.is_first)
        add(front, "backward", "front")
        if self.is_last and not self.is_first:
            stretches.append(Stretch("backward", "front", pieces.let_go_behind))
        for place, segment in pieces.left_over.items():
            if not self._of_place(place):
                stretches.append(Stretch("backward", "front", segment))
        end = [Stretch("backward", "front", after), Stretch("optimizer", "back", steps)]
        return Timeline(self.base, [*stretches, *end])

    @property
    def inputs(self) -> Quantity:
        """Token ids of one micro-batch."""
        sizes = self.messages
        return input_memory(batch_size=sizes["batch_size"], seq_len=sizes["rank_tokens"]).named("inputs")

    # Messages

    @cached_property
    def traffic(self) -> Quantity:
        """Bytes that the rank sends in one step."""
        layout, run, m = self.layout, self.run, self.messages
        tokens = m["batch_size"] * m["rank_tokens"]
        hidden = tokens * m["d_model"]
        n = {"rank_layers": self.n_layers, "micro_batches": run.gradient_accumulation}
        of_pipeline = chosen(layout.pipeline_parallel > 1, hidden * m["hidden"], 0)
        parts = [
            sent.tensor_messages(
                **n,
                tensor_parallel=layout.tensor_parallel,
                all_reduces=6 if run.recompute in ("full", "selective_ops") else 4,
                hidden_bytes=hidden * m["products"],
            ),
            sent.pipeline_messages(
                interleave=layout.interleave,
                micro_batches=run.gradient_accumulation,
                hidden_bytes=of_pipeline,
                split=m["split"],
            ),
            sent.ring_messages(
                **n,
                context_parallel=layout.context_parallel,
                block_bytes=2 * tokens * m["n_kv_heads"] * m["d_head"] * m["products"],
            ),
            sent.dispatch_messages(
                **n,
                expert_parallel=layout.expert_parallel,
                dispatched_bytes=hidden * m["top_k"] * m["products"] / m["split"],
            ),
            *self._between_replicas(),
        ]
        return total("traffic", r"C_\text{messages}", *parts)

    def _between_replicas(self) -> list[Quantity]:
        """What it sends to the ranks that hold the same weights; of experts these are fewer."""
        layout, run = self.layout, self.run
        parts = []
        for experts, n in self.parameters.items():
            gathered = self._weights(experts=experts, shards=1, cast=self.messages["products"])
            if not gathered:
                continue
            replicas = layout.sharing(0, experts=experts)
            each = self._of_trained(lambda numbers: numbers.gradient_bytes, experts=experts)
            sizes = {"rank_parameters": n, "gradient_bytes": each, "replicas": replicas}
            part = sent.gradient_messages(**sizes)
            if np.any(layout.zero_stage >= 3):
                whole = _summed("gathered_bytes", SYMBOLS["gathered_bytes"].tex, gathered)
                sharded = sent.sharded_messages(**sizes, gathered_bytes=whole, micro_batches=run.gradient_accumulation)
                part = replace(sharded, value=chosen(layout.zero_stage >= 3, sharded.value, part.value))
            parts.append(part.named(f"expert_{part.id}") if experts else part)
        return parts


def _among(shards: Size, alone: Formula, shared: Formula, **sizes: Any) -> Quantity:
    """What a rank holds by itself, or its share where several share it out."""
    return shared(**sizes, shards=shards) if np.any(shards > 1) else alone(**sizes)


def _summed(id: str, symbol: str, terms: Sequence[Quantity]) -> Quantity:
    if not terms:
        return Quantity(id, 0, "bytes", symbol, meaning="There is none.")
    if len(terms) == 1 and terms[0].id == id:
        return terms[0].named(id, symbol)
    return total(id, symbol, *(term.named(term.id, rf"M_\text{{{term.id.replace('_', ' ')}}}") for term in terms))
