"""Training steps that were measured on the real code of transformers and nanoGPT: what `llmcalc.accuracy` is held to.

``measured_steps.jsonl`` has a row a step, measured with torch 2.13 and transformers 5.23. The model's own code ran
under the real dispatcher, autograd engine and autocast, on fake tensors of a fake CUDA device; every storage that an
operator created was counted, in steps of 512 bytes like those of the CUDA caching allocator, from its birth to its
death. No figure was read off a GPU: what only a GPU has (context, workspaces of cuBLAS, scratch inside kernels,
fragmentation) is not in them. All figures are of the second step, when the optimizer has its states.

The rows are golden: measured, never computed with llmcalc. ``tests/oracle/measured_rows.py`` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from llmcalc.huggingface import from_config
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.model import Model

NANOGPT = "nanogpt"  # its ``config`` are Dimensions; every other is a config of the Hub


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredStep:
    """One training step as it was measured; what is measured is in bytes.

    ``model`` is the name that the measurement gave it, ``config`` what it was built from, ``run`` the arguments of
    `TrainingRun`. ``instrument`` says what measured it ("first": a script outside this repository;
    "fake" or "cuda": ``tests/oracle/step_memory.py``), ``group`` what for.
    ``saved`` is what autograd kept for the backward pass, ``weight_casts`` autocast's copies of weights beside it,
    ``held`` what the caller held. ``peaks`` are those of forward, backward and optimizer, and ``at`` the operators at
    them.
    """

    model: str
    config: Mapping[str, Any]
    instrument: str
    group: str
    run: Mapping[str, Any]
    parameters: int
    weight_bytes: int
    buffer_bytes: int
    optimizer_bytes: int
    saved: int
    weight_casts: int
    held: int
    peaks: Mapping[str, int]
    at: Mapping[str, str]
    peak: int
    peak_phase: str

    @property
    def family(self) -> str:
        """Whose code ran: a model_type of transformers, or nanoGPT."""
        return str(self.config.get("model_type", NANOGPT))

    def built(self) -> Model:
        """The model that was measured."""
        return Dimensions(**self.config).model() if self.model == NANOGPT else from_config(self.config)

    @cached_property
    def training_run(self) -> TrainingRun:
        """How the step was run."""
        return TrainingRun(**self.run)

    def __str__(self) -> str:
        """The model and how it was run, what is at its default left out."""
        run = self.training_run
        words = [self.model, f"{run.batch_size} × {run.seq_len}", run.precision, run.attention]
        words += [f"recompute={run.recompute}"] if run.recompute != "none" else []
        words += [f"dropout={run.dropout:g}"] if run.dropout else []
        words += [f"loss={run.loss}/{run.chunks}" if run.chunks > 1 else f"loss={run.loss}"] if run.loss != "hf" else []
        words += ["keep_logits"] if run.keep_logits else []
        return " ".join([*words, run.optimizer])


@cache
def measured_steps() -> tuple[MeasuredStep, ...]:
    """Every measured step, model by model."""
    text = resources.files("llmcalc.catalog").joinpath("measured_steps.jsonl").read_text("utf-8")
    return tuple(MeasuredStep(**json.loads(line)) for line in text.splitlines())
