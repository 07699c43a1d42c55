"""What a real training step of a real transformers model allocates on a GPU, phase by phase.

On a machine with a GPU, torch.cuda.max_memory_allocated() of real tensors. Without one, fake tensors on a fake cuda:0
and the sum of the storages that every operator makes; that sees no CUDA context, no cuBLAS workspace, no scratch inside
a kernel and no fragmentation. Needs the development extra and, without a GPU, g++ and torch's build for the CPU.

    PYTHONPATH=. python tests/oracle/step_memory.py --model-type qwen3 --recipe amp_bf16
"""

from __future__ import annotations

import fake_cuda  # isort: skip  # before torch

import argparse
import contextlib
import gc
import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import torch
import transformers
from allocations import Allocation, Allocations
from count import TASKS
from losses import chunked_cross_entropy, fused_cross_entropy
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

transformers.logging.set_verbosity_error()


class Lion(torch.optim.Optimizer):
    """Sign of the momentum (Chen et al. 2023), tensor by tensor."""

    def __init__(self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for p in group["params"]:
                if p not in self.state:
                    self.state[p]["exp_avg"] = torch.zeros_like(p)
                momentum = self.state[p]["exp_avg"]
                p.add_(momentum.lerp(p.grad, 1 - beta1).sign_(), alpha=-lr)
                momentum.lerp_(p.grad, 1 - beta2)


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adamw_foreach": lambda p: torch.optim.AdamW(p, foreach=True),
    "adamw_for": lambda p: torch.optim.AdamW(p, foreach=False),
    "adamw_fused": lambda p: torch.optim.AdamW(p, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, foreach=True),
    "sgd_mom": lambda p: torch.optim.SGD(p, momentum=0.9, foreach=True),
    "adafactor": lambda p: transformers.Adafactor(p, lr=1e-3, scale_parameter=False, relative_step=False),
    "lion": Lion,
}
# amp: fp32 weights under bf16 autocast; bf16: weights and states in bf16; bf16_amp: the same under autocast
RECIPES = ("fp32", "amp_bf16", "bf16", "bf16_amp")
# Language models that transformers has only within a model that also sees
SEEING = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "glm4v", "glm4v_moe")
PHASES = ("fwd0", "bwd0", "opt0", "fwd1", "bwd1", "fwdA", "bwdA", "opt1")


