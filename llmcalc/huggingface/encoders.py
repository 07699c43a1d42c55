"""Encoders: BERT and its kin. One entry a model_type, read from the model class of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from llmcalc.huggingface.code import (
    ALBERT_CODE,
    BERT_CODE,
    DEBERTA_CODE,
    DISTILBERT_CODE,
    ELECTRA_CODE,
    MODERNBERT_CODE,
    ROBERTA_CODE,
)
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
from llmcalc.transformer.embedding import LearnedPositions, TypeEmbedding
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Classifier
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import Linear, Vectors

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
    code=BERT_CODE,
)
# Counts positions from the padding token's id, 1, on: the first token has the third row
ROBERTA = replace(BERT, padded=2, pretraining=None, code=ROBERTA_CODE)
# Their parameters alone were read
UNREAD = replace(ROBERTA, padded=0, code=None)
PRE_BERT = replace(BERT, layout=PRE, final_norm=True, code=None)
MODERNBERT = Recipe(
    norm=LAYER_NORM_NO_BIAS,
    embedding_norm=True,
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    ffn_bias="mlp_bias",
    first_attention_norm=False,
    causal=False,
    head=MaskedHead(dense_bias="classifier_bias", norm_bias="norm_bias", bias="decoder_bias", second_bias=False),
    code=MODERNBERT_CODE,
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

    return replace(recipe, windows=behind, causal=True, code=None)


def _deberta(keys: Keys) -> Recipe:
    """Disentangled attention: a table of relative positions, projected by matrices of its own unless it shares them."""
    keys.refuse_other_than("conv_kernel_size", (0,))
    keys.refuse_other_than("legacy", (True,))
    positions = 0 if keys.flag("position_biased_input") else None
    recipe = replace(BERT, positions=positions, pooler=False, pretraining=None, code=DEBERTA_CODE)
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


def _deberta_v1(keys: Keys) -> Recipe:
    """Queries and values have a bias, keys none; positions' keys have none either."""
    keys.refuse_other_than("talking_head", (False,))
    keys.refuse_other_than("legacy", (True,))
    recipe = replace(
        BERT,
        positions=0 if keys.flag("position_biased_input") else None,
        qkv_bias=False,
        pooler=False,
        pretraining=None,
        cross=False,
        code=None,
    )
    relative, kinds = keys.flag("relative_attention"), keys.words("pos_att_type")
    farthest = keys.size("max_relative_positions", -1)

    def also(keys: Keys) -> tuple[Part, ...]:
        d = keys.dimension("d_model")
        parts: list[Part] = [Vectors(2, d, "query_value_bias", "attention")]
        if relative and "c2p" in kinds:
            parts.append(Linear(d, d, False, "position_keys", "attention"))
        if relative and "p2c" in kinds:
            parts.append(Linear(d, d, True, "position_queries", "attention"))
        return tuple(parts)

    if relative:
        recipe = replace(recipe, relative_embedding=farthest if farthest > 0 else keys.dimension("n_positions"))
    return replace(recipe, layer_also=also)


def _roformer_positions(keys: Keys) -> tuple[Part, ...]:
    """A table of sinusoids as wide as a head, which does not train."""
    width = keys.dimension("d_model") // keys.dimension("n_heads")
    return (LearnedPositions(keys.dimension("n_positions"), width, trains=False),)


def _layout_positions(keys: Keys) -> tuple[Part, ...]:
    """Where a word stands on the page, and how wide and high it is."""
    return (LearnedPositions(4 * keys.size("max_2d_position_embeddings"), keys.dimension("d_model"), "page_positions"),)


