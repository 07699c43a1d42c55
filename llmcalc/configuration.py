"""From the inputs that a reader set to the model and the run that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator
from llmcalc.catalog.presets import name_of
from llmcalc.errors import InputError
from llmcalc.inference import inference_memory
from llmcalc.inputs import INPUTS, Integer
from llmcalc.quantity import Quantity
from llmcalc.training import ACCOUNTS, TrainingMemory, TrainingRun
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.model import Model
from llmcalc.units import human

# A cluster of the largest size announced; what needs more is a slip of the hand, and is said to be
LARGEST_CLUSTER_DEVICES = 100_000


@dataclass(frozen=True)
class Configuration:
    """What all pages draw. ``values`` maps every input's id to its value.

    Where the dimensions contradict each other, `problems` says so and the nearest sound model is counted.
    """

    values: Mapping[str, Any]

    @cached_property
    def asked(self) -> Dimensions:
        """The dimensions as set, sound or not."""
        return Dimensions(**{f.name: self.values[f.name] for f in fields(Dimensions)})

    @cached_property
    def dimensions(self) -> Dimensions:
        """The dimensions that are counted: as set, or the nearest sound ones."""
        return self.asked.mended()

    @cached_property
    def model(self) -> Model:
        """The model that is counted."""
        return self.dimensions.model()

    @cached_property
    def run(self) -> TrainingRun:
        """How the training step is run."""
        return TrainingRun(**{f.name: self.values[f.name] for f in fields(TrainingRun)})

    @cached_property
    def training(self) -> TrainingMemory:
        """Memory of a training step in the account that the reader chose."""
        return ACCOUNTS[self.values["account"]](self.dimensions, self.run)

    @cached_property
    def inference(self) -> Quantity:
        """Memory of inference with a full cache."""
        return self.inference_of(self.values["batch_size"], self.values["seq_len"])

    @property
    def accelerator(self) -> Accelerator:
        """The device whose memory the charts mark."""
        return ACCELERATORS[self.values["accelerator"]]

    @property
    def name(self) -> str | None:
        """The published shape that this is, or None."""
        return name_of(self.values)

    def training_of(self, batch_size: Any, seq_len: Any) -> TrainingMemory:
        """The training step with another batch or length; arrays make a sweep."""
        run = TrainingRun(
            **{f.name: self.values[f.name] for f in fields(TrainingRun)}
            | {"batch_size": batch_size, "seq_len": seq_len}
        )
        return ACCOUNTS[self.values["account"]](self.dimensions, run)

    def inference_of(self, batch_size: Any, seq_len: Any) -> Quantity:
        """Inference with another batch or length; arrays make a sweep."""
        return inference_memory(
            self.dimensions,
            batch_size=batch_size,
            seq_len=seq_len,
            weight_format=self.values["weight_format"],
            cache_format=self.values["cache_format"],
        )

    @cached_property
    def problems(self) -> tuple[InputError, ...]:
        """All that is contradictory or beyond any machine, each naming the input to change."""
        found = [_within_range(problem) for problem in self.asked.problems()]
        peak, device = self.training.peak.value, self.accelerator
        if peak > LARGEST_CLUSTER_DEVICES * max(a.memory for a in ACCELERATORS.values()):
            found.append(
                InputError(
                    "batch_size",
                    f"a step needs {human(peak, 'bytes')}, more than any cluster has",
                    code="beyond_any_machine",
                    peak=human(peak, "bytes"),
                    devices=f"{peak / device.memory:,.0f} × {device.id}",
                )
            )
        limit = self.dimensions.n_positions
        if self.dimensions.positions == "learned" and self.values["seq_len"] > limit:
            found.append(
                InputError(
                    "seq_len",
                    f"a table of {limit:,} learned positions ends before {self.values['seq_len']:,} tokens",
                    (limit,),
                    code="beyond_positions",
                    seq_len=self.values["seq_len"],
                    n_positions=limit,
                )
            )
        return tuple(found)


def _within_range(problem: InputError) -> InputError:
    """The same problem, with only those suggestions that its input accepts."""
    declared = INPUTS[problem.input_id]
    assert isinstance(declared, Integer)
    problem.suggestions = tuple(n for n in problem.suggestions if declared.low <= n <= declared.high)
    return problem
