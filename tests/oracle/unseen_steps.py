"""Measure steps that nobody looked at while the simulation was written: other sizes, every family, more settings.

    PYTHONPATH=. python tests/oracle/unseen_steps.py [families] >unseen.jsonl
    PYTHONPATH=. python tests/oracle/unseen_steps.py tuned [families] >tuned.jsonl

A line a step, as `measured_rows.py` takes them in. Every family whose code llmcalc simulates is measured at sizes that
no other row has, run in each of the `USUAL` ways and more; what does not depend on the family, each of
`COMMON_SETTINGS`, on a few.
A family or a setting that cannot be measured is named on standard error.
"""

from __future__ import annotations

from step_memory import measure  # isort: skip  # before torch, for the fake GPU

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from llmcalc.catalog.models import models
from llmcalc.errors import InputError
from llmcalc.huggingface import from_config
from llmcalc.huggingface.families import FAMILIES

SIZES = {
    "d_model": 768,
    "n_layers": 4,
    "n_heads": 12,
    "n_kv_heads": 4,
    "d_head": 64,
    "d_ff": 1792,
    "vocab_size": 20_000,
    "n_positions": 1_024,
    "n_experts": 8,
    "top_k": 3,
    "d_expert": 320,
}
LATENT = {
    "kv_lora_rank": 160,
    "q_lora_rank": 224,
    "qk_rope_head_dim": 32,
    "qk_nope_head_dim": 64,
    "v_head_dim": 64,
    "num_key_value_heads": 12,
    "head_dim": 32,
}
# Where positions are of three kinds, the default shares out this width among them
HEADS_OF_128 = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 128}
GROUPS = {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
MORE: Mapping[str, Mapping[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "gptj": {"rotary_dim": 32},
    "codegen": {"rotary_dim": 32},
    "deepseek_v2": {**LATENT, **GROUPS, "n_shared_experts": 1, "topk_method": "greedy"},
    "deepseek_v3": {**LATENT, **GROUPS, "n_shared_experts": 1},
    "kimi_k2": {**LATENT, **GROUPS, "n_shared_experts": 1},
    "glm4_moe_lite": {**LATENT, **GROUPS, "n_shared_experts": 1},
    **dict.fromkeys(("minicpm3", "youtu"), LATENT),
    **dict.fromkeys(("glm4_moe", "exaone_moe", "solar_open"), GROUPS),
    "phimoe": {"num_experts_per_tok": 2},  # its router takes two, whatever the config says
    **dict.fromkeys(("qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text"), HEADS_OF_128),
    "glm4v_moe_text": {**GROUPS, **HEADS_OF_128},
    "dots1": {**GROUPS, "n_shared_experts": 1},
    "granite_swa": {"layer_types": ["full_attention", "sliding_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "gemma3n_text": {"num_kv_shared_layers": 1, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "ernie4_5_moe": {"moe_num_shared_experts": 1, "moe_layer_start_index": 1, "moe_layer_end_index": 3},
}
WITHOUT_DROPOUT = ("mpt",)  # it is in a config within, which `step_memory` does not set
WINDOWS = ("sliding_window", "window_size")
BATCH, LENGTH, WINDOW = 3, 448, 160
USUAL: tuple[Mapping[str, Any], ...] = (
    {"recipe": "amp_bf16", "attn": "sdpa"},
    {"recipe": "bf16", "attn": "sdpa"},
    {"recipe": "amp_bf16", "attn": "eager"},
    {"recipe": "bf16", "attn": "sdpa", "ckpt": True},
)
OF_THE_LIBRARY: tuple[Mapping[str, Any], ...] = (  # of families with published models these too
    {"recipe": "bf16", "attn": "eager"},
    {"recipe": "amp_bf16", "attn": "sdpa", "ckpt": True},
    *({"recipe": "fp32", "attn": attn} for attn in ("sdpa", "eager")),
    {"recipe": "amp_bf16", "attn": "sdpa", "dropout": 0.1},
)
COMMON_FAMILIES = ("gpt2", "llama", "qwen3", "mixtral")
COMMON_SETTINGS: tuple[Mapping[str, Any], ...] = tuple(
    {"recipe": recipe, **setting}
    for recipe, setting in itertools.product(
        ("amp_bf16", "bf16", "fp32"),
        (
            *({"optimizer": id} for id in ("adamw_for", "adamw_fused", "sgd", "sgd_mom", "adafactor", "lion")),
            *({"loss": loss} for loss in ("chunked8", "liger8")),
            {"hold_logits": True},
        ),
    )
)

ADAPTERS = {"r": 16, "target_modules": "all-linear"}
# Settings of fine-tuning go through a family's code: each is measured on these families
TUNED_FAMILIES = (
    "llama",
    "qwen2",
    "qwen3",
    "mistral",
    "gpt2",
    "gpt_neox",
    "phi3",
    "mixtral",
    "qwen3_moe",
    "gemma3_text",
)
TUNED_SETTINGS: tuple[Mapping[str, Any], ...] = (
    {"recipe": "bf16", "peft": ADAPTERS},
    {"recipe": "bf16_amp", "peft": ADAPTERS, "ckpt": True},
    {"recipe": "amp_bf16", "peft": ADAPTERS | {"lora_dropout": 0.05}},
    {"recipe": "bf16", "padded": True},
    {"recipe": "amp_bf16", "padded": True, "ckpt": True},
    {"recipe": "fp32", "padded": True},
    {"recipe": "bf16_amp"},
    {"recipe": "amp_bf16", "use_cache": True},
    {"recipe": "bf16", "loss": "shift_float"},
    {"recipe": "amp_bf16", "loss": "shift_contig"},
    {"recipe": "bf16_amp", "hold_logits": True, "fp32_out": True},
    {"recipe": "bf16", "ckpt": "selective_ops"},
)
ENCODERS = (
    "bert",
    "ernie",
    "roberta",
    "xlm-roberta",
    "camembert",
    "data2vec-text",
    "electra",
    "distilbert",
    "modernbert",
)
PAIRS = ("bart", "mbart", "marian", "pegasus", "m2m_100", "t5", "mt5")
OF_ENCODERS: tuple[Mapping[str, Any], ...] = (
    {"recipe": "amp_bf16", "attn": "sdpa", "dropout": 0.1},
    {"recipe": "bf16", "attn": "eager"},
    {"recipe": "bf16", "attn": "sdpa", "ckpt": True},
    {"recipe": "fp32", "attn": "sdpa", "padded": True},
)


def configs(family: str) -> Iterator[dict[str, Any]]:
    """The family at our sizes; and where it has layers of a window, with one that is shorter than the sequence."""
    sizes = {key: SIZES[name] for name, key in FAMILIES[family].names.items() if name in SIZES}
    config = {"model_type": family, **sizes, **MORE.get(family, {}), "pad_token_id": 0}
    yield config
    for key in WINDOWS:
        shorter = {**config, key: WINDOW}
        if windows_of(shorter) != windows_of(config):
            yield shorter


def windows_of(config: Mapping[str, Any]) -> set[int | None]:
    """The windows of the layers."""
    blocks = from_config(config).blocks
    return {getattr(part, "window", None) for block, _ in blocks for part in block.parts}


def wanted(families: Iterable[str]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Every config with every way to run it; a family without a fused kernel in its other way."""
    published = {row.config["model_type"] for row in models().values()}
    for family in families:
        try:
            found = list(configs(family))
            codes = [from_config(config).code for config in found]
        except InputError as error:
            print(f"{family}: {error}", file=sys.stderr)
            continue
        for place, (config, code) in enumerate(zip(found, codes, strict=True)):
            if code is None:
                continue
            asked = [*USUAL, *(OF_THE_LIBRARY if family in published and not place else ())]
            if family in WITHOUT_DROPOUT:
                asked = [setting for setting in asked if "dropout" not in setting]
            asked += COMMON_SETTINGS if family in COMMON_FAMILIES and not place else ()
            told = [setting if code.sdpa else {**setting, "attn": "eager"} for setting in asked]
            yield from ((config, dict(setting)) for setting in dict.fromkeys(tuple(s.items()) for s in told))


def tuned(families: Iterable[str]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """The settings of fine-tuning on a few families, and the encoders."""
    told = {**dict.fromkeys(TUNED_FAMILIES, TUNED_SETTINGS), **dict.fromkeys((*ENCODERS, *PAIRS), OF_ENCODERS)}
    for family in families:
        config = next(configs(family))
        if family in PAIRS:
            config |= {"decoder_start_token_id": 2, "eos_token_id": 2}
            config |= {key: 12 for key in ("decoder_attention_heads",) if family not in ("t5", "mt5")}
        yield from ((config, setting) for setting in told.get(family, ()))


def main() -> None:
    torch.set_num_threads(1)
    given = sys.argv[1:]
    asked = tuned(given[1:] or (*TUNED_FAMILIES, *ENCODERS, *PAIRS)) if given[:1] == ["tuned"] else None
    for config, setting in asked or wanted(given or FAMILIES):
        try:
            row = measure(config, batch_size=BATCH, seq_len=LENGTH, **setting)
        except Exception as error:  # what a family cannot do is no fault of the others
            print(f"{config['model_type']} {json.dumps(setting)}: {error!r}"[:400], file=sys.stderr)
            continue
        del row["saved_tensors"]
        print(json.dumps({**row, "group": "unseen"}), flush=True)
        if asked is None and is_accumulated(config, setting):
            print(json.dumps({**row, "group": "unseen", "accumulation": 2}), flush=True)


def is_accumulated(config: Mapping[str, Any], setting: Mapping[str, Any]) -> bool:
    """Whether the step onto gradients that are there already is told as a step of its own."""
    if config["model_type"] in COMMON_FAMILIES:
        return setting.keys() <= {"recipe", "attn"}
    return setting.keys() <= {"recipe", "attn"} and setting["recipe"] == "amp_bf16"


if __name__ == "__main__":
    main()
