"""What one device holds of a piece of memory that a single device would hold whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.precisions import BYTES
from llmcalc.devices.layout import Layout, chosen
from llmcalc.sizes import larger
from llmcalc.step.run import TrainingRun
from llmcalc.step.tape import Dim, Dims, Kind
from llmcalc.transformer.part import Part, Width, widths

Size = Any  # int, or a float64 array in a table of plans

_TOKENS = ("seq_len", "chunk_tokens")
# Every tensor-parallel rank needs these of all tokens that it has: they are not split by tokens
_OF_ALL_TOKENS = ("rotary", "attention_mask", "ids", "labels")


@dataclass(frozen=True)
class Held(Kind):
    """A kind as one rank holds it; its size is worked out once."""

    @cached_property
    def elements(self) -> Size:
        """How many numbers it holds."""
        return super().elements

    @cached_property
    def bytes(self) -> Size:
        """What it takes, rounded up to what the allocator hands out."""
        return super().bytes


class Shards:
    """One rank's share of every `Kind` of memory of these parts, by the names of its sides.

    Tensor parallelism deals out heads, inner width and vocabulary, as each part says (Shoeybi et al. 2019); with
    sequence parallelism what is left whole is split by tokens (Korthikanti et al. 2022). Context parallelism splits all
    by tokens. Expert parallelism deals out the weights of the experts. ZeRO shares out gradients: as they arrive in
    stage 2, when the layer is through in stage 3.
    """

    def __init__(self, parts: Iterable[Part], run: TrainingRun, layout: Layout) -> None:
        self.run, self.layout = run, layout
        self._held: dict[Kind, Held] = {}
        self._shares: dict[Kind, Held] = {}
        found = [width for part in parts for width in widths(part)]
        self._by_tensor = {width.name: width for width in found}
        self._joined = {(width.name, width.number): width.joins for width in found if width.joins}

    def of(self, kind: Kind) -> Held:
        """The same kind as one rank holds it."""
        if kind not in self._held:
            self._held[kind] = self._cut(kind)
        return self._held[kind]

    def _cut(self, kind: Kind) -> Held:
        if kind.category == "gradients" and np.any(self.layout.sharing(3, experts=is_of_experts(kind)) > 1):
            return Held("communication", "communication", "whole_gradients", self.dims(kind), kind.dtype, kind.weight)
        if kind.category == "gradients" and _divides(self.layout.sharing(2, experts=is_of_experts(kind))):
            return self.share_of(kind)
        dims = self.dims(kind)
        if kind.category == "weight_casts" and _divides(among := self.layout.sharing(3)):
            # the gathered layer is cast as it is gathered (FSDP's mixed precision), and goes when it has run
            dims = (*dims, Dim("count", chosen(among > 1, 0, 1)))
        return Held(kind.category, kind.component, kind.role, dims, kind.dtype, kind.weight, kind.reads)

    def share_of(self, kind: Kind) -> Held:
        """One rank's share of a gradient among the ranks that have the same weights, in the optimizer's format."""
        if kind not in self._shares:
            among = self.layout.sharing(2, experts=is_of_experts(kind))
            dims = (Dim("parameters", -(-prod(dim.value for dim in self.dims(kind)) // among)),)
            dtype = kind.dtype
            if np.any(self.layout.sharing(3) > 1) and BYTES[dtype] < self.run.trained.gradient_bytes:
                dtype = self.run.trained.gradients
            self._shares[kind] = Held(kind.category, kind.component, kind.role, dims, dtype, kind.weight, kind.reads)
        return self._shares[kind]

    def dims(self, kind: Kind) -> Dims:
        """Its sides on one rank."""
        layout, t = self.layout, self.layout.tensor_parallel
        dealt_out = any(dim.name in self._by_tensor for dim in kind.dims)
        cut, tokens_seen = [], False
        for i, dim in enumerate(kind.dims):
            value = dim.value
            if dim.name in self._by_tensor:
                joined = self._joined.get((dim.name, dim.value))
                value = sum(map(self._dealt, joined)) if joined else self._dealt(self._by_tensor[dim.name], dim.value)
            elif dim.name == "batch_size":
                value = self.run.batch_size
            elif dim.name in _TOKENS and not tokens_seen:  # the second is that of the keys
                tokens_seen = True
                if dim.name == "chunk_tokens":
                    value = -(-self.run.batch_size * self.run.seq_len // self.run.chunks)
                value = -(-value // layout.context_parallel)
                if dim.name == "seq_len" and not dealt_out and kind.role not in _OF_ALL_TOKENS:
                    value = value // chosen(layout.sequence_parallel, t, 1)
            elif i == 0 and is_of_experts(kind):
                value = value // layout.expert_parallel
            cut.append(dim if value is dim.value else Dim(dim.name, value))
        return tuple(cut)

    def _dealt(self, width: Width, number: Size | None = None) -> Size:
        """One rank's share of a width, or of so many that are dealt out as it is."""
        number, t = width.number if number is None else number, self.layout.tensor_parallel
        if width.may_pad:  # so that all ranks have as many rows
            return -(-number // t)
        return larger(number // t, 1) if width.may_repeat else number // t


def _divides(among: Size) -> bool:
    return isinstance(among, np.ndarray) or among != 1


def is_of_experts(kind: Kind) -> bool:
    """Whether it is a weight of all experts, or its gradient or copy."""
    return len(kind.dims) > 1 and kind.dims[0].name == "n_experts"
