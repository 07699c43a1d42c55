"""The real-gated linear recurrent unit of Griffin (RecurrentGemma)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DE_2024
from llmcalc.transformer.linear import linear_bias
from llmcalc.transformer.part import Heads, Matrix, Share, State, Width
from llmcalc.transformer.state import (
    causal_convolution_bias,
    causal_convolution_parameters,
    convolution_state,
    recurrent_flops,
    states,
)


@formula(r"W_\text{xy}", "parameters", DE_2024.at("sec. 2.3, fig. 2c"))
def recurrent_in_parameters(*, d_model, d_inner):
    """The two branches into the recurrent block."""
    return 2 * d_model * d_inner


@formula(r"W_\text{out}", "parameters", DE_2024.at("sec. 2.3, fig. 2c"))
def recurrent_out_parameters(*, d_inner, d_model):
    """Output projection."""
    return d_inner * d_model


@formula(r"W_{a x}", "parameters", DE_2024.at("sec. 2.4, eq. 1 and 2, block-diagonal"))
def recurrent_gate_parameters(*, n_heads, d_head):
    """Gates of recurrence and input: a square block for each head."""
    return 2 * n_heads * d_head**2


@formula(r"\Lambda", "parameters", DE_2024.at("sec. 2.4, eq. 3"))
def recurrence_parameters(*, d_inner):
    """How fast each channel decays."""
    return d_inner


@formula("E_h", "elements", DE_2024.at("sec. 2.4, eq. 4"))
def recurrent_state(*, d_inner):
    """The state: one number for each channel."""
    return d_inner


@dataclass(frozen=True)
class RecurrentBlock:
    """Griffin's recurrent block: a short convolution, then a recurrence of one number for each of d_inner channels."""

    d_model: int
    d_inner: int
    n_heads: int
    d_conv: int
    id: str = "rg_lru"
    component: str = "recurrent"
    sees: str = "past"
    window: int | None = None

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        return total(
            self.id,
            r"N_\text{rec}",
            *parts,
            causal_convolution_parameters(channels=self.d_inner, d_conv=self.d_conv),
            causal_convolution_bias(channels=self.d_inner),
            recurrence_parameters(d_inner=self.d_inner),
            linear_bias(d_out=2 * self.d_inner).named("in_bias"),
            linear_bias(d_out=2 * self.d_inner).named("gates_bias"),
            linear_bias(d_out=self.d_model).named("out_bias"),
        )

    def matrices(self) -> tuple[Matrix, ...]:
        d, inner = self.d_model, self.d_inner
        d_head = inner // self.n_heads
        return (
            Matrix("in", d, recurrent_in_parameters(d_model=d, d_inner=inner)),
            Matrix("gate", d_head, recurrent_gate_parameters(n_heads=self.n_heads, d_head=d_head)),
            Matrix("out", inner, recurrent_out_parameters(d_inner=inner, d_model=d)),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("d_inner", self.d_inner),)

    def states(self) -> tuple[State, ...]:
        convolution = convolution_state(channels=self.d_inner, d_conv=self.d_conv)
        return states(convolution=convolution, recurrent=self._state())

    def _state(self) -> Quantity:
        return recurrent_state(d_inner=self.d_inner)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_heads, self.n_heads, self.d_inner // self.n_heads)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def of_rank(self, share: Share) -> RecurrentBlock:
        return replace(self, d_inner=share.of(self.d_inner), n_heads=share.of(self.n_heads))

    def pruned(self, share: float) -> RecurrentBlock:
        """All of it stays."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        """Each number decays (a product), and takes the gated input in (two products and a sum)."""
        return recurrent_flops(self._state(), 4)
