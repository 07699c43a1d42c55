"""Attention with any number of key/value heads: multi-head, grouped-query, multi-query; self or cross."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import (
    AGARWAL_2025,
    AINSLIE_2023,
    BELTAGY_2020,
    GLORIOSO_2024,
    HE_2020,
    QIU_2025,
    RADFORD_2019,
    VASWANI_2017,
)
from llmcalc.transformer.cache import borrowed_elements, cache_elements, key_value_elements, unlike_key_value_elements
from llmcalc.transformer.flops import score_flops, seen_tokens, unlike_score_flops
from llmcalc.transformer.part import Heads, Matrix, Share, Width, fewer


@formula("W_Q", "parameters", VASWANI_2017.at("sec. 3.2.2"))
def query_parameters(*, d_model, n_heads, d_head):
    """Query projection: d_model to n_heads heads of d_head."""
    return d_model * n_heads * d_head


@formula("W_K", "parameters", AINSLIE_2023.at("sec. 2.2"))
def key_parameters(*, d_model, n_kv_heads, d_head):
    """Key projection: d_model to n_kv_heads heads of d_head (n_kv_heads = n_heads in multi-head attention)."""
    return d_model * n_kv_heads * d_head


@formula("W_V", "parameters", AINSLIE_2023.at("sec. 2.2"))
def value_parameters(*, d_model, n_kv_heads, d_head):
    """Value projection: d_model to n_kv_heads heads of d_head."""
    return d_model * n_kv_heads * d_head


@formula("W_O", "parameters", VASWANI_2017.at("sec. 3.2.2"))
def output_parameters(*, n_heads, d_head, d_model):
    """Output projection: the concatenated heads back to d_model."""
    return n_heads * d_head * d_model


@formula("W_Q", "parameters", GLORIOSO_2024.at("sec. 2, the shared block reads the stream and the embeddings"))
def wide_query_parameters(*, d_in, n_heads, d_head):
    """Query projection of attention whose input is wider than the stream."""
    return d_in * n_heads * d_head


@formula("W_K", "parameters", GLORIOSO_2024.at("sec. 2, the shared block reads the stream and the embeddings"))
def wide_key_parameters(*, d_in, n_kv_heads, d_head):
    """Key projection of attention whose input is wider than the stream."""
    return d_in * n_kv_heads * d_head


@formula("W_V", "parameters", GLORIOSO_2024.at("sec. 2, the shared block reads the stream and the embeddings"))
def wide_value_parameters(*, d_in, n_kv_heads, d_value):
    """Value projection where its input, or its heads, are of a width of their own."""
    return d_in * n_kv_heads * d_value


@formula("W_O", "parameters", VASWANI_2017.at("sec. 3.2.2, d_v"))
def value_output_parameters(*, n_heads, d_value, d_model):
    """Output projection of heads whose values have a width of their own."""
    return n_heads * d_value * d_model


@formula("b_Q", "parameters", RADFORD_2019.at("src/model.py, conv1d"))
def query_bias(*, n_heads, d_head):
    """Bias of the query projection."""
    return n_heads * d_head


@formula("b_K", "parameters", RADFORD_2019.at("src/model.py, conv1d"))
def key_bias(*, n_kv_heads, d_head):
    """Bias of the key projection."""
    return n_kv_heads * d_head


@formula("b_V", "parameters", RADFORD_2019.at("src/model.py, conv1d"))
def value_bias(*, n_kv_heads, d_head):
    """Bias of the value projection."""
    return n_kv_heads * d_head


@formula("b_O", "parameters", RADFORD_2019.at("src/model.py, conv1d"))
def output_bias(*, d_model):
    """Bias of the output projection."""
    return d_model


@formula("s", "parameters", AGARWAL_2025.at("sec. 2.2, attention"))
def sink_parameters(*, n_heads):
    """Attention sinks: one learned number for each head, in the softmax's denominator."""
    return n_heads


@formula("W_G", "parameters", QIU_2025.at("sec. 2.2"))
def attention_gate_parameters(*, d_model, n_heads, d_head):
    """Gate on the output of every head: a projection as wide as the queries."""
    return d_model * n_heads * d_head


