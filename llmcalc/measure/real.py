"""A training step in the reader's own PyTorch and transformers, read off the device as it goes by.

Both are taken from the reader's environment, and loaded only when a step is run.
"""

from __future__ import annotations

import contextlib
import gc
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.errors import InputError
from llmcalc.step.run import TrainingRun

LIBRARIES = ("torch", "transformers", "peft")
# What can be run: of a field with names, those of its values; others must be as they are at first, but for sizes
_OFFERED: Mapping[str, tuple[Any, ...]] = {
    "precision": ("fp32", "amp_bf16", "amp_fp16", "bf16", "bf16_amp"),
    "optimizer": ("adamw_foreach", "adamw_for_loop", "adamw_fused", "sgd", "sgd_momentum"),
    "attention": ("sdpa", "eager"),
    "recompute": ("none", "full"),
    "loss": ("hf", "shift_float", "shift_contig"),
    "lora_base": ("same",),
    "kbit_prepared": (False,),
    "modules_to_save": ((),),
    "optimizer_in_backward": (False,),
    "activation_offload": (False,),
    "fp32_outputs": (False,),
    "loss_chunks": (None,),
}


class Meter(Protocol):
    """Reads what a device holds."""

    def reset(self) -> None:
        """Forget the peak."""

    def now(self) -> int:
        """Bytes of tensors that are held."""

    def peaks(self) -> Mapping[str, int]:
        """The most since it was reset, by what it is: at least "allocated" and "reserved"."""


class CudaMeter:
    """PyTorch's own count of what its caching allocator gives out and holds of the GPU."""

    def reset(self) -> None:
        """Forget the peak, and give back what is only cached."""
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def now(self) -> int:
        """Bytes of tensors that are held."""
        import torch

        return int(torch.cuda.memory_allocated())

    def peaks(self) -> Mapping[str, int]:
        """The peaks of the allocator."""
        import torch

        torch.cuda.synchronize()
        return {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}


def check(run: TrainingRun) -> None:
    """Raise InputError, naming the setting, where a run is one that is not run here."""
    for name, offered in _OFFERED.items():
        if (value := getattr(run, name)) not in offered:
            known = tuple(map(str, offered))
            raise InputError(name, f"{name}={value} is not run here; what is: {', '.join(known)}", known)


def missing() -> list[str]:
    """The libraries that a step takes and that are not there; PEFT is needed for adapters alone."""
    return [name for name in LIBRARIES if versions()[name] == "" and name != "peft"]


def versions() -> dict[str, str]:
    """The version of each library, empty where it is not there, and of Python."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def built(config: Mapping[str, Any], run: TrainingRun) -> Any:
    """The model of that config, with random weights, on the GPU and in training mode, under PEFT's adapters if any."""
    import torch
    import transformers
    from transformers import AutoConfig

    told = {key: value for key, value in config.items() if key != "model_type"}
    asked = AutoConfig.for_model(config["model_type"], **told)
    asked.use_cache = run.use_cache
    for name, value in list(vars(asked).items()):
        if ("dropout" in name or name.endswith("drop")) and isinstance(value, float):
            setattr(asked, name, run.dropout)
    dtype = torch.bfloat16 if PRECISIONS[run.precision].weights == "bf16" else torch.float32
    auto = transformers.AutoModelForSeq2SeqLM if asked.is_encoder_decoder else transformers.AutoModelForCausalLM
    with torch.device("cuda"):
        model: Any = auto.from_config(asked, attn_implementation=run.attention, dtype=dtype)
    if run.recompute == "full":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return (_adapted(model, run) if run.lora_rank else model).train()


_TARGETS: Mapping[str, Any] = {
    "all": "all-linear",
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "query_value": ["q_proj", "v_proj"],
}


def _adapted(model: Any, run: TrainingRun) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    if run.input_require_grads:
        model.enable_input_require_grads()
    targets = run.lora_targets
    named = _TARGETS.get(targets, targets) if isinstance(targets, str) else list(targets)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=run.lora_rank, target_modules=named, lora_dropout=run.lora_dropout
    )  # fmt: skip
    with torch.device("cuda"):
        return get_peft_model(model, config, autocast_adapter_dtype=run.lora_precision == "fp32")


