"""Norms as implementations write them: in one kernel, or step by step in Python, each step a tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmcalc.step import operations as op
from llmcalc.step.registry import Beside, runs
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Dims, Tensor
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part

Norm = Callable[[Tensor, Sequence[Tensor], Dim], Tensor]


def layer_norm(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """``torch.nn.LayerNorm``."""
    return op.layer_norm(x, weights, channels)


def fused_rms(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """``torch.nn.functional.rms_norm``."""
    return op.rms_norm(x, weights, channels)


def _normalised(x: Tensor, channels: Dim) -> Tensor:
    variance = op.mean(op.power(x), channels)
    return op.multiply(x, op.reciprocal_root(op.shift(variance)), "normalised")


def _normalised_by_power(x: Tensor, channels: Dim) -> Tensor:
    variance = op.shift(op.mean(op.power(x), channels))
    return op.multiply(x, op.power(variance), "normalised")


def rms(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """LLaMA's: normalised in fp32, cast back, then times the weight where there is one."""
    dtype = x.dtype
    x = x.tape.cast(x, "fp32")
    x = _normalised(x, channels)
    x = x.tape.cast(x, dtype)
    return op.multiply(weights[0], x, "norm_output") if weights else x


def rms_weight_fp32(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """Gemma's: normalised and times (1 + weight) in fp32, then cast back."""
    dtype = x.dtype
    out = _normalised(x.tape.cast(x, "fp32"), channels)
    out = op.multiply(out, op.shift(x.tape.cast(weights[0], "fp32")), "norm_product")
    return out.tape.cast(out, dtype, "norm_output")


def rms_power(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """Gemma 4's: normalised by a power of its variance and times the weight, if any, in fp32, then cast back."""
    dtype = x.dtype
    out = _normalised_by_power(x.tape.cast(x, "fp32"), channels)
    if weights:
        out = op.multiply(out, x.tape.cast(weights[0], "fp32", "weight_cast", "weight_casts"), "norm_product")
    return out.tape.cast(out, dtype, "norm_output")


def rms_cast_last(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """OLMo 2's: normalised in fp32, times the weight, then cast back."""
    dtype = x.dtype
    x = x.tape.cast(x, "fp32")
    x = _normalised(x, channels)
    x = op.multiply(weights[0], x, "norm_product")
    return x.tape.cast(x, dtype, "norm_output")


def rms_weight_cast(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """Helium's: as OLMo 2's, with the weight brought to fp32 first."""
    return rms_cast_last(x, [x.tape.cast(weight, "fp32") for weight in weights], channels)


def layer_norm_in_python(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """Cohere's: mean and variance in fp32, times the weight in fp32, then cast back."""
    dtype = x.dtype
    x = x.tape.cast(x, "fp32")
    centre = op.mean(x, channels)
    variance = op.mean(op.power(op.add(x, centre)), channels)
    x = op.multiply(op.add(x, centre), op.reciprocal_root(op.shift(variance)), "normalised")
    x = op.multiply(x.tape.cast(weights[0], "fp32"), x, "norm_product")
    return x.tape.cast(x, dtype, "norm_output")


def layer_norm_fp32(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """OLMo's: one kernel on an fp32 copy, then cast back."""
    out = op.layer_norm(x.tape.cast(x, "fp32"), weights, channels)
    return out.tape.cast(out, x.dtype, "norm_output")


def layer_norm_1p(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """Nemotron's: one kernel with 1 + weight, under autocast in its format and not in fp32."""
    dtype = x.tape.autocast or x.dtype
    shifted = op.shift(weights[0])
    cast = [x.tape.cast(t, dtype, "norm_input") for t in (x, shifted, *weights[1:])]
    return op.layer_norm(cast[0], cast[1:], channels, dtype)


def layer_norm_by_head(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """StableLM's: one kernel for each head on a copy of it, then the heads joined."""
    out = op.layer_norm(op.contiguous(x, True), weights, channels)
    return op.join([out], x.dims, "norm_output", heads_first=True)


def rms_t5(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """T5's: the variance of an fp32 copy, the input as it is times its root, brought to the weight's format."""
    variance = op.mean(op.power(x.tape.cast(x, "fp32")), channels)
    x = op.multiply(x, op.reciprocal_root(op.shift(variance)), "normalised")
    if weights[0].dtype != "fp32":
        x = x.tape.cast(x, weights[0].dtype)
    return op.multiply(weights[0], x, "norm_output")


NORMS: dict[str, Norm] = {
    "layer_norm": layer_norm,
    "fused_rms": fused_rms,
    "rms": rms,
    "rms_weight_fp32": rms_weight_fp32,
    "rms_power": rms_power,
    "rms_cast_last": rms_cast_last,
    "rms_weight_cast": rms_weight_cast,
    "layer_norm_in_python": layer_norm_in_python,
    "layer_norm_fp32": layer_norm_fp32,
    "layer_norm_1p": layer_norm_1p,
    "layer_norm_by_head": layer_norm_by_head,
    "rms_t5": rms_t5,
}


# What a norm is over, if not d_model
_SIDES = {
    "attention_inner_norm": "width",
    "feed_forward_inner_norm": "d_ff",
    "per_layer_projection_norm": "d_per_layer",
}


class NormLayer:
    """A norm over ``channels``, written as ``name`` says, with weights of these names and ``shape``."""

    def __init__(
        self,
        s: Setting,
        name: str,
        channels: Dim,
        weights: Sequence[str],
        shape: Dims | None = None,
        trains: bool = True,
    ) -> None:
        self.s, self.channels, self.function = s, channels, NORMS[name]
        self.weights = [s.weight(*(shape or (channels,)), name=weight, trains=trains) for weight in weights]

    def __call__(self, x: Tensor) -> Tensor:
        """``x``, normalised."""
        with self.s.tape.serving("norm"):
            return self.function(x, self.weights, self.channels)


def weights_of(part: Part) -> tuple[str, ...]:
    """The names of a norm's weights: it has each of them for each channel."""
    return tuple(part.parameters().inputs)


@runs(LayerNorm, RMSNorm)
def norm_layer(part: LayerNorm | RMSNorm, s: Setting, beside: Beside) -> NormLayer:
    """A norm of the stream, or of what goes into a projection back to it."""
    return NormLayer(s, s.code.norm, s.dim(_SIDES.get(part.id, "d_model"), part.width), weights_of(part))
