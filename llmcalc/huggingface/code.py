"""How each family's model class runs its layers: its `Code`, with what the config says about it filled in."""

from __future__ import annotations

from dataclasses import replace

from llmcalc.huggingface.keys import Keys
from llmcalc.transformer.code import Code

# What most decoders of transformers share: LLaMA's modeling file, from which theirs were copied
LLAMA_CODE = Code(
    norm="rms",
    activation="silu",
    joined_projections="no",
    rotary=True,
    mask="added",
    softmax_fp32=True,
    dropout_at=("attention",),
)
LAYER_NORM_CODE = replace(LLAMA_CODE, norm="layer_norm")
_OF_GPT2_AGE = replace(
    LAYER_NORM_CODE, rotary=False, softmax_fp32=False, dropout_at=("embedding", "attention", "residual")
)
GPT2_CODE = replace(_OF_GPT2_AGE, joined_projections="split", mask_kept=True, named=("embeddings", "attention"))
BIGCODE_CODE = replace(
    GPT2_CODE, softmax_fp32=True, mask_kept=False, buffers="masks", buffers_in_layers=False, buffer_format="bool"
)
GPT1_CODE = replace(GPT2_CODE, activation="gelu_new", norm_after="sum", sdpa=False, buffers="masks", caches=False)
GPT_NEO_CODE = replace(
    _OF_GPT2_AGE,
    local_mask=False,
    scores_fp32=True,
    scaled="product",
    sdpa=False,
    buffers="masks",
    buffer_format="bool",
    named=("embeddings", "attention", "weights"),
)
GPTJ_CODE = replace(
    GPT_NEO_CODE,
    scaled="scores",
    rotary=True,
    rotary_fraction=1.0,
    rotary_spread="tensor",
    buffers="tables",
    buffer_format="fp32",
    named=("weights", "rotated"),
)
CODEGEN_CODE = replace(
    GPTJ_CODE, joined_projections="copied", rotary_tables_fp32=True, named=("weights", "rotated", "joined")
)
CTRL_CODE = replace(
    _OF_GPT2_AGE,
    activation="relu",
    embedding_scaled=True,
    positions_computed=True,
    named=("embeddings", "norm", "attention"),
    dropout_at=("embedding", "residual"),
    buffers="tables",
    buffers_in_layers=False,
)
XGLM_CODE = replace(
    _OF_GPT2_AGE,
    embedding_scaled=True,
    scaled="queries",
    scores_floored=True,
    mask_kept=True,
    sdpa=False,
    dropout_at=("embedding", "attention", "activation", "residual"),
    buffers="tables",
    buffers_in_layers=False,
)
BIOGPT_CODE = replace(
    _OF_GPT2_AGE,
    embedding_scaled=True,
    network_inline=True,
    named=("embeddings",),
    dropout_at=("embedding", "attention", "activation", "residual"),
)
BLOOM_CODE = replace(
    LAYER_NORM_CODE,
    activation="bloom_gelu",
    joined_projections="slices",
    rotary=False,
    scaled="product",
    sdpa=False,
    dropout_at=("attention", "residual"),
    named=("weights", "joined", "queries", "unmasked"),
)
FALCON_CODE = replace(
    LAYER_NORM_CODE,
    activation="gelu",
    scaled="product",
    products_by_hand=True,
    softmax_fp32=False,
    sdpa_grouped=False,
    sdpa_mask=True,
    dropout_at=("residual",),
    named=("weights", "joined", "unmasked"),
)
MPT_CODE = replace(
    LAYER_NORM_CODE,
    activation="gelu",
    joined_projections="split",
    rotary=False,
    position_bias="added",
    mask="filled",
    sdpa=False,
    dropout_at=("attention", "residual"),
    named=("weights", "joined", "masked"),
)
NEOX_CODE = replace(
    LAYER_NORM_CODE,
    joined_projections="split",
    rotary_fraction=0.25,
    parallel_norm_last=True,
    dropout_at=("embedding", "attention", "residual"),
    named=("joined",),
)
PERSIMMON_CODE = replace(
    LAYER_NORM_CODE,
    qk_norm="layer_norm",
    joined_projections="slices",
    rotary_fraction=0.5,
    dropout_at=("attention", "feed_forward"),
    named=("joined", "rotated"),
)
STABLELM_CODE = replace(
    LAYER_NORM_CODE,
    qk_norm="layer_norm_by_head",
    qk_norm_by_head=True,
    rotary_fraction=0.25,
    dropout_at=("attention", "feed_forward"),
    named=("attention", "norm", "rotated"),
)
STARCODER2_CODE = replace(LAYER_NORM_CODE, dropout_at=("embedding", "attention", "residual"))
NEMOTRON_CODE = replace(LAYER_NORM_CODE, norm="layer_norm_1p", rotary_fraction=0.5)
OPT_CODE = replace(
    LAYER_NORM_CODE,
    rotary=False,
    scaled="queries",
    positions_of_batch=True,
    network_inline=True,
    dropout_at=("attention", "residual"),
    named=("embeddings",),
)
PHI_CODE = replace(
    LAYER_NORM_CODE,
    qk_norm="layer_norm",
    rotary_fraction=0.5,
    dropout_at=("embedding", "attention", "residual"),
    named=("rotated",),
)
PHI3_CODE = replace(
    LLAMA_CODE,
    rotary_fraction=1.0,
    joined_projections="slices",
    joined_gate=True,
    dropout_at=("attention", "residual"),
    named=("joined",),
)
GEMMA_CODE = replace(LLAMA_CODE, norm="rms_weight_fp32", qk_norm="rms_weight_fp32", embedding_scaled=True)
GEMMA2_CODE = replace(GEMMA_CODE, sdpa=False, both_masks=True)
GEMMA4_CODE = replace(
    LLAMA_CODE,
    norm="rms_power",
    qk_norm="rms_power",
    weightless_norms=("value_norm",),
    queries_first=True,
    rotary_tables=2,
    embedding_scaled=True,
    both_masks=True,
    layer_scaled=True,
    borrowers_last=True,
)
GEMMA3N_CODE = replace(
    GEMMA4_CODE,
    layer_scaled=False,
    borrowers_last=False,
    values_last=True,
    per_layer_in_place=True,
    altup_clipped=True,
    named=("network",),
)
OLMO_CODE = replace(
    LLAMA_CODE,
    norm="layer_norm_fp32",
    weightless_norms=("attention_norm", "feed_forward_norm", "final_norm"),
    rotary_tables_fp32=True,
)
OLMO2_CODE = replace(
    LLAMA_CODE, norm="rms_cast_last", qk_norm="rms_cast_last", norm_after="branch", rotary_tables_fp32=True
)
COHERE_CODE = replace(
    LLAMA_CODE,
    norm="layer_norm_in_python",
    qk_norm="layer_norm_in_python",
    qk_norm_by_head=True,
    rotary_inputs_fp32="both",
    logits_scaled=True,
)
COHERE2_CODE = replace(COHERE_CODE, rotary_local=True, both_masks=True)
EXAONE_CODE = replace(LLAMA_CODE, norm_after="branch", rotary_local=True)
GRANITE_CODE = replace(LLAMA_CODE, embedding_scaled=True, branch_scaled=True, logits_scaled=True)
GRANITE_SWA_CODE = replace(GRANITE_CODE, sinks="output", sdpa=False, both_masks=True)
HELIUM_CODE = replace(LLAMA_CODE, norm="rms_weight_cast", rotary_spread="layer")
GLM_CODE = replace(LLAMA_CODE, joined_gate=True, rotary_fraction=0.5, rotary_spread="layer")
GLM4V_CODE = replace(GLM_CODE, rotary_fraction=1.0, rotary_spread="", rotary_of_batch=True)
ERNIE_CODE = replace(
    LLAMA_CODE, rotary_spread="layer", rotary_tables_fp32=True, rotary_inputs_fp32="each", dropout_at=()
)
HUNYUAN_CODE = replace(LLAMA_CODE, qk_norm_last=True)
NANOCHAT_CODE = replace(
    LLAMA_CODE,
    weightless_norms=(
        *("embedding_norm", "attention_norm", "feed_forward_norm", "final_norm"),
        *("query_norm", "key_norm"),
    ),
    qk_norm_last=True,
)
QWEN3_5_CODE = replace(
    LLAMA_CODE,
    norm="rms_weight_fp32",
    qk_norm="rms_weight_fp32",
    rotary_fraction=0.25,
    rotary_of_batch=True,
    gate_joined=True,
)
BAMBA_CODE = replace(LLAMA_CODE, rotary_fraction=0.5, named=("weights",))
FALCON_H1_CODE = replace(LLAMA_CODE, multiplied=True, embedding_scaled=True, logits_scaled=True)
JAMBA_CODE = replace(LLAMA_CODE, rotary=False, router_normalised=False, router_cast=True)
LFM2_CODE = replace(LLAMA_CODE, dropout_at=())
LFM2_MOE_CODE = replace(LFM2_CODE, router="sigmoid", router_as_computed=True, router_scaled=True)
DEEPSEEK3_CODE = replace(LLAMA_CODE, experts_adapted=True, router="sigmoid", router_fp32=True, router_scaled=True)
DEEPSEEK2_CODE = replace(
    LLAMA_CODE,
    rotary_complex=True,
    rotary_tables_fp32=True,
    rotary_inputs_fp32="each",
    experts_adapted=True,
    router_fp32=True,
    router_normalised=False,
    router_scaled=True,
)
QWEN2_MOE_CODE = replace(LLAMA_CODE, shared_first=True, router_cast=True)
QWEN3_VL_MOE_CODE = replace(QWEN2_MOE_CODE, rotary_of_batch=True)
QWEN_MOE_CODE = replace(QWEN2_MOE_CODE, experts_adapted=True)
QWEN3_NEXT_CODE = replace(QWEN3_5_CODE, rotary_of_batch=False, delta_joined=True, shared_first=True, router_cast=True)
QWEN3_5_MOE_CODE = replace(QWEN3_5_CODE, shared_first=True, router_cast=True)

