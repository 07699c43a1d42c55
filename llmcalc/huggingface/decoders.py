"""Decoders: GPT-2 and its age, LLaMA and its kin. One entry a model_type, read from the model class of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.code import (
    BIGCODE_CODE,
    BIOGPT_CODE,
    BLOOM_CODE,
    BOTH_MASKS_CODE,
    CODEGEN_CODE,
    COHERE2_CODE,
    COHERE_CODE,
    CTRL_CODE,
    ERNIE_CODE,
    EXAONE_CODE,
    FALCON_CODE,
    GEMMA2_CODE,
    GEMMA_CODE,
    GLM4V_CODE,
    GLM_CODE,
    GPT1_CODE,
    GPT2_CODE,
    GPT_NEO_CODE,
    GPTJ_CODE,
    GRANITE_CODE,
    GRANITE_SWA_CODE,
    HELIUM_CODE,
    HUNYUAN_CODE,
    LAYER_NORM_CODE,
    LLAMA_CODE,
    MPT_CODE,
    NANOCHAT_CODE,
    NEMOTRON_CODE,
    NEOX_CODE,
    OLMO2_CODE,
    OLMO_CODE,
    OPT_CODE,
    PERSIMMON_CODE,
    PHI3_CODE,
    PHI_CODE,
    QWEN_VL_CODE,
    SEED_CODE,
    STABLELM_CODE,
    STARCODER2_CODE,
    XGLM_CODE,
)
from llmcalc.huggingface.family import GPT, SAME_KV, Family, stack
from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.layers import from_layer, periodic
from llmcalc.huggingface.stack import (
    INNER,
    LAYER_NORM_NO_BIAS,
    PARALLEL,
    PARALLEL_TWO_NORMS,
    POST,
    PRE,
    SANDWICH,
    QKNorm,
    Recipe,
)
from llmcalc.transformer.code import Code, DropoutPlace, Joined
from llmcalc.transformer.norm import LayerNorm

GPT2 = Recipe(
    norm=LayerNorm,
    positions=0,
    qkv_bias=True,
    output_bias=True,
    gated=False,
    ffn_bias=True,
    d_ff=4,
    cross="add_cross_attention",
    code=GPT2_CODE,
)
GPTJ = replace(
    GPT2,
    layout=PARALLEL,
    positions=None,
    qkv_bias=False,
    output_bias=False,
    head_bias=True,
    cross=False,
    code=GPTJ_CODE,
)
LLAMA = Recipe(code=LLAMA_CODE, qkv_bias="attention_bias", output_bias="attention_bias", ffn_bias="mlp_bias")
MISTRAL = Recipe(code=LLAMA_CODE, windows=layers.everywhere)
_QWEN2 = Recipe(code=LLAMA_CODE, qkv_bias=True, windows=from_layer("max_window_layers"))
QWEN3 = Recipe(
    code=LLAMA_CODE,
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    qk_norm=QKNorm(),
    windows=from_layer("max_window_layers"),
)
GEMMA = Recipe(code=GEMMA_CODE, qkv_bias="attention_bias", output_bias="attention_bias")
OLMO2 = replace(GEMMA, code=OLMO2_CODE, layout=POST, qk_norm=QKNorm(width="all"))
LOCAL_GLOBAL = periodic(2)


def _neox(keys: Keys) -> Recipe:
    return Recipe(
        norm=LayerNorm,
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        gated=False,
        ffn_bias=True,
        code=replace(NEOX_CODE, parallel=keys.flag("use_parallel_residual")),
    )


def _opt(keys: Keys) -> Recipe:
    affine = keys.flag("layer_norm_elementwise_affine")
    return Recipe(
        norm=LayerNorm if affine else None,
        final_norm=keys.flag("do_layer_norm_before") and not keys.flag("_remove_final_layer_norm"),
        positions=2,
        embedding_width="word_embed_proj_dim",
        embedding_projection_bias=False,
        project_out=True,
        qkv_bias="enable_bias",
        output_bias="enable_bias",
        gated=False,
        ffn_bias="enable_bias",
        code=replace(OPT_CODE, norm_after="" if keys.flag("do_layer_norm_before") else "sum"),
    )


def _falcon(keys: Keys) -> Recipe:
    new = keys.flag("new_decoder_architecture")
    n_norms = keys.optional("num_ln_in_parallel_attn") or (2 if new else 1)
    parallel = PARALLEL_TWO_NORMS if n_norms == 2 else PARALLEL
    return Recipe(
        norm=LayerNorm,
        layout=parallel if keys.flag("parallel_attn") else PRE,
        multi_query=not new and keys.flag("multi_query"),
        grouped=new,
        qkv_bias="bias",
        output_bias="bias",
        gated=False,
        ffn_bias="bias",
        d_ff=4,
        code=_falcon_code(keys, new),
    )


def _falcon_code(keys: Keys, new: bool) -> Code:
    joined: Joined = "spread" if new else "indexed" if keys.flag("multi_query") else "slices"
    at_end: DropoutPlace = "feed_forward" if new or keys.flag("parallel_attn") else "residual"
    if not keys.flag("alibi"):
        return replace(FALCON_CODE, joined_projections=joined, dropout_at=(at_end,))
    return replace(
        FALCON_CODE,
        joined_projections=joined,
        rotary=False,
        position_bias="mask",
        dropout_at=("attention", at_end),
    )


def _mpt(keys: Keys) -> Recipe:
    if keys.optional("expansion_ratio") not in (None, 4):
        keys.note("expansion_ratio", "transformers ignores expansion_ratio: d_ff is always 4 × d_model")
    return Recipe(norm=LAYER_NORM_NO_BIAS, gated=False, d_ff=4, code=MPT_CODE)


def _stablelm(keys: Keys) -> Recipe:
    return Recipe(
        norm=LayerNorm,
        layout=PARALLEL if keys.flag("use_parallel_residual") else PRE,
        qkv_bias="use_qkv_bias",
        qk_norm=QKNorm(width="all", norm=LAYER_NORM_NO_BIAS, when="qk_layernorm"),
        code=STABLELM_CODE,
    )


def _helium(keys: Keys) -> Recipe:
    width = keys.optional("head_dim")
    if width is not None and width * keys.dimension("n_heads") != keys.dimension("d_model"):
        raise InputError("head_dim", "Helium's heads must be as wide as the model together", code="helium_heads")
    return Recipe(qkv_bias="attention_bias", ffn_bias="mlp_bias", code=HELIUM_CODE)


def _gemma3(keys: Keys) -> Recipe:
    every = keys.optional("sliding_window_pattern") or keys.optional("_sliding_window_pattern") or 6
    code = replace(GEMMA_CODE, rotary_tables=2, both_masks=True)
    return replace(GEMMA, code=code, layout=SANDWICH, qk_norm=QKNorm(), windows=periodic(every))


def _hyperclovax(keys: Keys) -> Recipe:
    return replace(LLAMA, code=GRANITE_CODE, layout=SANDWICH if keys.flag("use_post_norm") else PRE)


def _cohere2(keys: Keys) -> Recipe:
    every = keys.optional("sliding_window_pattern") or 4
    return replace(GEMMA, code=COHERE2_CODE, norm=LAYER_NORM_NO_BIAS, layout=PARALLEL, windows=periodic(every))


_REFINED_WEB = {
    "d_model": "hidden_size",
    "n_layers": "n_layer",
    "n_heads": "n_head",
    "n_kv_heads": "n_head_kv",
    "vocab_size": "vocab_size",
}

DECODERS: Mapping[str, Family] = {
    # decoders with learned positions, or of that age
    "gpt2": stack(GPT2, GPT),
    "gpt_bigcode": stack(replace(GPT2, multi_query="multi_query", code=BIGCODE_CODE), GPT),
    "openai-gpt": stack(
        replace(GPT2, layout=POST, final_norm=False, cross=False, code=GPT1_CODE),
        {k: v for k, v in GPT.items() if k != "d_ff"},
    ),
    "gpt_neo": stack(
        # transformers' cache goes by sliding_window, attention_chunk_size or layer_types, none of which GPT-Neo has
        replace(GPT2, qkv_bias=False, cross=False, windows=layers.gpt_neo_windows, caches_all=True, code=GPT_NEO_CODE),
        {**SAME_KV, "n_layers": "num_layers", "n_heads": "num_heads"},
    ),
    "gptj": stack(GPTJ, GPT),
    "codegen": stack(replace(GPTJ, code=CODEGEN_CODE), GPT),
    "gpt_neox": stack(_neox, SAME_KV),
    "opt": stack(_opt, {**SAME_KV, "d_ff": "ffn_dim"}),
    "ctrl": stack(replace(GPT2, positions=None, head_bias=True, cross=False, code=CTRL_CODE), {**GPT, "d_ff": "dff"}),
    "xglm": stack(
        replace(GPT2, positions=None, cross="add_cross_attention", code=XGLM_CODE),
        {**SAME_KV, "d_model": "d_model", "n_layers": "num_layers", "n_heads": "attention_heads", "d_ff": "ffn_dim"},
    ),
    "biogpt": stack(replace(GPT2, positions=2, cross=False, code=BIOGPT_CODE), SAME_KV),
    "bloom": stack(
        replace(GPT2, positions=None, embedding_norm=True, cross=False, code=BLOOM_CODE),
        {"d_model": "hidden_size", "n_layers": "n_layer", "n_heads": "n_head", "vocab_size": "vocab_size"},
    ),
    "falcon": stack(_falcon, {**SAME_KV, "n_kv_heads": "num_kv_heads", "d_ff": "ffn_hidden_size"}),
    # as Falcon was first published: 7B, and 40B whose code had only the new architecture
    "RefinedWebModel": stack(_falcon, _REFINED_WEB, "falcon"),
    "RefinedWeb": replace(stack(_falcon, _REFINED_WEB, "falcon"), defaults={"new_decoder_architecture": True}),
    "mpt": stack(
        _mpt,
        {
            "d_model": "d_model",
            "n_layers": "n_layers",
            "n_heads": "n_heads",
            "vocab_size": "vocab_size",
            "n_positions": "max_seq_len",
        },
    ),
    "persimmon": stack(
        Recipe(
            norm=LayerNorm,
            qkv_bias=True,
            output_bias=True,
            gated=False,
            ffn_bias=True,
            qk_norm=QKNorm(norm=LayerNorm, when="qk_layernorm"),
            code=PERSIMMON_CODE,
        ),
        SAME_KV,
    ),
    # LLaMA and its kin
    "llama": stack(LLAMA),
    "mistral": stack(MISTRAL),
    "ministral": stack(replace(MISTRAL, code=BOTH_MASKS_CODE, windows=layers.everywhere_or_listed)),
    "ministral3": stack(MISTRAL),
    "qwen2": stack(_QWEN2),
    "qwen2_vl_text": stack(replace(_QWEN2, code=QWEN_VL_CODE)),
    "qwen2_5_vl_text": stack(replace(_QWEN2, code=QWEN_VL_CODE)),
    "qwen3": stack(QWEN3),
    "qwen3_vl_text": stack(replace(QWEN3, code=QWEN_VL_CODE)),
    "gemma": stack(GEMMA),
    "gemma2": stack(replace(GEMMA, code=GEMMA2_CODE, layout=SANDWICH, windows=LOCAL_GLOBAL)),
    "gemma3_text": stack(_gemma3),
    "vaultgemma": stack(replace(GEMMA, code=GEMMA2_CODE, windows=LOCAL_GLOBAL)),
    "phi": stack(
        Recipe(
            norm=LayerNorm,
            layout=PARALLEL,
            qkv_bias=True,
            output_bias=True,
            gated=False,
            ffn_bias=True,
            qk_norm=QKNorm(norm=LayerNorm, when="qk_layernorm"),
            head_bias=True,
            code=PHI_CODE,
        )
    ),
    "phi3": stack(replace(MISTRAL, code=PHI3_CODE)),
    "stablelm": stack(_stablelm),
    "olmo": stack(replace(GEMMA, code=OLMO_CODE, norm=None)),
    "olmo2": stack(OLMO2),
    "olmo3": stack(replace(OLMO2, code=replace(OLMO2_CODE, rotary_tables=2, both_masks=True), windows=periodic(4))),
    "starcoder2": stack(
        Recipe(
            norm=LayerNorm,
            qkv_bias="use_bias",
            output_bias="use_bias",
            gated=False,
            ffn_bias="use_bias",
            windows=layers.everywhere,
            code=STARCODER2_CODE,
        )
    ),
    "cohere": stack(
        replace(
            GEMMA,
            code=COHERE_CODE,
            norm=LAYER_NORM_NO_BIAS,
            layout=PARALLEL,
            qk_norm=QKNorm(width="all", norm=LAYER_NORM_NO_BIAS, when="use_qk_norm"),
        )
    ),
    "cohere2": stack(_cohere2),
    "granite": stack(replace(LLAMA, code=GRANITE_CODE)),
    "nemotron": stack(replace(LLAMA, code=NEMOTRON_CODE, norm=LayerNorm, gated=False)),
    "smollm3": stack(replace(LLAMA, windows=layers.smollm3_windows)),
    "helium": stack(_helium),
    "arcee": stack(replace(LLAMA, gated=False)),
    "apertus": stack(replace(LLAMA, gated=False, qk_norm=QKNorm(), learned_activation=2)),
    "seed_oss": stack(
        Recipe(qkv_bias="attention_bias", output_bias="attention_out_bias", ffn_bias="mlp_bias", code=SEED_CODE)
    ),
    "internlm3": stack(LLAMA),
    "iquestcoder": stack(LLAMA),
    "hyperclovax": stack(_hyperclovax),
    "granite_swa": stack(replace(LLAMA, code=GRANITE_SWA_CODE, sinks=True, windows=periodic(4, first_global=True))),
    "cwm": stack(Recipe(code=BOTH_MASKS_CODE, ffn_bias="mlp_bias", windows=periodic(4, first_global=True))),
    "jais2": stack(replace(LLAMA, code=LAYER_NORM_CODE, norm=LayerNorm, gated=False)),
    "nanochat": stack(replace(GEMMA, code=NANOCHAT_CODE, norm=None, gated=False)),
    "bitnet": stack(replace(GEMMA, code=LLAMA_CODE, layout=INNER)),
    "glm": stack(Recipe(code=GLM_CODE, qkv_bias="attention_bias")),
    "glm4": stack(Recipe(code=GLM_CODE, qkv_bias="attention_bias", layout=SANDWICH)),
    "glm4v_text": stack(Recipe(code=GLM4V_CODE, qkv_bias=True, layout=SANDWICH)),
    "exaone4": stack(
        Recipe(
            code=EXAONE_CODE,
            layout=POST,
            qk_norm=QKNorm(),
            windows=periodic("sliding_window_pattern"),
        )
    ),
    "ernie4_5": stack(Recipe(code=ERNIE_CODE, qkv_bias="use_bias", output_bias="use_bias", ffn_bias="use_bias")),
    "hunyuan_v1_dense": stack(replace(GEMMA, code=HUNYUAN_CODE, qk_norm=QKNorm())),
}
