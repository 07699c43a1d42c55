"""What layers keep of a sequence: transformers' own cache after prompts of several lengths, and what we say of it."""

from __future__ import annotations

import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmcalc.huggingface import read_config

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
    "vocab_size": 64,
    "pad_token_id": 0,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 8}
DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "head_dim": 8,
}
MAMBA2 = {"mamba_n_heads": 4, "mamba_d_state": 8, "mamba_d_head": 16}
FAMILIES = {
    "qwen3_next": {**SMALL, **EXPERTS, **DELTA, "num_experts": 4, "shared_expert_intermediate_size": 8},
    "qwen3_5_text": {**SMALL, **DELTA},
    "olmo_hybrid": {**SMALL, **DELTA, "head_dim": None},
    "jamba": {**SMALL, "num_experts": 2, "mamba_d_state": 8, "attn_layer_period": 2, "attn_layer_offset": 1},
    "bamba": {**SMALL, **MAMBA2, "attn_layer_indices": [1]},
    "granitemoehybrid": {
        **SMALL,
        **MAMBA2,
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "num_local_experts": 2,
        "shared_intermediate_size": 16,
    },
    "falcon_h1": {**SMALL, **MAMBA2, "mamba_d_ssm": 64, "head_dim": 8},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 64, "state_size": 8},
    "falcon_mamba": {"hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 64, "state_size": 8},
    "mamba2": {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "vocab_size": 64,
        "state_size": 8,
        "num_heads": 4,
        "head_dim": 16,
        "n_groups": 2,
    },
    "nemotron_h": {
        **{k: v for k, v in SMALL.items() if k != "num_hidden_layers"},
        "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"],
        "head_dim": 8,
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 2,
        "n_routed_experts": 4,
        "moe_intermediate_size": 8,
        "moe_shared_expert_intermediate_size": 8,
    },
    "lfm2": {**SMALL, "full_attn_idxs": [1, 3]},
    "lfm2_moe": {**SMALL, **EXPERTS, "num_experts": 4, "layer_types": ["conv", "full_attention"] * 2},
    "minimax": {**SMALL, "num_local_experts": 2, "head_dim": 8},
    "zamba2": {
        **SMALL,
        "mamba_d_state": 8,
        "n_mamba_heads": 4,
        "adapter_rank": 4,
        "num_key_value_heads": 4,
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
    },
    "zamba": {
        **SMALL,
        "mamba_d_state": 8,
        "num_key_value_heads": 4,
        "mamba_dt_rank": 2,
        "num_hidden_layers": 6,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
    },
    "gemma3n_text": {
        **SMALL,
        "head_dim": 8,
        "hidden_size_per_layer_input": 4,
        "vocab_size_per_layer_input": 64,
        "num_kv_shared_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": 8,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "gemma4_text": {
        **SMALL,
        "head_dim": 8,
        "global_head_dim": 16,
        "hidden_size_per_layer_input": 4,
        "vocab_size_per_layer_input": 64,
        "num_kv_shared_layers": 2,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
}


@pytest.fixture(scope="module")
def torch_seed():
    torch.manual_seed(0)


def kept(model, length: int) -> dict[str, int]:
    """Numbers in the cache after a prompt and one more token: keys and values, states in bf16, and states in fp32."""
    ids = torch.randint(1, 60, (1, length))
    with torch.no_grad():
        out = model(ids, use_cache=True)
        cache = getattr(out, "past_key_values", None)
        name = "past_key_values"
        if cache is None:
            cache, name = out.cache_params, "cache_params"
        model(torch.randint(1, 60, (1, 1)), use_cache=True, **{name: cache})
    found = {"keys": 0, "bf16": 0, "fp32": 0}
    for layer in cache.layers:
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None)):
            found["keys"] += tensor.numel() if tensor is not None else 0
        for held in (getattr(layer, "conv_states", {}), getattr(layer, "recurrent_states", {})):
            for tensor in held.values():
                if tensor is not None:
                    found["fp32" if tensor.dtype == torch.float32 else "bf16"] += tensor.numel()
    for tensor in getattr(cache, "linear_cache", []):  # MiniMax
        if isinstance(tensor, torch.Tensor):
            found["fp32" if tensor.dtype == torch.float32 else "bf16"] += tensor.numel()
    return found


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.usefixtures("torch_seed")
def test_a_cache_holds_what_we_say(name):
    config = CONFIG_MAPPING[name](**{k: v for k, v in FAMILIES[name].items() if v is not None})
    real = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    ours = read_config({"model_type": name, **FAMILIES[name]}).model
    for length in (5, 40, 70):
        found = kept(real, length)
        states = {"bf16": ours.state_elements(fp32=False).value, "fp32": ours.state_elements(fp32=True).value}
        assert {"bf16": found["bf16"], "fp32": found["fp32"]} == states
        # transformers keeps one token fewer than the window: the next one comes to it
        caches = [part for block in ours.layers() for part in block.caches()]
        keys = sum(
            part.kv_elements_per_token().value
            * (min(length + 1, part.cache_window - 1) if part.cache_window else length + 1)
            for part in caches
        )
        assert found["keys"] == keys
