"""Decoders whose attention, or what is beside it, is unlike LLaMA's.

One entry a model_type, read from its model class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface import layers
from llmcalc.huggingface.decoders import LLAMA
from llmcalc.huggingface.family import COMMON, SAME_KV, Family, expert_names
from llmcalc.huggingface.hybrids.delta import kimi_delta
from llmcalc.huggingface.keys import whole
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.sparse import hyper_connections, indexer
from llmcalc.huggingface.stack import Mixture, QKNorm, Recipe
from llmcalc.huggingface.variants.pieces import FULL, NO_D_HEAD, sparse_words
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.experts import Experts
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.piece import Again, AttentionAgain, Numbers, Projection


def _doge(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    kv, width = keys.dimension("n_kv_heads", keys.dimension("n_heads")), kit.d_head()
    mask = (
        Numbers(kv, "dynamic_mask_decay", "attention"),
        Projection(kv * width, kv, "dynamic_mask", "attention", keys.flag("attention_bias")),
    )
    scales = (Numbers(d, "attention_residual", "connections"), Numbers(d, "feed_forward_residual", "connections"))
    network: Parts = kit.network()
    if sparse := keys.flag("is_moe"):
        n_experts = keys.size("num_experts")
        one = FeedForward(d, 1, id="expert")
        router = Projection(d, 2 * math.isqrt(n_experts), "router_out", "router")
        network = (*network, router, Experts(n_experts, keys.size("num_experts_per_tok"), one))
    attention = kit.attention(window=keys.optional("sliding_window"))
    layer = (*kit.pre((*attention, *mask), network), *scales)
    return [((sparse_words(sparse),), layer)] * kit.n_layers


def _diffllama(kit: Kit) -> Sequence[Layer]:
    lambdas = Numbers(4 * kit.d_head(), "difference_weights", "attention")
    return [(("dense",), kit.pre((*kit.attention(), lambdas), kit.network()))] * kit.n_layers


def _hrm(kit: Kit) -> Sequence[Layer]:
    """Two stacks that run in turn: the lower one more often, the higher one once a cycle."""
    keys = kit.keys
    high, low = keys.size("H_cycles"), keys.size("L_cycles")
    own = keys.optional("num_layers_per_stack") or kit.n_layers
    layer = (*kit.attention(), *kit.network())
    if keys.flag("attention_bias"):
        layer = (*layer, Numbers(keys.dimension("n_heads") * kit.d_head(), "attention_gate_bias", "attention"))
    again: Parts = tuple(AttentionAgain(p) if isinstance(p, Attention) else Again(p) for p in layer)
    found: list[Layer] = [(("first",), layer)] * (2 * own)
    return found + [(("later",), again)] * (own * high * (low + 1) - 2 * own)


def _mllama(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    listed = keys.list_of("cross_attention_layers", int)
    crossed = listed if listed is not None else [3, 8, 13, 18, 23, 28, 33, 38]
    own = kit.pre(kit.attention(), kit.network())
    width = kit.d_head()
    other: Parts = (
        *(RMSNorm(width, f"{of}_norm", "qk_norm") for of in ("query", "key")),
        kit.plain(sees="source", id="cross_attention"),
        Numbers(2, "cross_attention_gates", "attention"),
    )
    cross = kit.pre(other, kit.network())
    return [((("cross",), cross) if i in crossed else (("global",), own)) for i in range(kit.n_layers)]


def _mllama_front(kit: Kit) -> Parts:
    return (Numbers(8 * kit.d_model, "image_token_rows", "embedding"),)


def _neox_japanese(kit: Kit) -> Sequence[Layer]:
    d = kit.d_model
    layer = kit.pre(kit.attention(), (FeedForward(d, d * kit.keys.size("intermediate_multiple_size")),))
    last = (*layer, Numbers(d, "output_bias", "attention"))
    n = kit.n_layers
    return [(("last",), last) if i == n - 1 else (("earlier",), layer) for i in range(n)]


def _glm5_next(kit: Kit) -> Sequence[Layer]:
    keys, nested = kit.keys, kit.nested("linear_attn_config")
    names = {
        "linear_head_dim": "head_dim",
        "linear_num_heads": "num_heads",
        "linear_conv_kernel_dim": "short_conv_kernel_size",
    }
    width, n_heads, kernel = (
        whole(own, nested[own]) if own in nested else keys.size(key) for key, own in names.items()
    )
    linear, indexed = "linear_attention", "indexed_attention"
    kinds = kit.kinds(lambda i: indexed if i % 4 == 3 else linear, (linear, indexed, FULL))
    pool, d_index = keys.size("index_kpool"), keys.size("index_head_dim")
    pooled: Parts = ()
    if pool > 1:
        pooled = (
            Numbers(pool * d_index, "index_pool_positions", "indexer"),
            Projection(kit.d_model, d_index, "index_pool_gate", "indexer"),
        )
    mixers: dict[str, Parts] = {
        linear: (kimi_delta(kit, width, n_heads, kernel, narrow=True),),
        indexed: (*kit.attention(selected=keys.size("index_topk")), indexer(kit), *pooled),
    }
    mixers[FULL] = mixers[indexed]
    n = keys.size("hc_mult")
    streams = hyper_connections(kit, (2 + n) * n, 3)
    networks = {sparse: kit.network(sparse) for sparse in set(kit.sparse())}
    return [
        (
            ("recurrent" if kind == linear else "indexed", sparse_words(sparse)),
            (*kit.pre(mixers[kind], networks[sparse]), *streams),
        )
        for kind, sparse in zip(kinds, kit.sparse(), strict=True)
    ]


FAMILIES: Mapping[str, Family] = {
    "doge": planned(replace(LLAMA, code=None, qk_norm=QKNorm()), _doge, NO_D_HEAD),
    "diffllama": planned(Recipe(qkv_bias="attention_bias", output_bias="attention_bias"), _diffllama),
    "hrm_text": planned(
        replace(LLAMA, code=None, norm=None, gate=True),
        _hrm,
        {k: v for k, v in COMMON.items() if k != "n_kv_heads"},
        before=lambda kit: (Numbers(kit.d_model, "initial_state", "embedding"),),
    ),
    "mllama_text_model": planned(Recipe(), _mllama, NO_D_HEAD, before=_mllama_front),
    "gpt_neox_japanese": planned(
        Recipe(norm=LayerNorm, gated=False, d_ff=4),
        _neox_japanese,
        {k: v for k, v in SAME_KV.items() if k != "d_ff"},
    ),
    "glm5_next_text": planned(
        Recipe(latent=True, experts=Mixture(sparse=layers.listed_sparse(3), shared="n_shared_experts", buffers=True)),
        _glm5_next,
        expert_names("n_routed_experts"),
    ),
}
