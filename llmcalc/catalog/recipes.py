"""Recipes: what a library's own defaults set together when it trains a model whole, with LoRA or with QLoRA, or by
preferences and rewards.

A row sets the inputs of a training run; how many sequences there are, and how long, is the reader's where the library
has no number for that. Read in the
libraries' public repositories at the commit that the source links to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmcalc.sources import LITGPT, PEFT, PYTORCH, TORCHTITAN, TORCHTUNE, TRL, UNSLOTH, Citation

PLAIN = "PyTorch full"  # a loop of one's own around transformers' model, every input at its default

FULL, LORA, QLORA = WAYS = ("full", "LoRA", "QLoRA")
# Of preferences and rewards, by what a training is called among the objectives
BY_OBJECTIVE = {"dpo": "DPO", "kto": "KTO", "reward": "reward model", "ppo": "PPO", "grpo": "GRPO"}
METHODS = (*WAYS, *BY_OBJECTIVE.values())


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is trained (``method``) as ``library`` does it. ``sets`` are the inputs that it decides, each to what it
    is by default there; ``sizes`` are a batch and a length, where it has a default of them. ``nearest`` are those of
    the inputs that stand for something like it that cannot be asked for."""

    library: str
    method: str
    source: Citation
    sets: Mapping[str, Any] = field(hash=False)
    nearest: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(hash=False, default_factory=dict)

    @property
    def id(self) -> str:
        """Its name in links and on the screen, the same in every language."""
        return f"{self.library} {self.method}"


# PEFT has no loop of its own: that of its method comparison, in bf16 with PyTorch's AdamW, batches padded
_PEFT_LOOP = {"precision": "bf16", "optimizer": "adamw_foreach", "weight_decay": 0.1, "padding": True}
_PEFT_KBIT = {"lora_base": "NF4-double", "kbit_prepared": True, "recompute": "full", "input_require_grads": True}
# TRL loads a model in the format of its file, trains under autocast, recomputes layers and pieces of the loss
_TRL_LOOP = {
    **{"precision": "bf16_amp", "optimizer": "adamw_fused", "recompute": "full"},
    **{"loss": "chunked", "padding": True},
}
_TRL_LORA = {"lora_rank": 16, "lora_targets": "query_value", "lora_dropout": 0.05, "input_require_grads": True}
# Log-probabilities are taken of the logits of all tokens. Eight sequences a device are the Trainer's default
_TRL_PREFERENCES = {**_TRL_LOOP, "loss": "plain"}
_EIGHT = {"batch_size": 8}
_PAIRS = {**_EIGHT, "seq_len": 1_024}  # max_length
# Unsloth keeps what recomputation needs in the host's memory, and makes the loss's gradient on the way
_UNSLOTH_LOOP = {
    **{"precision": "bf16_amp", "optimizer": "adamw_8bit", "recompute": "full", "loss": "fused"},
    **{"activation_offload": True, "weight_decay": 0.001},
}
_UNSLOTH_LORA = {"lora_rank": 16, "lora_targets": "all", "lora_precision": "fp32", "input_require_grads": True}
_LITGPT_LOOP = {"precision": "amp_bf16", "optimizer": "adamw_foreach", "weight_decay": 0.01, "loss": "plain"}
_LITGPT_LORA = {"lora_rank": 8, "lora_targets": "query_value", "lora_dropout": 0.05, "keep_logits": True}
_TORCHTUNE_LOOP = {"precision": "bf16", "recompute": "full", "loss": "plain"}
_TORCHTUNE_LORA = {
    **{"lora_rank": 8, "lora_targets": "all", "lora_precision": "same"},
    **{"optimizer": "adamw_fused", "weight_decay": 0.01},
}