def _optimizer(parameters: list[Any], run: TrainingRun) -> Any:
    import torch

    decay = {"weight_decay": run.weight_decay}
    match run.optimizer:
        case "adamw_foreach":
            return torch.optim.AdamW(parameters, foreach=True, **decay)
        case "adamw_for_loop":
            return torch.optim.AdamW(parameters, foreach=False, **decay)
        case "adamw_fused":
            return torch.optim.AdamW(parameters, fused=True, **decay)
        case "sgd":
            return torch.optim.SGD(parameters, foreach=True, **decay)
        case _:
            return torch.optim.SGD(parameters, foreach=True, momentum=0.9, **decay)


def measured(config: Mapping[str, Any], run: TrainingRun, meter: Meter, steps: int = 3) -> dict[str, int]:
    """Bytes of the last of some steps, when the optimizer has its states: the peaks by the meter's names, those of
    each phase ("forward", "backward", "optimizer"), and what stays ("weights", "optimizer_state") or is kept for the
    backward pass ("saved_activations", autocast's copies of weights and the loss with it)."""
    import torch

    gc.collect()
    before = meter.now()
    model = built(config, run)
    trained = [p for p in model.parameters() if p.requires_grad]
    figures = {"weights": meter.now() - before}
    vocabulary = model.config.get_text_config().vocab_size
    ids = torch.randint(0, vocabulary, (run.batch_size, run.seq_len), device="cuda")
    optimizer = _optimizer(trained, run)
    numbers = PRECISIONS[run.precision]
    scaled = torch.float16 if numbers.autocast == "fp16" else torch.bfloat16
    told: dict[str, Any] = {"input_ids": ids}
    if run.padding:
        told["attention_mask"] = torch.ones_like(ids)
        told["attention_mask"][:, -1] = 0
    outputs: Any = None
    phases: dict[str, dict[str, int]] = {}

    def read(phase: str, does: Callable[[], None]) -> None:
        meter.reset()
        does()
        phases[phase] = {name: max(phases.get(phase, {}).get(name, 0), size) for name, size in meter.peaks().items()}

    for _ in range(steps):
        optimizer.zero_grad(set_to_none=run.set_to_none)
        phases.clear()
        for _ in range(run.gradient_accumulation):
            loss: Any = None
            at_first = meter.now()

            def forward() -> None:
                nonlocal outputs, loss
                autocast = torch.autocast("cuda", scaled, enabled=numbers.autocast is not None)
                with autocast if numbers.autocast else contextlib.nullcontext():
                    outputs, loss = _forward(model, ids, told, run)
                if not run.keep_logits:
                    outputs = None

            read("forward", forward)
            held = 0 if outputs is None else outputs.logits.nbytes  # by the caller alone
            figures["saved_activations"] = meter.now() - at_first - held
            read("backward", loss.backward)
            outputs = loss = None
        read("optimizer", optimizer.step)
    states = (value for state in optimizer.state.values() for value in state.values())
    figures["optimizer_state"] = sum(v.nbytes for v in states if torch.is_tensor(v) and v.device.type == "cuda")
    for name in next(iter(phases.values())):
        figures[name] = max(peaks[name] for peaks in phases.values())
    return figures | {phase: peaks["allocated"] for phase, peaks in phases.items()}


def _forward(model: Any, ids: Any, told: Mapping[str, Any], run: TrainingRun) -> tuple[Any, Any]:
    """The outputs and the loss, as the run computes it."""
    from torch.nn import functional

    if run.loss == "hf":
        outputs = model(**told, labels=ids)
        return outputs, outputs.loss
    outputs = model(**told)
    seen = outputs.logits[:, :-1]
    seen = seen.float() if run.loss == "shift_float" else seen.contiguous()
    return outputs, functional.cross_entropy(seen.reshape(-1, seen.size(-1)), ids[:, 1:].contiguous().view(-1))
