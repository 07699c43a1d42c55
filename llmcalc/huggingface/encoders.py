"""Encoders: BERT and its kin. One entry a model_type, read from the model class of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from llmcalc.huggingface.decoders import LLAMA
from llmcalc.huggingface.family import COMMON, SAME_KV, Family, stack
from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.layers import Windows, periodic
from llmcalc.huggingface.stack import (
    LAYER_NORM_NO_BIAS,
    POST,
    PRE,
    MaskedHead,
    Recipe,
)
from llmcalc.transformer.head import Classifier
from llmcalc.transformer.norm import LayerNorm

BERT = Recipe(
    norm=LayerNorm,
    layout=POST,
    embedding_norm=True,
    final_norm=False,
    positions=0,
    types="type_vocab_size",
    qkv_bias=True,
    output_bias=True,
    gated=False,
    ffn_bias=True,
    head=MaskedHead(),
    pooler=True,
    cross="add_cross_attention",
    cross_needs="is_decoder",
    pretraining=partial(Classifier, n_labels=2),
    causal=False,
)
ROBERTA = replace(BERT, pretraining=None)
PRE_BERT = replace(BERT, layout=PRE, final_norm=True)
MODERNBERT = Recipe(
    norm=LAYER_NORM_NO_BIAS,
    embedding_norm=True,
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    ffn_bias="mlp_bias",
    first_attention_norm=False,
    causal=False,
    head=MaskedHead(dense_bias="classifier_bias", norm_bias="norm_bias", bias="decoder_bias", second_bias=False),
)


def _modernbert(keys: Keys) -> Recipe:
    norm = LayerNorm if keys.flag("norm_bias") else LAYER_NORM_NO_BIAS
    every = keys.optional("global_attn_every_n_layers") or 3
    return replace(MODERNBERT, norm=norm, windows=periodic(every, first_global=True, window="local_attention"))


def _modernbert_decoder(keys: Keys) -> Recipe:
    """A decoder sees only the half of the window that lies behind a token."""
    recipe = _modernbert(keys)
    both_sides = recipe.windows

    def behind(keys: Keys, n_layers: int) -> Windows:
        return tuple(w and max(1, w // 2) for w in (both_sides(keys, n_layers) if both_sides else ()))

    return replace(recipe, windows=behind, causal=True)


def _deberta(keys: Keys) -> Recipe:
    """Disentangled attention: a table of relative positions, projected by matrices of its own unless it shares them."""
    keys.refuse_other_than("conv_kernel_size", (0,))
    keys.refuse_other_than("legacy", (True,))
    recipe = replace(BERT, positions=0 if keys.flag("position_biased_input") else None, pooler=False, pretraining=None)
    if keys.has("norm_rel_ebd") and "layer_norm" in keys.text("norm_rel_ebd").lower().split("|"):
        recipe = replace(recipe, relative_norm=True)
    if not keys.flag("relative_attention"):
        return recipe
    buckets, farthest = keys.optional("position_buckets", -1) or -1, keys.size("max_relative_positions", -1)
    if farthest < 1:
        farthest = keys.dimension("n_positions")
    recipe = replace(recipe, relative_embedding=buckets if buckets > 0 else farthest)
    if keys.flag("share_att_key"):
        return recipe
    kinds = keys.words("pos_att_type")
    return replace(recipe, position_keys="c2p" in kinds, position_queries="p2c" in kinds)


ENCODERS: Mapping[str, Family] = {
    "bert": stack(BERT, SAME_KV),
    "roberta": stack(ROBERTA, SAME_KV),
    "xlm-roberta": stack(ROBERTA, SAME_KV),
    "camembert": stack(ROBERTA, SAME_KV),
    "data2vec-text": stack(ROBERTA, SAME_KV),
    "ibert": stack(ROBERTA, SAME_KV),
    "ernie": stack(replace(BERT, task_types=("use_task_id", "task_type_vocab_size")), SAME_KV),
    "big_bird": stack(replace(BERT, qkv_bias="use_bias", pooler_always=True), SAME_KV),
    "longformer": stack(replace(ROBERTA, global_projections=True), SAME_KV),
    "distilbert": stack(
        replace(BERT, types=None, head=MaskedHead(second_bias=False), pooler=False, pretraining=None),
        {**SAME_KV, "d_model": "dim", "n_layers": "n_layers", "n_heads": "n_heads", "d_ff": "hidden_dim"},
    ),
    "electra": stack(
        replace(
            BERT,
            embedding_width="embedding_size",
            head=MaskedHead(width="embedding_size", second_bias=False),
            pooler=False,
            pretraining=partial(Classifier, n_labels=1, dense=True),
        ),
        SAME_KV,
    ),
    "albert": stack(
        replace(
            BERT,
            embedding_width="embedding_size",
            always_project=True,
            head=MaskedHead(width="embedding_size"),
            shared_layers=True,
        ),
        SAME_KV,
    ),
    "rembert": stack(
        replace(
            BERT,
            embedding_width="input_embedding_size",
            always_project=True,
            head=MaskedHead(width="output_embedding_size", second_bias=False),
            pretraining=None,
            tied=False,
        ),
        SAME_KV,
    ),
    "mpnet": stack(replace(ROBERTA, types=None, relative_buckets="relative_attention_num_buckets"), SAME_KV),
    "megatron-bert": stack(replace(PRE_BERT, embedding_norm=False), SAME_KV),
    "roberta-prelayernorm": stack(replace(PRE_BERT, pretraining=None), SAME_KV),
    "xlm-roberta-xl": stack(replace(PRE_BERT, embedding_norm=False, pretraining=None), SAME_KV),
    "deberta-v2": stack(_deberta, SAME_KV),
    "nomic_bert": stack(
        replace(
            BERT,
            positions=None,
            gated=True,
            qkv_bias=False,
            output_bias=False,
            ffn_bias=False,
            pooler=False,
            pretraining=None,
        ),
        {k: v for k, v in COMMON.items() if k != "n_kv_heads"},
    ),
    "eurobert": stack(replace(LLAMA, head_bias="mlp_bias", causal=False)),
    "modernbert": stack(_modernbert, SAME_KV),
    "modernbert-decoder": stack(_modernbert_decoder, SAME_KV),
}
