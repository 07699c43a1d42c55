"""Every model_type that we can count: the tables of decoders, mixtures and encoders, and models of two stacks.

Each entry was read from the model class of that name in Hugging Face transformers. What a config class fills in when
a file omits a key is in ``defaults.json``, written from those classes by ``tests/oracle/defaults.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from llmcalc.huggingface.code import BART_CODE, M2M_CODE, MARIAN_CODE, MBART_CODE, PEGASUS_CODE, T5_CODE
from llmcalc.huggingface.decoders import DECODERS
from llmcalc.huggingface.encoders import ENCODERS
from llmcalc.huggingface.family import BART_NAMES, T5_NAMES, Family, bart, t5
from llmcalc.huggingface.hybrids import HYBRIDS
from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.mixtures import MIXTURES
from llmcalc.huggingface.more_encoders import MORE_ENCODERS
from llmcalc.huggingface.pairs import (
    BartRecipe,
    T5Recipe,
    build_vanilla,
    global_norm,
    global_tokens,
    speech_to_text_front,
    whisper_front,
)
from llmcalc.huggingface.published import PUBLISHED
from llmcalc.huggingface.read_out import READ_OUT
from llmcalc.huggingface.sparse import SPARSE
from llmcalc.huggingface.two_stacks import TWO_STACKS
from llmcalc.huggingface.unusual import UNUSUAL
from llmcalc.huggingface.variants import VARIANTS

_ENCODER_DECODERS: Mapping[str, Family] = {
    "t5": t5(T5Recipe(code=T5_CODE)),
    "mt5": t5(T5Recipe(code=T5_CODE)),
    "umt5": t5(T5Recipe(bias_in_every_layer=True)),
    "longt5": t5(T5Recipe(long=True)),
    "switch_transformers": t5(T5Recipe(experts=True), {**T5_NAMES, "n_experts": "num_experts"}),
    "bart": bart(BartRecipe(final_norm=False, code=BART_CODE)),
    "mbart": bart(BartRecipe(code=MBART_CODE)),
    "plbart": bart(BartRecipe(final_norm=False)),
    "mvp": bart(BartRecipe(final_norm=False)),
    "pegasus": bart(BartRecipe(positions=0, sinusoids=True, embedding_norm=False, code=PEGASUS_CODE)),
    "marian": bart(BartRecipe(positions=0, sinusoids=True, embedding_norm=False, final_norm=False, code=MARIAN_CODE)),
    "m2m_100": bart(BartRecipe(positions=None, embedding_norm=False, code=M2M_CODE)),
    "nllb-moe": bart(
        BartRecipe(positions=None, embedding_norm=False, experts=True), {**BART_NAMES, "n_experts": "num_experts"}
    ),
    "blenderbot": bart(BartRecipe(positions=0, embedding_norm=False)),
    "blenderbot-small": bart(BartRecipe(positions=0, final_norm=False)),
    "led": bart(
        BartRecipe(
            positions=0, final_norm=False, global_projections=True, encoder_positions="max_encoder_position_embeddings"
        ),
        {**BART_NAMES, "n_positions": "max_decoder_position_embeddings"},
    ),
    "bigbird_pegasus": bart(BartRecipe(positions=0, final_norm=False, attention_bias="use_bias", tied_alone=False)),
    "pegasus_x": bart(
        BartRecipe(
            positions=None,
            embedding_norm=False,
            attention_bias=False,
            front_also=global_tokens,
            encoder_also=global_norm,
        )
    ),
    "whisper": bart(
        BartRecipe(
            positions=0,
            embedding_norm=False,
            key_bias=False,
            one_table=True,
            encoder_positions="max_source_positions",
            encoder_positions_train=False,
            front_also=whisper_front,
        ),
        {**BART_NAMES, "n_positions": "max_target_positions"},
    ),
    "speech_to_text": bart(
        BartRecipe(positions=None, embedding_norm=False, one_table=True, front_also=speech_to_text_front)
    ),
    "vanilla_transformer": Family(
        build_vanilla,
        {
            "d_model": "d_model",
            "n_layers": "encoder_layers",
            "n_decoder_layers": "decoder_layers",
            "n_heads": "n_heads",
            "d_ff": "d_ff",
            "vocab_size": "vocab_size",
        },
        defaults={"bias": True, "tie_word_embeddings": True},
    ),
}
FAMILIES: Mapping[str, Family] = {
    **DECODERS,
    **MIXTURES,
    **HYBRIDS,
    **SPARSE,
    **VARIANTS,
    **PUBLISHED,
    **ENCODERS,
    **MORE_ENCODERS,
    **UNUSUAL,
    **TWO_STACKS,
    **READ_OUT,
    **_ENCODER_DECODERS,
}


@cache
def _read_defaults() -> Mapping[str, Any]:
    return json.loads(resources.files("llmcalc.huggingface").joinpath("defaults.json").read_text("utf-8"))["families"]


def keys_of(model_type: str, config: Mapping[str, Any], given: Family | None = None) -> Keys:
    """``config`` with its family's names, what the config class fills in, and the other names that it accepts.

    ``given`` is the family as one of its classes has it, where that is another.
    """
    family = given or FAMILIES[model_type]
    row = _read_defaults().get(family.defaults_of or model_type, {})
    aliases = {key: tuple(names) for key, names in row.get("aliases", {}).items()} | dict(family.aliases)
    filled_in = {**row.get("defaults", {}), **family.defaults}
    return Keys(model_type, config, family.names, filled_in, aliases, row.get("rounds_heads", False))
