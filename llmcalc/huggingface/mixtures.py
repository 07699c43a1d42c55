"""Decoders with a mixture of experts or latent attention. One entry a model_type, read from its model class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from llmcalc.huggingface import layers
from llmcalc.huggingface.code import (
    AFMOE_CODE,
    DEEPSEEK2_CODE,
    DEEPSEEK3_CODE,
    ERNIE_MOE_CODE,
    EXAONE_MOE_CODE,
    FLEX_OLMO_CODE,
    GLM4_MOE_CODE,
    GLM4V_MOE_CODE,
    GPT_OSS_CODE,
    GRANITE_CODE,
    GRANITE_MOE_CODE,
    HUNYUAN_MOE_CODE,
    LLAMA4_CODE,
    LLAMA_CODE,
    MINIMAX2_CODE,
    PHI_MOE_CODE,
    QWEN2_MOE_CODE,
    QWEN3_VL_MOE_CODE,
    QWEN_MOE_CODE,
)
from llmcalc.huggingface.decoders import GEMMA, LLAMA, LOCAL_GLOBAL, MISTRAL, OLMO2, QWEN3
from llmcalc.huggingface.family import Family, expert_names, stack
from llmcalc.huggingface.layers import periodic
from llmcalc.huggingface.stack import (
    SANDWICH,
    Mixture,
    QKNorm,
    Recipe,
)
from llmcalc.transformer.norm import LayerNorm

_DEEPSEEK = Recipe(
    code=DEEPSEEK3_CODE,
    latent=True,
    experts=Mixture(sparse=layers.after_dense("first_k_dense_replace"), shared="n_shared_experts", buffers=True),
)

MIXTURES: Mapping[str, Family] = {
    "mixtral": stack(replace(MISTRAL, experts=Mixture()), expert_names("num_local_experts", d_expert=None)),
    "qwen2_moe": stack(
        Recipe(
            code=replace(QWEN2_MOE_CODE, both_masks=True),
            qkv_bias="qkv_bias",
            windows=layers.qwen2_moe_windows,
            experts=Mixture(
                sparse=layers.qwen_sparse, shared_width="shared_expert_intermediate_size", shared_gate=True
            ),
        ),
        expert_names("num_experts"),
    ),
    "qwen3_moe": stack(
        replace(QWEN3, code=QWEN_MOE_CODE, windows=layers.if_used, experts=Mixture(sparse=layers.qwen_sparse)),
        expert_names("num_experts"),
    ),
    "phimoe": stack(
        replace(
            GEMMA,
            code=PHI_MOE_CODE,
            norm=LayerNorm,
            windows=layers.everywhere,
            head_bias="lm_head_bias",
            experts=Mixture(),
        ),
        expert_names("num_local_experts", d_expert=None),
    ),
    "olmoe": stack(
        replace(GEMMA, code=QWEN_MOE_CODE, qk_norm=QKNorm(width="all"), experts=Mixture()),
        expert_names("num_experts", d_expert=None),
    ),
    "flex_olmo": stack(
        replace(OLMO2, code=FLEX_OLMO_CODE, experts=Mixture()), expert_names("num_experts", d_expert=None)
    ),
    "granitemoe": stack(
        replace(GEMMA, code=GRANITE_MOE_CODE, experts=Mixture()), expert_names("num_local_experts", d_expert=None)
    ),
    "granitemoeshared": stack(
        replace(GEMMA, code=GRANITE_MOE_CODE, experts=Mixture(shared_width="shared_intermediate_size")),
        expert_names("num_local_experts", d_expert=None),
    ),
    "deepseek_v2": stack(
        replace(
            _DEEPSEEK,
            code=DEEPSEEK2_CODE,
            ffn_bias="mlp_bias",
            experts=Mixture(sparse=layers.after_dense("first_k_dense_replace"), shared="n_shared_experts"),
        ),
        expert_names("n_routed_experts"),
    ),
    "deepseek_v3": stack(_DEEPSEEK, expert_names("n_routed_experts")),
    "kimi_k2": stack(_DEEPSEEK, expert_names("n_routed_experts"), "deepseek_v3"),
    "minicpm3": stack(Recipe(code=GRANITE_CODE, latent=True, ffn_bias="mlp_bias")),
    "youtu": stack(Recipe(code=LLAMA_CODE, latent=True)),
    "glm4_moe": stack(
        Recipe(
            code=GLM4_MOE_CODE,
            qkv_bias="attention_bias",
            qk_norm=QKNorm(when="use_qk_norm"),
            experts=_DEEPSEEK.experts,
        ),
        expert_names("n_routed_experts"),
    ),
    "qwen3_vl_moe_text": stack(
        replace(QWEN3, code=QWEN3_VL_MOE_CODE, windows=None, experts=Mixture(sparse=layers.qwen_sparse)),
        expert_names("num_experts"),
    ),
    "glm4v_moe_text": stack(
        Recipe(code=GLM4V_MOE_CODE, qkv_bias="attention_bias", experts=_DEEPSEEK.experts),
        expert_names("n_routed_experts"),
    ),
    "glm4_moe_lite": stack(
        Recipe(
            code=DEEPSEEK3_CODE,
            latent=True,
            experts=Mixture(sparse=layers.listed_sparse(1), shared="n_shared_experts", buffers=True),
        ),
        expert_names("n_routed_experts"),
    ),
    "dots1": stack(
        replace(
            GEMMA, code=DEEPSEEK3_CODE, qk_norm=QKNorm(), windows=layers.from_layer_always, experts=_DEEPSEEK.experts
        ),
        expert_names("n_routed_experts"),
    ),
    "gpt_oss": stack(
        replace(
            GEMMA,
            code=GPT_OSS_CODE,
            sinks=True,
            windows=LOCAL_GLOBAL,
            experts=Mixture(router_bias=True, expert_bias=True),
        ),
        expert_names("num_local_experts", d_expert=None),
    ),
    "llama4_text": stack(
        replace(
            GEMMA,
            code=LLAMA4_CODE,
            windows=layers.llama4_windows,
            experts=Mixture(sparse=layers.llama4_sparse, shared_width="intermediate_size"),
        ),
        {**expert_names("num_local_experts", d_expert="intermediate_size"), "d_ff": "intermediate_size_mlp"},
    ),
    "ernie4_5_moe": stack(
        Recipe(
            code=ERNIE_MOE_CODE,
            qkv_bias="use_bias",
            output_bias="use_bias",
            ffn_bias="use_bias",
            head_bias="use_bias",
            experts=Mixture(sparse=layers.ernie_sparse, selection=True, shared="moe_num_shared_experts"),
        ),
        expert_names("moe_num_experts", "moe_k"),
    ),
    "hunyuan_v1_moe": stack(
        replace(GEMMA, code=HUNYUAN_MOE_CODE, qk_norm=QKNorm(), experts=Mixture(shared_width="intermediate_size")),
        expert_names("num_experts", "moe_topk", d_expert=None),
    ),
    "minimax_m2": stack(
        Recipe(code=MINIMAX2_CODE, qk_norm=QKNorm(width="all"), experts=Mixture(buffers=True)),
        expert_names("num_local_experts", d_expert=None),
    ),
    "exaone_moe": stack(
        Recipe(
            code=EXAONE_MOE_CODE,
            qk_norm=QKNorm(),
            windows=periodic("sliding_window_pattern"),
            experts=Mixture(
                sparse=layers.listed_sparse("first_k_dense_replace"), shared="num_shared_experts", buffers=True
            ),
        ),
        expert_names("num_experts"),
    ),
    "hy_v3": stack(
        replace(
            LLAMA,
            code=replace(DEEPSEEK3_CODE, experts_adapted=False),
            qk_norm=QKNorm(),
            experts=Mixture(sparse=layers.listed_sparse(1), shared="num_shared_experts", buffers=True),
        ),
        expert_names("num_experts"),
    ),
    "solar_open": stack(
        Recipe(
            code=DEEPSEEK3_CODE, qkv_bias="attention_bias", experts=Mixture(shared="n_shared_experts", buffers=True)
        ),
        {**expert_names("n_routed_experts", d_expert=None), "d_ff": "moe_intermediate_size"},
    ),
    "afmoe": stack(
        replace(
            GEMMA,
            code=AFMOE_CODE,
            layout=SANDWICH,
            gate=True,
            qk_norm=QKNorm(),
            windows=periodic("global_attn_every_n_layers"),
            experts=Mixture(sparse=layers.after_dense("num_dense_layers"), selection=True, shared="num_shared_experts"),
        ),
        expert_names("num_experts"),
    ),
}
