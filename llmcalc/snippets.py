"""What a reader writes to train so: TRL and PEFT, Accelerate's FSDP, DeepSpeed, and the line that starts it.

Options are those of TRL 1.9, PEFT 0.20, transformers 5.23, Accelerate 1.14, DeepSpeed's configuration and torchrun of
PyTorch 2.13. What they have no option for is said, not left out in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from llmcalc.catalog.models import models
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.fit.alignment import NEXT_TOKEN, Objective
from llmcalc.serving.snippets import Snippet
from llmcalc.sources import ACCELERATE, DEEPSPEED, PYTORCH, TRL
from llmcalc.step.run import TrainingRun

# The Trainer's names of optimizers (transformers, training_args.py, OptimizerNames)
OPTIM: Mapping[str, str] = {
    "adamw_foreach": "adamw_torch",
    "adamw_fused": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "sgd": "sgd",
    "adafactor": "adafactor",
    "lion": "lion_32bit",
    "lion_8bit": "lion_8bit",
    "rmsprop": "rmsprop",
    "adagrad": "adagrad",
}
# Of each precision: the dtype that the model is loaded in, and what the Trainer autocasts to
LOADED: Mapping[str, tuple[str, str]] = {
    "fp32": ("float32", ""),
    "amp_bf16": ("float32", "bf16"),
    "amp_fp16": ("float32", "fp16"),
    "bf16": ("bfloat16", ""),
    "bf16_amp": ("bfloat16", "bf16"),
}
# SFTConfig's loss_type, or Liger's kernel
LOSS: Mapping[str, Mapping[str, Any]] = {
    "hf": {"loss_type": "nll"},
    "chunked": {"loss_type": "chunked_nll"},
    "fused": {"use_liger_kernel": True},
}
TARGETS: Mapping[str, Any] = {
    "all": "all-linear",
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "query_value": ["q_proj", "v_proj"],
}


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A trainer of TRL, in the module of which it is, and the data that its documentation trains on. ``asked`` are
    options by the fields of `Objective` that they are set from; ``takes``: inputs that it has an option for, of those
    that others have not. ``source`` is where its options stand."""

    name: str
    data: str
    source: str
    module: str = "trl"
    asked: Mapping[str, str] = field(default_factory=dict)
    takes: tuple[str, ...] = ("max_length", "activation_offloading")


_PREFERENCES = "trl-lib/ultrafeedback_binarized"
TRAINERS: Mapping[str, Trainer] = {
    NEXT_TOKEN: Trainer(
        name="SFT", data="trl-lib/Capybara", source="trl/trainer/sft_config.py",
        takes=("max_length", "activation_offloading", "packing", "loss_type"),
    ),
    "dpo": Trainer(name="DPO", data=_PREFERENCES, source="trl/trainer/dpo_config.py", asked={"beta": "beta"}),
    "kto": Trainer(name="KTO", data="trl-lib/kto-mix-14k", source="trl/trainer/kto_config.py", asked={"beta": "beta"}),
    "reward": Trainer(name="Reward", data=_PREFERENCES, source="trl/trainer/reward_config.py"),
    "ppo": Trainer(
        name="PPO", data="trl-internal-testing/descriptiveness-sentiment-trl-style", module="trl.experimental.ppo",
        source="trl/experimental/ppo/ppo_config.py", asked={"beta": "kl_coef"}, takes=(),
    ),
    "grpo": Trainer(
        name="GRPO", data="trl-lib/DeepMath-103K", source="trl/trainer/grpo_config.py",
        asked={"beta": "beta", "generations": "num_generations"}, takes=(),
    ),
}  # fmt: skip
_OF_FSDP = ("data_parallel", "zero_stage")
_OF_DEEPSPEED = (*_OF_FSDP, "offload_optimizer")


