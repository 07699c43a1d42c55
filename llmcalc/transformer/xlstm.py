"""The mLSTM layer of xLSTM: a memory of keys by values for each head, with gates of input and forgetting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import BECK_2024
from llmcalc.transformer.linear import linear_bias
from llmcalc.transformer.norm import norm_bias, rms_norm_scale
from llmcalc.transformer.part import Heads, Matrix, State, Width
from llmcalc.transformer.state import OUTER_PRODUCT, recurrent_flops, states


@formula(r"W_{QK}", "parameters", BECK_2024.at("sec. 2.3, eq. 23 and 24"))
def memory_key_parameters(*, d_model, d_key):
    """Queries and keys of all heads, d_key together."""
    return 2 * d_model * d_key


@formula(r"W_{V o}", "parameters", BECK_2024.at("sec. 2.3, eq. 25 and 28"))
def memory_value_parameters(*, d_model, d_value):
    """Values of all heads, d_value together, and the gate of the output."""
    return 2 * d_model * d_value


@formula(r"W_{i f}", "parameters", BECK_2024.at("sec. 2.3, eq. 26 and 27"))
def memory_gate_parameters(*, d_model, n_heads):
    """Gates of input and forgetting: two numbers for each head."""
    return 2 * d_model * n_heads


@formula(r"b_{i f}", "parameters", BECK_2024.at("sec. 2.3, eq. 26 and 27"))
def memory_gate_bias(*, n_heads):
    """Biases of both gates."""
    return 2 * n_heads


@formula(r"W_\text{out}", "parameters", BECK_2024.at("sec. 2.4, fig. 10"))
def memory_output_parameters(*, d_value, d_model):
    """Output projection."""
    return d_value * d_model


@formula("E_C", "elements", BECK_2024.at("sec. 2.3, eq. 19 and 20"))
def memory_state(*, n_heads, d_key, d_value):
    """The memory of each head, keys by values, its normaliser, and the stabiliser of its gates."""
    return n_heads * ((d_key / n_heads) * (d_value / n_heads) + d_key / n_heads + 1)


@dataclass(frozen=True)
class MatrixLSTM:
    """mLSTM: n_heads heads share d_key channels of keys and d_value of values; ``bias``: projections and norm too."""

    d_model: int
    n_heads: int
    d_key: int
    d_value: int
    bias: bool = False
    id: str = "matrix_lstm"
    component: str = "recurrent"
    sees: str = "past"
    window: int | None = None

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        parts += [memory_gate_bias(n_heads=self.n_heads), rms_norm_scale(width=self.d_value)]
        if self.bias:
            parts.append(linear_bias(d_out=2 * (self.d_key + self.d_value)).named("in_bias"))
            parts += [linear_bias(d_out=self.d_model).named("out_bias"), norm_bias(width=self.d_value)]
        return total(self.id, r"N_\text{rec}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        d = self.d_model
        return (
            Matrix("query_key", d, memory_key_parameters(d_model=d, d_key=self.d_key)),
            Matrix("value", d, memory_value_parameters(d_model=d, d_value=self.d_value)),
            Matrix("gate", d, memory_gate_parameters(d_model=d, n_heads=self.n_heads)),
            Matrix("output", self.d_value, memory_output_parameters(d_value=self.d_value, d_model=d)),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("n_heads", self.n_heads),)

    def states(self) -> tuple[State, ...]:
        return states(convolution=None, recurrent=self._state())

    def _state(self) -> Quantity:
        return memory_state(n_heads=self.n_heads, d_key=self.d_key, d_value=self.d_value)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_heads, self.n_heads, max(1, self.d_value // self.n_heads))

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def pruned(self, share: float) -> MatrixLSTM:
        """All of it stays."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        return recurrent_flops(self._state(), OUTER_PRODUCT)
