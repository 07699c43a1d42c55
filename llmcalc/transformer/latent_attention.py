"""Multi-head latent attention (DeepSeek V2, V3, Kimi K2): keys and values through one narrow vector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DEEPSEEK_V2, TRANSFORMERS
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.cache import cache_elements, latent_elements
from llmcalc.transformer.flops import latent_score_flops, seen_tokens
from llmcalc.transformer.part import Heads, Matrix, Share, Width, fewer


@formula("W_Q", "parameters", DEEPSEEK_V2.at("sec. 2.1.3"))
def latent_query_parameters(*, d_model, n_heads, d_nope, d_rope):
    """Queries straight from d_model: each head has d_nope channels without and d_rope with rotary positions."""
    return d_model * n_heads * (d_nope + d_rope)


@formula(r"W_{DQ}", "parameters", DEEPSEEK_V2.at("sec. 2.1.2, eq. 12"))
def query_down_parameters(*, d_model, q_lora_rank):
    """Down-projection of the queries to a vector of q_lora_rank."""
    return d_model * q_lora_rank


@formula(r"W_{UQ}", "parameters", DEEPSEEK_V2.at("sec. 2.1.2, eq. 13; 2.1.3, eq. 14"))
def query_up_parameters(*, q_lora_rank, n_heads, d_nope, d_rope):
    """Up-projection of that vector to the queries of all heads."""
    return q_lora_rank * n_heads * (d_nope + d_rope)


@formula(r"W_{UQ}", "parameters", TRANSFORMERS.at("modeling_axk2.py, AXK2Attention.q_gate_proj"))
def gated_query_up_parameters(*, q_lora_rank, n_heads, d_nope, d_rope, d_value):
    """The same, from two vectors of q_lora_rank to the queries and a gate of the values."""
    return 2 * q_lora_rank * n_heads * (d_nope + d_rope + d_value)


@formula(r"W_{DKV}", "parameters", DEEPSEEK_V2.at("sec. 2.1.2, eq. 9; 2.1.3, eq. 15"))
def key_value_down_parameters(*, d_model, kv_lora_rank, d_rope):
    """Down-projection to the vector of kv_lora_rank that is cached, and to the rotary key that all heads share."""
    return d_model * (kv_lora_rank + d_rope)


@formula(r"W_{UKV}", "parameters", DEEPSEEK_V2.at("sec. 2.1.2, eq. 10 and 11"))
def key_value_up_parameters(*, kv_lora_rank, n_heads, d_nope, d_value):
    """Up-projection of the cached vector to keys and values of all heads."""
    return kv_lora_rank * n_heads * (d_nope + d_value)


@formula("W_O", "parameters", DEEPSEEK_V2.at("sec. 2.1.3, eq. 19"))
def latent_output_parameters(*, n_heads, d_value, d_model):
    """Output projection: the values of all heads back to d_model."""
    return n_heads * d_value * d_model


@formula(r"b_{DQ}", "parameters", DEEPSEEK_V2.at("modeling_deepseek.py, q_a_proj"))
def query_down_bias(*, q_lora_rank):
    """Bias of the queries' down-projection."""
    return q_lora_rank


@formula(r"b_{DKV}", "parameters", DEEPSEEK_V2.at("modeling_deepseek.py, kv_a_proj_with_mqa"))
def key_value_down_bias(*, kv_lora_rank, d_rope):
    """Bias of the down-projection of keys and values."""
    return kv_lora_rank + d_rope


@formula("b_O", "parameters", DEEPSEEK_V2.at("modeling_deepseek.py, o_proj"))
def latent_output_bias(*, d_model):
    """Bias of the output projection."""
    return d_model