def snippets(config: Configuration) -> Iterator[Snippet]:
    """Those that say something of this configuration: the script always, the others where there are devices to share
    the work among, or where the optimizer is in the host's memory."""
    run, layout = config.run, config.layout
    yield _trl(hub_name(config), run, config.objective)
    if layout.data_parallel > 1:
        yield _accelerate(run, layout, config.values["node_size"])
    if layout.zero_stage or layout.offload_optimizer:
        yield _deepspeed(run, layout)
    yield _torchrun(layout, config.values["node_size"])


def hub_name(config: Configuration) -> str:
    """The repository that the model's config is from, or a path to fill in."""
    row = models().get(config.base.library_id)
    found = re.match(r"https://huggingface\.co/([^/]+/[^/]+)/", row.source) if row else None
    return found.group(1) if found else "path/to/model"


def _trl(name: str, run: TrainingRun, objective: Objective) -> Snippet:
    trainer = TRAINERS[objective.objective]
    left_out = [id for id in ("keep_logits", "fp32_outputs", "optimizer_in_backward", "dropout") if getattr(run, id)]
    left_out += [] if run.set_to_none else ["set_to_none"]
    losses = LOSS if "loss_type" in trainer.takes else ("plain", "hf", "fused")
    for id, known in (("precision", LOADED), ("optimizer", OPTIM), ("loss", losses)):
        left_out += [] if getattr(run, id) in known else [id]
    left_out += [] if "max_length" in trainer.takes else ["seq_len"]
    left_out += ["recompute"] if run.recompute not in ("none", "full") else []
    dtype, autocast = LOADED.get(run.precision, ("bfloat16", ""))
    asked: dict[str, Any] = {
        "output_dir": "out",
        "per_device_train_batch_size": int(run.batch_size),
        "gradient_accumulation_steps": int(run.gradient_accumulation),
        "max_length": int(run.seq_len),
        "packing": not run.padding,
        "bf16": autocast == "bf16",
        "fp16": autocast == "fp16",
        "gradient_checkpointing": run.recompute == "full",
    }
    asked |= {} if run.padding else {"packing_strategy": "wrapped"}  # blocks of one length, without a mask
    asked |= {"optim": OPTIM[run.optimizer]} if run.optimizer in OPTIM else {}
    asked |= {"weight_decay": run.weight_decay} if run.weight_decay else {}
    asked |= LOSS.get(run.loss, {})
    asked |= {"activation_offloading": True} if run.activation_offload else {}
    if run.activation_offload and "activation_offloading" not in trainer.takes:
        left_out.append("activation_offload")
    asked = {id: value for id, value in asked.items() if id not in _OF_SOME or id in trainer.takes}
    asked |= {option: getattr(objective, id) for id, option in trainer.asked.items()}
    if objective.compares_generations and objective.rollout_engine != "same":
        asked |= {"use_vllm": True, "vllm_mode": "colocate"}
        asked |= {"vllm_enable_sleep_mode": True} if objective.rollout_engine == "sleeping" else {}
    elif objective.objective == "ppo" and objective.rollout_engine != "same":
        left_out.append("rollout_engine")
    loaded = {"dtype": f"torch.{dtype}", "attn_implementation": repr(run.attention)}
    loaded |= {"use_cache": "True"} if run.use_cache else {}
    quantization = _quantization(run)
    loaded |= {"quantization_config": "quantization"} if quantization else {}
    adapts, prepared = run.lora_rank > 0, run.lora_rank > 0 and run.kbit_prepared
    classifies, causal = "AutoModelForSequenceClassification", "AutoModelForCausalLM"
    others = {"reward": [classifies], "ppo": [causal, classifies, "AutoTokenizer"]}
    loaded_as = others.get(objective.objective, [causal])
    of_transformers = [*loaded_as, *(["BitsAndBytesConfig"] if quantization else [])]
    of_peft = [*(["LoraConfig", "get_peft_model"] if adapts else [])]
    of_peft += ["prepare_model_for_kbit_training"] if prepared else []
    lines = ["import torch", "from datasets import load_dataset"]
    lines += [f"from peft import {', '.join(of_peft)}"] if adapts else []
    lines += [f"from transformers import {', '.join(of_transformers)}"]
    lines += [f"from {trainer.module} import {trainer.name}Config, {trainer.name}Trainer"]
    lines += ["from trl.rewards import accuracy_reward", ""] if objective.objective == "grpo" else [""]
    lines += [f"quantization = {quantization}"] if quantization else []
    told = ", ".join(f"{key}={value}" for key, value in loaded.items())
    told += ", num_labels=1" if objective.objective == "reward" else ""
    lines.append(f"model = {loaded_as[0]}.from_pretrained({name!r}, {told})")
    if prepared:
        checkpoints = run.recompute == "full"
        lines.append(f"model = prepare_model_for_kbit_training(model, use_gradient_checkpointing={checkpoints})")
    if adapts:
        lines += _call(
            "adapters = LoraConfig", _lora(run, "SEQ_CLS" if objective.objective == "reward" else "CAUSAL_LM")
        )
        same = ", autocast_adapter_dtype=False" if run.lora_precision == "same" else ""
        lines.append(f"model = get_peft_model(model, adapters{same})")
        lines += ["model.enable_input_require_grads()"] if run.input_require_grads else []
    lines += _call(f"asked = {trainer.name}Config", asked)
    lines += [f'data = load_dataset("{trainer.data}", split="train")']
    lines += _others(name, objective, told, adapts)
    lines += [f"{trainer.name}Trainer({_GIVEN.get(objective.objective, _GIVEN_AT_LEAST)}).train()"]
    return Snippet("trl", "python", "\n".join(lines), TRL.at(trainer.source), tuple(left_out))


