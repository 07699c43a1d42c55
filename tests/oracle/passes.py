"""What passes of a real transformers model without a gradient allocate: a prompt in one, and tokens behind it.

    PYTHONPATH=. python tests/oracle/passes.py [families] >passes.jsonl

A line a run, as `llmcalc/accuracy/inference.jsonl` has them, on the device of `step_memory.py`: of each family its
`SHAPES`, run in the ways of `RUNS`. What was looked at while the simulation was written is ``seen``.
"""

from __future__ import annotations

from step_memory import build  # isort: skip  # before torch, for the fake GPU

import gc
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import fake_cuda
import torch
from allocations import Allocations
from transformers import StaticCache

NEW_TOKENS = 3
MORE_TOKENS = 64  # that a static cache has room for, beside the prompt


class _Allocations(Allocations):
    """Those of a pass without a gradient: what it adds is no engine's gradient."""

    def _is_accumulated_in_place(self, old: Any) -> bool:
        return False


def measure(
    config: Mapping[str, Any],
    *,
    batch_size: int,
    seq_len: int,
    attn: str = "sdpa",
    cache: str = "dynamic",
    logits: str = "last",
) -> dict[str, Any]:
    """Peaks of the prompt's pass and of the last of a few new tokens, weights included.

    A model that caches nothing writes nothing: of it the second peak is what stays behind its pass. A class that cannot
    be told to compute the last token's logits alone computes those of all.
    """
    gc.collect()
    with fake_cuda.device(), torch.no_grad():
        model = build(config, attn=attn, recipe="bf16", ckpt=False, dropout=0.0).eval()
        for each in (model.config, model.config.get_text_config()):
            each.use_cache = True
        last = logits == "last" and "logits_to_keep" in inspect.signature(model.forward).parameters
        told: dict[str, Any] = {"logits_to_keep": 1} if last else {}
        ids = _ids(model, batch_size, seq_len)
        seen = _Allocations(model)
        seen.add(ids)
        with seen:
            if cache == "static":
                told["past_key_values"] = StaticCache(config=model.config, max_cache_len=seq_len + MORE_TOKENS)
            held = getattr(model(input_ids=ids, **told), "past_key_values", None)
        prefill = seen.peak
        seen.reset_peak()
        for _ in range(0 if held is None else NEW_TOKENS):
            token = _ids(model, batch_size, 1)
            seen.add(token)
            seen.reset_peak()
            told["past_key_values"] = held
            with seen:
                held = model(input_ids=token, **told).past_key_values
        more = MORE_TOKENS if cache == "static" else NEW_TOKENS
        kept = () if held is None else _floats([vars(layer) for layer in held.layers])
        return {
            "model": config["model_type"],
            "config": dict(config),
            "instrument": "fake",
            "run": {
                "batch_size": batch_size,
                "seq_len": seq_len,
                "weight_format": "bf16",
                "cache_format": "bf16",
            },
            "beside": {
                "attention": attn,
                "cache": cache,
                "cached_tokens": 0 if held is None else seq_len + more,
                "logits_to_keep": int(last),
            },
            "weight_bytes": sum(p.nbytes for p in model.parameters()),
            "cache_bytes": sum(t.untyped_storage().nbytes() for t in kept),
            "prefill_peak": prefill,
            "decode_peak": seen.peak,
        }


def _ids(model: torch.nn.Module, batch_size: int, seq_len: int) -> torch.Tensor:
    return torch.randint(0, model.config.get_text_config().vocab_size, (batch_size, seq_len), device="cuda")


def _floats(held: Any) -> Iterator[torch.Tensor]:
    """The tensors of keys, values and states in nested lists and dictionaries."""
    if isinstance(held, torch.Tensor):
        if held.is_floating_point():
            yield held
    elif isinstance(held, dict | list | tuple):
        for each in held.values() if isinstance(held, dict) else held:
            yield from _floats(each)