@formula("W_{K,r}", "parameters", HE_2020.at("sec. 3.1, eq. 4"))
def position_key_parameters(*, d_model, n_heads, d_head):
    """Keys of relative positions (disentangled attention), with bias."""
    return (d_model + 1) * n_heads * d_head


@formula("W_{Q,r}", "parameters", HE_2020.at("sec. 3.1, eq. 4"))
def position_query_parameters(*, d_model, n_heads, d_head):
    """Queries of relative positions (disentangled attention), with bias."""
    return (d_model + 1) * n_heads * d_head


@formula(r"W_\text{global}", "parameters", BELTAGY_2020.at("sec. 3.1, linear projections for global attention"))
def global_projection_parameters(*, d_model, n_heads, d_head):
    """A second set of query, key and value projections, with biases, for the tokens that see everything."""
    return 3 * (d_model + 1) * n_heads * d_head


@dataclass(frozen=True)
class Attention:
    """Queries of n_heads heads, keys and values of n_kv_heads heads, all d_head wide, and a projection back.

    n_kv_heads = n_heads is multi-head, 1 is multi-query, in between is grouped-query attention. ``sees`` is "past",
    "all" or "source" (cross-attention). ``window`` is how many tokens it sees, None for all: a window changes no
    parameter, but bounds the cache, unless the code ``caches_all`` tokens and hides those beyond it by a mask. Norms of
    queries and keys are parts of their own in the block.

    ``d_value`` is the width of a head's values where it differs, ``d_in`` that of the input. ``key_is_value``: one
    projection gives keys and values. ``borrows``: keys and values are those of an earlier layer, which ``lends`` them.
    ``selected`` is how many tokens an indexer leaves a token to see: all are kept all the same. Without
    ``common_queries`` experts beside it have the projections of queries and output (JetMoE).
    """

    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    qkv_bias: bool = False
    output_bias: bool = False
    sinks: bool = False
    gate: bool = False
    position_keys: bool = False
    position_queries: bool = False
    global_projections: bool = False
    sees: str = "past"
    window: int | None = None
    caches_all: bool = False
    d_value: int | None = None
    d_in: int | None = None
    key_is_value: bool = False
    borrows: bool = False
    lends: bool = False
    selected: int | None = None
    common_queries: bool = True
    id: str = "attention"
    component: str = "attention"

    def parameters(self) -> Quantity:
        d, h, kv, w = self.d_model, self.n_heads, self.n_kv_heads, self.d_head
        parts = [matrix.parameters for matrix in self._projections()]
        if self.qkv_bias:
            parts.append(query_bias(n_heads=h, d_head=w))
        if self.qkv_bias and not self.borrows:
            parts.append(key_bias(n_kv_heads=kv, d_head=w))
        if self.qkv_bias and not self.borrows and not self.key_is_value:
            parts.append(value_bias(n_kv_heads=kv, d_head=self.d_value or w))
        if self.output_bias:
            parts.append(output_bias(d_model=d))
        if self.sinks:
            parts.append(sink_parameters(n_heads=h))
        parts += [matrix.parameters for matrix in self._gate()]
        if self.position_keys:
            parts.append(position_key_parameters(d_model=d, n_heads=h, d_head=w))
        if self.position_queries:
            parts.append(position_query_parameters(d_model=d, n_heads=h, d_head=w))
        if self.global_projections:
            parts.append(global_projection_parameters(d_model=d, n_heads=h, d_head=w))
        return total(self.id, r"N_\text{attn}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        return (*self._projections(), *self._gate())

    def widths(self) -> tuple[Width, ...]:
        queries = Width("n_heads", self.n_heads)
        keys = Width("n_kv_heads", self.n_kv_heads, may_repeat=True)
        together = Width("n_qkv_heads", self.n_heads + 2 * self.n_kv_heads, joins=(queries, keys, keys))
        return queries, keys, together

    def _projections(self) -> tuple[Matrix, ...]:
        d, h, kv, w = self.d_model, self.n_heads, self.n_kv_heads, self.d_head
        d_in, v = self.d_in or d, self.d_value or w
        if d_in == d:
            query, key = (
                query_parameters(d_model=d, n_heads=h, d_head=w),
                key_parameters(d_model=d, n_kv_heads=kv, d_head=w),
            )
        else:
            query = wide_query_parameters(d_in=d_in, n_heads=h, d_head=w)
            key = wide_key_parameters(d_in=d_in, n_kv_heads=kv, d_head=w)
        if (d_in, v) == (d, w):
            value = value_parameters(d_model=d, n_kv_heads=kv, d_head=w)
        else:
            value = wide_value_parameters(d_in=d_in, n_kv_heads=kv, d_value=v)
        if v == w:
            output = output_parameters(n_heads=h, d_head=w, d_model=d)
        else:
            output = value_output_parameters(n_heads=h, d_value=v, d_model=d)
        found = [Matrix("query", d_in, query)]
        if not self.borrows:
            found.append(Matrix("key", d_in, key))
        if not self.borrows and not self.key_is_value:
            found.append(Matrix("value", d_in, value))
        found.append(Matrix("output", h * v, output))
        return tuple(found if self.common_queries else found[1:-1])

    def _gate(self) -> tuple[Matrix, ...]:
        if not self.gate:
            return ()
        gate = attention_gate_parameters(d_model=self.d_model, n_heads=self.n_heads, d_head=self.d_head)
        return (Matrix("attention_gate", self.d_model, gate),)

    @property
    def cache_window(self) -> int | None:
        """How many tokens it keeps, None for all."""
        return None if self.caches_all else self.window

    @property
    def value_width(self) -> int:
        return 0 if self.borrows else self.n_kv_heads * (self.d_value or self.d_head)

    def kv_elements_per_token(self) -> Quantity:
        if self.borrows:
            return borrowed_elements(n_kv_heads=self.n_kv_heads, d_head=self.d_head)
        if self.d_value is not None:
            widths = {"d_head": self.d_head, "d_value": self.d_value}
            return unlike_key_value_elements(n_kv_heads=self.n_kv_heads, **widths)
        return key_value_elements(n_kv_heads=self.n_kv_heads, d_head=self.d_head)

    def kv_cache_elements(self, *, seq_len: Any) -> Quantity:
        return cache_elements(self.kv_elements_per_token(), seq_len=seq_len, window=self.cache_window)

    @property
    def heads(self) -> Heads:
        return Heads(self.n_heads, self.n_kv_heads, self.d_head)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return self.n_heads * self.d_head, self.n_kv_heads * self.d_head

    @property
    def traits(self) -> frozenset[str]:
        return frozenset({"attention_bias"} if self.qkv_bias else ())

    def of_rank(self, share: Share) -> Attention:
        """Key/value heads fewer than the ranks are there on each."""
        return replace(self, n_heads=share.of(self.n_heads), n_kv_heads=share.of(self.n_kv_heads))

    def pruned(self, share: float) -> Attention:
        """Whole groups of query heads go, with their key/value head; queries go where only one is there."""
        n_kv_heads = fewer(self.n_kv_heads, share)
        sharing = self.n_heads // self.n_kv_heads if self.n_kv_heads > 1 else fewer(self.n_heads, share)
        return replace(self, n_kv_heads=n_kv_heads, n_heads=n_kv_heads * sharing)

    def with_kv_heads(self, n_kv_heads: int) -> Attention:
        return replace(self, n_kv_heads=n_kv_heads, window=None)

    def without_window(self) -> Attention:
        return replace(self, window=None)

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        seen = seen_tokens(seq_len=seq_len, window=self.selected or self.window)
        if self.d_value is not None:
            widths = {"d_head": self.d_head, "d_value": self.d_value}
            return unlike_score_flops(seen_tokens=seen, n_heads=self.n_heads, **widths)
        return score_flops(seen_tokens=seen, n_heads=self.n_heads, d_head=self.d_head)
