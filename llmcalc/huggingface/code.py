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
    rotary="half",
    softmax_fp32=True,
    causal_buffer=False,
    dropout_at=("attention",),
    loss_fp32=True,
)
LAYER_NORM_CODE = replace(LLAMA_CODE, norm="layer_norm")
GPT2_CODE = replace(
    LAYER_NORM_CODE,
    joined_projections="split",
    rotary="none",
    softmax_fp32=False,
    dropout_at=("embedding", "attention", "residual"),
)
NEOX_CODE = replace(
    LAYER_NORM_CODE,
    joined_projections="split",
    rotary="partial",
    parallel=True,
    dropout_at=("embedding", "attention", "residual"),
)
OPT_CODE = replace(LAYER_NORM_CODE, rotary="none", query_scaled=True, dropout_at=("attention", "residual"))
PHI_CODE = replace(
    LAYER_NORM_CODE, rotary="partial", parallel=True, dropout_at=("embedding", "attention", "residual")
)
GEMMA_CODE = replace(LLAMA_CODE, norm="rms_weight_fp32", qk_norm="rms_weight_fp32", embedding_scaled=True)
OLMO2_CODE = replace(LLAMA_CODE, norm="rms_cast_last", qk_norm="rms_cast_last")

_ACTIVATION_KEYS = ("hidden_activation", "hidden_act", "activation_function")
_FRACTION_KEYS = ("partial_rotary_factor", "rotary_pct")


def filled_in(keys: Keys, code: Code, d_head: int | None) -> Code:
    """``code`` with the nonlinearity and the rotated part of a head that the config names."""
    for key in _ACTIVATION_KEYS:
        if keys.has(key) and isinstance(keys.value(key), str):
            code = replace(code, activation=keys.text(key))
            break
    if keys.has("use_parallel_residual"):
        code = replace(code, parallel=keys.flag("use_parallel_residual"))
    if code.rotary == "none" or d_head is None:
        return code
    fraction = _rotary_fraction(keys)
    width = keys.optional("rotary_dim") if keys.has("rotary_dim") else None
    if width is None and fraction is not None:
        width = int(d_head * fraction)
    if width is not None and 0 < width < d_head:
        code = replace(code, rotary_width=width)
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
