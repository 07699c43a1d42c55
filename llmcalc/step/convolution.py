"""Convolutions over time as transformers runs them without fused kernels, and that between two gates (LFM2)."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.activations import Activation
from llmcalc.step.linear import Linear
from llmcalc.step.registry import Attended, Beside, runs
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Tensor
from llmcalc.transformer.short_convolution import ShortConvolution

OUT = "gated_convolution_out"


def without_padding(s: Setting, x: Tensor) -> Tensor:
    """Tokens of padding set to zero, where the batch has a mask."""
    if not s.run.padding:
        return x
    return op.multiply(x, s.constant((s.batch, s.tokens), "int64", "attention_mask"), "masked")


class CausalConvolution:
    """A convolution of ``channels``, each for itself, over the last ``width`` tokens: as many more come out, which are
    cut off. A token alone is joined with the inputs of before, which a cache keeps."""

    def __init__(self, s: Setting, channels: Dim, width: int, bias: bool = False) -> None:
        self.s, self.channels = s, channels
        self.width = s.dim("d_conv", width)
        self.weight = s.weight(channels, self.width, name="causal_convolution_parameters")
        self.bias = s.weight(channels, name="causal_convolution_bias") if bias else None
        self.seen, self.two = s.dim("convolved_and_one", width + 1), s.dim("tokens_and_convolved", 2)
        self.longer = Dim("tokens_and_convolved", s.run.seq_len + width - 1)

    def __call__(self, x: Tensor, act: Activation | None = None) -> Tensor:
        """``x``, convolved, through the nonlinearity ``act`` where there is one."""
        s, dtype = self.s, x.dtype
        if s.decodes:
            x = s.tape.cast(op.join([x], (s.batch, self.seen, self.channels)), self.weight.dtype)
            out = op.convolution(x, self.weight, self.bias, (s.batch, self.two, self.channels))
        else:
            s.inputs_kept(x, self.width)
            x = s.tape.cast(x, self.weight.dtype)
            out = op.convolution(x, self.weight, self.bias, (s.batch, self.longer, self.channels))
            del x
        out = op.take(out, *s.rows(self.channels))
        out = act(out) if act else out
        return s.tape.cast(out, dtype)


@runs(ShortConvolution)
class GatedConvolution:
    """A convolution between two gates, all three out of one product."""

    def __init__(self, part: ShortConvolution, s: Setting, beside: Beside) -> None:
        self.s = s
        self.heads, self.rotated = s.dim("n_heads", 1), None
        self.model, self.three = s.dim("d_model", part.d_model), s.dim("channels", 3 * part.d_model)
        self.joined = Linear(s, (self.model,), (self.three,), part.bias, name="gated_convolution_in")
        self.convolution = CausalConvolution(s, self.model, part.d_conv, part.bias)
        self.out = Linear(s, (self.model,), (self.model,), part.bias, "attention_projection", name=OUT)

    def __call__(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Attended:
        """What the layer makes of ``x``."""
        s = self.s
        rows = s.rows(self.model)
        x = without_padding(s, x)
        joined = self.joined(x, s.rows(self.three))
        before, after, x = op.split(joined, rows, rows, rows)
        x = op.multiply(before, x, "gated")
        x = self.convolution(x)
        return self.out(op.multiply(after, x, "gated"), rows), None
