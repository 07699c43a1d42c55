"""A short convolution between two gates (LFM2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import LFM2_2025
from llmcalc.transformer.linear import linear_bias
from llmcalc.transformer.part import Heads, Matrix, State, Width
from llmcalc.transformer.state import (
    causal_convolution_bias,
    causal_convolution_parameters,
    convolution_state,
    state_flops,
    states,
)


@formula(r"W_\text{in}", "parameters", LFM2_2025.at("sec. 2, gated short convolution block"))
def gated_convolution_in(*, d_model):
    """Input projection: what is convolved, and a gate before and one after."""
    return 3 * d_model**2


@formula(r"W_\text{out}", "parameters", LFM2_2025.at("sec. 2, gated short convolution block"))
def gated_convolution_out(*, d_model):
    """Output projection."""
    return d_model**2


@dataclass(frozen=True)
class ShortConvolution:
    """A convolution over the last ``d_conv`` tokens, each channel for itself, gated before and after."""

    d_model: int
    d_conv: int
    bias: bool = False
    id: str = "convolution"
    component: str = "recurrent"
    sees: str = "past"
    window: int | None = None

    def parameters(self) -> Quantity:
        d = self.d_model
        parts = [matrix.parameters for matrix in self.matrices()]
        parts.append(causal_convolution_parameters(channels=d, d_conv=self.d_conv))
        if self.bias:
            parts += [causal_convolution_bias(channels=d), linear_bias(d_out=3 * d).named("in_bias")]
            parts.append(linear_bias(d_out=d).named("out_bias"))
        return total(self.id, r"N_\text{rec}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        d = self.d_model
        return (
            Matrix("in", d, gated_convolution_in(d_model=d)),
            Matrix("out", d, gated_convolution_out(d_model=d)),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("d_inner", self.d_model),)

    def states(self) -> tuple[State, ...]:
        return states(convolution=self._state(), recurrent=None)

    def _state(self) -> Quantity:
        return convolution_state(channels=self.d_model, d_conv=self.d_conv)

    @property
    def heads(self) -> Heads:
        return Heads(1, 1, self.d_model)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def pruned(self, share: float) -> ShortConvolution:
        """All of it stays: it is as wide as the model."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        """The two gates; what the convolution's own weights do is counted with all weights."""
        return state_flops(state_elements=self.d_model, operations_per_element=2)
