"""The cache of keys and values, counted in numbers (elements) so that any number format can be laid over it."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmcalc.quantity import Quantity, formula
from llmcalc.sources import BELTAGY_2020, DEEPSEEK_V2, SHAZEER_2019, TRANSFORMERS


@formula(r"E_\text{token}", "elements", SHAZEER_2019.at("sec. 2.4.1"))
def key_value_elements(*, n_kv_heads, d_head):
    """One key and one value for each key/value head, for one token in one layer."""
    return 2 * n_kv_heads * d_head


@formula(r"E_\text{token}", "elements", SHAZEER_2019.at("sec. 2.4.1, keys and values of unlike widths"))
def unlike_key_value_elements(*, n_kv_heads, d_head, d_value):
    """One key of d_head and one value of d_value for each key/value head, for one token in one layer."""
    return n_kv_heads * (d_head + d_value)


@formula(r"E_\text{token}", "elements", TRANSFORMERS.at("modeling_gemma3n.py, Gemma3nTextAttention, kv_sharing_mode"))
def borrowed_elements(*, n_kv_heads, d_head):
    """Nothing of its own: the layer reads the keys and values that an earlier one keeps."""
    return 0 * n_kv_heads * d_head


@formula(r"E_\text{token}", "elements", DEEPSEEK_V2.at("sec. 2.1.3, table 1"))
def latent_elements(*, kv_lora_rank, d_rope):
    """Latent attention keeps the compressed vector and the one rotary key that all heads share."""
    return kv_lora_rank + d_rope


@formula(r"E_\text{kv}", "elements", SHAZEER_2019.at("sec. 2.4.1"))
def cached_elements(*, seq_len, kv_elements):
    """Cache of one layer that sees every token so far."""
    return seq_len * kv_elements


@formula(r"S_\text{kept}", "", BELTAGY_2020.at("sec. 3.1"))
def tokens_in_window(*, seq_len, window):
    """Tokens that a layer with a window keeps: what has left the window need not be kept."""
    return np.minimum(seq_len, window)


@formula(r"E_\text{kv}", "elements", BELTAGY_2020.at("sec. 3.1"))
def windowed_elements(*, kept_tokens, kv_elements):
    """Cache of one layer that sees a window of tokens."""
    return kept_tokens * kv_elements


@formula(r"E_\text{prompt}", "elements", TRANSFORMERS.at("cache_utils.py, DynamicSlidingWindowLayer.update"))
def prompt_elements(*, seq_len, kv_elements):
    """Cache of one layer with a window right after the prompt: all of it is held until the next token is computed."""
    return seq_len * kv_elements


def cache_elements(per_token: Quantity, *, seq_len: Any, window: int | None) -> Quantity:
    """The cache of one layer after ``seq_len`` tokens."""
    if window is None:
        return cached_elements(seq_len=seq_len, kv_elements=per_token)
    return windowed_elements(kept_tokens=tokens_in_window(seq_len=seq_len, window=window), kv_elements=per_token)
