"""Mixture of experts: a router, many experts of which a token uses a few, and the gate of a shared expert."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DEEPSEEK_V3, LONGCAT_2025, QWEN_MOE, SHAZEER_2017, TRANSFORMERS
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.part import Matrix, Share, Width


@formula(r"W_\text{router}", "parameters", SHAZEER_2017.at("sec. 2.1, eq. 2"))
def router_parameters(*, d_model, n_experts):
    """Router: one weight vector for each expert."""
    return d_model * n_experts


@formula(r"b_\text{router}", "parameters", SHAZEER_2017.at("sec. 2.1"))
def router_bias(*, n_experts):
    """Bias of the router: one for each expert."""
    return n_experts


@formula(r"b_\text{selection}", "parameters", DEEPSEEK_V3.at("sec. 2.1.2, auxiliary-loss-free load balancing"))
def selection_bias(*, n_experts):
    """Bias that only decides which experts are chosen, where a model keeps it as a parameter and not as a buffer."""
    return n_experts


@formula(r"N_\text{experts}", "parameters", SHAZEER_2017.at("sec. 2"))
def all_experts_parameters(*, n_experts, expert_parameters):
    """All experts: so many times the parameters of one."""
    return n_experts * expert_parameters


@formula(r"N_\text{active experts}", "parameters", SHAZEER_2017.at("sec. 2.1, eq. 3 to 5"))
def chosen_experts_parameters(*, top_k, expert_parameters):
    """The experts that one token goes through: the top_k that the router chose."""
    return top_k * expert_parameters


@formula(r"W_\text{shared gate}", "parameters", QWEN_MOE.at("modeling_qwen2_moe.py, shared_expert_gate"))
def shared_gate_parameters(*, d_model):
    """Gate of the shared expert: one weight vector, whose product with the token scales the expert's output."""
    return d_model


@dataclass(frozen=True)
class Router:
    """Scores each of n_experts for a token. A bias that is only a buffer is no parameter and not counted."""

    d_model: int
    n_experts: int
    bias: bool = False
    selection: bool = False
    id: str = "router"
    component: str = "router"

    def parameters(self) -> Quantity:
        parts = [router_parameters(d_model=self.d_model, n_experts=self.n_experts)]
        if self.bias:
            parts.append(router_bias(n_experts=self.n_experts))
        if self.selection:
            parts.append(selection_bias(n_experts=self.n_experts))
        return total(self.id, r"N_\text{router}", *parts)

    def score_matrix(self) -> Matrix:
        return Matrix("router", self.d_model, router_parameters(d_model=self.d_model, n_experts=self.n_experts))

    def fixed_parameters(self) -> tuple[Quantity, ...]:
        """The bias that decides which experts are chosen: the load on them moves it, not the loss."""
        return (selection_bias(n_experts=self.n_experts),) if self.selection else ()


@dataclass(frozen=True)
class Experts:
    """n_experts feed-forward networks alike, of which each token uses top_k.

    A shared expert, which every token uses, is a `FeedForward` of the component "shared_experts".
    """

    n_experts: int
    top_k: int
    expert: FeedForward
    id: str = "experts"
    component: str = "experts"

    def parameters(self) -> Quantity:
        one = self.expert.parameters()
        return total(
            self.id, r"N_\text{experts}", all_experts_parameters(n_experts=self.n_experts, expert_parameters=one)
        )

    def active_parameters(self) -> Quantity:
        """The top_k experts that one token goes through."""
        one = self.expert.parameters()
        return total(self.id, r"N_\text{experts}", chosen_experts_parameters(top_k=self.top_k, expert_parameters=one))

    def matrices(self) -> tuple[Matrix, ...]:
        return tuple(matrix.of_experts(self.n_experts) for matrix in self.expert.matrices())

    def widths(self) -> tuple[Width, ...]:
        return self.expert.widths()

    @property
    def inner_width(self) -> int:
        """Of the top_k experts together."""
        return self.top_k * self.expert.inner_width

    @property
    def gated(self) -> bool:
        return self.expert.gated

    def of_rank(self, share: Share) -> Experts:
        """Some experts whole, or a slice of each."""
        if share.experts > 1:
            return replace(self, n_experts=-(-self.n_experts // share.experts))
        return replace(self, expert=self.expert.of_rank(share))

    def pruned(self, share: float) -> Experts:
        """All experts stay, each narrower."""
        return replace(self, expert=self.expert.pruned(share))


@formula(r"N_\text{zero}", "parameters", TRANSFORMERS.at("modeling_longcat_flash.py, LongcatFlashExperts.gate_up_proj"))
def zero_expert_parameters(*, n_experts, d_model, d_ff):
    """Experts that pass a token on as it is: transformers allocates input weights for them, which nothing reads."""
    return n_experts * 2 * d_model * d_ff


@formula("0", "parameters", LONGCAT_2025.at("sec. 2.1, zero-computation experts"))
def zero_work(*, parameters):
    """None of them: such an expert computes nothing."""
    return 0 * parameters


@dataclass(frozen=True)
class ZeroExperts:
    """Experts that compute nothing: a token that is sent to one goes on as it is (LongCat)."""

    n_experts: int
    d_model: int
    d_ff: int
    id: str = "zero_experts"
    component: str = "experts"
    top_k: int = 0

    def parameters(self) -> Quantity:
        return total(self.id, r"N_\text{zero}", self._weights())

    def active_parameters(self) -> Quantity:
        return total(self.id, r"N_\text{zero}", zero_work(parameters=self._weights()))

    def _weights(self) -> Quantity:
        return zero_expert_parameters(n_experts=self.n_experts, d_model=self.d_model, d_ff=self.d_ff)


@dataclass(frozen=True)
class SharedGate:
    """The gate of a shared expert (Qwen 1.5 and 2 MoE)."""

    d_model: int
    id: str = "shared_gate"
    component: str = "shared_experts"

    def parameters(self) -> Quantity:
        return total(self.id, r"N_\text{gate}", shared_gate_parameters(d_model=self.d_model))
