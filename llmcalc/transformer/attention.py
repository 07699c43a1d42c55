"""Multi-head attention with any number of key/value heads: multi-head, grouped-query, multi-query."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import AINSLIE_2023, RADFORD_2019, VASWANI_2017


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


@dataclass(frozen=True)
class Attention:
    """Self-attention: queries of n_heads heads, keys and values of n_kv_heads heads, all d_head wide.

    n_kv_heads = n_heads is multi-head, 1 is multi-query, in between is grouped-query attention.
    """

    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    qkv_bias: bool = False
    output_bias: bool = False
    id: str = "attention"
    component: str = "attention"

    def parameters(self) -> Quantity:
        d, h, kv, w = self.d_model, self.n_heads, self.n_kv_heads, self.d_head
        parts = [
            query_parameters(d_model=d, n_heads=h, d_head=w),
            key_parameters(d_model=d, n_kv_heads=kv, d_head=w),
            value_parameters(d_model=d, n_kv_heads=kv, d_head=w),
            output_parameters(n_heads=h, d_head=w, d_model=d),
        ]
        if self.qkv_bias:
            parts += [
                query_bias(n_heads=h, d_head=w),
                key_bias(n_kv_heads=kv, d_head=w),
                value_bias(n_kv_heads=kv, d_head=w),
            ]
        if self.output_bias:
            parts.append(output_bias(d_model=d))
        return total(self.id, r"N_\text{attn}", *parts)