def measure(
    config: Mapping[str, Any],
    *,
    attn: str = "sdpa",
    recipe: str = "amp_bf16",
    optimizer: str = "adamw_foreach",
    batch_size: int = 2,
    seq_len: int = 512,
    ckpt: bool | str = False,
    dropout: float = 0.0,
    loss: str = "hf",
    hold_logits: bool = False,
    padded: bool = False,
    use_cache: bool = False,
    fp32_out: bool = False,
    peft: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Bytes that a training step of ``config`` (keys of its config class and model_type) allocates.

    ``ckpt`` is true, or "reentrant", to recompute each layer, or "selective_ops" for torchtitan's; ``loss`` is "hf", or
    "chunked8" or "liger8" for eight chunks of tokens, or "shift_float" or "shift_contig"; ``hold_logits`` keeps the
    model's outputs through the backward pass, ``fp32_out`` in fp32 (accelerate). ``padded``: the batch has a padding
    mask. ``peft``: arguments of `LoraConfig`, and of `get_peft_model` and what prepares a model for it.

    Measured are the first step (phases 0), the second, whose gradients were set to none (phases 1), and a forward and
    backward pass onto gradients that are there already (phases A). A phase's peak counts what lives in it, weights and
    optimizer included. ``saved`` is what the forward pass leaves behind for the backward pass.
    """
    gc.collect()  # of a measurement before, nothing shall be left on the device
    with contextlib.nullcontext() if fake_cuda.REAL else fake_cuda.device():
        model = build(config, attn=attn, recipe=recipe, ckpt=ckpt, dropout=dropout)
        if peft:
            model = adapted(model, peft)
        ids = torch.randint(0, model.config.get_text_config().vocab_size, (batch_size, seq_len), device="cuda")
        trained = [p for p in model.parameters() if p.requires_grad]
        step = _Step(model, ids, OPTIMIZERS[optimizer](trained), recipe, loss, hold_logits)
        step.told = {"use_cache": use_cache}
        step.fp32_out = fp32_out
        if padded:
            step.told["attention_mask"] = torch.ones_like(ids)
            fake_cuda.is_padded.append(True)
        meter = _RealMeter() if fake_cuda.REAL else _FakeMeter(model, ids)
        measured = step.run(meter)
        fake_cuda.is_padded.clear()
        states = [v for state in step.optimizer.state.values() for v in state.values() if torch.is_tensor(v)]
        peaks = measured["phase_peaks"]
        peak, phase = max((peaks[name], name) for name in ("fwd1", "bwd1", "opt1"))
        weights = sum(p.nbytes for p in model.parameters())
        return {
            "model": config["model_type"], "attn": attn, "recipe": recipe, "optimizer": optimizer,
            "B": batch_size, "S": seq_len, "ckpt": ckpt, "dropout": dropout, "loss": loss, "hold_logits": hold_logits,
            "config": dict(config), "mask": "padded" if padded else "none", "use_cache": use_cache,
            "fp32_out": fp32_out, "peft": dict(peft) if peft else None,
            "n_params": sum(p.numel() for p in model.parameters()), "param_bytes": weights,
            "buffer_bytes": sum(b.nbytes for b in model.buffers()),
            "grad_bytes": sum(p.nbytes for p in model.parameters() if p.requires_grad),
            "opt_bytes": sum(s.nbytes for s in states if s.device.type == "cuda"),
            **measured,
            "peak_step": peak, "peak_step_phase": phase,
            "peak_accum": max(peaks[name] for name in ("fwdA", "bwdA", "opt1")),
            **meter.about(), "torch": torch.__version__, "transformers": transformers.__version__,
        }  # fmt: skip


def build(config: Mapping[str, Any], *, attn: str, recipe: str, ckpt: bool | str, dropout: float) -> nn.Module:
    """The model with its language modelling head, in training mode on the GPU, every dropout of it at ``dropout``."""
    given = {key: value for key, value in config.items() if key != "model_type"}
    built = CONFIG_MAPPING[config["model_type"]](**given)
    for name, value in vars(built).items():
        if re.search("dropout|drop$", name) and isinstance(value, (int, float)) and not isinstance(value, bool):
            setattr(built, name, 0.0 if "layerdrop" in name else dropout)  # every layer runs
    built.use_cache = False
    sees = config["model_type"].removesuffix("_text")
    if sees in SEEING:
        built = CONFIG_MAPPING[sees](text_config=built.to_dict(), tie_word_embeddings=built.tie_word_embeddings)
    autos = (getattr(transformers, name) for name in (*TASKS["language model"], "AutoModelForImageTextToText"))
    auto = next(auto for auto in autos if type(built) in auto._model_mapping)
    dtype = torch.bfloat16 if recipe.startswith("bf16") else torch.float32
    with torch.device("cuda"):
        model = auto.from_config(built, attn_implementation=attn, dtype=dtype)
        if sees in SEEING:
            model.model.visual = None  # of text it has nothing to see
    if ckpt == "selective_ops":
        how = {"use_reentrant": False, "context_fn": every_second_product}
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)
    elif ckpt:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": ckpt == "reentrant"})
    return model.train()


def adapted(model: nn.Module, told: Mapping[str, Any]) -> nn.Module:
    """The model under PEFT's LoRA."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    told = dict(told)
    if told.pop("prepare_kbit", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if told.pop("input_require_grads", False):
        model.enable_input_require_grads()
    same = {"autocast_adapter_dtype": told.pop("autocast_adapter_dtype", True)}
    with torch.device("cuda"), mock.patch.object(nn.Module, "_apply", _converted):
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **told), **same).train()


