"""Whether it fits: training on its devices and inference on one, what would help, and what is the most that does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.facets.devices import Devices
from llmcalc.facets.requests import Requests
from llmcalc.facets.serving import Serving
from llmcalc.fit.advice import Advice, single_changes, smallest_changes
from llmcalc.fit.job import Job
from llmcalc.fit.take import INFERENCE, SERVED, Take, ways_of_training
from llmcalc.fit.verdict import Verdict
from llmcalc.inputs import INPUTS
from llmcalc.kinds import Integer
from llmcalc.serving.served import Served


@dataclass(frozen=True)
class BesideLora:
    """A step with quantised frozen weights beside one that has them in 16 or 32 bits: the bytes of tensors at the peak,
    and those that are kept for the backward pass."""

    peak: float
    peak_of_lora: float
    saved: float
    saved_of_lora: float
    base: str
    is_prepared: bool


@dataclass(frozen=True)
class Fitting:
    """What a process needs beside what a device has."""

    values: Mapping[str, Any]
    devices: Devices
    serving: Serving

    @property
    def job(self) -> Job:
        """All that decides whether the training step fits."""
        return self.devices.job

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the training step fits its devices: the one answer, whatever account the reader looks at."""
        return self.job.verdict

    @cached_property
    def requests(self) -> Requests:
        """What is served: the requests that an engine holds at once."""
        return Requests(self.values, self.serving)

    @property
    def verdict_of_inference(self) -> Served:
        """Whether the engine that the reader chose holds the requests at once: the one answer of inference."""
        return self.requests.verdict

    def verdict_of(self, purpose: str) -> Verdict | Served:
        """Whether "training" or "inference" fits."""
        return self.verdict if purpose == "training" else self.verdict_of_inference

    @property
    def peak_of_full_training(self) -> float | None:
        """Where LoRA peaks above it: bytes of tensors at the peak if every weight trained, where the verdict is."""
        if not self.job.run.lora_rank:
            return None
        full = self.job.changed({"lora_rank": 0}).peak
        return full if full < self.job.peak else None

    @cached_property
    def takes(self) -> list[Take]:
        """What it would take to train the model whole, with LoRA and with QLoRA, and to serve it, format by format."""
        found = list(ways_of_training(self.job))
        for format, stored in SERVED.items():
            served = Requests(self.values, self.serving.with_weights_in(stored)).verdict
            found.append(Take(INFERENCE, format, {"weight_format": stored}, served))
        return found

    @property
    def beside_lora(self) -> BesideLora | None:
        """Where the frozen weights are quantised: what that changes beside the same step with them as they are."""
        if not (run := self.job.run).quantizes:
            return None
        plain = self.job.changed({"lora_base": "same", "kbit_prepared": False})
        peaks, saved = (self.job.peak, plain.peak), (self.job.step.saved_bytes, plain.step.saved_bytes)
        return BesideLora(*peaks, *saved, run.lora_base, run.kbit_prepared)

    def advice(self) -> list[Advice]:
        """The smallest changes after which the step fits its devices; nothing where it does."""
        return self._advice

    def savings(self) -> list[Advice]:
        """Every change that would save memory, alone."""
        return self._savings

    @cached_property
    def _advice(self) -> list[Advice]:
        return smallest_changes(self.job)

    @cached_property
    def _savings(self) -> list[Advice]:
        return single_changes(self.job)

    def knobs_of(self, purpose: str) -> tuple[str, str]:
        """The inputs that say how many sequences, or requests, there are, and how long each is."""
        return ("batch_size", "seq_len") if purpose == "training" else self.requests.knobs

    def sizes_of(self, purpose: str) -> dict[str, int]:
        """The same with what is counted of each."""
        if purpose == "training":
            return {knob: self.values[knob] for knob in self.knobs_of(purpose)}
        return dict(zip(self.requests.knobs, (self.requests.number, self.requests.length), strict=True))

    def needed_for(self, purpose: str, number: Any, length: Any) -> np.ndarray:
        """What a process needs for training or inference with another of `knobs_of`, in bytes, on the device that needs
        most; arrays make a sweep."""
        if purpose == "training":
            return self.job.needed(batch_size=number, seq_len=length)
        return self.requests.needed(number, length)

    def largest_that_fits(self, purpose: str, knob: str, memories: Any) -> Any:
        """The largest of one of `knobs_of` with which training or inference needs no more than each of ``memories``
        bytes, the other as it is; 0 where there is none. It ends where the control, or the positions, do."""
        declared = INPUTS[knob]
        assert isinstance(declared, Integer)
        most = (
            min(declared.high, self.serving.counting.longest_position or declared.high)
            if knob == self.knobs_of(purpose)[1]
            else declared.high
        )
        if purpose == "training":
            return self.job.largest(knob, memories, most)
        return self.requests.largest(knob, memories, most)
