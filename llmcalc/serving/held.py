"""Memory of inference: weights in any number format, and the cache of keys and values."""

from __future__ import annotations

from typing import Any

from llmcalc.catalog.formats import CACHE_FORMATS
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import ARTICLE, GU_2023, SHAZEER_2019, TRANSFORMERS
from llmcalc.stored.weights import stored_weights
from llmcalc.transformer.model import Model


@formula(r"M_\text{model}", "bytes", ARTICLE.at("C"))
def model_memory(*, parameters, bits_per_weight):
    """Bytes of the weights in a number format: bits for each, scales included, by eight."""
    return parameters * bits_per_weight / 8


@formula(r"M_\text{kv}", "bytes", SHAZEER_2019.at("sec. 2.4.1"))
def kv_cache_memory(*, batch_size, cache_elements, bytes_per_element):
    """The cache of every sequence in the batch, each value in so many bytes."""
    return batch_size * cache_elements * bytes_per_element


@formula(r"M_\text{state}", "bytes", GU_2023.at("sec. 3.4; mamba_ssm: allocate_inference_cache"))
def state_memory(*, batch_size, state_elements, bytes_per_element):
    """The states of every sequence in the batch, in the format of the activations."""
    return batch_size * state_elements * bytes_per_element


@formula(r"M_\text{state, fp32}", "bytes", TRANSFORMERS.at("modeling_qwen3_next.py, torch_chunk_gated_delta_rule"))
def state_memory_fp32(*, batch_size, state_elements):
    """States that the code keeps in fp32: four bytes for each number."""
    return 4 * batch_size * state_elements


def inference_memory(
    model: Model, *, batch_size: Any, seq_len: Any, weight_format: str = "bf16", cache_format: str = "bf16"
) -> Quantity:
    """Weights as they are stored, a full KV cache while tokens are decoded, and states where layers keep any.

    Formats are those of the catalogue, which also says what of a model each of them quantises. Transient activations
    are not counted, nor what layers with a window hold between the prompt and the first new token: that is
    `prompt_memory`. Keys and values are those of the model's own heads, as engines that serve it hold them; where
    transformers caches more, Falcon's new decoder spreading them over all heads of queries first, `inference` counts
    what it holds.

    ``batch_size`` and ``seq_len`` may be arrays: then the result is a sweep.
    """
    return _weights_and(model.kv_cache_elements(seq_len=seq_len), model, batch_size, weight_format, cache_format)


def prompt_memory(
    model: Model, *, batch_size: Any, seq_len: Any, weight_format: str = "bf16", cache_format: str = "bf16"
) -> Quantity:
    """The same when prompts of ``seq_len`` tokens were read in one pass and no token has been decoded yet.

    It is more where layers have a window, for transformers' dynamic cache; a static one never exceeds the window.
    """
    return _weights_and(model.prompt_cache_elements(seq_len=seq_len), model, batch_size, weight_format, cache_format)


def _weights_and(elements: Quantity, model: Model, batch_size: Any, weight_format: str, cache_format: str) -> Quantity:
    cache = _cache_of(elements, batch_size, cache_format)
    weights = stored_weights(model, weight_format)
    parts = [weights.named("weights"), cache.named("kv_cache")]
    if model.keeps_states:
        parts.append(states_memory(model, batch_size=batch_size, cache_format=cache_format))
    return total("inference", r"M_\text{inference}", *parts)


def full_cache(model: Model, *, batch_size: Any, seq_len: Any, cache_format: str = "bf16") -> Quantity:
    """The KV cache of so many sequences of that length."""
    return _cache_of(model.kv_cache_elements(seq_len=seq_len), batch_size, cache_format)


def _cache_of(elements: Quantity, batch_size: Any, cache_format: str) -> Quantity:
    width = CACHE_FORMATS[cache_format].bits / 8
    memory: Quantity = kv_cache_memory(batch_size=batch_size, cache_elements=elements, bytes_per_element=width)
    return memory


def states_memory(model: Model, *, batch_size: Any, cache_format: str = "bf16") -> Quantity:
    """What the layers keep of every sequence however long it is: 16 bits a number, or 32 where the code, or a cache in
    fp32, says so. No state is kept in fewer."""
    width = 4 if cache_format == "fp32" else 2
    parts = []
    if (plain := model.state_elements(fp32=False)).value:
        parts.append(state_memory(batch_size=batch_size, state_elements=plain, bytes_per_element=width))
    if (wide := model.state_elements(fp32=True)).value:
        parts.append(state_memory_fp32(batch_size=batch_size, state_elements=wide))
    return total("states", r"M_\text{states}", *parts)


def cache_per_token(model: Model, *, cache_format: str = "bf16") -> Quantity:
    """What one more token of one sequence adds to the KV cache, while no window is full. An encoder's is 0."""
    return _cache_of(model.kv_elements_per_token(), 1, cache_format).named("cache_per_token")