def _converted(module: nn.Module, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> nn.Module:
    """`Module.to` for fakes, whose tensors torch cannot swap."""
    for part in module.modules():
        for name, p in part._parameters.items():
            if p is not None and (new := fn(p.detach())) is not p:
                part._parameters[name] = nn.Parameter(new, p.requires_grad)
        for name, buffer in part._buffers.items():
            part._buffers[name] = fn(buffer) if buffer is not None else None
    return module


_KEPT = (
    torch.ops.aten.mm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
)


def every_second_product() -> Any:
    """torchtitan's selective recomputation: attention's kernel and every second product are kept."""
    counts = {True: 0, False: 0}

    def policy(context: Any, op: Any, *_: Any, **__: Any) -> CheckpointPolicy:
        product = op == _KEPT[0]
        counts[context.is_recompute] += product
        keeps = op in _KEPT and not (product and counts[context.is_recompute] % 2 == 0)
        return CheckpointPolicy.MUST_SAVE if keeps else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


class _Step:
    """A training loop's step in its phases, each between two readings of a meter."""

    def __init__(
        self, model: nn.Module, ids: torch.Tensor, optimizer: torch.optim.Optimizer, recipe: str, loss: str, hold: bool
    ) -> None:
        self.model, self.ids, self.optimizer, self.hold = model, ids, optimizer, hold
        self.autocast = torch.autocast("cuda", torch.bfloat16, enabled="amp" in recipe)
        self.kind, self.chunks = re.fullmatch(r"(hf|shift_float|shift_contig|chunked|liger)(\d*)", loss).groups()
        self.told: dict[str, Any] = {}
        self.fp32_out = False
        self.outputs: Any = None
        self.loss: torch.Tensor | None = None

    def forward(self) -> None:
        with self.autocast:
            if self.kind == "hf":
                told = self.told if not self.model.config.is_encoder_decoder else self.told | {"use_cache": False}
                if not takes_cache(self.model):
                    told = {k: v for k, v in told.items() if k != "use_cache"}
                self.outputs = self.model(input_ids=self.ids, labels=self.ids, **told)
                self.loss = self.outputs.loss
                if self.fp32_out:
                    self.outputs.logits = self.outputs.logits.float()
            elif self.kind.startswith("shift"):
                self.outputs = self.model(input_ids=self.ids, **self.told)
                seen = self.outputs.logits[:, :-1]
                seen = seen.float() if self.kind == "shift_float" else seen.contiguous()
                wanted = self.ids[:, 1:].contiguous()
                self.loss = nn.functional.cross_entropy(seen.reshape(-1, seen.size(-1)), wanted.view(-1))
                del seen
            else:
                hidden = self.model.base_model(input_ids=self.ids, use_cache=False)[0]
                function = {"chunked": chunked_cross_entropy, "liger": fused_cross_entropy}[self.kind]
                self.loss = function(hidden, self.model.get_output_embeddings(), self.ids, int(self.chunks))
        if not self.hold:
            self.outputs = None

    def backward(self) -> None:
        self.loss.backward()

    def run(self, meter: Any) -> dict[str, Any]:
        """Go through the phases; what each allocates, in bytes."""
        does = {"fwd": self.forward, "bwd": self.backward, "opt": self.optimizer.step}
        found: dict[str, dict[str, Any]] = {}
        for phase in PHASES:
            if phase == "fwd1":
                self.optimizer.zero_grad(set_to_none=True)
            found[phase] = meter.read(does[phase[:3]], saves=phase == "fwd1")
            if phase.startswith("bwd"):
                self.loss = self.outputs = None
        return {
            "fwd_end": found["fwd1"]["end"],
            "bwd_end": found["bwd1"]["end"],
            "phase_peaks": {phase: found[phase]["peak"]["bytes"] for phase in PHASES},
            **{f"at_{phase}": found[phase]["peak"] for phase in ("fwd1", "bwd1", "opt1")},
            **found["fwd1"].get("saves", {}),
        }


def takes_cache(model: nn.Module) -> bool:
    """Whether it can be told to leave its cache out."""
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    return "use_cache" in inspect.signature(inner.forward).parameters


class _RealMeter:
    """Reads the CUDA caching allocator."""

    def read(self, does: Callable[[], Any], saves: bool) -> dict[str, Any]:
        torch.cuda.reset_peak_memory_stats()
        does()
        return {"end": torch.cuda.memory_allocated(), "peak": {"bytes": torch.cuda.max_memory_allocated()}}

    def about(self) -> dict[str, Any]:
        return {"instrument": "cuda", "device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


class _FakeMeter:
    """Adds up what every operator allocates on the fake device."""

    def __init__(self, model: nn.Module, ids: torch.Tensor) -> None:
        self.allocations = Allocations(model)
        self.allocations.add(ids)
        self.pair = model.config.is_encoder_decoder

    def read(self, does: Callable[[], Any], saves: bool) -> dict[str, Any]:
        seen = self.allocations
        existing = set(seen.live.values())
        seen.reset_peak()
        with seen, seen.noting_what_is_saved() if saves else contextlib.nullcontext():
            does()
        found = {"end": seen.current, "peak": {"bytes": seen.peak, "op": seen.peak_op, "mod": seen.peak_module}}
        new = [a for a in seen.live.values() if a not in existing]
        return found | ({"saves": what_is_saved(new, pair=self.pair)} if saves else {})

    def about(self) -> dict[str, Any]:
        return {"instrument": "fake"}


def what_is_saved(allocations: list[Allocation], *, pair: bool) -> dict[str, Any]:
    """What a forward pass left: kept for backward by each layer and outside them, or only held by the caller.

    Of the layers, the second is listed tensor by tensor, and each other one that does not keep the same. A ``pair`` of
    encoder and decoder has layers of both.
    """
    groups: dict[str, list[Allocation]] = {}
    for a in allocations:
        groups.setdefault("weight_casts" if a.of_parameter else _where(a, pair), []).append(a)
    sizes = {name: sum(a.size for a in group) for name, group in groups.items()}
    layers = {name: size for name, size in sizes.items() if re.search(r"layer\d", name)}
    shapes = {name: [(a.op, a.shape, a.dtype) for a in groups[name]] for name in layers}
    second = {name: re.sub(r"\d+", "1", name) for name in layers}
    alike = {name for name in layers if name != second[name] and shapes[name] == shapes.get(second[name])}
    return {
        "saved": {
            "total": sum(layers.values()) + sizes.get("nonlayer", 0),
            "held": sizes.get("held", 0),
            "weight_casts": sizes.get("weight_casts", 0),
            "one_layer": layers.get("layer1", layers.get("decoder_layer1", 0)),
            "outside_layers": sizes.get("nonlayer", 0),
            "layers": layers,
        },
        "saved_tensors": [
            {
                **{"where": name, "module": a.module, "op": a.op, "shape": a.shape, "dtype": a.dtype},
                **{"bytes": a.size, "kept_for": sorted(a.kept_for)},
            }
            for name, group in groups.items()
            if name != "weight_casts" and name not in alike
            for a in group
        ],
    }


def _where(a: Allocation, pair: bool) -> str:
    """The layer whose module made it; what no backward needs is only held."""
    if not a.kept_for:
        return "held"
    layer = re.search(r"(encoder|decoder)\.\w+\.(\d+)" if pair else r"()\.(\d+)(?:\.|$)", a.module)
    if not layer:
        return "nonlayer"
    return f"{layer[1]}_layer{layer[2]}" if pair else f"layer{layer[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-type", required=True)
    parser.add_argument("--config", default="{}", help="keys of the config class, as JSON")
    parser.add_argument("--attn", choices=("eager", "sdpa"), default="sdpa")
    parser.add_argument("--recipe", choices=RECIPES, default="amp_bf16")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adamw_foreach")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--seq-len", type=int, default=512)
    parser.add_argument("--ckpt", nargs="?", choices=("reentrant",), const=True, default=False)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--loss", default="hf")
    parser.add_argument("--hold-logits", action="store_true")
    given = vars(parser.parse_args())
    config = {"model_type": given.pop("model_type"), **json.loads(given.pop("config"))}
    print(json.dumps(measure(config, **given)))


if __name__ == "__main__":
    main()
