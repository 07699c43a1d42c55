"""Steps that were measured on the real code of transformers and nanoGPT: what the simulation is held to.

``steps.jsonl`` has a row a training step, measured with torch 2.13 and transformers 5.23. The model's own code ran
under the real dispatcher, autograd engine and autocast, on fake tensors of a fake CUDA device; every storage that an
operator created was counted, in steps of 512 bytes like those of the CUDA caching allocator, from its birth to its
death. No figure was read off a GPU: what only a GPU has (context, workspaces of cuBLAS, scratch inside kernels,
fragmentation) is not in them. All figures are of the second step, when the optimizer has its states.

The rows are golden: measured, never computed with llmcalc. ``tests/oracle/measured_rows.py`` writes them. A row is
``seen`` where whoever wrote the simulation had it at hand. Whoever changes the simulation with a row in view sets it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.errors import InputError
from llmcalc.huggingface import from_config
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.model import Model

NANOGPT = "nanogpt"  # its ``config`` are Dimensions; every other is a config of the Hub
_ASKED = frozenset(f.name for f in fields(TrainingRun))


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredStep:
    """One training step as it was measured; what is measured is in bytes.

    ``model`` is the name that the measurement gave it, ``config`` what it was built from. ``run`` is how it was run:
    arguments of `TrainingRun`, and settings that it has no argument for. ``beside`` tells what else was chosen where
    that is a library's default or changes nothing. ``instrument`` says what measured it ("first" and "second": scripts
    outside this repository, the second with PEFT and more settings; "fake" or "cuda": ``tests/oracle/step_memory.py``),
    ``group`` what for, ``seen`` whether whoever wrote the simulation had it at hand.
    ``saved`` is what autograd kept for the backward pass, None where nobody counted, ``weight_casts`` autocast's copies
    of weights beside it, ``held`` what the caller held. ``peaks`` are those of forward, backward and optimizer, and
    ``at`` the operators at them, where they were noted.
    """

    model: str
    config: Mapping[str, Any]
    instrument: str
    group: str
    seen: bool
    run: Mapping[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    parameters: int
    weight_bytes: int
    buffer_bytes: int
    optimizer_bytes: int
    saved: int | None
    weight_casts: int | None
    held: int | None
    peaks: Mapping[str, int]
    at: Mapping[str, str] = field(default_factory=dict)
    peak: int
    peak_phase: str

    @property
    def family(self) -> str:
        """Whose code ran: a model_type of transformers, or nanoGPT."""
        return str(self.config.get("model_type", NANOGPT))

    def built(self) -> Model:
        """The model that was measured, one object for all steps of it."""
        return _built(self.model == NANOGPT, json.dumps(self.config, sort_keys=True))

    @cached_property
    def training_run(self) -> TrainingRun:
        """How the step was run. Raises InputError where that is more than `TrainingRun` can say."""
        if unknown := self.run.keys() - _ASKED:
            raise InputError(min(unknown), f"a run has no {', '.join(sorted(unknown))}")
        return TrainingRun(**self.run)

    @cached_property
    def can_be_said(self) -> bool:
        """Whether `TrainingRun` can say how it was run: the others have no prediction."""
        try:
            return bool(self.training_run)
        except InputError:
            return False

    @property
    def way(self) -> str:
        """What was trained: the model "whole", on "padded" batches perhaps, or adapters, "lora" or "qlora"."""
        run = self.training_run
        if run.lora_rank:
            return "qlora" if run.quantizes else "lora"
        return "padded" if run.padding else "whole"

    @property
    def _told_besides(self) -> list[tuple[str, Any]]:
        """What else is not at its default."""
        told = [(f.name, getattr(self.training_run, f.name), f.default) for f in fields(TrainingRun)]
        return [(name, value) for name, value, default in told if name in _BESIDES and value != default]

    def __str__(self) -> str:
        """The model and how it was run, what is at its default left out."""
        run = self.training_run
        words = [self.model, f"{run.batch_size} × {run.seq_len}", run.precision, run.attention]
        words += [f"recompute={run.recompute}"] if run.recompute != "none" else []
        words += [f"dropout={run.dropout:g}"] if run.dropout else []
        words += [f"loss={run.loss}/{run.chunks}" if run.chunks > 1 else f"loss={run.loss}"] if run.loss != "hf" else []
        words += ["keep_logits"] if run.keep_logits else []
        words += [] if run.set_to_none else ["set_to_none=False"]
        words += [f"gradient_accumulation={run.gradient_accumulation}"] if run.gradient_accumulation > 1 else []
        adapted = " ".join(_names(run.lora_targets))
        words += [f"lora_rank={run.lora_rank} {adapted} {run.lora_base}"] if run.lora_rank else []
        words += [name if value is True else f"{name}={' '.join(_names(value))}" for name, value in self._told_besides]
        return " ".join([*words, run.optimizer])


_BESIDES = (
    *("padding", "use_cache", "fp32_outputs", "activation_offload", "optimizer_in_backward", "weight_decay"),
    *("lora_dropout", "lora_precision", "kbit_prepared", "input_require_grads", "modules_to_save"),
)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, tuple) else (str(value),)


WAYS = ("whole", "padded", "lora", "qlora")


@cache
def _built(is_plain: bool, config: str) -> Model:
    given = json.loads(config)
    return Dimensions(**given).model() if is_plain else from_config(given)


@cache
def every_step() -> tuple[MeasuredStep, ...]:
    """Every measured step, model by model; also those that were run as no input can say."""
    text = resources.files("llmcalc.accuracy").joinpath("steps.jsonl").read_text("utf-8")
    return tuple(MeasuredStep(**json.loads(line)) for line in text.splitlines())


@cache
def measured_steps() -> tuple[MeasuredStep, ...]:
    """Every measured step that `TrainingRun` can describe."""
    return tuple(row for row in every_step() if row.can_be_said)


@cache
def without_prediction() -> tuple[MeasuredStep, ...]:
    """The measured steps that were run as no input can say yet."""
    return tuple(row for row in every_step() if not row.can_be_said)
