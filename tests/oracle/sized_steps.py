"""Measure steps of models whose layers are of several kinds, at sizes drawn by a seed.

    PYTHONPATH=. python tests/oracle/sized_steps.py SEED [--seen] [families] >sized.jsonl

A line a step, as `measured_rows.py` takes them in. One seed is for looking at while the simulation is written
(``--seen``), another is measured then and looked at once, at the end. What cannot be measured is named on standard
error.
"""

from __future__ import annotations

from step_memory import measure  # isort: skip  # before torch, for the fake GPU

import itertools
import json
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch

Drawn = dict[str, Any]
WAYS: tuple[Mapping[str, Any], ...] = (
    {"recipe": "amp_bf16", "attn": "sdpa"},
    {"recipe": "bf16", "attn": "sdpa"},
    {"recipe": "fp32", "attn": "sdpa"},
    {"recipe": "amp_bf16", "attn": "eager"},
    {"recipe": "bf16", "attn": "eager"},
    {"recipe": "amp_bf16", "attn": "sdpa", "ckpt": True},
    {"recipe": "bf16", "attn": "sdpa", "ckpt": True},
    {"recipe": "bf16_amp", "attn": "sdpa"},
)


def plain(draw: random.Random) -> Drawn:
    """Sizes that all have."""
    heads = draw.choice((4, 6, 8))
    return {
        "hidden_size": 64 * draw.randint(3, 8),
        "num_attention_heads": heads,
        "num_key_value_heads": draw.choice((2, heads)),
        "head_dim": draw.choice((32, 64, 96)),
        "intermediate_size": 64 * draw.randint(6, 24),
        "vocab_size": 500 * draw.randint(4, 30),
    }


def mixture(draw: random.Random, number: str) -> Drawn:
    """A mixture, its number of experts under this key."""
    return {
        number: draw.choice((4, 8, 16)),
        "num_experts_per_tok": draw.choice((2, 3)),
        "moe_intermediate_size": 32 * draw.randint(2, 8),
    }


def delta(draw: random.Random) -> Drawn:
    """Gated delta nets in three layers of four."""
    keys = draw.choice((2, 4))
    return plain(draw) | {
        "num_hidden_layers": 4 * draw.randint(1, 2),
        "linear_num_key_heads": keys,
        "linear_num_value_heads": keys * draw.choice((1, 2, 4)),
        "linear_key_head_dim": draw.choice((32, 64)),
        "linear_value_head_dim": draw.choice((32, 48, 64)),
    }


def sparse_delta(draw: random.Random) -> Drawn:
    return delta(draw) | mixture(draw, "num_experts") | {"shared_expert_intermediate_size": 32 * draw.randint(2, 10)}


def convolutions(draw: random.Random) -> Drawn:
    kinds = [draw.choice(("conv", "full_attention")) for _ in range(draw.randint(3, 6))] + ["conv", "full_attention"]
    sizes = plain(draw) | {"num_hidden_layers": len(kinds), "layer_types": kinds}
    sizes["hidden_size"] = 32 * sizes["num_attention_heads"] * draw.choice((1, 2))
    del sizes["head_dim"]
    return sizes


def sparse_convolutions(draw: random.Random) -> Drawn:
    sizes = convolutions(draw) | mixture(draw, "num_experts")
    return sizes | {"num_dense_layers": draw.choice((1, 2)), "norm_topk_prob": draw.random() < 0.7}