def _sounds_and_shapes(keys: Keys) -> tuple[Part, ...]:
    """RoCBERT: how a character sounds and looks, mapped to the width together with its vector."""
    d = keys.dimension("d_model")
    sound, shape = keys.size("pronunciation_embed_dim"), keys.size("shape_embed_dim")
    parts: list[Part] = [
        TypeEmbedding(keys.size("pronunciation_vocab_size"), sound, "pronunciation_embedding"),
        TypeEmbedding(keys.size("shape_vocab_size"), shape, "shape_embedding"),
    ]
    joined = d + sound * keys.flag("enable_pronunciation") + shape * keys.flag("enable_shape")
    if keys.flag("concat_input"):
        parts.append(Linear(joined, d, True, "input_projection", "embedding"))
    return tuple(parts)


def _tapas_types(keys: Keys) -> tuple[Part, ...]:
    rows = sum(keys.list_of("type_vocab_sizes", int) or [])
    return (TypeEmbedding(rows, keys.dimension("d_model")),) if rows else ()


def _nystrom_convolution(keys: Keys) -> tuple[Part, ...]:
    size = keys.optional("conv_kernel_size")
    return (Vectors(keys.dimension("n_heads"), size, "convolution", "attention"),) if size else ()


def _yoso_convolution(keys: Keys) -> tuple[Part, ...]:
    size = keys.optional("conv_window")
    return (Vectors(keys.dimension("n_heads"), size, "convolution", "attention"),) if size else ()


def _bert(keys: Keys) -> Recipe:
    """BERT's own, and with the code that files of MosaicBERT and of Jina's second embeddings bring: scores by distance
    in place of a table of positions, and gated networks of which the last layer alone has a bias."""
    gated = keys.config.get("feed_forward_type")
    if "alibi_starting_size" not in keys.config and gated is None:
        return BERT
    for key in ("alibi_starting_size", "feed_forward_type"):
        if key in keys.config:
            keys.used[key] = keys.config[key]
    if gated is not None:
        keys.refuse_other_than("feed_forward_type", ("geglu", "reglu"))
        keys.refuse_other_than("position_embedding_type", ("alibi",))
    gates = replace(BERT, positions=None, gated=True, ffn_bias=False, layer_also=_down_bias, code=None)
    return replace(gates, cross=False)


def _down_bias(keys: Keys) -> tuple[Part, ...]:
    """Only the last of a network's layers has a bias."""
    return (Vectors(1, keys.dimension("d_model"), "down_bias", "feed_forward"),)


def _language_adapters(keys: Keys) -> tuple[Part, ...]:
    """X-MOD: a narrow network for each language."""
    keys.refuse_other_than("adapter_layer_norm", (False,))
    d, number = keys.dimension("d_model"), len(keys.list_of("languages", str) or [])
    if not number:
        return ()
    inner = d // keys.size("adapter_reduction_factor")
    network = FeedForward(d, number * inner, bias=True, id="language_adapters")
    return (network, Vectors(number - 1, d, "adapter_bias", "feed_forward")) if number > 1 else (network,)


def _xmod(keys: Keys) -> Recipe:
    keys.refuse_other_than("pre_norm", (False,))
    return replace(UNREAD, padded=2, layer_also=_language_adapters)


def _xlm(keys: Keys) -> Recipe:
    n_langs = keys.optional("n_langs") or 1
    recipe = Recipe(
        norm=LayerNorm, layout=POST, embedding_norm=True, final_norm=False, positions=0, qkv_bias=True,
        output_bias=True, gated=False, ffn_bias=True, d_ff=4, head_bias=True, causal=False,
    )  # fmt: skip
    keys.refuse_other_than("asm", (False,))
    if n_langs > 1 and keys.flag("use_lang_emb"):
        return replace(recipe, types="n_langs")
    return recipe


_XLM_NAMES = {
    "d_model": "emb_dim",
    "n_layers": "n_layers",
    "n_heads": "n_heads",
    "vocab_size": "vocab_size",
    "n_positions": "max_position_embeddings",
}

