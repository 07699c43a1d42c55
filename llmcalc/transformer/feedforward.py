"""The position-wise feed-forward network, plain or gated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import HUANG_2024, SHAZEER_2020, VASWANI_2017
from llmcalc.transformer.part import Matrix, Share, Width, fewer


@formula(r"W_\text{up}", "parameters", VASWANI_2017.at("sec. 3.3, eq. 2"))
def up_parameters(*, d_model, d_ff):
    """First linear layer: d_model to d_ff."""
    return d_model * d_ff


@formula(r"W_\text{gate}", "parameters", SHAZEER_2020.at("sec. 2, eq. 6"))
def gate_parameters(*, d_model, d_ff):
    """Gate of a gated network (SwiGLU, GeGLU): a second projection from d_model to d_ff."""
    return d_model * d_ff


@formula(r"W_\text{down}", "parameters", VASWANI_2017.at("sec. 3.3, eq. 2"))
def down_parameters(*, d_ff, d_model):
    """Second linear layer: d_ff back to d_model."""
    return d_ff * d_model


@formula(r"b_\text{up}", "parameters", VASWANI_2017.at("sec. 3.3, eq. 2"))
def up_bias(*, d_ff):
    """Bias of the first linear layer."""
    return d_ff


@formula(r"b_\text{gate}", "parameters", SHAZEER_2020.at("sec. 2"))
def gate_bias(*, d_ff):
    """Bias of the gate."""
    return d_ff


@formula(r"b_\text{down}", "parameters", VASWANI_2017.at("sec. 3.3, eq. 2"))
def down_bias(*, d_model):
    """Bias of the second linear layer."""
    return d_model


@formula(r"\alpha_\text{act}", "parameters", HUANG_2024.at("sec. 3.1"))
def activation_parameters(*, count):
    """Learned numbers of the nonlinearity itself: xIELU has two a layer."""
    return count


@dataclass(frozen=True)
class FeedForward:
    """Two linear layers with a nonlinearity between (plain), or three of which one gates (gated).

    ``sparse``: of the gate only the largest numbers are left (Gemma 3n).

    A shared expert is one of the component "shared_experts", d_ff as wide as all shared experts together.
    """

    d_model: int
    d_ff: int
    gated: bool = False
    bias: bool = False
    learned_activation: int = 0
    id: str = "feed_forward"
    component: str = "feed_forward"
    sparse: bool = False

    def parameters(self) -> Quantity:
        d, f = self.d_model, self.d_ff
        parts = [matrix.parameters for matrix in self.matrices()]
        if self.bias:
            parts += [up_bias(d_ff=f), down_bias(d_model=d)]
        if self.bias and self.gated:
            parts.append(gate_bias(d_ff=f))
        if self.learned_activation:
            parts.append(activation_parameters(count=self.learned_activation))
        return total(self.id, r"N_\text{ffn}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        d, f = self.d_model, self.d_ff
        plain = (
            Matrix("up", d, up_parameters(d_model=d, d_ff=f)),
            Matrix("down", f, down_parameters(d_ff=f, d_model=d)),
        )
        return (*plain, Matrix("gate", d, gate_parameters(d_model=d, d_ff=f))) if self.gated else plain

    def widths(self) -> tuple[Width, ...]:
        inner = Width("d_ff", self.d_ff)
        return inner, Width("d_ff_pair", 2 * self.d_ff, joins=(inner, inner))

    @property
    def inner_width(self) -> int:
        return self.d_ff

    @property
    def traits(self) -> frozenset[str]:
        return frozenset(name for name, has in (("gated", self.gated), ("ffn_bias", self.bias)) if has)

    def of_rank(self, share: Share) -> FeedForward:
        return replace(self, d_ff=share.of(self.d_ff))

    def pruned(self, share: float) -> FeedForward:
        return replace(self, d_ff=fewer(self.d_ff, share))