@dataclass(frozen=True)
class LatentAttention:
    """Latent attention: only a vector of kv_lora_rank and a rotary key of d_rope are kept for a token.

    ``q_lora_rank`` None means that queries are projected directly. Each head's queries and keys have d_nope + d_rope
    channels, its values d_value. The norms of both latent vectors are parts of their own in the block.
    ``selected`` is how many tokens an indexer leaves a token to see: all are kept all the same. ``joint_gate``:
    queries come out of one product with a gate of the values, from two narrow vectors.
    """

    d_model: int
    n_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    d_nope: int
    d_rope: int
    d_value: int
    bias: bool = False
    sees: str = "past"
    window: int | None = None
    selected: int | None = None
    joint_gate: bool = False
    id: str = "attention"
    component: str = "attention"

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        if self.bias and self.q_lora_rank is not None:
            parts.append(query_down_bias(q_lora_rank=self.q_lora_rank))
        if self.bias:
            parts += [
                key_value_down_bias(kv_lora_rank=self.kv_lora_rank, d_rope=self.d_rope),
                latent_output_bias(d_model=self.d_model),
            ]
        return total(self.id, r"N_\text{attn}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        d, h, rank, v = self.d_model, self.n_heads, self.kv_lora_rank, self.d_value
        key_value_down = key_value_down_parameters(d_model=d, kv_lora_rank=rank, d_rope=self.d_rope)
        key_value_up = key_value_up_parameters(kv_lora_rank=rank, n_heads=h, d_nope=self.d_nope, d_value=v)
        return (
            *self._queries(),
            Matrix("key_value_down", d, key_value_down),
            Matrix("key_value_up", rank, key_value_up),
            Matrix("output", h * v, latent_output_parameters(n_heads=h, d_value=v, d_model=d)),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("n_heads", self.n_heads),)

    def _queries(self) -> tuple[Matrix, ...]:
        d, rank = self.d_model, self.q_lora_rank
        per_head = {"n_heads": self.n_heads, "d_nope": self.d_nope, "d_rope": self.d_rope}
        if rank is None:
            return (Matrix("query", d, latent_query_parameters(d_model=d, **per_head)),)
        down = Matrix("query_down", d, query_down_parameters(d_model=d, q_lora_rank=rank))
        if self.joint_gate:
            up = gated_query_up_parameters(q_lora_rank=rank, d_value=self.d_value, **per_head)
            return down, Matrix("query_up", 2 * rank, up)
        return (
            down,
            Matrix("query_up", rank, query_up_parameters(q_lora_rank=rank, **per_head)),
        )

    @property
    def cache_window(self) -> int | None:
        """How many tokens it keeps, None for all."""
        return self.window

    def kv_elements_per_token(self) -> Quantity:
        return latent_elements(kv_lora_rank=self.kv_lora_rank, d_rope=self.d_rope)

    def kv_cache_elements(self, *, seq_len: Any) -> Quantity:
        return cache_elements(self.kv_elements_per_token(), seq_len=seq_len, window=self.cache_window)

    @property
    def heads(self) -> Heads:
        """What it expands to: a key and a value for every head."""
        return Heads(self.n_heads, self.n_heads, self.d_nope + self.d_rope)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        """None: its norms stand on the narrow vectors."""
        return ()

    @property
    def traits(self) -> frozenset[str]:
        return frozenset({"latent"})

    def of_rank(self, share: Share) -> LatentAttention:
        """Both down-projections, and what is cached, are whole on every rank."""
        return replace(self, n_heads=share.of(self.n_heads))

    def pruned(self, share: float) -> LatentAttention:
        return replace(self, n_heads=fewer(self.n_heads, share))

    def with_kv_heads(self, n_kv_heads: int) -> Attention:
        """Plain attention whose heads are as wide as its values are."""
        return Attention(self.d_model, self.n_heads, n_kv_heads, self.d_value, id=self.id)

    def without_window(self) -> LatentAttention:
        return replace(self, window=None)

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        seen = seen_tokens(seq_len=seq_len, window=self.selected or self.window)
        widths = {"d_nope": self.d_nope, "d_rope": self.d_rope, "d_value": self.d_value}
        return latent_score_flops(seen_tokens=seen, n_heads=self.n_heads, **widths)