def per_layer(draw: random.Random) -> Drawn:
    """Gemma 4, dense, with and without a second embedding and shared keys."""
    n = draw.choice((4, 6, 8))
    sizes = plain(draw)
    with_inputs = draw.random() < 0.7
    return sizes | {
        "num_hidden_layers": n,
        "layer_types": ["sliding_attention", "full_attention"] * (n // 2),
        "sliding_window": draw.choice((64, 128, 1024)),
        "global_head_dim": draw.choice((64, 128, 320)),
        "hidden_size_per_layer_input": draw.choice((16, 64)) if with_inputs else 0,
        "vocab_size_per_layer_input": sizes["vocab_size"],
        "num_kv_shared_layers": draw.choice((0, 2, n - 2)) if with_inputs else 0,
        "use_double_wide_mlp": draw.random() < 0.5,
        "attention_k_eq_v": not with_inputs,
    }


def per_layer_sparse(draw: random.Random) -> Drawn:
    """Gemma 4 with a mixture beside each network."""
    experts = {"enable_moe_block": True, "num_experts": draw.choice((4, 8, 16)), "top_k_experts": draw.choice((2, 3))}
    return per_layer(draw) | experts | {"moe_intermediate_size": 32 * draw.randint(2, 8)}


def streams(draw: random.Random) -> Drawn:
    """Gemma 3n: several streams, keys and values that later layers borrow, gates of which the largest are left."""
    n = draw.choice((4, 5, 6))
    sizes = plain(draw)
    sizes["hidden_size"] = 8 * sizes["num_attention_heads"] * draw.randint(4, 10)
    return sizes | {
        "num_hidden_layers": n,
        "layer_types": (["sliding_attention", "full_attention"] * n)[:n],
        "sliding_window": draw.choice((64, 128, 1024)),
        "hidden_size_per_layer_input": draw.choice((16, 64)),
        "vocab_size_per_layer_input": sizes["vocab_size"] - draw.choice((0, 300)),
        "num_kv_shared_layers": draw.choice((0, 1, 2, n - 2)),
        "altup_num_inputs": draw.choice((2, 3, 4)),
        "laurel_rank": draw.choice((8, 24, 64)),
        "activation_sparsity_pattern": [draw.choice((0.95, 0.0)) for _ in range(n)],
    }


def indexed(draw: random.Random) -> Drawn:
    """DeepSeek's sparse attention."""
    sizes = plain(draw) | mixture(draw, "n_routed_experts")
    rotary = draw.choice((16, 32))
    return sizes | {
        "num_hidden_layers": draw.randint(3, 5),
        "num_key_value_heads": sizes["num_attention_heads"],
        "head_dim": rotary,
        "qk_rope_head_dim": rotary,
        "qk_nope_head_dim": draw.choice((32, 64)),
        "v_head_dim": draw.choice((32, 64)),
        "kv_lora_rank": 32 * draw.randint(1, 4),
        "q_lora_rank": 32 * draw.randint(2, 6),
        "index_topk": draw.choice((64, 128, 1024)),
        "index_head_dim": draw.choice((32, 64)),
        "index_n_heads": draw.choice((2, 4, 8)),
        "first_k_dense_replace": 1,
        "n_group": 1,
        "topk_group": 1,
    }


def indexed_shared(draw: random.Random) -> Drawn:
    """GLM-5's, where some layers see what an earlier one picked."""
    sizes = indexed(draw)
    kinds = ["full", *(draw.choice(("full", "shared")) for _ in range(sizes["num_hidden_layers"] - 1))]
    return sizes | {"indexer_types": kinds}


def mamba(draw: random.Random) -> Drawn:
    """Mamba-2 under the names that Bamba gave it."""
    sizes = plain(draw)
    heads = draw.choice((4, 8))
    sizes["hidden_size"] = 32 * sizes["num_attention_heads"] * draw.choice((1, 2))
    del sizes["head_dim"]
    return sizes | {
        "num_hidden_layers": draw.randint(3, 5),
        "mamba_expand": 2,
        "mamba_n_heads": heads,
        "mamba_d_head": 2 * sizes["hidden_size"] // heads,
        "mamba_d_state": draw.choice((16, 32, 64)),
        "mamba_n_groups": draw.choice((1, 2)),
        "mamba_chunk_size": draw.choice((64, 128, 256)),
    }


def granite(draw: random.Random) -> Drawn:
    sizes = mamba(draw)
    kinds = [
        "mamba",
        "attention",
        *(draw.choice(("mamba", "attention")) for _ in range(sizes["num_hidden_layers"] - 2)),
    ]
    experts = draw.choice((0, 4, 8))
    return sizes | {
        "layer_types": kinds,
        "num_local_experts": experts,
        "num_experts_per_tok": 2 if experts else 0,
        "intermediate_size": 32 * draw.randint(2, 8),
        "shared_intermediate_size": 64 * draw.randint(4, 12),
        "position_embedding_type": draw.choice((None, "rope")),
    }


def bamba(draw: random.Random) -> Drawn:
    sizes = mamba(draw)
    return sizes | {"attn_layer_indices": [sizes["num_hidden_layers"] // 2]}


def jamba(draw: random.Random) -> Drawn:
    """Attention in one layer of two or three, the first Mamba in the others, a mixture in every second."""
    sizes, n = plain(draw), draw.choice((2, 3))
    sizes["hidden_size"] = 32 * sizes["num_attention_heads"] * draw.choice((1, 2))
    del sizes["head_dim"]
    return sizes | {
        "num_hidden_layers": n,
        "attn_layer_period": n,
        "attn_layer_offset": draw.randrange(n),
        "expert_layer_period": 2,
        "expert_layer_offset": draw.choice((0, 1)),
        "num_experts": draw.choice((4, 8)),
        "num_experts_per_tok": draw.choice((1, 2)),
        "mamba_d_state": draw.choice((8, 16, 32)),
        "mamba_dt_rank": draw.choice((8, 24)),
    }


def falcon_h1(draw: random.Random) -> Drawn:
    """Attention and states side by side, what these give normed or not."""
    sizes = mamba(draw)
    return sizes | {
        "mamba_d_ssm": 2 * sizes["hidden_size"],
        "mamba_rms_norm": draw.random() < 0.6,
        "mamba_norm_before_gate": draw.random() < 0.5,
    }


def nemotron(draw: random.Random) -> Drawn:
    """Layers of one branch each."""
    kinds = ["mamba", "attention", "mlp", *(draw.choice(("mamba", "mlp")) for _ in range(draw.randint(1, 4)))]
    draw.shuffle(kinds)
    return plain(draw) | {
        "layers_block_type": kinds,
        "mamba_num_heads": draw.choice((4, 8)),
        "mamba_head_dim": draw.choice((32, 64)),
        "ssm_state_size": draw.choice((16, 32, 64)),
        "n_groups": draw.choice((1, 2)),
        "chunk_size": draw.choice((64, 128)),
    }


def nemotron_sparse(draw: random.Random) -> Drawn:
    """Nemotron-3: layers of experts, on a narrower vector or on the whole one."""
    sizes = nemotron(draw) | mixture(draw, "n_routed_experts")
    sizes["layers_block_type"] = [draw.choice((kind, "moe")) for kind in sizes["layers_block_type"]] + ["moe", "mamba"]
    return sizes | {
        "moe_latent_size": draw.choice((None, 64, 160)),
        "moe_shared_expert_intermediate_size": 32 * draw.randint(2, 10),
        "n_group": 1,
        "topk_group": 1,
    }


FAMILIES: Mapping[str, Callable[[random.Random], Drawn]] = {
    "qwen3_next": sparse_delta,
    "qwen3_5_text": delta,
    "qwen3_5_moe_text": sparse_delta,
    "lfm2": convolutions,
    "lfm2_moe": sparse_convolutions,
    "gemma4_text": per_layer,
    "gemma4_text sparse": per_layer_sparse,
    "gemma3n_text": streams,
    "deepseek_v32": indexed,
    "glm_moe_dsa": indexed_shared,
    "granitemoehybrid": granite,
    "bamba": bamba,
    "falcon_h1": falcon_h1,
    "jamba": jamba,
    "nemotron_h": nemotron,
    "nemotron_h sparse": nemotron_sparse,
}


def main() -> None:
    torch.set_num_threads(1)
    seed, *families = [word for word in sys.argv[1:] if word != "--seen"]
    draws = {family: random.Random(f"{seed} {family}") for family in families or FAMILIES}
    for way, (family, draw) in itertools.product(WAYS, draws.items()):
        config = {"model_type": family.split()[0], "pad_token_id": 0, **FAMILIES[family](draw)}
        sizes = {"batch_size": draw.randint(1, 3), "seq_len": draw.choice((128, 192, 300, 410, 512, 600))}
        try:
            row = measure(config, **sizes, **way)
        except Exception as error:  # what a family cannot do is no fault of the others
            print(f"{family} {json.dumps(way)}: {error!r}"[:400], file=sys.stderr)
            continue
        del row["saved_tensors"]
        print(json.dumps({**row, "group": "sized", "seen": "--seen" in sys.argv}), flush=True)


if __name__ == "__main__":
    main()