RECIPES: Mapping[str, Recipe] = {row.id: row for row in (
    Recipe(library="PyTorch", method=FULL, source=PYTORCH.at("torch.autocast; torch.optim.AdamW"), sets={}),
    Recipe(library="PEFT", method=FULL, source=PEFT.at("method_comparison/MetaMathQA/default_training_params.json"),
           sets=_PEFT_LOOP),
    Recipe(library="PEFT", method=LORA, source=PEFT.at("src/peft/tuners/lora/config.py"),
           sets={**_PEFT_LOOP, "lora_rank": 8, "lora_targets": "query_value"}),
    Recipe(library="PEFT", method=QLORA, source=PEFT.at("docs/source/developer_guides/quantization.md"),
           sets={**_PEFT_LOOP, **_PEFT_KBIT, "precision": "bf16_amp",
                 "lora_rank": 16, "lora_targets": "attention", "lora_dropout": 0.05}),
    Recipe(library="TRL", method=FULL, source=TRL.at("trl/trainer/base_config.py"),
           sets=_TRL_LOOP, nearest=("loss",)),
    Recipe(library="TRL", method=LORA, source=TRL.at("trl/trainer/model_config.py"),
           sets={**_TRL_LOOP, **_TRL_LORA}, nearest=("loss",)),
    Recipe(library="TRL", method=QLORA, source=TRL.at("trl/trainer/sft_trainer.py"),
           sets={**_TRL_LOOP, **_TRL_LORA, "lora_base": "NF4", "lora_precision": "same"}, nearest=("loss",)),
    Recipe(library="TRL", method=BY_OBJECTIVE["dpo"], source=TRL.at("trl/trainer/dpo_config.py"), sizes=_PAIRS,
           sets={**_TRL_PREFERENCES, "objective": "dpo", "beta": 0.1}, nearest=("loss",)),
    Recipe(library="TRL", method=BY_OBJECTIVE["kto"], source=TRL.at("trl/trainer/kto_config.py"), sizes=_PAIRS,
           sets={**_TRL_PREFERENCES, "objective": "kto", "beta": 0.1}, nearest=("loss",)),
    Recipe(library="TRL", method=BY_OBJECTIVE["reward"], source=TRL.at("trl/trainer/reward_config.py"), sizes=_PAIRS,
           sets={**_TRL_PREFERENCES, "objective": "reward"}, nearest=("loss",)),
    Recipe(library="TRL", method=BY_OBJECTIVE["ppo"], source=TRL.at("trl/experimental/ppo/ppo_config.py"),
           sizes=_EIGHT, sets={**_TRL_PREFERENCES, "objective": "ppo", "beta": 0.05}, nearest=("loss", "beta")),
    Recipe(library="TRL", method=BY_OBJECTIVE["grpo"], source=TRL.at("trl/trainer/grpo_config.py"), sizes=_EIGHT,
           sets={**_TRL_PREFERENCES, "objective": "grpo", "beta": 0.0, "generations": 8}, nearest=("loss",)),
    Recipe(library="Unsloth", method=FULL, source=UNSLOTH.at("unsloth/models/rl.py"),
           sets={**_UNSLOTH_LOOP, "precision": "bf16"}, nearest=("loss", "activation_offload")),
    Recipe(library="Unsloth", method=LORA, source=UNSLOTH.at("unsloth/models/llama.py"),
           sets={**_UNSLOTH_LOOP, **_UNSLOTH_LORA}, nearest=("loss", "activation_offload")),
    Recipe(library="Unsloth", method=QLORA, source=UNSLOTH.at("unsloth/models/loader.py"),
           sets={**_UNSLOTH_LOOP, **_UNSLOTH_LORA, "lora_base": "NF4-double"},
           nearest=("loss", "activation_offload")),
    Recipe(library="LitGPT", method=FULL, source=LITGPT.at("litgpt/finetune/full.py"),
           sets=_LITGPT_LOOP, nearest=("loss",)),
    Recipe(library="LitGPT", method=LORA, source=LITGPT.at("litgpt/finetune/lora.py"),
           sets={**_LITGPT_LOOP, **_LITGPT_LORA}, nearest=("loss",)),
    # with quantised weights everything is in bf16, and the optimizer is bitsandbytes' paged AdamW, which needs no more
    # than a fused one
    Recipe(library="LitGPT", method=QLORA, source=LITGPT.at("litgpt/utils.py"),
           sets={**_LITGPT_LOOP, **_LITGPT_LORA, "precision": "bf16", "lora_precision": "same", "lora_base": "NF4",
                 "optimizer": "adamw_fused"},
           nearest=("loss", "optimizer")),
    Recipe(library="torchtune", method=FULL,
           source=TORCHTUNE.at("recipes/configs/llama3_1/8B_full_single_device.yaml"),
           sets={**_TORCHTUNE_LOOP, "optimizer": "paged_adamw_8bit", "optimizer_in_backward": True},
           nearest=("loss",)),
    Recipe(library="torchtune", method=LORA,
           source=TORCHTUNE.at("recipes/configs/llama3_1/8B_lora_single_device.yaml"),
           sets={**_TORCHTUNE_LOOP, **_TORCHTUNE_LORA}, nearest=("loss", "lora_targets")),
    Recipe(library="torchtune", method=QLORA,
           source=TORCHTUNE.at("recipes/configs/llama3_1/8B_qlora_single_device.yaml"),
           sets={**_TORCHTUNE_LOOP, **_TORCHTUNE_LORA, "lora_base": "NF4-double"}, nearest=("loss", "lora_targets")),
    Recipe(library="torchtitan", method=FULL, source=TORCHTITAN.at("torchtitan/models/llama3/config_registry.py"),
           sets={"precision": "amp_bf16", "optimizer": "adamw_fused", "weight_decay": 0.1,
                 "recompute": "selective_ops", "loss": "fused"},
           nearest=("loss",)),
)}  # fmt: skip