# Options that not every trainer has
_OF_SOME = ("max_length", "packing", "packing_strategy", "loss_type", "activation_offloading")
_GIVEN_AT_LEAST = "model=model, args=asked, train_dataset=data"
_GIVEN = {
    "grpo": "model=model, reward_funcs=accuracy_reward, args=asked, train_dataset=data",
    "ppo": "asked, tokenizer, model, reference, reward, data, value",
}


def _others(name: str, objective: Objective, told: str, adapts: bool) -> list[str]:
    """What PPO takes besides: a tokenizer, and the models beside the one that trains."""
    if objective.objective != "ppo":
        return []
    load = f".from_pretrained({name!r}, {told}"
    scores = f"AutoModelForSequenceClassification{load}, num_labels=1)"
    return [
        f'tokenizer = AutoTokenizer.from_pretrained({name!r}, padding_side="left")',
        'read = lambda row: {"input_ids": tokenizer(row["prompt"]).input_ids}',
        "data = data.map(read, remove_columns=data.column_names)",
        f"reference = {'None' if adapts else f'AutoModelForCausalLM{load})'}",
        f"reward = {scores}",
        f"value = {scores}",
    ]


def _quantization(run: TrainingRun) -> str:
    """How frozen weights are quantised as the model is loaded; a model in GPTQ's format says so itself."""
    if not run.quantizes or run.lora_base == "GPTQ-4":
        return ""
    if run.lora_base == "int8":
        return "BitsAndBytesConfig(load_in_8bit=True)"
    nested = run.lora_base == "NF4-double"
    told = f'load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant={nested}'
    return f"BitsAndBytesConfig({told}, bnb_4bit_compute_dtype=torch.bfloat16)"


def _lora(run: TrainingRun, task: str) -> dict[str, Any]:
    targets = run.lora_targets
    named = TARGETS.get(targets, targets) if isinstance(targets, str) else list(targets)
    told: dict[str, Any] = {"task_type": task, "r": run.lora_rank, "lora_alpha": 2 * run.lora_rank}
    told |= {"target_modules": named, "lora_dropout": run.lora_dropout}
    return told | ({"modules_to_save": list(run.modules_to_save)} if run.modules_to_save else {})


