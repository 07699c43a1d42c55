"""Measure steps that nobody looked at while the simulation was written: other sizes, every family, more settings.

    PYTHONPATH=. python tests/oracle/unseen_steps.py [families] >unseen.jsonl

A line a step, as `measured_rows.py` takes them in. Every family whose code llmcalc simulates is measured at sizes that
no other row has, each of `FAMILY_SETTINGS`; what does not depend on the family, each of `COMMON_SETTINGS`, on a few.
A family or a setting that cannot be measured is named on standard error.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from step_memory import measure

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
}
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
    **dict.fromkeys(("dots1", "glm4_moe", "glm4v_moe_text", "exaone_moe", "solar_open"), GROUPS),
    "granite_swa": {"layer_types": ["full_attention", "sliding_attention"] * 2},
    "ernie4_5_moe": {"moe_num_shared_experts": 1, "moe_layer_start_index": 1, "moe_layer_end_index": 3},
}
WINDOWS = ("sliding_window", "window_size")
BATCH, LENGTH, WINDOW = 3, 448, 160
FAMILY_SETTINGS: tuple[Mapping[str, Any], ...] = (
    *({"recipe": recipe, "attn": attn} for recipe in ("amp_bf16", "bf16", "fp32") for attn in ("sdpa", "eager")),
    *({"recipe": recipe, "attn": "sdpa", "ckpt": True} for recipe in ("amp_bf16", "bf16")),
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


def wanted() -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Every config with every way to run it."""
    for family in sys.argv[1:] or FAMILIES:
        try:
            found = list(configs(family))
            code = from_config(found[0]).code
        except InputError as error:
            print(f"{family}: {error}", file=sys.stderr)
            continue
        for config in found if code else ():
            yield from ((config, setting) for setting in FAMILY_SETTINGS if code.sdpa or setting["attn"] == "eager")
            if not code.sdpa:
                yield from ((config, {**setting, "attn": "eager"}) for setting in FAMILY_SETTINGS[6:])
        if family in COMMON_FAMILIES:
            yield from ((found[0], setting) for setting in COMMON_SETTINGS)


def main() -> None:
    torch.set_num_threads(1)
    for config, setting in wanted():
        try:
            row = measure(config, batch_size=BATCH, seq_len=LENGTH, **setting)
        except Exception as error:  # what a family cannot do is no fault of the others
            print(f"{config['model_type']} {json.dumps(setting)}: {error!r}"[:400], file=sys.stderr)
            continue
        del row["saved_tensors"]
        print(json.dumps({**row, "group": "unseen"}), flush=True)
        if set(setting) <= {"recipe", "attn"}:
            print(json.dumps({**row, "group": "unseen", "accumulation": 2}), flush=True)


if __name__ == "__main__":
    main()
