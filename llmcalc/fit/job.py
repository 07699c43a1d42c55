"""A job as a whole: a training step, laid out over devices of one kind, and what a process takes beside its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.accelerators import Accelerator
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import RankMemory, peak_on_each, step_on_each
from llmcalc.fit.alignment import NEXT, OF_OBJECTIVE, AlignedStep, Objective, aligned_peaks
from llmcalc.fit.solve import largest_that_fits
from llmcalc.fit.verdict import Verdict, fits, needed_for
from llmcalc.step.overhead import Overhead, fragmentation_of
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step
from llmcalc.transformer.model import Model

Fields = Mapping[str, Any]
_OF_LAYOUT = {field.name for field in fields(Layout)}


@dataclass(frozen=True)
class Job:
    """``run`` of ``model``, laid out over devices of the kind ``device``, which learns ``objective``.

    ``counted`` is the model whose parameters are counted, where ``model`` only stands in for its layers.
    """

    model: Model
    run: TrainingRun
    layout: Layout
    counted: Model
    device: Accelerator
    overhead: Overhead
    objective: Objective = NEXT

    def changed(self, fields: Fields) -> Job:
        """The same with some fields of the run, of the layout and of the objective set. Raises InputError for a layout
        that cannot be."""
        of_layout = {name: value for name, value in fields.items() if name in _OF_LAYOUT}
        learnt = {name: value for name, value in fields.items() if name in OF_OBJECTIVE}
        of_run = {name: value for name, value in fields.items() if name not in (*of_layout, *learnt)}
        run, overhead = replace(self.run, **of_run), self.overhead
        if overhead.fragmentation == fragmentation_of(self.run.recompute):  # nobody set another
            overhead = replace(overhead, fragmentation=fragmentation_of(run.recompute))
        layout, objective = replace(self.layout, **of_layout), replace(self.objective, **learnt)
        return replace(self, run=run, layout=layout, overhead=overhead, objective=objective)

    @property
    def step(self) -> Step | RankMemory | AlignedStep:
        """The step of the device that needs most. Raises InputError for a layout that cannot be."""
        if not self.objective.is_next_token:
            return self.objective.plan(self.model, self.run, self.layout, self.counted).course
        return step_on_each(self.model, self.run, self.layout, counted=self.counted)

    @cached_property
    def verdict(self) -> Verdict:
        """Whether it fits. Raises InputError for a layout that cannot be."""
        return Verdict(self.step.peak, self.device, self.overhead, self.layout.devices)

    @property
    def peak(self) -> float:
        """Bytes of tensors at the peak. Raises InputError for a layout that cannot be."""
        step = self.step
        return float(step.neediest.peak if isinstance(step, RankMemory) else max(step.peak_by_moment.values()))

    @property
    def fits(self) -> bool:
        """What `verdict` says, found without what the peak is made of."""
        return fits(needed_for(self.peak, self.overhead), self.device)

    def needed(self, *, batch_size: Any, seq_len: Any) -> np.ndarray:
        """What the process needs with another batch or length, in bytes; arrays make a sweep."""
        run = replace(self.run, batch_size=batch_size, seq_len=seq_len)
        return np.asarray(needed_for(self.peaks(run), self.overhead))

    def peaks(self, run: TrainingRun) -> np.ndarray:
        """Bytes of tensors at the peak of each batch and length of a run."""
        if not self.objective.is_next_token:
            return aligned_peaks(self.objective.plan(self.model, run, self.layout, self.counted))
        return peak_on_each(self.model, run, self.layout, counted=self.counted)

    def largest(self, knob: str, memories: Any, most: int) -> Any:
        """The largest ``batch_size``, or ``seq_len``, that needs no more than each of ``memories`` bytes, the other as
        it is, up to ``most``; 0 where there is none. A length is one that the layout divides."""
        held = {"batch_size": self.run.batch_size, "seq_len": self.run.seq_len}
        every = self.layout.divides_tokens_by if knob == "seq_len" else 1
        return largest_that_fits(lambda n: self.needed(**held | {knob: n}), memories, most, every)
