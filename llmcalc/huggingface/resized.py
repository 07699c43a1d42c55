"""A config with other sizes, under the names that its family has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.families import keys_of
from llmcalc.huggingface.family import COMMON
from llmcalc.huggingface.flattened import flat
from llmcalc.huggingface.layers import flat_patterns
from llmcalc.huggingface.named import family_of, language_part, thinker_of

# Lists that have one entry a layer
LISTS_BY_LAYER = (
    *("layer_types", "layers_block_type", "attention_layers", "attn_type_list", "hybrid_layer_pattern"),
    *("mlp_layer_types", "moe_layer_freq", "no_rope_layers", "indexer_types", "index_topk_pattern", "compress_ratios"),
    *("num_attention_heads_per_layer", "block_configs", "intermediate_size"),
)
_NESTED_LISTS = "sparse_attention_config"  # what holds lists of its own of one entry a layer


def names_of_sizes(config: Mapping[str, Any]) -> dict[str, str]:
    """What we call the sizes in ``config``, by its own keys: n_layers by num_hidden_layers."""
    config = thinker_of(config) or config
    family = family_of(config, language_part(config)[1])[1]
    return {key: name for name, key in (COMMON if family is None else family.names).items()}


def override(config: Mapping[str, Any], **dimensions: int) -> dict[str, Any]:
    """A copy of ``config`` with other dimensions, written under the names that this family's configs use.

    Lists with one entry a layer are repeated or cut where n_layers changes. What else the config says stays: a
    head_dim that it gives outright does not follow d_model.

    >>> override({"model_type": "gpt2"}, n_layers=24)
    {'model_type': 'gpt2', 'n_layer': 24}

    Raises InputError for a dimension that the family's configs have no key for.
    """
    if (thinker := thinker_of(config)) is not None:
        return {**config, "thinker_config": override(thinker, **dimensions)}
    config = flat(config)
    path, text = language_part(config)
    model_type, family = family_of(config, text)
    names = COMMON if family is None else family.names
    aliases = {} if family is None else keys_of(model_type, text, family).aliases
    changed = dict(text)
    for name, value in dimensions.items():
        key = names.get(name)
        if key is None:
            message = f"a config of {model_type} has no {name}"
            raise InputError(name, message, tuple(names), code="no_such_size", name=name, model_type=model_type)
        for alias in aliases.get(key, ()):
            changed.pop(alias, None)
        changed[key] = value
    if "n_layers" in dimensions:
        if family is not None and keys_of(model_type, text).has("attention_types"):
            changed["attention_layers"] = changed.get("attention_layers") or flat_patterns(keys_of(model_type, text))
            changed.pop("attention_types", None)
        _resize_lists(changed, dimensions["n_layers"])
    return {**config, path: changed} if path else changed


def _resize_lists(config: dict[str, Any], n_layers: Any) -> None:
    """Lists of one entry a layer, made as long as there are layers now."""
    if not isinstance(n_layers, int) or not 0 < n_layers <= 10_000:
        return

    def resized(entries: Any) -> Any:
        of_layers = isinstance(entries, list | tuple) and entries
        return [entries[i % len(entries)] for i in range(n_layers)] if of_layers else entries

    for key in LISTS_BY_LAYER:
        if key in config:
            config[key] = resized(config[key])
    nested = config.get(_NESTED_LISTS)
    if isinstance(nested, Mapping):
        config[_NESTED_LISTS] = {key: resized(entries) for key, entries in nested.items()}