# Families whose layers keep a state, or that mix their layers in ways of their own
SIZES = {"hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 5_003, "pad_token_id": 0}
OTHER = {
    "hidden_size": 320,
    "num_attention_heads": 10,
    "num_key_value_heads": 5,
    "vocab_size": 4_007,
    "pad_token_id": 0,
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 64, "mamba_d_state": 32, "mamba_n_groups": 2, "mamba_chunk_size": 64}
MAMBA_OTHER = {"mamba_n_heads": 10, "mamba_d_head": 64, "mamba_d_state": 24, "mamba_n_groups": 1}
_HEADS = ("linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim")
LINEAR = dict(zip(_HEADS, (2, 4, 64, 48), strict=True))
LINEAR_OTHER = dict(zip(_HEADS, (5, 5, 32, 56), strict=True))
FEW = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 96}
MORE = {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 160}
SHARED = {"shared_expert_intermediate_size": 112}
_LOCAL = ["sliding_attention", "full_attention"] * 2
_LINEAR = ["linear_attention", "full_attention"] * 2
_SECOND = {"hidden_size_per_layer_input": 32, "layer_types": _LOCAL, "num_hidden_layers": 4}
_LATER = {"hidden_size_per_layer_input": 64, "layer_types": _LOCAL, "num_hidden_layers": 4}
# Of each family two models: one that was looked at, and one that was not
SHAPES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "bamba": (
        MAMBA | {"num_hidden_layers": 4, "attn_layer_indices": [2], "intermediate_size": 704},
        MAMBA_OTHER | {"num_hidden_layers": 5, "attn_layer_indices": [1, 3], "intermediate_size": 992},
    ),
    "granitemoehybrid": (
        MAMBA
        | {"num_hidden_layers": 4, "layer_types": _LINEAR, "intermediate_size": 192, "shared_intermediate_size": 320}
        | {"num_local_experts": 8, "num_experts_per_tok": 2},
        MAMBA_OTHER
        | {"num_hidden_layers": 4, "layer_types": _LINEAR, "intermediate_size": 416, "shared_intermediate_size": 608}
        | {"num_local_experts": 0, "num_experts_per_tok": 0},
    ),
    "nemotron_h": (
        {"layers_block_type": ["mamba", "mlp", "attention", "mlp", "mamba"], "intermediate_size": 704, "head_dim": 32}
        | {"mamba_num_heads": 8, "mamba_head_dim": 64, "ssm_state_size": 32, "n_groups": 2, "chunk_size": 64},
        {"layers_block_type": ["mamba", "moe", "attention", "moe", "mamba"], "intermediate_size": 448, "head_dim": 64}
        | {"mamba_num_heads": 6, "mamba_head_dim": 96, "ssm_state_size": 48, "n_groups": 2, "chunk_size": 128}
        | {"n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 160, "moe_latent_size": 96}
        | {"moe_shared_expert_intermediate_size": 224, "n_group": 1, "topk_group": 1},
    ),
    "falcon_h1": (
        MAMBA | {"num_hidden_layers": 4, "mamba_d_ssm": 512, "intermediate_size": 704, "mamba_rms_norm": True},
        MAMBA_OTHER | {"num_hidden_layers": 3, "mamba_d_ssm": 640, "intermediate_size": 992, "mamba_rms_norm": False},
    ),
    "jamba": (
        {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 4, "mamba_dt_rank": 16}
        | {"intermediate_size": 448, "mamba_d_state": 16, "expert_layer_period": 2, "expert_layer_offset": 1},
        {"num_hidden_layers": 5, "attn_layer_period": 4, "attn_layer_offset": 2, "num_experts": 2, "mamba_dt_rank": 20}
        | {"intermediate_size": 608, "mamba_d_state": 24, "expert_layer_period": 2, "expert_layer_offset": 1},
    ),
    "qwen3_next": (
        LINEAR | FEW | SHARED | {"num_hidden_layers": 4, "head_dim": 64, "layer_types": _LINEAR},
        LINEAR_OTHER | MORE | SHARED | {"num_hidden_layers": 4, "head_dim": 96},
    ),
    "qwen3_5_text": (
        LINEAR | {"num_hidden_layers": 4, "head_dim": 64, "intermediate_size": 704, "layer_types": _LINEAR},
        LINEAR_OTHER | {"num_hidden_layers": 4, "head_dim": 96, "intermediate_size": 992},
    ),
    "qwen3_5_moe_text": (
        LINEAR | FEW | SHARED | {"num_hidden_layers": 4, "head_dim": 64, "layer_types": _LINEAR},
        LINEAR_OTHER | MORE | SHARED | {"num_hidden_layers": 4, "head_dim": 96},
    ),
    "lfm2": (
        {"num_hidden_layers": 4, "full_attn_idxs": [1, 3], "intermediate_size": 704, "block_auto_adjust_ff_dim": False},
        {"num_hidden_layers": 5, "full_attn_idxs": [2], "intermediate_size": 992, "block_auto_adjust_ff_dim": False},
    ),
    "lfm2_moe": (
        FEW | {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2, "intermediate_size": 704},
        MORE
        | {"num_hidden_layers": 5, "layer_types": ["conv", "conv", "full_attention", "conv", "full_attention"]}
        | {"intermediate_size": 992, "num_dense_layers": 1},
    ),
    "gemma3n_text": (
        _SECOND
        | {"intermediate_size": 704, "head_dim": 32, "sliding_window": 64, "vocab_size_per_layer_input": 5_003}
        | {"num_kv_shared_layers": 1, "laurel_rank": 16, "activation_sparsity_pattern": [0.95, 0.95, 0.0, 0.0]},
        _LATER
        | {"intermediate_size": 992, "head_dim": 64, "sliding_window": 128, "vocab_size_per_layer_input": 4_007}
        | {"num_kv_shared_layers": 0, "laurel_rank": 24, "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.95]},
    ),
    "gemma4_text": (
        _SECOND
        | {"intermediate_size": 448, "head_dim": 32, "global_head_dim": 64, "sliding_window": 64}
        | {"vocab_size_per_layer_input": 5_003, "num_kv_shared_layers": 2, "enable_moe_block": True}
        | {"num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 96},
        {"hidden_size_per_layer_input": 0, "layer_types": _LOCAL, "num_hidden_layers": 4, "num_kv_shared_layers": 0}
        | {"intermediate_size": 608, "head_dim": 64, "global_head_dim": 128, "sliding_window": 128}
        | {"vocab_size_per_layer_input": 4_007, "enable_moe_block": True}
        | {"num_experts": 6, "top_k_experts": 3, "moe_intermediate_size": 160},
    ),
}
# In 16 bits: of 32 nothing is said to be measured
RUNS = ((2, 96, "sdpa"), (1, 333, "sdpa"), (3, 150, "eager"))
OTHER_RUNS = ((3, 77, "sdpa"), (1, 411, "sdpa"), (2, 201, "eager"))


def main() -> None:
    torch.set_num_threads(1)
    for family in sys.argv[1:] or SHAPES:
        for sizes, shape, runs in zip((SIZES, OTHER), SHAPES[family], (RUNS, OTHER_RUNS), strict=True):
            config = {"model_type": family, **sizes, **shape}
            for batch_size, seq_len, attn in runs:
                try:
                    row = measure(config, batch_size=batch_size, seq_len=seq_len, attn=attn)
                except Exception as error:  # what a family cannot do is no fault of the others
                    print(f"{family} {attn}: {error!r}"[:400], file=sys.stderr)
                    continue
                print(json.dumps({**row, "seen": sizes is SIZES}), flush=True)


if __name__ == "__main__":
    main()
