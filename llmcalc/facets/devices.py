"""The devices: of what kind, how the step is laid out over them, what each holds, and whether that fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from llmcalc.cached import cached_property
from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator
from llmcalc.devices.layout import Layout, check_layout, sequences_of
from llmcalc.devices.plans import Cluster, plans, settings
from llmcalc.devices.rank import RankMemory, rank_memory
from llmcalc.errors import InputError
from llmcalc.facets.training import Training
from llmcalc.fit.alignment import AlignedStep
from llmcalc.fit.job import Job
from llmcalc.inputs import DEFAULTS, INPUTS
from llmcalc.kinds import Integer
from llmcalc.step.overhead import Overhead
from llmcalc.step.step import Step

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Devices:
    """The step laid out over devices as ``values`` describe it: as asked, or the nearest layout that can be."""

    values: Mapping[str, Any]
    training: Training

    @property
    def accelerator(self) -> Accelerator:
        """The device whose memory the charts mark."""
        return ACCELERATORS[self.values["accelerator"]]

    @property
    def overhead(self) -> Overhead:
        """What the process takes beside its tensors."""
        return Overhead(
            context=self.values["cuda_context"],
            workspaces=self.values["workspaces"],
            fragmentation=self.values["fragmentation"],
        )

    @cached_property
    def _laid_out(self) -> tuple[Layout, tuple[InputError, ...]]:
        """The layout as asked, without what cannot be, and what that is."""
        asked = {f.name: self.values[f.name] for f in fields(Layout)}
        problems: list[InputError] = []
        while True:
            layout = self._filled(asked)
            try:
                if layout != Layout():
                    check_layout(self.training.runs_as, self.training.run, layout)
                return layout, (*problems, *self._miscounted_devices(layout, is_as_asked=not problems))
            except InputError as error:
                if asked[error.input_id] == DEFAULTS[error.input_id]:  # then it is another that does not go with it
                    error.input_id = next(id for id, value in asked.items() if value != DEFAULTS[id])
                problems.append(error)
                asked[error.input_id] = DEFAULTS[error.input_id]

    def _filled(self, asked: Mapping[str, Any]) -> Layout:
        """The layout whose copies of the model, where their number is left open, take all devices that there are."""
        layout = Layout(**{**asked, "data_parallel": 1})
        copies = asked["data_parallel"] or max(1, (self.values["n_devices"] or 1) // layout.devices)
        return replace(layout, data_parallel=copies)

    def _miscounted_devices(self, layout: Layout, *, is_as_asked: bool) -> Iterator[InputError]:
        """That the layout that is counted takes another number of devices than there are."""
        there, taken = self.values["n_devices"], layout.devices
        if there and there != taken:
            message = f"the layout takes {taken:,} devices, not {there:,}"
            does = (taken,) if is_as_asked else ()  # else it is the layout that is to be changed
            problem = InputError("n_devices", message, does, code="other_devices", taken=taken, n_devices=there)
            yield within_range(problem)

    @property
    def layout(self) -> Layout:
        """How the step is laid out over devices: as asked, or the nearest that can be."""
        return self._laid_out[0]

    @property
    def problems(self) -> tuple[InputError, ...]:
        """What cannot be in the layout that was asked for, and what a trainer refuses of it."""
        refused = self.training.objective.problem(self.training.run, self.layout)
        return (*self._laid_out[1], *([refused] if refused else []))

    @property
    def n_devices(self) -> int:
        """How many devices there are: as asked, else as many as the layout takes."""
        asked = None if self.values["data_parallel"] else self.values["n_devices"]
        return int(asked or self.layout.devices)

    @cached_property
    def job(self) -> Job:
        """All that decides whether it fits."""
        return Job(
            self.training.runs_as,
            self.training.run,
            self.layout,
            self.training.model,
            self.accelerator,
            self.overhead,
            self.training.objective,
        )

    @property
    def on_each(self) -> Step | RankMemory | AlignedStep:
        """The step of the device that needs most."""
        return self.job.step

    @cached_property
    def rank(self) -> RankMemory:
        """What the device that needs most holds of a step laid out so, with its messages."""
        return rank_memory(self.training.runs_as, self.training.run, self.layout, counted=self.training.model)

    @cached_property
    def cluster(self) -> Cluster:
        """The devices that a plan is made for. Without a global batch of its own, a plan keeps that of the run."""
        asked = self.values["global_batch"]
        return Cluster(
            devices=self.n_devices,
            memory=self.accelerator.memory,
            global_batch=asked or sequences_of(self.training.run, self.layout),
            node=self.values["node_size"],
            overhead=self.overhead,
        )

    @cached_property
    def plans(self) -> pd.DataFrame:
        """Every plan for the cluster, the best first.

        Raises InputError where there is none.
        """
        return plans(
            self.training.runs_as,
            self.training.run,
            self.cluster,
            counted=self.training.model,
            layout=self.layout,
        )

    def uses(self, plan: Mapping[str, Any]) -> bool:
        """Whether one of the `plans` is in use."""
        layout, run = self.layout, self.training.run
        used = asdict(layout) | {"batch_size": run.batch_size, "gradient_accumulation": run.gradient_accumulation}
        return all(({**self.values, **used})[id] == value for id, value in settings(plan).items())


def within_range(problem: InputError) -> InputError:
    """The same problem, with only those suggestions that its input accepts."""
    declared = INPUTS[problem.input_id]
    assert isinstance(declared, Integer)
    problem.suggestions = tuple(n for n in problem.suggestions if declared.low <= n <= declared.high)
    return problem
