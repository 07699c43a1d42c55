"""Which layers a pipeline rank has, and which weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.devices.layout import Layout, chosen
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.work import Work
from llmcalc.sizes import larger, smaller
from llmcalc.step.weights import Weight

Size = Any  # int, or a float64 array in a table of plans


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of pipeline rank number ``stage``. That and the layout may be arrays."""

    work: Work
    layout: Layout
    stage: Size
    pieces: Pieces

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

    @cached_property
    def held(self) -> list[tuple[tuple[Weight, ...], Size]]:
        """Weights that it may have, and how many times it has them: of layers alike, and of what is outside."""
        layers: dict[tuple[Weight, ...], Size] = {}
        for alike, count in zip(self.work.alike, self.counts, strict=True):
            layers[alike.weights] = layers.get(alike.weights, 0) + count
        return [*layers.items(), *self.outside]

    @cached_property
    def outside(self) -> list[tuple[tuple[Weight, ...], Size]]:
        """The same outside the layers. A last stage that is not the first has a copy of a tied embedding table."""
        tied, alone = self.work.front[:1] if self.work.tied else (), 1 - self.is_first
        return [(self.work.front, self.is_first), (self.work.back, self.is_last), (tied, self.is_last * alone)]
