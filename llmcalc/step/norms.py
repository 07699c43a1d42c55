"""Norms as implementations write them: in one kernel, or step by step in Python, each step a tensor."""

from __future__ import annotations

from collections.abc import Callable

from llmcalc.step import operations as op
from llmcalc.step.tape import Dim, Tensor

Norm = Callable[[Tensor, list[Tensor], Dim], Tensor]


def layer_norm(x: Tensor, weights: list[Tensor], channels: Dim) -> Tensor:
    """``torch.nn.LayerNorm``."""
    return op.layer_norm(x, weights, channels)


def fused_rms(x: Tensor, weights: list[Tensor], channels: Dim) -> Tensor:
    """``torch.nn.functional.rms_norm``."""
    return op.rms_norm(x, weights, channels)


def _normalised(x: Tensor, channels: Dim) -> Tensor:
    variance = op.mean(op.power(x), channels)
    return op.multiply(x, op.reciprocal_root(op.shift(variance)), "normalised")


def rms(x: Tensor, weights: list[Tensor], channels: Dim) -> Tensor:
    """LLaMA's: normalised in fp32, cast back, then times the weight."""
    dtype = x.dtype
    x = x.tape.cast(x, "fp32")
    x = _normalised(x, channels)
    return op.multiply(weights[0], x.tape.cast(x, dtype), "norm_output")


def rms_weight_fp32(x: Tensor, weights: list[Tensor], channels: Dim) -> Tensor:
    """Gemma's: normalised and times (1 + weight) in fp32, then cast back."""
    dtype = x.dtype
    out = _normalised(x.tape.cast(x, "fp32"), channels)
    out = op.multiply(out, op.shift(x.tape.cast(weights[0], "fp32")), "norm_product")
    return out.tape.cast(out, dtype, "norm_output")


def rms_cast_last(x: Tensor, weights: list[Tensor], channels: Dim) -> Tensor:
    """OLMo 2's: normalised in fp32, times the weight, then cast back."""
    dtype = x.dtype
    x = x.tape.cast(x, "fp32")
    x = _normalised(x, channels)
    x = op.multiply(weights[0], x, "norm_product")
    return x.tape.cast(x, dtype, "norm_output")


def layer_norm_in_python(x: Tensor, weights: list[Tensor], channels: Dim) -> Tensor:
    """Cohere's: mean and variance in fp32, times the weight in fp32, then cast back."""
    dtype = x.dtype
    x = x.tape.cast(x, "fp32")
    centre = op.mean(x, channels)
    variance = op.mean(op.power(op.add(x, centre)), channels)
    x = op.multiply(op.add(x, centre), op.reciprocal_root(op.shift(variance)), "normalised")
    x = op.multiply(x.tape.cast(weights[0], "fp32"), x, "norm_product")
    return x.tape.cast(x, dtype, "norm_output")


def layer_norm_fp32(x: Tensor, weights: list[Tensor], channels: Dim) -> Tensor:
    """OLMo's: one kernel on an fp32 copy, then cast back; no weights."""
    out = op.layer_norm(x.tape.cast(x, "fp32"), weights, channels)
    return out.tape.cast(out, x.dtype, "norm_output")


NORMS: dict[str, Norm] = {
    "layer_norm": layer_norm,
    "fused_rms": fused_rms,
    "rms": rms,
    "rms_weight_fp32": rms_weight_fp32,
    "rms_cast_last": rms_cast_last,
    "layer_norm_in_python": layer_norm_in_python,
    "layer_norm_fp32": layer_norm_fp32,
}
