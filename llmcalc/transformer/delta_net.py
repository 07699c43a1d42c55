"""Linear attention by the delta rule: gated delta nets (Qwen3-Next) and Kimi delta attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import KIMI_2025, YANG_2024
from llmcalc.transformer.linear import linear_parameters
from llmcalc.transformer.norm import rms_norm_scale
from llmcalc.transformer.part import Heads, Matrix, Share, State, Width
from llmcalc.transformer.state import (
    DELTA_RULE,
    causal_convolution_parameters,
    convolution_state,
    recurrent_flops,
    states,
)


@formula(r"W_{QK}", "parameters", YANG_2024.at("sec. 3.4, fig. 1"))
def delta_query_key_parameters(*, d_model, n_key_heads, d_key):
    """Queries and keys: n_key_heads heads of d_key each."""
    return d_model * 2 * n_key_heads * d_key


@formula("W_V", "parameters", YANG_2024.at("sec. 3.4, fig. 1"))
def delta_value_parameters(*, d_model, n_value_heads, d_value):
    """Values: n_value_heads heads of d_value."""
    return d_model * n_value_heads * d_value


@formula("W_Z", "parameters", YANG_2024.at("sec. 3.4, fig. 1, output gate"))
def delta_gate_parameters(*, d_model, n_value_heads, d_value):
    """Gate of the output: as wide as the values."""
    return d_model * n_value_heads * d_value


@formula(r"W_{\alpha\beta}", "parameters", YANG_2024.at("sec. 3.1, eq. 10"))
def delta_decay_parameters(*, d_model, n_value_heads):
    """How much a head forgets, and how much it writes: two numbers of each head for a token."""
    return d_model * 2 * n_value_heads


@formula(r"A, b_\Delta", "parameters", YANG_2024.at("sec. 3.4; as Mamba-2's"))
def delta_head_parameters(*, n_value_heads):
    """For each head a decay and the bias of its step."""
    return 2 * n_value_heads


@formula("W_O", "parameters", YANG_2024.at("sec. 3.4, fig. 1"))
def delta_output_parameters(*, n_value_heads, d_value, d_model):
    """Output projection: the values of all heads back to d_model."""
    return n_value_heads * d_value * d_model


@formula(r"E_\text{S}", "elements", YANG_2024.at("sec. 3.1, eq. 10"))
def delta_state(*, n_value_heads, d_key, d_value):
    """The state of each head: a matrix of keys by values."""
    return n_value_heads * d_key * d_value


@formula(r"b_\alpha, A", "parameters", KIMI_2025.at("sec. 4, neural parameterization; modeling: dt_bias, A_log"))
def channel_decay_parameters(*, n_value_heads, d_key):
    """A decay for each head, and a bias of it for each channel of the keys."""
    return n_value_heads * (d_key + 1)


@formula(r"W_\beta", "parameters", KIMI_2025.at("sec. 4, neural parameterization"))
def write_strength_parameters(*, d_model, n_value_heads):
    """How much a head writes: one number of each head for a token."""
    return d_model * n_value_heads


@dataclass(frozen=True)
class DeltaNet:
    """A gated delta net: ``n_key_heads`` of queries and keys, ``n_value_heads`` of values, each with a state.

    ``channel_decay``: every channel of a key decays by itself (Kimi delta attention). Then ``decay_rank`` and
    ``gate_rank`` are the narrow width that decay and gate go through; None: they are projected directly.
    """

    d_model: int
    n_key_heads: int
    n_value_heads: int
    d_key: int
    d_value: int
    d_conv: int
    channel_decay: bool = False
    decay_rank: int | None = None
    gate_rank: int | None = None
    id: str = "delta_net"
    component: str = "recurrent"
    sees: str = "past"
    window: int | None = None

    @property
    def channels(self) -> int:
        """What the convolution runs over: queries, keys and values."""
        return 2 * self.n_key_heads * self.d_key + self.n_value_heads * self.d_value

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        parts.append(causal_convolution_parameters(channels=self.channels, d_conv=self.d_conv))
        if self.channel_decay:
            parts.append(channel_decay_parameters(n_value_heads=self.n_value_heads, d_key=self.d_key))
        else:
            parts.append(delta_head_parameters(n_value_heads=self.n_value_heads))
        parts.append(rms_norm_scale(width=self.d_value))
        return total(self.id, r"N_\text{rec}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        d, h, v = self.d_model, self.n_value_heads, self.d_value
        query_key = delta_query_key_parameters(d_model=d, n_key_heads=self.n_key_heads, d_key=self.d_key)
        return (
            Matrix("query_key", d, query_key),
            Matrix("value", d, delta_value_parameters(d_model=d, n_value_heads=h, d_value=v)),
            *self._gates(),
            Matrix("output", h * v, delta_output_parameters(n_value_heads=h, d_value=v, d_model=d)),
        )

    def _gates(self) -> tuple[Matrix, ...]:
        d, h, v = self.d_model, self.n_value_heads, self.d_value
        if not self.channel_decay:
            return (
                Matrix("gate", d, delta_gate_parameters(d_model=d, n_value_heads=h, d_value=v)),
                Matrix("decay", d, delta_decay_parameters(d_model=d, n_value_heads=h)),
            )
        return (
            *self._through("decay", self.decay_rank, h * self.d_key),
            Matrix("write", d, write_strength_parameters(d_model=d, n_value_heads=h)),
            *self._through("gate", self.gate_rank, h * v),
        )

    def _through(self, role: str, rank: int | None, width: int) -> tuple[Matrix, ...]:
        """A projection to ``width``, through a narrower one where there is a rank."""
        d = self.d_model
        if rank is None:
            return (Matrix(role, d, linear_parameters(d_in=d, d_out=width).named(f"{role}_projection")),)
        return (
            Matrix(f"{role}_down", d, linear_parameters(d_in=d, d_out=rank).named(f"{role}_down_projection")),
            Matrix(f"{role}_up", rank, linear_parameters(d_in=rank, d_out=width).named(f"{role}_up_projection")),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("n_value_heads", self.n_value_heads),)

    def states(self) -> tuple[State, ...]:
        convolution = convolution_state(channels=self.channels, d_conv=self.d_conv)
        return states(convolution=convolution, recurrent=self._state())

    def _state(self) -> Quantity:
        return delta_state(n_value_heads=self.n_value_heads, d_key=self.d_key, d_value=self.d_value)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_value_heads, self.n_value_heads, self.d_value)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def of_rank(self, share: Share) -> DeltaNet:
        return replace(self, n_key_heads=share.of(self.n_key_heads), n_value_heads=share.of(self.n_value_heads))

    def pruned(self, share: float) -> DeltaNet:
        """All of it stays: several heads of values share one of keys."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        return recurrent_flops(self._state(), DELTA_RULE)
