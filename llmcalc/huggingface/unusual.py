"""Encoders, decoders and models of two stacks whose layers have parts that no other family's have. One entry a
model_type, read from the model class of that name; how it runs them was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.decoders import DECODERS
from llmcalc.huggingface.encoders import BERT
from llmcalc.huggingface.family import BART_NAMES, COMMON, SAME_KV, T5_NAMES, Family, stack, unread
from llmcalc.huggingface.keys import Keys, does_not_divide, shown, whole
from llmcalc.huggingface.pairs import NO_HEAD, BartRecipe, Layers, T5Recipe, build_bart, build_t5
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import (
    INNER,
    LAYER_NORM_NO_BIAS,
    POST,
    PRE,
    MaskedHead,
    QKNorm,
    Recipe,
    assemble,
    head_width,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions, RelativeBias, TokenEmbedding, TypeEmbedding
from llmcalc.transformer.experts import Experts, Router
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Head, Pooler, TransformedHead
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Numbers, Projection
from llmcalc.transformer.tower import Convolution

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
    top_k = keys.dimension("top_k")
    keys.dimensions["n_experts"] = whole("moe_num_experts", numbers[0])
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


# Models of two stacks


def _relative_scores(keys: Keys) -> Parts:
    d, n_heads = (
        keys.dimension("d_model"),
        keys.dimension("n_decoder_heads" if "n_decoder_heads" in keys.names else "n_heads"),
    )
    return (Projection(d, keys.size("num_buckets") * n_heads, "relative_projection", "attention", True),)


_PROPHET = BartRecipe(positions=0, final_norm=False, decoder_also=_relative_scores)


def _prophet(keys: Keys, task: str) -> Model:
    """A decoder that also predicts the tokens after the next, each from a vector of its own."""
    model = build_bart(keys, _PROPHET, task)
    if task == "encoder":
        return model
    ahead = TypeEmbedding(keys.size("ngram"), keys.dimension("d_model"), "ngram_embedding")
    return replace(model, front=(*model.front, ahead))


_PROPHET_NAMES = {
    **BART_NAMES,
    **{"d_model": "hidden_size", "n_layers": "num_encoder_layers", "n_decoder_layers": "num_decoder_layers"},
    **{"n_heads": "num_encoder_attention_heads", "n_decoder_heads": "num_decoder_attention_heads"},
}


def _fsmt(keys: Keys, task: str) -> Model:
    """A vocabulary for each language, and a head of the second's."""
    recipe = BartRecipe(positions=2, sinusoids=True, embedding_norm=False, final_norm=False)
    tied = Keys(keys.model_type, {**keys.config, "tie_word_embeddings": True}, keys.names, keys.defaults, keys.aliases,
                used=keys.used, dimensions=keys.dimensions)  # fmt: skip
    model = build_bart(tied, recipe, task)
    d_model, target = keys.dimension("d_model"), keys.size("tgt_vocab_size")
    own = keys.flag("tie_word_embeddings")
    head = () if own or task in NO_HEAD else (Head(target, d_model),)
    keys.used["tie_word_embeddings"] = own
    decoder = () if own else (TokenEmbedding(target, d_model, "decoder_embedding"),)
    return replace(model, front=(model.front[0], *decoder, *model.front[1:]), back=(*model.back, *head))


def _composers(keys: Keys, task: str) -> Model:
    """T5 for sounds: a vector for each composer in whose manner it writes."""
    model = build_t5(keys, T5Recipe(), task)
    rows = TypeEmbedding(keys.size("composer_vocab_size"), keys.dimension("d_model"), "composer_embedding")
    head = any(part.id == "head" for part in model.back) or task in NO_HEAD
    own = () if head else (Head(keys.dimension("vocab_size"), keys.dimension("d_model")),)
    return replace(model, front=(*model.front, rows), back=(*model.back, *own))


