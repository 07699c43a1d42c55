"""One pipeline rank: which layers it has, what it holds from step to step, its messages, and its memory through a
step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.devices.exchange import Exchange
from llmcalc.devices.holdings import Holdings
from llmcalc.devices.layers import Layers
from llmcalc.devices.layout import Layout
from llmcalc.devices.passage import Passage
from llmcalc.devices.pieces import Pieces
from llmcalc.devices.work import Work
from llmcalc.quantity import Quantity
from llmcalc.step.run import TrainingRun
from llmcalc.step.state import input_memory
from llmcalc.step.timeline import Timeline

Size = Any  # int, or a float64 array in a table of plans


@dataclass(frozen=True, eq=False)
class Stage:
    """Pipeline rank number ``stage`` of a run of the work. That, the layout and the run's batch may be arrays."""

    work: Work
    run: TrainingRun
    layout: Layout
    stage: Size
    pieces: Pieces

    @cached_property
    def layers(self) -> Layers:
        """Which layers and weights it has."""
        return Layers(self.work, self.layout, self.stage, self.pieces)

    @cached_property
    def holds(self) -> Holdings:
        """What it holds from step to step."""
        return Holdings(self.layers, self.run)

    @cached_property
    def exchange(self) -> Exchange:
        """Its messages."""
        return Exchange(self.layers, self.run, self.holds)

    @cached_property
    def passage(self) -> Passage:
        """Its memory through a step."""
        return Passage(self.layers, self.run, self.holds, self.exchange)

    @property
    def peak(self) -> Size:
        """The most that it holds at once, in bytes."""
        return self.passage.peak

    @property
    def timeline(self) -> Timeline:
        """All changes of memory of one step. Not for a table."""
        return self.passage.timeline

    @property
    def traffic(self) -> Quantity:
        """Bytes that it sends in one step."""
        return self.exchange.traffic

    @property
    def inputs(self) -> Quantity:
        """Token ids of one micro-batch."""
        sizes = self.exchange.sizes
        return input_memory(batch_size=sizes["batch_size"], seq_len=sizes["rank_tokens"]).named("inputs")
