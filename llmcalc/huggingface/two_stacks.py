"""Models of two stacks whose layers have parts that no other family's have. One entry a model_type, read from the model
class of that name; how it runs them was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.family import BART_NAMES, COMMON, T5_NAMES, Family
from llmcalc.huggingface.keys import Keys, shown
from llmcalc.huggingface.pairs import NO_HEAD, BartRecipe, Layers, T5Recipe, build_bart, build_t5
from llmcalc.huggingface.plan import Kit, Parts
from llmcalc.huggingface.stack import (
    LAYER_NORM_NO_BIAS,
    QKNorm,
    Recipe,
    assemble,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import TokenEmbedding, TypeEmbedding
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Head
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Numbers, Projection
from llmcalc.transformer.tower import Convolution


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
    """The config of a T5Gemma with the sizes of its stacks at the outside, under the names that `TWO_STACKS` reads.

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
TWO_STACKS: Mapping[str, Family] = {
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
