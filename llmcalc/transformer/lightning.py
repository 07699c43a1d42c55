"""Lightning attention (MiniMax): linear attention with a fixed decay for each head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import MINIMAX_2025
from llmcalc.transformer.norm import rms_norm_scale
from llmcalc.transformer.part import Heads, Matrix, Share, State, Width
from llmcalc.transformer.state import OUTER_PRODUCT, recurrent_flops, states


@formula("W_{QKV}", "parameters", MINIMAX_2025.at("sec. 2.2.1"))
def lightning_input_parameters(*, d_model, n_heads, d_head):
    """Queries, keys and values of all heads."""
    return d_model * 3 * n_heads * d_head


@formula("W_G", "parameters", MINIMAX_2025.at("sec. 2.2.1; modeling_minimax.py, output_gate"))
def lightning_gate_parameters(*, d_model, n_heads, d_head):
    """Gate of the output: as wide as the heads."""
    return d_model * n_heads * d_head


@formula("W_O", "parameters", MINIMAX_2025.at("sec. 2.2.1"))
def lightning_output_parameters(*, n_heads, d_head, d_model):
    """Output projection: all heads back to d_model."""
    return n_heads * d_head * d_model


@formula(r"E_{KV}", "elements", MINIMAX_2025.at("sec. 2.2.1, eq. 4"))
def lightning_state(*, n_heads, d_head):
    """The state of each head: the sum of keys by values."""
    return n_heads * d_head**2


@dataclass(frozen=True)
class Lightning:
    """Lightning attention: n_heads heads of d_head, each with a matrix of keys by values as its state."""

    d_model: int
    n_heads: int
    d_head: int
    id: str = "lightning"
    component: str = "recurrent"
    sees: str = "past"
    window: int | None = None

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        return total(self.id, r"N_\text{rec}", *parts, rms_norm_scale(width=self.n_heads * self.d_head))

    def matrices(self) -> tuple[Matrix, ...]:
        d, h, w = self.d_model, self.n_heads, self.d_head
        return (
            Matrix("in", d, lightning_input_parameters(d_model=d, n_heads=h, d_head=w)),
            Matrix("gate", d, lightning_gate_parameters(d_model=d, n_heads=h, d_head=w)),
            Matrix("output", h * w, lightning_output_parameters(n_heads=h, d_head=w, d_model=d)),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("n_heads", self.n_heads),)

    def states(self) -> tuple[State, ...]:
        return states(convolution=None, recurrent=self._state(), fp32=False)

    def _state(self) -> Quantity:
        return lightning_state(n_heads=self.n_heads, d_head=self.d_head)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_heads, self.n_heads, self.d_head)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def of_rank(self, share: Share) -> Lightning:
        return replace(self, n_heads=share.of(self.n_heads))

    def pruned(self, share: float) -> Lightning:
        """All of it stays."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        return recurrent_flops(self._state(), OUTER_PRODUCT)
