"""Small pieces that many families add: a linear layer, learned numbers; and a layer that runs another one's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import GLORIOSO_2024
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.linear import linear_bias, linear_parameters
from llmcalc.transformer.part import Matrix, Part, Share, active_parameters
from llmcalc.transformer.state import learned_numbers


@formula(r"0 \cdot N", "parameters", GLORIOSO_2024.at("sec. 2, shared attention blocks"))
def shared_parameters(*, parameters):
    """None of its own: its weights are those of an earlier layer, where they are counted."""
    return 0 * parameters


@formula("N", "parameters", GLORIOSO_2024.at("sec. 2, shared attention blocks"))
def weights_run_again(*, parameters):
    """Weights of an earlier layer that a token goes through once more."""
    return 1 * parameters


@dataclass(frozen=True)
class Projection:
    """A linear layer of ``d_in`` to ``d_out`` channels."""

    d_in: int
    d_out: int
    id: str
    component: str
    bias: bool = False

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        if self.bias:
            parts.append(linear_bias(d_out=self.d_out))
        return total(self.id, "N", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        return (Matrix(self.id, self.d_in, linear_parameters(d_in=self.d_in, d_out=self.d_out)),)


@dataclass(frozen=True)
class Numbers:
    """Learned numbers that no product of matrices reads: scales, biases, mixes."""

    count: int
    id: str
    component: str

    def parameters(self) -> Quantity:
        return total(self.id, "N", learned_numbers(count=self.count))


@dataclass(frozen=True)
class Again:
    """A part whose weights stand in an earlier layer: it has none of its own, but all of the work."""

    part: Part

    @property
    def id(self) -> str:
        return self.part.id

    @property
    def component(self) -> str:
        return self.part.component

    def parameters(self) -> Quantity:
        return total(self.id, "N", shared_parameters(parameters=self.part.parameters()))

    def reused_parameters(self) -> Quantity:
        return weights_run_again(parameters=active_parameters(self.part))


@dataclass(frozen=True)
class AttentionAgain(Again):
    """Attention with the weights of an earlier layer: its cache is its own."""

    part: Attention

    @property
    def sees(self) -> str:
        return self.part.sees

    @property
    def cache_window(self) -> int | None:
        return self.part.cache_window

    @property
    def window(self) -> int | None:
        return self.part.window

    @property
    def d_model(self) -> int:
        return self.part.d_model

    @property
    def heads(self) -> Any:
        return self.part.heads

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return self.part.normed_widths

    @property
    def value_width(self) -> int:
        return self.part.value_width

    def kv_elements_per_token(self) -> Quantity:
        return self.part.kv_elements_per_token()

    def kv_cache_elements(self, *, seq_len: Any) -> Quantity:
        return self.part.kv_cache_elements(seq_len=seq_len)

    def of_rank(self, share: Share) -> AttentionAgain:
        return AttentionAgain(self.part.of_rank(share))

    def pruned(self, share: float) -> AttentionAgain:
        return AttentionAgain(self.part.pruned(share))

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        return self.part.mixing_flops(seq_len=seq_len)
