"""Layers that predict further tokens (multi-token prediction), which published files hold beside the language model.

The classes of transformers leave them out, and so does what serves a model without speculative decoding: they are
counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from llmcalc.huggingface.keys import MOST_LAYERS, Keys, whole
from llmcalc.transformer.grouped_output import GroupedOutputAttention
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part, matrices
from llmcalc.transformer.tower import PREDICTION, Linear, Tower

# Keys of published configs that count such layers
COUNTED_BY = (
    "num_nextn_predict_layers",
    "mtp_num_hidden_layers",
    "num_mtp_modules",
    "mtp_num_layers",
    "num_mtp_layers",
    "_num_mtp_layers",
)
# Their files hold the token table and the head once more for each such layer (embed_tokens, shared_head.head); those of
# GLM-5 do not, as the Hub's counts of their files show
_COPIES = frozenset({"deepseek_v3", "deepseek_v32", "glm4_moe", "glm4_moe_lite"})
# What a layer of a kind that a config names has
_HAS = {"attention": "attention", "moe": "experts", "mamba": "recurrent", "mlp": "feed_forward"}
_LETTERS = {"*": "attention", "E": "moe", "M": "mamba", "-": "mlp"}


def prediction_layers(model: Model, keys: Keys) -> tuple[Part, ...]:
    """The layers that the config counts, each as DeepSeek-V3 has it: a norm of the token and one of the hidden state,
    a projection of both to the model's width, a layer like the model's last, and a norm (arXiv 2412.19437, sec. 2.2).
    Token table and head are the model's own, of which some files hold copies. Nothing where there are none.

    Some have another layer: where the last one sees what an earlier one's indexer picked, theirs has an indexer of its
    own; Nemotron-H's is one of attention and one of experts; DeepSeek-V4's sees a window only, and joins its streams.
    """
    count = _count(keys)
    norms = (part for part in model.back if isinstance(part, LayerNorm | RMSNorm))
    norm = next((norm for norm in norms if norm.id == "final_norm"), None)
    if not count or norm is None:
        return ()
    d_model = model.width
    tables = tuple(part for part in (*model.front, *model.back) if matrices(part)) if keys.model_type in _COPIES else ()
    parts = (
        *tables,
        replace(norm, id="token_norm"),
        replace(norm, id="hidden_norm"),
        Linear(2 * d_model, d_model, False, "prediction_projection", PREDICTION),
        *_layer(model, keys),
        norm,
    )
    return (Tower((), ((Block(parts, "mtp_block"), count),), (), PREDICTION, PREDICTION, trains=True),)


def _layer(model: Model, keys: Keys) -> tuple[Part, ...]:
    """The parts of the layer itself."""
    layers = model.layers()
    if keys.model_type == "nemotron_h":  # vllm/model_executor/models/nemotron_h_mtp.py
        found = [block for kind in _kinds(keys) if (block := _last(layers, _HAS[kind])) is not None]
        norms = ("attention_norm", "feed_forward_norm")  # each of these layers has one, under one name
        return tuple(
            replace(part, id=norm) if isinstance(part, RMSNorm) and part.id == norms[0] else part
            for block, norm in zip(found, norms, strict=False)
            for part in block.parts
        )
    parts = layers[-1].parts
    if keys.model_type == "deepseek_v4" and not _is_compressed(keys, len(layers)):  # its inference/model.py, MTPBlock
        plain = (
            replace(part, compress_rate=None, selected=None) if isinstance(part, GroupedOutputAttention) else part
            for part in parts
            if part.component != "indexer"
        )
        return (*plain, *(part for part in model.back if part.component == "connections"))
    owner = _last(layers, "indexer") if layers[-1].sees_picked else None
    if owner is not None and owner is not layers[-1]:
        return (*parts, *(part for part in owner.parts if part.component == "indexer"))
    return parts


def _last(layers: Sequence[Block], component: str) -> Block | None:
    has = (block for block in reversed(layers) if any(part.component == component for part in block.parts))
    return next(has, None)


def _kinds(keys: Keys) -> list[str]:
    """Which two layers Nemotron-H's config says that they are made of; attention and experts where it says nothing."""
    for key in ("mtp_hybrid_override_pattern", "mtp_layers_block_type"):
        given = keys.config.get(key)
        kinds = [_LETTERS.get(letter) for letter in given] if isinstance(given, str) else given
        if isinstance(kinds, list) and len(kinds) == len(set(map(str, kinds))) == 2 and all(k in _HAS for k in kinds):
            keys.used[key] = given
            return kinds
    return ["attention", "moe"]


def _is_compressed(keys: Keys, n_layers: int) -> bool:
    """Whether DeepSeek-V4's list of rates, which goes on after the model's layers, has one for what comes next."""
    ratios = keys.config.get("compress_ratios")
    return isinstance(ratios, list) and len(ratios) > n_layers and ratios[n_layers] not in (0, None)


def _count(keys: Keys) -> int:
    if keys.config.get("use_mtp") is False:
        return 0
    for key in COUNTED_BY:
        given = keys.config.get(key)
        if given is not None:
            keys.used[key] = given
            return min(whole(key, given, 0), MOST_LAYERS)
    return 0