FLEX_OLMO_CODE = replace(OLMO2_CODE, experts_adapted=True, router_cast=True)
GRANITE_MOE_CODE = replace(GRANITE_CODE, joined_gate=True, router="chosen_softmax", router_normalised=False)
DSA_CODE = replace(DEEPSEEK3_CODE, sdpa_mask=True)
GLM_DSA_CODE = replace(DSA_CODE, named=("picked",))
NEMOTRON_H_CODE = replace(
    DEEPSEEK3_CODE,
    norm="rms_weight_cast",
    activation="relu2",
    rotary=False,
    single_branch=True,
    logits_fp32=True,
)
GLM4_MOE_CODE = replace(DEEPSEEK3_CODE, rotary_fraction=0.5)
GLM4V_MOE_CODE = replace(GLM4_MOE_CODE, rotary_of_batch=True)
EXAONE_MOE_CODE = replace(DEEPSEEK3_CODE, rotary_local=True)
ERNIE_MOE_CODE = replace(
    ERNIE_CODE,
    shared_first=True,
    experts_adapted=True,
    router_fp32=True,
    router_outside_autocast=True,
    router_cast=True,
)
HUNYUAN_MOE_CODE = replace(
    HUNYUAN_CODE, shared_first=True, experts_adapted=True, router_fp32=True
)  # its router is kept in fp32
MINIMAX2_CODE = replace(LLAMA_CODE, rotary_fraction=1.0, experts_adapted=True, router="sigmoid")
AFMOE_CODE = replace(
    OLMO2_CODE,
    norm_after="",
    rotary_tables_fp32=False,
    rotary_local=True,
    both_masks=True,
    shared_first=True,
    experts_adapted=True,
    router="sigmoid",
    router_scaled=True,
)
PHI_MOE_CODE = replace(LLAMA_CODE, norm="layer_norm", router_normalised=False)
GPT_OSS_CODE = replace(
    LLAMA_CODE,
    norm="rms_cast_last",
    rotary_tables_half=True,
    both_masks=True,
    sdpa=False,
    expert_gate="clamped",
    router="chosen_softmax",
    router_normalised=False,
)
LLAMA4_CODE = replace(
    LLAMA_CODE,
    weightless_norms=("query_norm", "key_norm"),
    qk_norm_last=True,
    rotary_complex=True,
    rotary_tables_fp32=True,
    rotary_inputs_fp32="each",
    rotary_local=True,
    softmax_fp32=False,
    experts="everywhere",
    named=("attention",),
)
BOTH_MASKS_CODE = replace(LLAMA_CODE, both_masks=True)
QWEN_VL_CODE = replace(LLAMA_CODE, rotary_of_batch=True)
SEED_CODE = replace(LLAMA_CODE, dropout_at=("attention", "residual"))

