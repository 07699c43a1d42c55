"""How a training step is run: everything but the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmcalc.catalog.optimizers import OPTIMIZERS, Optimizer
from llmcalc.catalog.precisions import PRECISIONS, Precision
from llmcalc.errors import InputError

Size = Any  # int, or a float64 array in a sweep

ATTENTIONS = ("sdpa", "eager")
RECOMPUTATIONS = ("none", "selective", "full")
LOSSES = ("hf", "plain", "chunked", "fused")
LORA_TARGETS = ("attention", "all")
LORA_BASES = ("same", "NF4", "int8")
_OPTIONS: Mapping[str, Any] = {
    "precision": PRECISIONS,
    "optimizer": OPTIMIZERS,
    "attention": ATTENTIONS,
    "recompute": RECOMPUTATIONS,
    "loss": LOSSES,
    "lora_targets": LORA_TARGETS,
    "lora_base": LORA_BASES,
}


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One optimizer step of ``gradient_accumulation`` micro-batches of ``batch_size`` × ``seq_len`` tokens.

    ``batch_size`` and ``seq_len`` may be arrays (a sweep). ``precision`` and ``optimizer`` are keys of the catalogue.
    ``attention``: "sdpa" takes the fused kernel that PyTorch would, "eager" stores the matrix. ``recompute``: "full"
    runs each layer again in the backward pass, "selective" only the attention between its projections.
    ``loss``: "hf" computes it on an fp32 copy of the logits, "plain" on the logits, "chunked" in ``loss_chunks`` pieces
    that the backward pass recomputes, "fused" in pieces whose gradient is made in the forward pass (Liger's).
    ``keep_logits``: the caller holds the model's outputs while it calls backward. ``set_to_none``: `zero_grad` frees
    the gradients before the step. ``lora_rank`` > 0 freezes the model and trains adapters on ``lora_targets``, the
    frozen weights in the format ``lora_base``.

    Raises InputError, naming the field, for an unknown key and for a size below one.
    """

    batch_size: Size = 8
    seq_len: Size = 1024
    precision: str = "amp_bf16"
    attention: str = "sdpa"
    optimizer: str = "adamw_foreach"
    recompute: str = "none"
    dropout: float = 0.0
    loss: str = "hf"
    loss_chunks: int | None = None
    keep_logits: bool = False
    gradient_accumulation: Size = 1
    set_to_none: bool = True
    lora_rank: int = 0
    lora_targets: str = "attention"
    lora_base: str = "same"

    def __post_init__(self) -> None:
        for name, options in _OPTIONS.items():
            if getattr(self, name) not in options:
                known = ", ".join(options)
                raise InputError(name, f"unknown {name} {getattr(self, name)!r}; known: {known}", tuple(options))
        for name, least in (("batch_size", 1), ("seq_len", 1), ("gradient_accumulation", 1), ("lora_rank", 0)):
            if np.any(np.asarray(getattr(self, name)) < least):
                raise InputError(name, f"{name} must be at least {least}")
        if self.loss_chunks is not None and self.loss_chunks < 1:
            raise InputError("loss_chunks", "loss_chunks must be at least 1")
        if not 0 <= self.dropout < 1:
            raise InputError("dropout", "dropout must be at least 0 and below 1")

    @property
    def numbers(self) -> Precision:
        """The formats of the precision."""
        return PRECISIONS[self.precision]

    @property
    def updates(self) -> Optimizer:
        """The optimizer's row of the catalogue."""
        return OPTIMIZERS[self.optimizer]

    def in_micro_batches(self, number: int) -> TrainingRun:
        """The same sequences, each micro-batch of them in so many, one after the other."""
        accumulated = self.gradient_accumulation * number
        return replace(self, batch_size=self.batch_size // number, gradient_accumulation=accumulated)

    @property
    def chunks(self) -> int:
        """In how many pieces the loss is computed: as given, else 8, or 16 for the fused loss."""
        return self.loss_chunks or {"chunked": 8, "fused": 16}.get(self.loss, 1)

    @property
    def gradients_stay(self) -> bool:
        """Gradients of before are there during the forward pass: accumulated, zeroed but not freed, or added up in a
        buffer of another format than the weights'."""
        numbers = self.numbers
        accumulated = bool(np.any(np.asarray(self.gradient_accumulation) > 1))
        return accumulated or not self.set_to_none or numbers.gradients != numbers.weights
