"""Measure what transformers' own cache objects hold for small models of every causal family, and write it down.

A small model of each model_type of transformers' causal map reads prompts of several lengths and then one token; the
numbers in its cache are counted: keys and values, and states in 16 and in 32 bits. Needs the development extra.

    python tests/oracle/caches.py            print the table: what agrees, what does not, what could not be measured
    python tests/oracle/caches.py --write    write tests/golden/caches.jsonl again
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import signal
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

GOLDEN = Path(__file__).parents[1] / "golden" / "caches.jsonl"
LENGTHS = (5, 40, 70)
STATES = ("conv_states", "recurrent_states")  # what a layer of a cache holds whatever a sequence's length
SECONDS = 20  # for one model
# What makes a model small, under all names that config classes have for it; each class takes what it knows
SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "d_ff", "decoder_ffn_dim"), 64),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads",), 4),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_intermediate_size"), 8),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), 64),
    **{"head_dim": 8, "sliding_window": 8, "max_position_embeddings": 128, "pad_token_id": 0, "n_positions": 128},
    **{"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "n_shared_experts": 1},
    **{"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8},
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    **{"mamba_n_heads": 4, "mamba_d_state": 8, "mamba_d_head": 16, "state_size": 8},
    **{"hidden_size_per_layer_input": 4, "global_head_dim": 16, "num_kv_shared_layers": 2},
}
# And what single classes need beside it, or instead
ALSO: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "gemma4_text": {"layer_types": ["sliding_attention", "full_attention"] * 2},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 2, "shared_intermediate_size": 16},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2},
    "lfm2": {"full_attn_idxs": [1, 3]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 2},
    "nemotron_h": {
        **{"layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"], "num_hidden_layers": None},
        **{"mamba_num_heads": 4, "mamba_head_dim": 16, "ssm_state_size": 8, "n_groups": 2},
        "moe_shared_expert_intermediate_size": 8,
    },
    "olmo_hybrid": {"head_dim": None},
    "zamba": {"mamba_dt_rank": 2, "num_hidden_layers": 6, "attn_layer_period": 2, "attn_layer_offset": 1}
    | {"num_key_value_heads": 4, "head_dim": None},
    "zamba2": {
        **{"n_mamba_heads": 4, "adapter_rank": 4, "num_key_value_heads": 4, "head_dim": None},
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
    },
}


def small(model_type: str) -> dict[str, Any]:
    """The keys that make a model of this type small."""
    known = CONFIG_MAPPING[model_type]
    fields = {field.name for field in dataclasses.fields(known)} if dataclasses.is_dataclass(known) else set()
    fields |= set(inspect.signature(known.__init__).parameters)
    keys = {key: value for key, value in SMALL.items() if key in fields}
    if "kv_lora_rank" in fields:  # latent attention has a key for every query
        keys["num_key_value_heads"] = 4
    if "is_decoder" in fields:  # encoders that can be run as decoders
        keys["is_decoder"] = True
    keys |= ALSO.get(model_type, {})
    return {key: value for key, value in keys.items() if value is not None}


def kept(model: torch.nn.Module, length: int) -> dict[str, int]:
    """Numbers in the cache after a prompt and one more token: states in 16 bits, states in 32, and all else: keys and
    values, and keys of indexers."""
    with torch.no_grad():
        out = model(torch.randint(1, 60, (1, length)), use_cache=True)
        name = next(name for name in ("past_key_values", "cache_params") if getattr(out, name, None) is not None)
        cache = getattr(out, name)
        model(torch.randint(1, 60, (1, 1)), use_cache=True, **{name: cache})
    found = {"keys": 0, "bf16": 0, "fp32": 0}
    for layer in cache.layers:
        for name, held in vars(layer).items():
            for tensor in filter(torch.is_floating_point, _tensors(held)):
                found[_width(tensor) if name in STATES else "keys"] += tensor.numel()
    for tensor in _tensors(getattr(cache, "linear_cache", [])):  # MiniMax
        found[_width(tensor)] += tensor.numel()
    return found


def _width(tensor: torch.Tensor) -> str:
    return "fp32" if tensor.dtype == torch.float32 else "bf16"


def _tensors(held: Any) -> list[torch.Tensor]:
    """The tensors in nested lists and dictionaries."""
    if isinstance(held, torch.Tensor):
        return [held]
    inside = held.values() if isinstance(held, dict) else held if isinstance(held, list | tuple) else ()
    return [tensor for each in inside for tensor in _tensors(each)]


def measured(model_type: str) -> dict[str, Any]:
    """One row: the config, and what the cache held after each length; or why it could not be measured."""
    keys = small(model_type)
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    architectures = [name if isinstance(name, str) else name[0]]
    row: dict[str, Any] = {"config": {"model_type": model_type, "architectures": architectures, **keys}}
    torch.manual_seed(0)
    signal.alarm(SECONDS)
    try:
        config = CONFIG_MAPPING[model_type](**keys)
        with torch.device("meta"):
            sizes = [p.numel() for p in transformers.AutoModelForCausalLM.from_config(config).parameters()]
        if sum(sizes) > 5e6:
            return row | {"refused": f"not small: {sum(sizes):,} parameters"}
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
        row["kept"] = {str(length): kept(model, length) for length in LENGTHS}
    except Exception as error:  # whatever the class says, it cannot be run so
        return {"config": row["config"], "refused": f"{type(error).__name__}: {str(error).strip()[:100]}"}
    finally:
        signal.alarm(0)
    return row


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the golden file again")
    parser.add_argument("only", nargs="*", help="these types only")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    rows = []
    for model_type in asked.only or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        row = measured(model_type)
        print(f"{model_type:<28}{row.get('kept') or row['refused']}", flush=True)
        rows += [{**row, **versions}] if "kept" in row else []
    print(f"{len(rows)} measured")
    if asked.write:
        GOLDEN.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
