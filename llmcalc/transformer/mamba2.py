"""Mamba-2: a state space model in heads, each with one decay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DAO_2024
from llmcalc.transformer.linear import linear_bias
from llmcalc.transformer.mamba import mamba_out_parameters, mamba_state
from llmcalc.transformer.norm import rms_norm_scale
from llmcalc.transformer.part import Heads, Matrix, Share, State, Width
from llmcalc.transformer.state import (
    OUTER_PRODUCT,
    causal_convolution_bias,
    causal_convolution_parameters,
    convolution_state,
    recurrent_flops,
    states,
)


@formula(r"W_\text{in}", "parameters", DAO_2024.at("sec. 7.1, fig. 6"))
def mamba2_in_parameters(*, d_model, d_inner, n_groups, d_state, n_heads):
    """Input projection: the inner channels, a gate as wide, B and C of each group, and a step for each head."""
    return d_model * (2 * d_inner + 2 * n_groups * d_state + n_heads)


@formula(r"A, D, b_\Delta", "parameters", DAO_2024.at("sec. 7; mamba_ssm/modules/mamba2.py, A_log, D, dt_bias"))
def mamba2_head_parameters(*, n_heads):
    """For each head a decay, a scale of what passes by the state, and the bias of its step."""
    return 3 * n_heads


@dataclass(frozen=True)
class Mamba2:
    """Mamba-2: ``n_heads`` heads share d_inner channels, each channel with a state of ``d_state`` numbers.

    ``bias`` is that of the two outer projections, ``norm`` the gated norm before the last of them.
    ``chunk_size`` is how many tokens the code takes at once.
    """

    d_model: int
    d_inner: int
    n_heads: int
    d_state: int
    n_groups: int
    d_conv: int
    bias: bool = False
    conv_bias: bool = True
    norm: bool = True
    fp32: bool = True
    chunk_size: int = 256
    id: str = "mamba"
    component: str = "recurrent"
    sees: str = "past"
    window: int | None = None

    @property
    def channels(self) -> int:
        """What the convolution runs over: the inner channels, B and C."""
        return self.d_inner + 2 * self.n_groups * self.d_state

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        parts += [
            causal_convolution_parameters(channels=self.channels, d_conv=self.d_conv),
            mamba2_head_parameters(n_heads=self.n_heads),
        ]
        if self.conv_bias:
            parts.append(causal_convolution_bias(channels=self.channels))
        if self.bias:
            width = self.d_inner + self.channels + self.n_heads
            parts += [linear_bias(d_out=width).named("in_bias"), linear_bias(d_out=self.d_model).named("out_bias")]
        if self.norm:
            parts.append(rms_norm_scale(width=self.d_inner))
        return total(self.id, r"N_\text{rec}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        d, inner = self.d_model, self.d_inner
        groups = {"n_groups": self.n_groups, "d_state": self.d_state}
        return (
            Matrix("in", d, mamba2_in_parameters(d_model=d, d_inner=inner, n_heads=self.n_heads, **groups)),
            Matrix("out", inner, mamba_out_parameters(d_inner=inner, d_model=d)),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("n_mamba_heads", self.n_heads),)

    def states(self) -> tuple[State, ...]:
        convolution = convolution_state(channels=self.channels, d_conv=self.d_conv)
        return states(convolution=convolution, recurrent=self._state(), fp32=self.fp32)

    def _state(self) -> Quantity:
        return mamba_state(d_inner=self.d_inner, d_state=self.d_state)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_heads, self.n_heads, max(1, self.d_inner // self.n_heads))

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def of_rank(self, share: Share) -> Mamba2:
        d_inner, n_heads = share.of(self.d_inner), share.of(self.n_heads)
        return replace(self, d_inner=d_inner, n_heads=n_heads, n_groups=share.of(self.n_groups))

    def pruned(self, share: float) -> Mamba2:
        """All of it stays: its heads share B and C."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        return recurrent_flops(self._state(), OUTER_PRODUCT)
