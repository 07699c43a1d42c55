"""Encoders and decoders whose layers have parts that no other family's have. One entry a model_type, read from the
class of that name; how it runs them was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface import layers
from llmcalc.huggingface.decoders import DECODERS
from llmcalc.huggingface.encoders import BERT
from llmcalc.huggingface.family import COMMON, SAME_KV, Family, stack, unread
from llmcalc.huggingface.keys import Keys, does_not_divide, whole
from llmcalc.huggingface.pairs import NO_HEAD
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import (
    INNER,
    POST,
    PRE,
    MaskedHead,
    Recipe,
    assemble,
    head_width,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions, RelativeBias, TokenEmbedding, TypeEmbedding
from llmcalc.transformer.experts import Experts, Router
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Pooler, TransformedHead
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Numbers, Projection

_BERT = replace(BERT, code=None, pretraining=None)


# Encoders


def _fnet(kit: Kit) -> Sequence[Layer]:
    """A Fourier transform in attention's place: it has no weights."""
    layer = (*kit.norm("attention_norm"), kit.dense(), *kit.norm("feed_forward_norm"))
    return [(("dense",), layer)] * kit.n_layers


def _convbert(kit: Kit) -> Sequence[Layer]:
    """Of the heads one half attends, and convolutions whose kernels the token makes take the place of the other."""
    keys, d = kit.keys, kit.d_model
    keys.refuse_other_than("num_groups", (1,))
    ratio, n_heads = keys.size("head_ratio"), keys.dimension("n_heads")
    heads = max(1, n_heads // ratio)
    width, kernel = d // heads // 2, keys.size("conv_kernel_size")
    inner = heads * width
    mixer: Parts = (
        Attention(d, heads, heads, width, True, True, sees="all"),
        Projection(inner, d, "convolution_output", "attention"),
        Numbers(d * kernel + inner, "convolution", "attention"),
        Projection(d, inner, "convolution_keys", "attention"),
        Projection(inner, heads * kernel, "convolution_kernels", "attention", True),
        Projection(d, inner, "convolution_values", "attention", True),
    )
    layer = (*mixer, *kit.norm("attention_norm"), kit.dense(), *kit.norm("feed_forward_norm"))
    return [(("dense",), layer)] * kit.n_layers


def _mobilebert(kit: Kit) -> Sequence[Layer]:
    """Narrow layers between two projections, with several networks in each."""
    keys, d = kit.keys, kit.d_model
    for key, allowed in (("use_bottleneck", (True,)), ("use_bottleneck_attention", (False,))):
        keys.refuse_other_than(key, allowed)
    keys.refuse_other_than("key_query_shared_bottleneck", (True,))
    narrow, n_heads = keys.size("intra_bottleneck_size"), keys.dimension("n_heads")
    width = head_width(replace(keys, dimensions={}), narrow, n_heads)
    d_ff = keys.dimension("d_ff")
    further = keys.size("num_feedforward_networks") - 1
    layer = (
        Projection(d, narrow, "narrow_input", "connections", True),
        LayerNorm(narrow, "narrow_input_norm"),
        Projection(d, narrow, "narrow_keys", "connections", True),
        LayerNorm(narrow, "narrow_keys_norm"),
        Attention(narrow, n_heads, n_heads, width, True, True, sees="all"),
        Projection(d - narrow, n_heads * width, "value_rest", "attention"),
        LayerNorm(narrow, "attention_norm"),
        FeedForward(narrow, (1 + further) * d_ff, bias=True),
        Numbers(3 * further * narrow, "further_networks", "feed_forward"),
        LayerNorm(narrow, "feed_forward_norm"),
        Projection(narrow, d, "wide_output", "connections", True),
        LayerNorm(d, "wide_output_norm"),
    )
    return [(("dense",), layer)] * kit.n_layers


def _read_mobilebert(keys: Keys, task: str) -> Model:
    """Three tokens' narrow vectors make one; of the head's matrix the table is only the first rows."""
    d, width, vocab = keys.dimension("d_model"), keys.size("embedding_size"), keys.dimension("vocab_size")
    keys.refuse_other_than("trigram_input", (True,))
    kit = Kit(keys, replace(_BERT, positions=None))
    front: list[Part] = [
        TokenEmbedding(vocab, width),
        LearnedPositions(keys.dimension("n_positions"), d),
        TypeEmbedding(keys.size("type_vocab_size"), d),
        Projection(3 * width, d, "input_projection", "embedding", True),
        LayerNorm(d, "embedding_norm"),
    ]
    back: list[Part] = [Pooler(d)] if task in ("base", "pretraining") else []
    if task not in NO_HEAD:
        tied = keys.flag("tie_word_embeddings")
        back += [TransformedHead(vocab, d, d, False, True, True, True, not tied)]
        back.append(Projection(d - width if tied else d, vocab, "head_rest", "head"))
    return assemble(tuple(front), list(_mobilebert(kit)), tuple(back))


# Decoders


def _trocr(keys: Keys) -> Recipe:
    """BART's decoder for the patches of an encoder that is as wide."""
    keys.refuse_other_than("use_learned_position_embeddings", (True,))
    d, n_heads = keys.dimension("d_model"), keys.dimension("n_heads")
    source = (keys.optional("cross_attention_hidden_size") if keys.has("cross_attention_hidden_size") else None) or d
    if d % n_heads:
        raise does_not_divide(keys.names["n_heads"], n_heads, keys.names["d_model"], d)

    def cross(keys: Keys) -> Parts:
        narrow = source if source < d else None
        found: list[Part] = [
            LayerNorm(d, "cross_attention_norm"),
            Attention(d, n_heads, n_heads, d // n_heads, True, True, d_in=narrow, sees="source", id="cross_attention"),
        ]
        if source < d:
            found.append(Projection(d - source, d, "query_rest", "attention"))
        elif source > d:
            found.append(Projection(source - d, 2 * d, "source_rest", "attention"))
        return tuple(found)

    return Recipe(
        norm=LayerNorm, layout=POST, positions=2, qkv_bias=True, output_bias=True, gated=False, ffn_bias=True,
        layer_also=cross, final_norm=False, embedding_norm=keys.flag("layernorm_embedding"),
    )  # fmt: skip


def _bert_generation(keys: Keys) -> Recipe:
    keys.refuse_other_than("tie_word_embeddings", (True,))
    return replace(_BERT, types=None, head=None, head_bias=True, pooler=False)


def _cpmant_front(kit: Kit) -> Parts:
    """Rows for prompts and segments, and scores by distance, or by segment."""
    keys, d = kit.keys, kit.d_model
    segments = keys.size("segment_types")
    return (
        TypeEmbedding(keys.size("prompt_types") * keys.size("prompt_length"), d, "prompt_embedding"),
        TypeEmbedding(segments, d),
        RelativeBias(keys.size("position_bias_num_buckets") + segments**2, keys.dimension("n_heads")),
    )


def _plain_layers(kit: Kit) -> Sequence[Layer]:
    return [(("dense",), kit.pre(kit.attention(), kit.network()))] * kit.n_layers


def _moshi(kit: Kit) -> Sequence[Layer]:
    network = (kit.dense(d_ff=max(1, kit.keys.dimension("d_ff") // 2)),)
    layer = kit.pre(kit.attention(window=kit.keys.optional("sliding_window")), network)
    return [(("dense",), layer)] * kit.n_layers


def _blip_text(kit: Kit) -> Sequence[Layer]:
    """BERT's layers, that also attend to an image whose patches may be wider."""
    keys, d = kit.keys, kit.d_model
    d_image = keys.size("encoder_hidden_size")
    if d_image < d:
        keys.refuse_other_than("encoder_hidden_size", (d,))
    plain = kit.plain()
    inner = plain.n_heads * plain.d_head
    cross: list[Part] = [replace(plain, sees="source", id="cross_attention")]
    if d_image > d:
        cross.append(Projection(d_image - d, 2 * inner, "source_rest", "attention"))
    layer = (
        *(plain, *kit.norm("attention_norm"), *cross, *kit.norm("cross_attention_norm")),
        *(kit.dense(), *kit.norm("feed_forward_norm")),
    )
    return [(("dense",), layer)] * kit.n_layers


def _ernie_vision(kit: Kit) -> Sequence[Layer]:
    """Two mixtures in a layer, one for tokens of text and one for those of images, and experts that both share."""
    keys, d, n = kit.keys, kit.d_model, kit.n_layers
    widths = keys.list_of("moe_intermediate_size", int) or []
    counts = keys.value("moe_num_experts")
    numbers = counts if isinstance(counts, list | tuple) else [counts, counts]
    if len(widths) != 2 or len(numbers) != 2:
        raise keys.missing("moe_intermediate_size")
    keys.dimensions["n_experts"] = first = whole("moe_num_experts", numbers[0])
    top_k = keys.chosen(first)
    found: list[Part] = []
    for of, number, width in zip(("", "image_"), numbers, widths, strict=True):
        expert = FeedForward(d, whole("moe_intermediate_size", width), True, id="expert")
        found += [
            Router(d, whole("moe_num_experts", number), selection=True, id=f"{of}router"),
            Experts(whole("moe_num_experts", number), 0 if of else top_k, expert, id=f"{of}experts"),
        ]
    shared = (keys.optional("moe_num_shared_experts", 0) or 0) * widths[0]
    if shared:
        found.append(FeedForward(d, shared, True, id="shared_experts", component="shared_experts"))
    sparse = layers.listed_sparse(1)(keys, n)
    networks: dict[bool, Parts] = {False: kit.network(), True: tuple(found)}
    return [
        (("sparse" if is_sparse else "dense",), kit.pre(kit.attention(), networks[is_sparse])) for is_sparse in sparse
    ]


def _idefics(kit: Kit) -> Sequence[Layer]:
    """Before every so many of LLaMA's layers one that attends to the image, and a network, each through a gate."""
    keys, d, n = kit.keys, kit.d_model, kit.n_layers
    every, number = keys.size("cross_layer_interval"), kit.n_layers // keys.size("cross_layer_interval")
    vision = kit.nested("vision_config")
    d_image = whole("embed_dim", vision.get("embed_dim", 768))
    plain = kit.plain()
    keys.refuse_other_than("alpha_type", ("float", "vector"))
    normed = (RMSNorm(plain.d_head, f"{of}_norm", "qk_norm") for of in ("query", "key"))
    cross: list[Part] = [*kit.norm("cross_attention_norm"), *(normed if keys.flag("qk_layer_norms") else ())]
    cross.append(replace(plain, sees="source", id="cross_attention", d_in=d_image if d_image < d else None))
    if d_image < d:
        cross.append(Projection(d - d_image, d, "query_rest", "attention"))
    elif d_image > d:
        cross.append(Projection(d_image - d, 2 * d, "source_rest", "attention"))
    gates = 2 * d if keys.text("alpha_type") == "vector" else 2
    cross += [
        *kit.norm("second_feed_forward_norm"),
        FeedForward(d, keys.dimension("d_ff"), True, id="second_feed_forward"),
        Numbers(gates, "cross_attention_gates", "attention"),
    ]
    own = kit.pre((plain,), kit.network())
    crossing = {i for i in range(0, n, every) if i // every < number}
    return [(("cross",), (*cross, *own)) if i in crossing else (("global",), own) for i in range(n)]


def _idefics_rows(kit: Kit) -> Parts:
    number = kit.keys.size("additional_vocab_size", 0)
    return (Numbers(number * kit.d_model, "image_token_rows", "embedding"),) if number else ()


def _read_idefics(keys: Keys, task: str) -> Model:
    model = _IDEFICS.build(keys, task)
    number = keys.size("additional_vocab_size", 0)
    if task in NO_HEAD or not number or keys.flag("tie_word_embeddings"):
        return model
    return replace(model, back=(*model.back, Projection(keys.dimension("d_model"), number, "head_rest", "head")))


_IDEFICS = planned(Recipe(), _idefics, SAME_KV, before=_idefics_rows)
_NO_FF = {name: key for name, key in COMMON.items() if name != "d_ff"}
UNUSUAL: Mapping[str, Family] = {
    "bert-generation": stack(_bert_generation, SAME_KV),
    "convbert": planned(
        replace(
            _BERT,
            embedding_width="embedding_size",
            pooler=False,
            head=MaskedHead(width="embedding_size", second_bias=False),
        ),
        _convbert,
        SAME_KV,
    ),
    "fnet": planned(
        replace(_BERT, always_project=True, pooler_always=True),
        _fnet,
        {name: key for name, key in SAME_KV.items() if name != "n_heads"},
    ),
    "mobilebert": Family(_read_mobilebert, SAME_KV),
    "trocr": stack(
        _trocr,
        {
            **{"d_model": "d_model", "n_layers": "decoder_layers", "n_heads": "decoder_attention_heads"},
            **{"d_ff": "decoder_ffn_dim", "vocab_size": "vocab_size", "n_positions": "max_position_embeddings"},
        },
    ),
    "cpmant": planned(
        Recipe(tied=False),
        _plain_layers,
        {
            **{"d_model": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads"},
            **{"d_head": "dim_head", "d_ff": "dim_ff", "vocab_size": "vocab_size"},
        },
        before=_cpmant_front,
    ),
    "moshi": planned(
        Recipe(),
        _moshi,
        {**COMMON, "d_ff": "ffn_dim"},
        before=lambda kit: (Numbers(kit.d_model, "further_rows", "embedding"),),
    ),
    "git": stack(replace(_BERT, types=None, head=None, head_bias=True, pooler=False, causal=True), SAME_KV),
    "phi4_multimodal": unread(DECODERS["phi3"]),
    "blip_text_model": planned(replace(_BERT, types=None, pooler=False, causal=True), _blip_text, SAME_KV),
    "idefics": Family(_read_idefics, SAME_KV),
    "kosmos_2_5_text_model": stack(
        Recipe(
            norm=LayerNorm,
            layout=(*PRE, "feed_forward_inner_norm"),
            qkv_bias=True,
            output_bias=True,
            gated=False,
            ffn_bias=True,
            front_also=lambda keys: (TypeEmbedding(2, keys.dimension("d_model")),),
        ),
        {
            **{"d_model": "embed_dim", "n_layers": "layers", "n_heads": "attention_heads", "d_ff": "ffn_dim"},
            **{"vocab_size": "vocab_size", "n_positions": "max_position_embeddings"},
        },
    ),
    "kosmos_2_text_model": stack(
        Recipe(norm=LayerNorm, layout=INNER, qkv_bias=True, output_bias=True, gated=False, ffn_bias=True),
        {
            **{"d_model": "embed_dim", "n_layers": "layers", "n_heads": "attention_heads", "d_ff": "ffn_dim"},
            **{"vocab_size": "vocab_size", "n_positions": "max_position_embeddings"},
        },
    ),
    "ernie4_5_vl_moe_text": planned(
        Recipe(qkv_bias="use_bias", output_bias="use_bias", ffn_bias="use_bias", head_bias="use_bias"),
        _ernie_vision,
        {**_NO_FF, "d_ff": "intermediate_size", "top_k": "moe_k"},
        defaults={"moe_intermediate_size": [1536, 512]},
    ),
}
