"""Memory of inference: weights in any number format, and the cache of keys and values."""

from __future__ import annotations

from typing import Any

from llmcalc.catalog.formats import CACHE_FORMATS, WEIGHT_FORMATS
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import ARTICLE, SHAZEER_2019
from llmcalc.transformer.dimensions import Dimensions


@formula(r"M_\text{model}", "bytes", ARTICLE.at("C"))
def model_memory(*, parameters, bits_per_weight):
    """Bytes of the weights in a number format: bits for each, scales included, by eight."""
    return parameters * bits_per_weight / 8


@formula(r"M_\text{kv}", "bytes", SHAZEER_2019.at("sec. 2.4.1"))
def kv_cache_memory(*, batch_size, seq_len, n_layers, n_kv_heads, d_head, bytes_per_element):
    """Keys and values of every layer for every token so far, of key/value heads only."""
    return 2 * batch_size * seq_len * n_layers * n_kv_heads * d_head * bytes_per_element


def inference_memory(
    dimensions: Dimensions, *, batch_size: Any, seq_len: Any, weight_format: str = "bf16", cache_format: str = "bf16"
) -> Quantity:
    """Weights and a full KV cache; formats are keys of the catalogue. Transient activations are not counted."""
    weights = model_memory(
        parameters=dimensions.model().parameters(), bits_per_weight=WEIGHT_FORMATS[weight_format].bits
    )
    cache = kv_cache_memory(
        batch_size=batch_size,
        seq_len=seq_len,
        n_layers=dimensions.n_layers,
        n_kv_heads=dimensions.kv_heads(),
        d_head=dimensions.head_width(),
        bytes_per_element=CACHE_FORMATS[cache_format].bits / 8,
    )
    return total("inference", r"M_\text{inference}", weights.named("weights"), cache.named("kv_cache"))
