"""Mamba: a state space model whose steps, inputs and outputs depend on the token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import GU_2023, LIEBER_2024
from llmcalc.transformer.linear import linear_bias
from llmcalc.transformer.part import Heads, Matrix, Share, State, Width
from llmcalc.transformer.state import (
    OUTER_PRODUCT,
    causal_convolution_bias,
    causal_convolution_parameters,
    convolution_state,
    recurrent_flops,
    states,
)


@formula(r"W_\text{in}", "parameters", GU_2023.at("sec. 3.4, fig. 3"))
def mamba_in_parameters(*, d_model, d_inner):
    """Input projection: the inner channels, and a gate as wide."""
    return d_model * 2 * d_inner


@formula("W_x", "parameters", GU_2023.at("sec. 3.6, algorithm 2"))
def mamba_selection_parameters(*, d_inner, dt_rank, d_state):
    """Projection of the inner channels to what selects: the step of rank dt_rank, B and C of d_state."""
    return d_inner * (dt_rank + 2 * d_state)


@formula(r"W_\Delta", "parameters", GU_2023.at("sec. 3.6"))
def mamba_step_parameters(*, dt_rank, d_inner):
    """Projection of the step back to the inner channels."""
    return dt_rank * d_inner


@formula(r"b_\Delta", "parameters", GU_2023.at("sec. 3.6"))
def mamba_step_bias(*, d_inner):
    """Bias of the step: one for each inner channel."""
    return d_inner


@formula("A", "parameters", GU_2023.at("sec. 3.5.2, algorithm 2"))
def mamba_decay_parameters(*, d_inner, d_state):
    """How fast each number of the state decays."""
    return d_inner * d_state


@formula("D", "parameters", GU_2023.at("sec. 3.4; mamba_ssm/modules/mamba_simple.py, D"))
def mamba_skip_parameters(*, d_inner):
    """What passes by the state: one scale for each inner channel."""
    return d_inner


@formula(r"W_\text{out}", "parameters", GU_2023.at("sec. 3.4, fig. 3"))
def mamba_out_parameters(*, d_inner, d_model):
    """Output projection: the inner channels back to d_model."""
    return d_inner * d_model


@formula("g", "parameters", LIEBER_2024.at("sec. 2, RMSNorm inside of the Mamba layer"))
def mamba_norm_parameters(*, dt_rank, d_state):
    """Norms of the step, of B and of C."""
    return dt_rank + 2 * d_state


@formula(r"E_\text{ssm}", "elements", GU_2023.at("sec. 3.3.1"))
def mamba_state(*, d_inner, d_state):
    """The state of each inner channel: d_state numbers."""
    return d_inner * d_state


@dataclass(frozen=True)
class Mamba:
    """The first Mamba: every inner channel has a state of ``d_state`` numbers of its own.

    ``bias`` is that of the two outer projections; ``inner_norms`` are Jamba's.
    """

    d_model: int
    d_inner: int
    d_state: int
    d_conv: int
    dt_rank: int
    bias: bool = False
    conv_bias: bool = True
    inner_norms: bool = False
    fp32: bool = True
    id: str = "mamba"
    component: str = "recurrent"
    sees: str = "past"
    window: int | None = None

    def parameters(self) -> Quantity:
        inner = self.d_inner
        parts = [matrix.parameters for matrix in self.matrices()]
        parts += [
            causal_convolution_parameters(channels=inner, d_conv=self.d_conv),
            mamba_step_bias(d_inner=inner),
            mamba_decay_parameters(d_inner=inner, d_state=self.d_state),
            mamba_skip_parameters(d_inner=inner),
        ]
        if self.conv_bias:
            parts.append(causal_convolution_bias(channels=inner))
        if self.bias:
            parts += [linear_bias(d_out=2 * inner).named("in_bias"), linear_bias(d_out=self.d_model).named("out_bias")]
        if self.inner_norms:
            parts.append(mamba_norm_parameters(dt_rank=self.dt_rank, d_state=self.d_state))
        return total(self.id, r"N_\text{rec}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        d, inner, rank = self.d_model, self.d_inner, self.dt_rank
        selection = mamba_selection_parameters(d_inner=inner, dt_rank=rank, d_state=self.d_state)
        return (
            Matrix("in", d, mamba_in_parameters(d_model=d, d_inner=inner)),
            Matrix("selection", inner, selection),
            Matrix("step", rank, mamba_step_parameters(dt_rank=rank, d_inner=inner)),
            Matrix("out", inner, mamba_out_parameters(d_inner=inner, d_model=d)),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("d_inner", self.d_inner),)

    def states(self) -> tuple[State, ...]:
        convolution = convolution_state(channels=self.d_inner, d_conv=self.d_conv)
        return states(convolution=convolution, recurrent=self._state(), fp32=self.fp32)

    def _state(self) -> Quantity:
        return mamba_state(d_inner=self.d_inner, d_state=self.d_state)

    @property
    def heads(self) -> Heads:
        return Heads(1, 1, self.d_inner)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def of_rank(self, share: Share) -> Mamba:
        return replace(self, d_inner=share.of(self.d_inner))

    def pruned(self, share: float) -> Mamba:
        """All of it stays: it has no heads, and its inner channels share B and C."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        return recurrent_flops(self._state(), OUTER_PRODUCT)