ENCODERS: Mapping[str, Family] = {
    "flaubert": stack(_xlm, _XLM_NAMES),
    "xlm": stack(_xlm, _XLM_NAMES),
    "deberta": stack(_deberta_v1, SAME_KV),
    "gte": stack(
        replace(
            UNREAD,
            positions=None,
            pooler=False,
            gated=True,
            ffn_bias=False,
            layer_also=_down_bias,
            cross=False,
            head=MaskedHead(second_bias=False),
        ),
        SAME_KV,
    ),
    "jina_embeddings_v3": stack(replace(UNREAD, positions=None, cross=False), SAME_KV),
    "layoutlm": stack(replace(UNREAD, front_also=_layout_positions, pooler_always=True, cross=False), SAME_KV),
    "mra": stack(replace(UNREAD, positions=2, cross=False, pooler=False), SAME_KV),
    "nystromformer": stack(
        replace(UNREAD, positions=2, layer_also=_nystrom_convolution, cross=False, pooler=False), SAME_KV
    ),
    "roc_bert": stack(replace(UNREAD, front_also=_sounds_and_shapes), SAME_KV),
    "roformer": stack(
        replace(
            UNREAD,
            positions=None,
            front_also=_roformer_positions,
            embedding_width="embedding_size",
            head=MaskedHead(width="embedding_size"),
            pooler=False,
        ),
        SAME_KV,
    ),
    "tapas": stack(replace(UNREAD, types=None, front_also=_tapas_types), SAME_KV),
    "xmod": stack(_xmod, SAME_KV),
    "yoso": stack(replace(UNREAD, positions=2, layer_also=_yoso_convolution, cross=False, pooler=False), SAME_KV),
    "bert": stack(_bert, SAME_KV),
    "roberta": stack(ROBERTA, SAME_KV),
    "xlm-roberta": stack(ROBERTA, SAME_KV),
    "camembert": stack(ROBERTA, SAME_KV),
    "data2vec-text": stack(ROBERTA, SAME_KV),
    "ibert": stack(replace(ROBERTA, code=None), SAME_KV),
    "ernie": stack(replace(BERT, task_types=("use_task_id", "task_type_vocab_size")), SAME_KV),
    "big_bird": stack(replace(BERT, qkv_bias="use_bias", pooler_always=True, code=None), SAME_KV),
    "longformer": stack(replace(ROBERTA, global_projections=True, code=None), SAME_KV),
    "distilbert": stack(
        replace(
            BERT, types=None, head=MaskedHead(second_bias=False), pooler=False, pretraining=None, code=DISTILBERT_CODE
        ),
        {**SAME_KV, "d_model": "dim", "n_layers": "n_layers", "n_heads": "n_heads", "d_ff": "hidden_dim"},
    ),
    "electra": stack(
        replace(
            BERT,
            embedding_width="embedding_size",
            head=MaskedHead(width="embedding_size", second_bias=False),
            pooler=False,
            pretraining=partial(Classifier, n_labels=1, dense=True),
            code=ELECTRA_CODE,
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
            code=ALBERT_CODE,
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
            code=None,
        ),
        SAME_KV,
    ),
    "mpnet": stack(replace(ROBERTA, types=None, relative_buckets="relative_attention_num_buckets", code=None), SAME_KV),
    "megatron-bert": stack(replace(PRE_BERT, embedding_norm=False), SAME_KV),
    "roberta-prelayernorm": stack(replace(PRE_BERT, padded=2, pretraining=None), SAME_KV),
    "xlm-roberta-xl": stack(replace(PRE_BERT, padded=2, embedding_norm=False, pretraining=None), SAME_KV),
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
            code=None,
        ),
        {k: v for k, v in COMMON.items() if k != "n_kv_heads"},
    ),
    "eurobert": stack(replace(LLAMA, head_bias="mlp_bias", causal=False)),
    "modernbert": stack(_modernbert, SAME_KV),
    "modernbert-decoder": stack(_modernbert_decoder, SAME_KV),
}