# Encoders: their loss is taken of the logits as they are
BERT_CODE = replace(_OF_GPT2_AGE, norm_after="sum", causal=False, loss_fp32=False)
ROBERTA_CODE = replace(BERT_CODE, positions_of_batch=True)
PRE_BERT_CODE = replace(BERT_CODE, norm_after="")
DISTILBERT_CODE = replace(BERT_CODE, dropout_at=("embedding", "attention", "feed_forward"))
ELECTRA_CODE = replace(BERT_CODE, embedding_projected_last=True)

# Its network's output is not dropped out; how often its layers run, the config says
ALBERT_CODE = replace(ELECTRA_CODE, dropout_at=("embedding", "attention", "projection"), named=("narrow_embedding",))
DEBERTA_CODE = replace(BERT_CODE, disentangled=True, sdpa=False)
MODERNBERT_CODE = replace(
    LAYER_NORM_CODE,
    causal=False,
    joined_projections="split",
    joined_gate=True,
    rotary_tables=2,
    rotary_inputs_fp32="each",
    dropout_at=("embedding", "attention", "activation", "projection"),
    named=("attention", "joined"),
)
BART_CODE = replace(
    _OF_GPT2_AGE,
    embedding_scaled=True,
    positions_of_batch=True,
    norm_after="sum",
    dropout_at=("embedding", "attention", "activation", "residual"),
    logits_biased=True,
    loss_fp32=False,
)
MBART_CODE = replace(BART_CODE, norm_after="")
MARIAN_CODE = replace(BART_CODE, positions_of_batch=False)
PEGASUS_CODE = replace(MBART_CODE, positions_of_batch=False)
M2M_CODE = replace(
    PEGASUS_CODE,
    positions_computed=True,
    logits_biased=False,
    buffers="tables",
    buffers_in_layers=False,
    buffers_outside=2,
    buffer_format="fp32",
)
T5_CODE = replace(
    _OF_GPT2_AGE,
    norm="rms_t5",
    inner_cast=True,
    dropout_at=("embedding", "attention", "activation", "residual", "final"),
    head_input_scaled=True,
    loss_fp32=False,
)

