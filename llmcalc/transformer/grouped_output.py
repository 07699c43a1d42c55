"""DeepSeek-V4's attention: one key that is also the value, of all heads, and an output projection in groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import TRANSFORMERS
from llmcalc.transformer.attention import sink_parameters
from llmcalc.transformer.cache import cache_elements
from llmcalc.transformer.flops import score_flops, seen_tokens
from llmcalc.transformer.linear import linear_parameters
from llmcalc.transformer.part import Heads, Matrix, Share, Width

_V4 = "modeling_deepseek_v4.py, DeepseekV4Attention"


@formula("W_{QA}", "parameters", TRANSFORMERS.at(f"{_V4}.q_a_proj"))
def narrow_query_parameters(*, d_model, q_lora_rank):
    """Down-projection of the queries."""
    return d_model * q_lora_rank


@formula("W_{QB}", "parameters", TRANSFORMERS.at(f"{_V4}.q_b_proj"))
def spread_query_parameters(*, q_lora_rank, n_heads, d_head):
    """Up-projection to the queries of all heads."""
    return q_lora_rank * n_heads * d_head


@formula("W_{OA}", "parameters", TRANSFORMERS.at(f"{_V4}.o_a_proj, DeepseekV4GroupedLinear"))
def grouped_output_parameters(*, n_heads, d_head, d_rank):
    """First output projection: the heads of each group to a vector of d_rank."""
    return n_heads * d_head * d_rank


@formula("W_{OB}", "parameters", TRANSFORMERS.at(f"{_V4}.o_b_proj"))
def joined_output_parameters(*, n_groups, d_rank, d_model):
    """Second output projection: the vectors of all groups back to d_model."""
    return n_groups * d_rank * d_model


@formula(r"E_\text{token}", "elements", TRANSFORMERS.at(f"{_V4}, key_value_states"))
def one_vector_elements(*, d_head):
    """One vector, which is the key and the value of every head."""
    return d_head


@dataclass(frozen=True)
class GroupedOutputAttention:
    """Attention to a window of tokens, and to what a compressor beside it keeps of all tokens before.

    ``selected`` is how many compressed entries a token sees at most.
    """

    d_model: int
    n_heads: int
    d_head: int
    q_lora_rank: int
    n_groups: int
    output_rank: int
    window: int | None
    compress_rate: int | None = None
    selected: int | None = None
    sees: str = "past"
    id: str = "attention"
    component: str = "attention"

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        return total(self.id, r"N_\text{attn}", *parts, sink_parameters(n_heads=self.n_heads))

    def matrices(self) -> tuple[Matrix, ...]:
        d, h, w, rank = self.d_model, self.n_heads, self.d_head, self.q_lora_rank
        per_group = w * h // self.n_groups
        outer = joined_output_parameters(n_groups=self.n_groups, d_rank=self.output_rank, d_model=d)
        return (
            Matrix("query_down", d, narrow_query_parameters(d_model=d, q_lora_rank=rank)),
            Matrix("query_up", rank, spread_query_parameters(q_lora_rank=rank, n_heads=h, d_head=w)),
            Matrix("key_value", d, linear_parameters(d_in=d, d_out=w).named("key_value_projection")),
            Matrix("output_group", per_group, grouped_output_parameters(n_heads=h, d_head=w, d_rank=self.output_rank)),
            Matrix("output", self.n_groups * self.output_rank, outer),
        )

    def widths(self) -> tuple[Width, ...]:
        return (Width("n_heads", self.n_heads),)

    @property
    def cache_window(self) -> int | None:
        """How many tokens it keeps by itself."""
        return self.window

    def kv_elements_per_token(self) -> Quantity:
        return one_vector_elements(d_head=self.d_head)

    def kv_cache_elements(self, *, seq_len: Any) -> Quantity:
        return cache_elements(self.kv_elements_per_token(), seq_len=seq_len, window=self.window)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_heads, 1, self.d_head)

    @property
    def n_kv_heads(self) -> int:
        """One: all heads share it."""
        return 1

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def of_rank(self, share: Share) -> GroupedOutputAttention:
        return replace(self, n_heads=share.of(self.n_heads), n_groups=share.of(self.n_groups))

    def pruned(self, share: float) -> GroupedOutputAttention:
        """All of it stays: its heads stand in groups."""
        return self

    def with_kv_heads(self, n_kv_heads: int) -> GroupedOutputAttention:
        """The same: its one key has no heads."""
        return self

    def without_window(self) -> GroupedOutputAttention:
        return replace(self, window=None)

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        """In its window, and over the compressed entries beyond it."""
        seen = seen_tokens(seq_len=seq_len, window=self.window)
        near = score_flops(seen_tokens=seen, n_heads=self.n_heads, d_head=self.d_head)
        if self.compress_rate is None:
            return near
        beyond = seen_tokens(seq_len=seq_len / self.compress_rate, window=self.selected)
        far = score_flops(seen_tokens=beyond, n_heads=self.n_heads, d_head=self.d_head)
        return total("mixing_flops", r"C_\text{attn}", near.named("window_flops"), far.named("compressed_flops"))
