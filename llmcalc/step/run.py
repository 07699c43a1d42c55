"""How a training step is run: everything but the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmcalc.catalog.optimizers import OPTIMIZERS, Beside, Optimizer
from llmcalc.catalog.precisions import PRECISIONS, Precision
from llmcalc.errors import InputError
from llmcalc.sizes import check_size

Size = Any  # int, or a float64 array in a sweep

ATTENTIONS = ("sdpa", "eager")
RECOMPUTATIONS = ("none", "selective", "selective_ops", "full")
ALSO_CALLED = {"adafactor_hf": "adafactor"}  # other names of optimizers
LOSSES = ("hf", "plain", "shift_float", "shift_contig", "chunked", "fused")
LORA_TARGETS = ("attention", "all", "query_value")  # words; a run also takes names of modules, and PEFT's "all-linear"
ALL_LINEAR = "all-linear"
LORA_PRECISIONS = ("fp32", "same")
SAVED_MODULES = ("none", "embed_tokens", "lm_head", "embed_tokens+lm_head")  # words for tuples of modules to save
# The format of WEIGHT_FORMATS that a frozen linear layer is stored in; "same": that of the precision
BASE_FORMATS: Mapping[str, str | None] = {
    "same": None,
    "NF4": "NF4 fp32 scales",
    "NF4-double": "NF4",
    "int8": "int8",
    "GPTQ-4": "int4 g128 zero",
}
LORA_BASES = tuple(BASE_FORMATS)
# Fields that say nothing without adapters
OF_LORA = (
    *("lora_targets", "lora_base", "lora_precision", "lora_dropout"),
    *("kbit_prepared", "input_require_grads", "modules_to_save"),
)
_OPTIONS: Mapping[str, Any] = {
    "precision": PRECISIONS,
    "optimizer": OPTIMIZERS,
    "attention": ATTENTIONS,
    "recompute": RECOMPUTATIONS,
    "loss": LOSSES,
    "lora_precision": LORA_PRECISIONS,
    "lora_base": LORA_BASES,
}


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One optimizer step of ``gradient_accumulation`` micro-batches of ``batch_size`` × ``seq_len`` tokens.

    ``batch_size`` and ``seq_len`` may be arrays (a sweep). ``precision`` and ``optimizer`` are keys of the catalogue.
    ``attention``: "sdpa" takes the fused kernel that PyTorch would, "eager" stores the matrix. ``recompute``: "full"
    runs each layer again in the backward pass, "selective" only the attention between its projections, "selective_ops"
    all of it but attention's kernel and every second product (torchtitan's). ``padding``: the batch has a padding mask.
    ``loss``: "hf" computes it on an fp32 copy of the logits, "plain" on the logits, "shift_float" and "shift_contig" on
    the logits of all tokens but the last, in fp32 or as they are, "chunked" in ``loss_chunks`` pieces that the backward
    pass recomputes, "fused" in pieces whose gradient is made in the forward pass (Liger's).
    ``keep_logits``: the caller holds the model's outputs while it calls backward; ``fp32_outputs``: in an fp32 copy
    (accelerate's). ``use_cache``: each layer puts its keys and values into a cache. ``set_to_none``: `zero_grad` frees
    the gradients before the step. ``optimizer_in_backward``: each weight is updated as its gradient arrives, which goes
    then. ``activation_offload``: what is kept for the backward pass waits in the host's memory. ``weight_decay`` as the
    optimizer takes it.

    ``lora_rank`` > 0 freezes the model and trains adapters on ``lora_targets``: names of modules as PEFT matches them,
    PEFT's "all-linear", or a word of `LORA_TARGETS`. ``lora_dropout`` stands before the adapters, which are kept in
    ``lora_precision``: "fp32" (PEFT's default) or the "same" as the weights. Frozen linear layers are stored in the
    format ``lora_base``; ``kbit_prepared``: all that is not quantised is brought to fp32
    (`prepare_model_for_kbit_training`). ``input_require_grads``: the embedding's output gets a gradient.
    ``modules_to_save``: modules whose copies train beside the adapters.

    Raises InputError, naming the field, for an unknown key and for a size that is no whole number from one on.
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
    lora_targets: str | tuple[str, ...] = "attention"
    lora_base: str = "same"
    padding: bool = False
    use_cache: bool = False
    fp32_outputs: bool = False
    activation_offload: bool = False
    optimizer_in_backward: bool = False
    weight_decay: float = 0.0
    lora_dropout: float = 0.0
    lora_precision: str = "fp32"
    kbit_prepared: bool = False
    input_require_grads: bool = False
    modules_to_save: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimizer", ALSO_CALLED.get(self.optimizer, self.optimizer))
        for name, options in _OPTIONS.items():
            if getattr(self, name) not in options:
                known = ", ".join(options)
                raise InputError(name, f"unknown {name} {getattr(self, name)!r}; known: {known}", tuple(options))
        for name, least in (("batch_size", 1), ("seq_len", 1), ("gradient_accumulation", 1), ("lora_rank", 0)):
            check_size(name, getattr(self, name), least)
        if isinstance(self.lora_targets, str) and self.lora_targets not in (*LORA_TARGETS, ALL_LINEAR):
            words = (*LORA_TARGETS, ALL_LINEAR)
            raise InputError("lora_targets", f"unknown lora_targets {self.lora_targets!r}; known: {words}", words)
        if isinstance(self.modules_to_save, str):
            words = () if self.modules_to_save == "none" else tuple(self.modules_to_save.split("+"))
            object.__setattr__(self, "modules_to_save", words)
        for name in ("lora_targets", "modules_to_save"):
            if not isinstance(getattr(self, name), str):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.loss_chunks is not None and self.loss_chunks < 1:
            raise InputError("loss_chunks", "loss_chunks must be at least 1")
        for name in ("dropout", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(name, f"{name} must be at least 0 and below 1")
        if self.weight_decay < 0:
            raise InputError("weight_decay", "weight_decay must be at least 0")

    @property
    def numbers(self) -> Precision:
        """The formats of the precision."""
        return PRECISIONS[self.precision]

    @property
    def trained(self) -> Precision:
        """The formats of what trains: LoRA's adapters may be kept in fp32, whatever the weights are in."""
        numbers = self.numbers
        if not self.lora_rank or self.lora_precision == "same":
            return numbers
        return replace(numbers, weights="fp32", gradients="fp32", states="fp32", master=None)

    @property
    def saved(self) -> Precision:
        """The formats of ``modules_to_save``, copies of the modules as they are."""
        own = self.frozen
        return replace(self.numbers, weights=own, gradients=own, states=own) if self.lora_rank else self.numbers

    def formats_of(self, role: str) -> Precision:
        """The formats of what trains with this role: adapters, or a whole ``module`` beside them."""
        return self.saved if role == "module" else self.trained

    @property
    def made_of_all(self) -> tuple[Beside, ...]:
        """What the optimizer makes of all weights at once while it steps, a copy of the gradients among it where weight
        decay is added to them."""
        copied = (Beside(),) if self.weight_decay and self.updates.decays else ()
        return (*self.updates.of_all, *copied)

    @property
    def frozen(self) -> str:
        """The format of frozen weights that are not quantised."""
        prepared = self.lora_rank and self.kbit_prepared and self.lora_base != "GPTQ-4"
        return "fp32" if prepared else self.numbers.weights

    @property
    def quantizes(self) -> bool:
        """Whether frozen linear layers are quantised."""
        return self.lora_rank > 0 and self.lora_base != "same"

    @property
    def steps_in_backward(self) -> bool:
        """Whether each weight is updated as its gradient arrives: not where gradients of before are waiting."""
        return self.optimizer_in_backward and not self.gradients_stay

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
        numbers = self.trained
        accumulated = bool(np.any(np.asarray(self.gradient_accumulation) > 1))
        return accumulated or not self.set_to_none or numbers.gradients != numbers.weights
