"""Data parallel steps as they were measured on one rank: real DDP and FSDP2 of PyTorch 2.13.

``ranks.jsonl`` has a row a step, measured like those of `llmcalc.accuracy.rows` on a process group that sends nothing
(``tests/oracle/parallel_steps.py``). Golden, and ``seen`` like those: where whoever wrote the rules had it at hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import RankMemory, rank_memory
from llmcalc.huggingface import from_config
from llmcalc.step.run import TrainingRun

# The phases of a step that were measured, and the timeline's that are in them
PHASES: Mapping[str, tuple[str, ...]] = {
    "forward": ("forward", "loss", "forward_end"),
    "backward": ("backward",),
    "optimizer": ("optimizer",),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredRank:
    """One step on one rank; ``peaks`` are in bytes, by phase. ``run`` and ``layout`` are arguments of `TrainingRun` and
    `Layout`; ``framework`` is "DDP" or "FSDP2"."""

    config: Mapping[str, Any]
    framework: str
    seen: bool
    run: Mapping[str, Any]
    layout: Mapping[str, Any]
    weight_bytes: int
    peaks: Mapping[str, int]

    @property
    def family(self) -> str:
        """The model_type whose code ran."""
        return str(self.config["model_type"])

    @property
    def peak(self) -> int:
        """The most in the whole step."""
        return max(self.peaks.values())


@cache
def measured_ranks() -> tuple[MeasuredRank, ...]:
    """Every measured rank."""
    text = resources.files("llmcalc.accuracy").joinpath("ranks.jsonl").read_text("utf-8")
    return tuple(MeasuredRank(**json.loads(line)) for line in text.splitlines())


@cache
def rank_of(row: MeasuredRank) -> RankMemory:
    """The same step as it is counted here."""
    return rank_memory(from_config(row.config), TrainingRun(**row.run), Layout(**row.layout))


def rank_errors(row: MeasuredRank) -> dict[str, float]:
    """The peak of each phase and of the step against what was measured: as a share, negative where it is too small."""
    found = rank_of(row)
    most = found.course.most_by_phase()
    sizes = {phase: max(size for (name, _), size in most.items() if name in names) for phase, names in PHASES.items()}
    errors = {phase: float(size / row.peaks[phase] - 1) for phase, size in sizes.items()}
    return errors | {"step": float(found.peak.value / row.peak - 1)}