def _call(start: str, arguments: Mapping[str, Any]) -> list[str]:
    return [f"{start}(", *(f"    {name}={value!r}," for name, value in arguments.items()), ")"]


def _accelerate(run: TrainingRun, layout: Layout, node: int) -> Snippet:
    """Accelerate's file: FSDP2 where gradients or weights are shared out, else copies of the model (DDP)."""
    autocast = LOADED.get(run.precision, ("", "bf16"))[1]
    devices, shards = int(layout.devices), layout.zero_stage >= 2
    lines = [f"distributed_type: {'FSDP' if shards else 'MULTI_GPU'}"]
    lines += [f"mixed_precision: {autocast or repr('no')}"]
    lines += [f"num_machines: {-(-devices // node)}", f"num_processes: {devices}"]
    if shards:
        lines += [
            "fsdp_config:",
            "  fsdp_version: 2",
            "  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP",
            f"  fsdp_reshard_after_forward: {str(layout.zero_stage == 3).lower()}",
            f"  fsdp_offload_params: {str(bool(layout.offload_optimizer)).lower()}",
            "  fsdp_cpu_ram_efficient_loading: true",
            "  fsdp_state_dict_type: SHARDED_STATE_DICT",
        ]
    lines += ["", "# accelerate launch --config_file fsdp.yaml train.py"]
    source = ACCELERATE.at("examples/torch_native_parallelism/configs/tp_hsdp.yaml")
    left_out = _of_others(layout, _OF_DEEPSPEED) + (("zero_stage",) if layout.zero_stage == 1 else ())
    return Snippet("accelerate", "yaml", "\n".join(lines), source, left_out)


def _deepspeed(run: TrainingRun, layout: Layout) -> Snippet:
    dtype, autocast = LOADED.get(run.precision, ("bfloat16", ""))
    sequences = int(run.batch_size * run.gradient_accumulation * layout.data_parallel)
    zero: dict[str, Any] = {"stage": int(max(1, layout.zero_stage))}  # without ZeRO it has no offloading either
    zero |= {"offload_optimizer": {"device": "cpu", "pin_memory": True}} if layout.offload_optimizer else {}
    told: dict[str, Any] = {
        "train_batch_size": sequences,
        "train_micro_batch_size_per_gpu": int(run.batch_size),
        "gradient_accumulation_steps": int(run.gradient_accumulation),
        "bf16": {"enabled": dtype == "bfloat16" or autocast == "bf16"},
        "fp16": {"enabled": autocast == "fp16"},
        "zero_optimization": zero,
    }
    source = DEEPSPEED.at("Configuration JSON: batch size, bf16, ZeRO optimizations")
    left_out = _of_others(layout, _OF_DEEPSPEED)
    # its 16-bit weights have an fp32 copy in the optimizer
    left_out += () if run.precision in ("fp32", "mixed_bf16", "mixed_fp32") else ("precision",)
    return Snippet("deepspeed", "json", json.dumps(told, indent=2), source, left_out)


def _torchrun(layout: Layout, node: int) -> Snippet:
    devices = int(layout.devices)
    if devices <= node:
        line = f"torchrun --standalone --nproc-per-node={devices} train.py"
    else:
        meet = "--rdzv-id=1 --rdzv-backend=c10d --rdzv-endpoint=$HEAD_NODE:29500"
        line = f"torchrun --nnodes={-(-devices // node)} --nproc-per-node={node} {meet} train.py"
    return Snippet("torchrun", "sh", line, PYTORCH.at("torchrun (Elastic Launch)"))


def _of_others(layout: Layout, known: tuple[str, ...]) -> tuple[str, ...]:
    """The fields of a layout away from their defaults, but for those that are known."""
    return tuple(f.name for f in fields(layout) if f.name not in known and getattr(layout, f.name) != f.default)
