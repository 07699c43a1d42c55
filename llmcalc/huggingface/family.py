"""What an entry of the table of families is: a function that reads it, and what its configs call our dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.pairs import BartRecipe, T5Recipe, build_bart, build_t5
from llmcalc.huggingface.stack import Recipe, build
from llmcalc.transformer.model import Model

Names = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """How to read one model_type: a function from its keys and a task to a model, and its names for our dimensions.

    ``defaults_of`` names the model_type whose config class fills in what is omitted, where that is another one;
    ``defaults`` are those of a family that has no such class, and ``aliases`` other names of its keys.
    """

    build: Callable[[Keys, str], Model]
    names: Names
    defaults_of: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


COMMON: Names = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "d_head": "head_dim",
    "d_ff": "intermediate_size",
    "vocab_size": "vocab_size",
    "n_positions": "max_position_embeddings",
}
SAME_KV = {name: key for name, key in COMMON.items() if name not in ("n_kv_heads", "d_head")}
GPT: Names = {
    "d_model": "n_embd",
    "n_layers": "n_layer",
    "n_heads": "n_head",
    "d_ff": "n_inner",
    "vocab_size": "vocab_size",
    "n_positions": "n_positions",
}
T5_NAMES: Names = {
    "d_model": "d_model",
    "n_layers": "num_layers",
    "n_decoder_layers": "num_decoder_layers",
    "n_heads": "num_heads",
    "d_head": "d_kv",
    "d_ff": "d_ff",
    "vocab_size": "vocab_size",
}
BART_NAMES: Names = {
    "d_model": "d_model",
    "n_layers": "encoder_layers",
    "n_decoder_layers": "decoder_layers",
    "n_heads": "encoder_attention_heads",
    "n_decoder_heads": "decoder_attention_heads",
    "d_ff": "encoder_ffn_dim",
    "d_decoder_ff": "decoder_ffn_dim",
    "vocab_size": "vocab_size",
    "n_positions": "max_position_embeddings",
}

# A decoder alone of a family of two stacks has one set of layers, whose sizes are those of the decoder
_DECODER_ALONE = {"n_decoder_layers": "n_layers", "n_decoder_heads": "n_heads", "d_decoder_ff": "d_ff"}


def decoder_alone(family: Family) -> Family:
    """The family as its class for a decoder alone has it."""
    renamed = {_DECODER_ALONE[name]: key for name, key in family.names.items() if name in _DECODER_ALONE}
    return replace(family, names={**{n: k for n, k in family.names.items() if n not in _DECODER_ALONE}, **renamed})


def expert_names(
    n_experts: str, top_k: str = "num_experts_per_tok", d_expert: str | None = "moe_intermediate_size"
) -> Names:
    """The common names and those of a mixture; without ``d_expert`` an expert is as wide as d_ff."""
    names = {**COMMON, "n_experts": n_experts, "top_k": top_k}
    return {**names, "d_expert": d_expert} if d_expert else names


def stack(recipe: Recipe | Callable[[Keys], Recipe], names: Names = COMMON, defaults_of: str | None = None) -> Family:
    """A family of one stack of layers; its recipe may depend on the config."""

    def read(keys: Keys, task: str) -> Model:
        return build(keys, recipe if isinstance(recipe, Recipe) else recipe(keys), task)

    return Family(read, names, defaults_of)


def unread(family: Family) -> Family:
    """A family whose class has the same weights, but nobody has read how it runs them."""
    return replace(family, build=lambda keys, task: replace(family.build(keys, task), code=None))


def t5(recipe: T5Recipe, names: Names = T5_NAMES) -> Family:
    """A family built like T5."""
    return Family(lambda keys, task: build_t5(keys, recipe, task), names)


def bart(recipe: BartRecipe, names: Names = BART_NAMES) -> Family:
    """A family built like BART."""
    return Family(lambda keys, task: build_bart(keys, recipe, task), names)