def _moonshine(keys: Keys, task: str) -> Model:
    """Convolutions over sound, and a decoder whose networks have gates."""
    d, vocab_size = keys.dimension("d_model"), keys.dimension("vocab_size")
    bias, d_ff = keys.flag("attention_bias"), keys.dimension("d_ff")

    def attention(stack: str, **changes: Any) -> Attention:
        own = "" if stack == "encoder" else "decoder_"
        n_heads = keys.dimension(f"n_{own}heads")
        n_kv_heads = keys.optional("encoder_num_key_value_heads") or n_heads  # of both stacks
        if d % n_heads:
            key = keys.names[f"n_{own}heads"]
            raise InputError(key, f"{key!r} does not divide", code="does_not_divide", key=key, value=n_heads,
                             whole_key="hidden_size", whole=d)  # fmt: skip
        sees = "all" if stack == "encoder" else "past"
        return replace(Attention(d, n_heads, n_kv_heads, d // n_heads, bias, False, sees=sees), **changes)

    def norm(id: str) -> Part:
        return LAYER_NORM_NO_BIAS(d, id)

    encoder = (
        norm("attention_norm"), attention("encoder"), norm("feed_forward_norm"), FeedForward(d, d_ff, bias=True),
    )  # fmt: skip
    decoder = (
        norm("attention_norm"), attention("decoder"),
        norm("cross_attention_norm"), attention("decoder", sees="source", id="cross_attention"),
        norm("feed_forward_norm"), FeedForward(d, d_ff, True, True),
    )  # fmt: skip
    found: Layers = [(("encoder",), encoder)] * keys.layers()
    if task != "encoder":
        found += [(("decoder",), decoder)] * keys.layers("n_decoder_layers")
    front: tuple[Part, ...] = (
        TokenEmbedding(vocab_size, d),
        Convolution(1, d, 127, False, "first_convolution", "embedding"),
        Convolution(d, 2 * d, 7, id="second_convolution", component="embedding"),
        Convolution(2 * d, d, 3, id="third_convolution", component="embedding"),
        LayerNorm(d, "embedding_norm"),
    )
    back: list[Part] = [norm("encoder_final_norm"), *([norm("decoder_final_norm")] if task != "encoder" else [])]
    if task not in NO_HEAD and not keys.flag("tie_word_embeddings"):
        back.append(Head(vocab_size, d))
    return assemble(front, found, tuple(back))


def flat_t5gemma(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a T5Gemma with the sizes of its stacks at the outside, under the names that `UNUSUAL` reads.

    Raises InputError where the two stacks are not alike but in how many layers they have.
    """
    stacks = [config.get("encoder"), config.get("decoder")] if isinstance(config, Mapping) else []
    if not stacks or config.get("model_type") != "t5gemma" or not all(isinstance(one, Mapping) for one in stacks):
        return config
    encoder, decoder = (dict(one) for one in stacks if isinstance(one, Mapping))
    for key in _T5GEMMA:
        if key not in ("num_hidden_layers", "num_decoder_layers") and encoder.get(key) != decoder.get(key):
            message = f"the decoder's {key!r} is {shown(decoder.get(key))}, not the encoder's: this is not modelled"
            raise InputError("decoder", message, code="key_not_modelled", key="decoder", found=shown(decoder.get(key)))
    found = {key: encoder[key] for key in (*_T5GEMMA, "layer_types") if encoder.get(key) is not None}
    if decoder.get("num_hidden_layers") is not None:
        found["num_decoder_layers"] = decoder["num_hidden_layers"]
    return {**found, **{key: value for key, value in config.items() if key not in ("encoder", "decoder")}}


def _t5gemma(keys: Keys, task: str) -> Model:
    """Gemma 2's layers in two stacks, each with a table of its own; the decoder's also attend to the encoder."""
    kit = Kit(keys, Recipe(qkv_bias="attention_bias", output_bias="attention_bias"))
    d, vocab_size = kit.d_model, keys.dimension("vocab_size")
    encoders = keys.layers()
    decoders = 0 if task == "encoder" else keys.layers("n_decoder_layers", encoders)
    cross = kit.plain(sees="source", id="cross_attention")
    crossing = (*kit.norm("cross_attention_norm"), cross, *kit.norm("cross_attention_post_norm"))
    found: Layers = []
    for name, sees, count in (("encoder", "all", encoders), ("decoder", "past", decoders)):
        listed = keys if count == encoders else replace(keys, config={**keys.config, "layer_types": None})
        for window in layers.periodic(2)(listed, count) if count else ():
            sandwich = kit.sandwich((kit.plain(sees=sees, window=window),), kit.network())
            parts = (*sandwich[:3], *crossing, *sandwich[3:]) if sees == "past" else sandwich
            found.append(((name, "global" if window is None else "local"), parts))
    front = [TokenEmbedding(vocab_size, d)]
    front += [TokenEmbedding(vocab_size, d, "decoder_embedding")] if decoders else []
    back: list[Part] = [RMSNorm(d, f"{of}_final_norm") for of in ("encoder", "decoder")[: 1 + (decoders > 0)]]
    if task not in NO_HEAD and not keys.flag("tie_word_embeddings"):
        back.append(Head(vocab_size, d))
    return assemble(tuple(front), found, tuple(back))


def _t5gemma2(keys: Keys, task: str) -> Model:
    """Gemma 3's layers in two stacks that share one table; the decoder sees both stacks at once in one attention."""
    kit = Kit(keys, Recipe(qkv_bias="attention_bias", output_bias="attention_bias", qk_norm=QKNorm()))
    d, vocab_size = kit.d_model, keys.dimension("vocab_size")
    encoders = keys.layers()
    decoders = 0 if task == "encoder" else keys.layers("n_decoder_layers", encoders)
    found: Layers = []
    for name, sees, count in (("encoder", "all", encoders), ("decoder", "past", decoders)):
        listed = keys if count == encoders else replace(keys, config={**keys.config, "layer_types": None})
        for window in layers.periodic(6)(listed, count) if count else ():
            parts = kit.sandwich(kit.attention(sees=sees, window=window), kit.network())
            found.append(((name, "global" if window is None else "local"), parts))
    front = (TokenEmbedding(vocab_size, d), Numbers(d, "image_token_rows", "embedding"))
    back: list[Part] = [RMSNorm(d, f"{of}_final_norm") for of in ("encoder", "decoder")[: 1 + (decoders > 0)]]
    if task not in NO_HEAD and not keys.flag("tie_word_embeddings"):
        back.append(Head(vocab_size, d))
    return assemble(front, found, tuple(back))


# What the config classes of T5Gemma's stacks fill in
_T5GEMMA: Mapping[str, Any] = {
    **{"hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_decoder_layers": None},
    **{"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256_000},
    **{"sliding_window": 4096, "attention_bias": False},
}


def _seamless(keys: Keys, task: str) -> Model:
    """From text to text; the class without a head is that of text and speech together, and not modelled."""
    if task == "base":
        key, found = "architectures", "SeamlessM4TModel"
        raise InputError(key, f"{key!r} = {found} is not modelled", code="key_not_modelled", key=key, found=found)
    return build_bart(keys, BartRecipe(positions=None, embedding_norm=False), task)


_SEAMLESS = Family(_seamless, {**BART_NAMES, "d_model": "hidden_size"})
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
    "prophetnet": Family(_prophet, _PROPHET_NAMES),
    "fsmt": Family(_fsmt, {**BART_NAMES, "vocab_size": "src_vocab_size"}),
    "seamless_m4t": _SEAMLESS,
    "seamless_m4t_v2": _SEAMLESS,
    "t5gemma": Family(
        _t5gemma,
        {**COMMON, "n_decoder_layers": "num_decoder_layers"},
        defaults={**_T5GEMMA, "tie_word_embeddings": True},
    ),
    "t5gemma2_text": Family(
        _t5gemma2, {**COMMON, "n_decoder_layers": "num_decoder_layers"}, defaults={"num_decoder_layers": None}
    ),
    "pop2piano": Family(_composers, T5_NAMES),
    "moonshine": Family(
        _moonshine,
        {
            **{"d_model": "hidden_size", "n_layers": "encoder_num_hidden_layers"},
            **{"n_decoder_layers": "decoder_num_hidden_layers", "n_heads": "encoder_num_attention_heads"},
            **{"n_decoder_heads": "decoder_num_attention_heads", "d_ff": "intermediate_size"},
            **{"vocab_size": "vocab_size"},
        },
    ),
}
