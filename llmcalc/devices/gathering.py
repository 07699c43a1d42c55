"""What fully sharded data parallel gathers and reduces, and when: the rules of PyTorch's FSDP2, read in its code.

The weights outside the layers are a group, which is gathered before the forward pass and stays until the backward pass
is through; each layer is a group of its own. A group is gathered into one buffer, from which its weights are copied. In
the forward pass that buffer stays until the next group's weights are there; in the backward pass a layer's is filled
while the layer behind it runs. A layer's gradients stay whole until its backward pass is through, and are then copied
into a buffer that is reduced, and which stays until the next layer's.

Weights that are kept gathered (``reshard_after_forward=False``) go when their layer's backward pass is through. In a
pipeline they are kept, and their gradients added up whole, until the last micro-batch's backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.catalog.precisions import BYTES
from llmcalc.devices.layers import Layers
from llmcalc.devices.layout import chosen
from llmcalc.devices.shard import is_of_experts
from llmcalc.devices.turns import Part, Turn, of_changes
from llmcalc.devices.work import casts_gathered
from llmcalc.sizes import larger
from llmcalc.step.run import BASE_FORMATS, TrainingRun
from llmcalc.step.tape import Kind
from llmcalc.step.timeline import Change, piece
from llmcalc.step.weights import Weight

Size = Any  # int, or a float64 array in a table of plans


class Group(NamedTuple):
    """Bytes of what is gathered together: of its whole weights, of a rank's share of them where it casts that before it
    sends it, and of its whole gradients as they are reduced."""

    weights: Size
    cast: Size
    reduced: Size

    @staticmethod
    def sum_of(groups: list[tuple[Group, Size]]) -> Group:
        """So many of each together."""
        return Group(*(sum(count * group[i] for group, count in groups) for i in range(3)))


@dataclass(frozen=True, eq=False)
class Gathering:
    """What a rank with these layers gathers and reduces in a step of the run."""

    layers: Layers
    run: TrainingRun

    @property
    def is_used(self) -> bool:
        """Whether weights are shared out: in a table of plans they are in all rows, or in none."""
        return bool(np.any(self.layers.layout.sharing(3) > 1))

    @cached_property
    def keeps(self) -> Size:
        """1 where weights stay gathered from the forward pass to the backward pass, else 0."""
        layout = self.layers.layout
        return chosen((layout.pipeline_parallel > 1) | (layout.keep_gathered > 0), 1, 0)

    @cached_property
    def adds_up(self) -> Size:
        """1 where weights stay gathered, and gradients whole, through all micro-batches of a step, else 0."""
        several = self.run.gradient_accumulation > 1
        return chosen((self.layers.layout.pipeline_parallel > 1) & several, 1, 0)

    # What is gathered together

    @cached_property
    def root(self) -> Group:
        """All that is outside the layers."""
        return Group.sum_of([(self._group(weights), count) for weights, count in self.layers.outside if weights])

    @cached_property
    def _each(self) -> list[tuple[Group, Size]]:
        """Of each stretch of layers alike one, and how many there are."""
        return [(self._group(a.weights), n) for a, n in zip(self.layers.work.alike, self.layers.counts, strict=True)]

    @cached_property
    def everything(self) -> Group:
        """All groups."""
        return Group.sum_of([(self.root, 1), *self._each])

    @cached_property
    def largest(self) -> Group:
        """The largest of the rank's layers."""
        found = Group(0, 0, 0)
        for group, count in self._each:
            found = Group(*(larger(size, new * (count > 0)) for size, new in zip(found, group, strict=True)))
        return found

    def _group(self, weights: tuple[Weight, ...]) -> Group:
        found = []
        for experts in (False, True):
            shards = self.layers.layout.sharing(3, experts=experts)
            sizes: dict[float, list[Weight]] = {}
            trained: dict[float, list[Weight]] = {}
            for w in weights:
                if is_of_experts(w.kind) == experts:
                    sizes.setdefault(self._bytes_of(w), []).append(w)
                    if w.trains:
                        trained.setdefault(self.run.formats_of(w.kind.role).gradient_bytes, []).append(w)
            whole, reduced = self._sum(sizes), self._sum(trained)
            cast = whole / shards if casts_gathered(self.run) else 0
            found.append((Group(whole, cast, reduced), chosen(shards > 1, 1, 0)))
        return Group.sum_of(found)

    def _sum(self, by_bytes: dict[float, list[Weight]]) -> Size:
        return sum(each * self.layers.pieces.elements(tuple(meant)) for each, meant in by_bytes.items())

    def _bytes_of(self, weight: Weight) -> float:
        """Bytes of a number of a weight as it is gathered: quantised ones as they are stored, others as they are
        multiplied where the policy casts them."""
        run = self.run
        base = BASE_FORMATS[run.lora_base] if run.lora_rank and not weight.trains else None
        if base and weight.is_adapted:
            return WEIGHT_FORMATS[base].bits / 8
        if casts_gathered(run):
            return BYTES[run.numbers.autocast or run.numbers.weights]
        if not run.lora_rank:
            return run.numbers.weight_bytes
        return run.formats_of(weight.kind.role).weight_bytes if weight.trains else BYTES[run.frozen]

    # When

    @property
    def _passing(self) -> Size:
        """1 where groups come and go within a micro-batch, else 0."""
        return 1 - self.adds_up

    def begin(self) -> Turn:
        """Before the forward pass: what is outside the layers. Its buffer stays until the first layer has its own."""
        changes = [*self._filled(self.root, self._passing), *_change(1, "gathered_weights", self._of(self.root))]
        return Turn((of_changes("forward", "front", changes),), 1)

    def forward(self, parts: list[Part]) -> Iterator[Turn]:
        """The turns of the layers in the forward pass, each with the part of it of ``parts``, one a stretch."""
        buffer = self.root.weights
        for (group, count), part in zip(self._each, parts, strict=True):
            behind = of_changes("forward", None, _change(-1, "gathered_weights", group.weights * (1 - self.keeps)))
            for before, times in ((buffer, 1 * (count > 0)), (group.weights, larger(count - 1, 0))):
                changes = [
                    *self._filled(group, self._passing),
                    *_change(1, "gathered_weights", self._of(group)),
                    *_change(-1, "gather_buffer", before * self._passing),
                ]
                yield Turn((of_changes("forward", None, changes), part, behind), times)
            buffer = chosen(count > 0, group.weights, buffer)

    def turn_round(self) -> tuple[Turn, Turn]:
        """After the forward pass the last layer's buffer goes; before the backward pass it is filled once more."""
        last = self._last_first()[-1]
        gone = _change(-1, "gather_buffer", last.weights * self._passing)
        filled = self._filled(last, 1 - self.keeps)
        return Turn((of_changes("forward_end", "back", gone),), 1), Turn((of_changes("backward", "back", filled),), 1)

    def backward(self, parts: list[Part], reduced: list[tuple[Part, ...]]) -> Iterator[Turn]:
        """The turns of the layers in the backward pass; ``reduced`` are the parts in which a layer's whole gradients
        go and the rank's share of them comes."""
        before: Size = 0
        in_front = self._last_first()
        for i in reversed(range(len(parts))):
            (group, count), nothing = self._each[i], Group(0, 0, 0)
            ahead = in_front[i - 1] if i else nothing
            times = (1 * (count > 0), larger(count - 2, 0), 1 * (count > 1))
            alone = count == 1
            nexts = (Group(*(chosen(alone, a, g) for a, g in zip(ahead, group, strict=True))), group, ahead)
            for n, then in zip(times, nexts, strict=True):
                start = [
                    *_change(1, "gathered_weights", group.weights * (1 - self.keeps)),
                    *_change(-1, "gather_buffer", group.weights * (1 - self.keeps)),
                    *self._filled(then, 1 - self.keeps),
                ]
                end = [
                    *_change(-1, "gathered_weights", self._of(group)),
                    *_change(-1, "reduce_buffer", before * self._passing),
                    *_change(1, "reduce_buffer", group.reduced * self._passing),
                ]
                around = of_changes("backward", None, start), of_changes("backward", None, end)
                yield Turn((around[0], parts[i], around[1], *reduced[i]), n)
                before = chosen(n > 0, group.reduced, before)

    def end(self) -> Turn:
        """After the backward pass what is outside the layers goes, and its gradients are reduced."""
        last: Size = 0
        for group, count in reversed(self._each):
            last = chosen(count > 0, group.reduced, last)
        changes = [
            *_change(-1, "gathered_weights", self._of(self.root)),
            *_change(-1, "reduce_buffer", last * self._passing),
            *_change(1, "reduce_buffer", self.root.reduced * self._passing),
        ]
        return Turn((of_changes("backward", "front", changes),), 1)

    def close(self) -> Turn:
        """The last buffer goes before the optimizer's step."""
        gone = _change(-1, "reduce_buffer", self.root.reduced * self._passing)
        return Turn((of_changes("backward", "front", gone),), 1)

    def added_up(self, shares: Size) -> Size:
        """Bytes that stay through all micro-batches of a pipeline: whole weights, and of whole gradients all but the
        ``shares`` that are the rank's own."""
        return self.adds_up * (self.everything.weights + self.everything.reduced - shares)

    @property
    def reduced_at_last(self) -> Size:
        """The largest buffer of whole gradients that were added up through all micro-batches."""
        return self.adds_up * larger(self.root.reduced, self.largest.reduced)

    def _of(self, group: Group) -> Size:
        return group.weights * self._passing

    def _last_first(self) -> list[Group]:
        """Of each stretch its layer, or where it has none here that of the stretch before."""
        found, last = [], Group(0, 0, 0)
        for group, count in self._each:
            last = Group(*(chosen(count > 0, new, old) for new, old in zip(group, last, strict=True)))
            found.append(last)
        return found

    def _filled(self, group: Group, times: Size) -> list[Change]:
        """A buffer is filled, from a cast copy of the rank's share where weights are cast."""
        cast = group.cast * times
        buffer = _change(1, "gather_buffer", group.weights * times)
        return [*_change(1, "cast_shares", cast), *buffer, *_change(-1, "cast_shares", cast)]


def _change(sign: int, role: str, size: Size) -> list[Change]:
    """So many bytes more, or less, of what messages between replicas need; nothing where there is none."""
    if not np.any(size):
        return []
    return [Change(sign, _kind(role, size) if np.isscalar(size) else piece("communication", role, size, "fp8"))]


@lru_cache(maxsize=4096)
def _kind(role: str, size: float) -> Kind:
    """What is let go of is what was made: of one size there is one kind."""
    return piece("communication", role, size, "fp8")