_ACTIVATION_KEYS = ("hidden_activation", "hidden_act", "activation_function", "activation")
_POSITION_KEYS = ("n_positions", "max_position_embeddings")
_FRACTION_KEYS = ("partial_rotary_factor", "rotary_pct")


def filled_in(keys: Keys, code: Code, d_head: int | None) -> Code:
    """``code`` with the nonlinearity and the rotated part of a head that the config names."""
    for key in _ACTIVATION_KEYS:
        if keys.has(key) and isinstance(keys.value(key), str):
            code = replace(code, activation=keys.text(key))
            break
    if code.buffers:
        code = replace(code, n_positions=next(keys.size(key) for key in _POSITION_KEYS if keys.has(key)))
    if keys.has("clip_qkv") and keys.value("clip_qkv") is not None:
        code = replace(code, projections_clamped=True)
    if keys.has("attn_logit_softcapping"):
        code = replace(code, softcap=keys.value("attn_logit_softcapping") is not None)
    if keys.has("final_logit_softcapping"):
        code = replace(code, logits_capped=keys.value("final_logit_softcapping") is not None)
    if keys.flag("reorder_and_upcast_attn"):
        code = replace(code, scores_fp32=True, scores_outside_autocast=True, scaled="product")
    if code.router_normalised and keys.has("norm_topk_prob"):
        code = replace(code, router_normalised=keys.flag("norm_topk_prob"))
    if code.rotary_fraction is None or d_head is None:
        return code
    fraction = _rotary_fraction(keys)
    if keys.has("rotary_dim") and keys.optional("rotary_dim"):
        code = replace(code, rotary_width=min(keys.size("rotary_dim"), d_head))
    elif fraction is not None:
        code = replace(code, rotary_fraction=fraction)
    return code


def _rotary_fraction(keys: Keys) -> float | None:
    """The part of a head that is rotated, under any name that configs give it."""
    parameters = keys.value("rope_parameters") if keys.has("rope_parameters") else None
    nested = parameters.get("partial_rotary_factor") if isinstance(parameters, dict) else None
    found = [keys.value(key) for key in _FRACTION_KEYS if keys.has(key)]
    for value in (*found, nested):
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
            return float(value)
    return None
