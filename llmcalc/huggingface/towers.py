"""Towers of models that also take images or sound, and what projects them into the language model's width.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import MOST_LAYERS, Keys, does_not_divide, shown, whole
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import AUDIO, PROJECTOR, VISION, Convolution, Linear, Tower, Vectors

Norm = Callable[..., Part]


@dataclass(frozen=True)
class Whole:
    """What a reader of towers is given: the whole config's keys, those of each tower by the key that holds its config,
    and the sizes of the language model under our own names."""

    keys: Keys
    towers: Mapping[str, Keys]
    text: Mapping[str, int]

    @property
    def d_text(self) -> int:
        """The width of the language model."""
        return self.text["d_model"]

    @property
    def vision(self) -> Keys:
        """Keys of the vision tower."""
        return self.towers["vision_config"]

    @property
    def audio(self) -> Keys:
        """Keys of the audio tower."""
        return self.towers["audio_config"]


Reader = Callable[[Whole], Sequence[Tower]]
LAYER_NORM_NO_BIAS: Norm = lambda width, id: LayerNorm(width, id, bias=False)  # noqa: E731


# Pieces


def layers_as_tower(
    front: Sequence[Part], layer: tuple[Part, ...], n_layers: int, back: Sequence[Part] = (), component: str = VISION
) -> Tower:
    """A stack of layers that are alike, with what is before and behind it."""
    return Tower(tuple(front), ((Block(layer), n_layers),), tuple(back), component, component)


def projector_of(*parts: Part) -> Tower:
    """What projects into the language model's width, its linear layers numbered."""
    numbered = [
        replace(part, id=f"linear_{i}") if isinstance(part, Linear) else part for i, part in enumerate(parts, 1)
    ]
    return Tower(back=tuple(numbered), id=PROJECTOR, component=PROJECTOR)


def two_linear(d_in: int, d_inner: int, d_out: int, bias: bool = True, second: bool | None = None) -> list[Part]:
    """Two linear layers."""
    return [Linear(d_in, d_inner, bias), Linear(d_inner, d_out, bias if second is None else second)]


def layers_of(keys: Keys, key: str = "num_hidden_layers") -> int:
    """A number of layers.

    Raises InputError beyond what any model has.
    """
    number = keys.size(key)
    if number > MOST_LAYERS:
        message = f"{number:,} layers; more than {MOST_LAYERS:,} are not counted"
        raise InputError(key, message, code="too_many_layers", number=number, most=MOST_LAYERS)
    return number


def head_of(keys: Keys, d_model: int, n_heads: int, key: str) -> int:
    """How wide a head is.

    Raises InputError where that is no whole number.
    """
    if d_model % n_heads:
        raise does_not_divide(key, n_heads, "hidden_size", d_model)
    return d_model // n_heads


def encoder_layer(
    keys: Keys,
    *,
    norm: Norm = LayerNorm,
    heads: str = "num_attention_heads",
    width: str = "hidden_size",
    inner: int | None = None,
    qkv_bias: bool = True,
    output_bias: bool = True,
    gated: bool = False,
    ffn_bias: bool = True,
    extra: Sequence[Part] = (),
) -> tuple[Part, ...]:
    """A layer of an encoder: norm, attention, norm, feed-forward network, and ``extra``."""
    d_model, n_heads = keys.size(width), keys.size(heads)
    n_kv_heads = keys.optional("num_key_value_heads") or n_heads
    d_ff = keys.size("intermediate_size") if inner is None else inner
    return (
        norm(d_model, "attention_norm"),
        Attention(
            d_model, n_heads, n_kv_heads, head_of(keys, d_model, n_heads, heads), qkv_bias, output_bias, sees="all"
        ),
        norm(d_model, "feed_forward_norm"),
        FeedForward(d_model, d_ff, gated, ffn_bias),
        *extra,
    )


def _side(keys: Keys, key: str) -> int:
    """One side of a square that is one number or two alike."""
    value = keys.value(key)
    if isinstance(value, list | tuple):
        if len(value) == 2 and value[0] == value[1]:
            return whole(key, value[0])
        raise InputError(key, f"{key!r} = {shown(value)} is not modelled", code="key_not_modelled", key=key,
                         found=shown(value))  # fmt: skip
    return keys.size(key)


def patches_of(keys: Keys) -> int:
    """How many patches an image has."""
    return (_side(keys, "image_size") // _side(keys, "patch_size")) ** 2


def square_of(keys: Keys) -> int:
    """How many pixels a patch has."""
    return _side(keys, "patch_size") ** 2


def _feature_layers(keys: Keys, key: str = "vision_feature_layer") -> int:
    """Of how many layers the outputs are joined."""
    value = keys.value(key)
    return max(1, len(value)) if isinstance(value, list | tuple) else 1


def pooling(d_model: int, d_ff: int) -> list[Part]:
    """SigLIP's head: a learned query that attends to all patches."""
    attention = Attention(d_model, 1, 1, d_model, True, True, sees="all", id="pooling_attention")
    return [
        Vectors(1, d_model, "pooling_query"),
        attention,
        LayerNorm(d_model, "pooling_norm"),
        FeedForward(d_model, d_ff, bias=True, id="pooling_feed_forward"),
    ]


# Towers by the model_type of their own config


def _clip(keys: Keys) -> Tower:
    d = keys.size("hidden_size")
    front: list[Part] = [
        Vectors(1, d, "class_token"),
        Convolution(keys.size("num_channels"), d, square_of(keys), False),
        LearnedPositions(patches_of(keys) + 1, d),
        LayerNorm(d, "embedding_norm"),
    ]
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")])


def _siglip(keys: Keys) -> Tower:
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(patches_of(keys), d),
    ]
    head = pooling(d, keys.size("intermediate_size")) if keys.flag("vision_use_head") else []
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm"), *head])


def _siglip2(keys: Keys) -> Tower:
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(keys.size("num_patches"), d),
    ]
    head = pooling(d, keys.size("intermediate_size")) if keys.flag("vision_use_head") else []
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm"), *head])


def _siglip_without_head(keys: Keys) -> Tower:
    """As Idefics and its kin have it."""
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(patches_of(keys), d),
    ]
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")])


def _pixtral(keys: Keys) -> Tower:
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys), False),
        RMSNorm(d, "embedding_norm"),
    ]
    layer = encoder_layer(keys, norm=RMSNorm, qkv_bias=False, output_bias=False, gated=True, ffn_bias=False)
    return layers_as_tower(front, layer, layers_of(keys))


def _internvit(keys: Keys) -> Tower:
    keys.refuse_other_than("use_mask_token", (False,))
    d = keys.size("hidden_size")
    norm: Norm = RMSNorm if keys.text("norm_type") == "rms_norm" else LayerNorm
    extra: list[Part] = [Vectors(2, d, "layer_scales")]
    if keys.flag(named_key(keys, "qk_normalization", "use_qk_norm")):
        extra += [RMSNorm(d, "query_norm", "qk_norm"), RMSNorm(d, "key_norm", "qk_norm")]
    front: list[Part] = [Vectors(1, d, "class_token"), Convolution(keys.size("num_channels"), d, square_of(keys))]
    if keys.flag("use_absolute_position_embeddings"):
        front.append(LearnedPositions(patches_of(keys) + 1, d))
    back = [] if keys.flag("use_mean_pooling") else [LayerNorm(d, "final_norm")]
    bias = keys.flag(named_key(keys, "qkv_bias", "attention_bias"))
    layer = encoder_layer(keys, norm=norm, qkv_bias=bias, extra=extra)
    return layers_as_tower(front, layer, layers_of(keys), back)


def _moonvit(keys: Keys) -> Tower:
    d = keys.size("hidden_size")
    positions = LearnedPositions(keys.size("pos_emb_height") * keys.size("pos_emb_width"), d)
    front: list[Part] = [Convolution(3, d, square_of(keys)), positions]
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")])


def _without_positions(keys: Keys) -> Tower:
    """SigLIP with rotary positions (VideoLLaMA 3)."""
    d = keys.size("hidden_size")
    patch = Convolution(keys.size("num_channels"), d, square_of(keys))
    return layers_as_tower([patch], encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")])


def _ovis(keys: Keys) -> Tower:
    """Patches become probabilities over a vocabulary of their own."""
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(patches_of(keys), d),
        RMSNorm(d, "embedding_norm"),
    ]
    bias = keys.flag("qkv_bias")
    layer = encoder_layer(
        keys, norm=RMSNorm, qkv_bias=bias, output_bias=bias, gated=True, ffn_bias=keys.flag("mlp_bias")
    )
    words = keys.size("vocab_size") - keys.size("num_visual_indicator_tokens", 0)
    head = Linear(d * keys.size("hidden_stride") ** 2, words, False, "linear_1")
    return layers_as_tower(
        front, layer, layers_of(keys), [RMSNorm(d, "final_norm"), head, LayerNorm(words, "head_norm")]
    )


def _qwen2_omni_encoder(keys: Keys) -> Tower:
    """Whisper's without a table of positions, with two vectors for the ends of a sound and a projection."""
    whisper, d, d_out = _whisper_encoder(keys), keys.size("d_model"), keys.size("output_dim")
    front = tuple(part for part in whisper.front if not isinstance(part, LearnedPositions))
    ends = Vectors(2, d_out, "ends_of_sound", AUDIO)
    return replace(whisper, front=(*front, ends), back=(*whisper.back, Linear(d, d_out, True, "linear_1", AUDIO)))


def _conformer(keys: Keys) -> Tower:
    """Granite Speech: two half networks around attention and a convolution; classes in the middle and at the end."""
    d, n_heads = keys.size("hidden_dim"), keys.size("num_heads")
    width = keys.optional("dim_head") or head_of(keys, d, n_heads, "num_heads")
    inner = d * keys.size("conv_expansion_factor")
    d_ff, kernel = d * keys.size("feedforward_mult"), keys.size("conv_kernel_size")
    layer = (
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, d_ff, bias=True),
        LayerNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, False, True, sees="all"),
        Vectors(2 * keys.size("max_pos_emb") + 1, width, "relative_bias", AUDIO),
        LayerNorm(d, "convolution_norm"),
        Linear(d, 2 * inner, True, "linear_1", AUDIO),
        Vectors(inner, kernel, "convolution", AUDIO),
        LayerNorm(inner, "inner_norm"),
        Linear(inner, d, True, "linear_2", AUDIO),
        LayerNorm(d, "second_feed_forward_norm"),
        FeedForward(d, d_ff, bias=True, id="second_feed_forward"),
        LayerNorm(d, "final_norm"),
    )
    d_out = keys.size("output_dim")
    front = [Linear(keys.size("input_dim"), d, True, "linear_1", AUDIO)]
    back = [Linear(d, d_out, True, "linear_2", AUDIO), Linear(d_out, d, True, "linear_3", AUDIO)]
    return layers_as_tower(front, layer, layers_of(keys, "num_layers"), back, AUDIO)


def named_key(keys: Keys, *names: str) -> str:
    """The first of several names of one key that the config, or its class, knows."""
    return next((name for name in names if keys.has(name)), names[0])


def _whisper_encoder(keys: Keys) -> Tower:
    """Whisper's, whose keys have no bias."""
    width = named_key(keys, "d_model", "hidden_size")
    d = keys.size(width)
    front: list[Part] = [
        Convolution(keys.size("num_mel_bins"), d, 3, id="first_convolution", component=AUDIO),
        Convolution(d, d, 3, id="second_convolution", component=AUDIO),
        LearnedPositions(keys.size("max_source_positions"), d, trains=False),
    ]
    layer = encoder_layer(
        keys,
        heads=named_key(keys, "encoder_attention_heads", "num_attention_heads"),
        width=width,
        inner=keys.size(named_key(keys, "encoder_ffn_dim", "intermediate_size")),
        qkv_bias=False,
        extra=[Vectors(2, d, "query_value_bias")],
    )
    return layers_as_tower(
        front,
        layer,
        layers_of(keys, named_key(keys, "encoder_layers", "num_hidden_layers")),
        [LayerNorm(d, "final_norm")],
        AUDIO,
    )


def _glm_asr_encoder(keys: Keys) -> Tower:
    """Whisper's with rotary positions."""
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_mel_bins"), d, 3, id="first_convolution", component=AUDIO),
        Convolution(d, d, 3, id="second_convolution", component=AUDIO),
    ]
    layer = encoder_layer(keys, qkv_bias=False, extra=[Vectors(2, d, "query_value_bias")])
    return layers_as_tower(front, layer, layers_of(keys), [LayerNorm(d, "final_norm")], AUDIO)


BY_TYPE: Mapping[str, Callable[[Keys], Tower]] = {
    "clip_vision_model": _clip,
    "siglip_vision_model": _siglip,
    "siglip2_vision_model": _siglip2,
    "pixtral": _pixtral,
    "internvl_vision": _internvit,
    "intern_vit_6b": _internvit,
    "interns1_vision": _internvit,
    "kimi_k25_vision": _moonvit,
    "moonvit": _moonvit,
    "idefics2_vision": _siglip_without_head,
    "idefics3_vision": _siglip_without_head,
    "smolvlm_vision": _siglip_without_head,
    "qwen2_audio_encoder": _whisper_encoder,
    "voxtral_encoder": _whisper_encoder,
    "audioflamingo3_encoder": _whisper_encoder,
    "musicflamingo_encoder": _whisper_encoder,
    "whisper": _whisper_encoder,
    "glmasr_encoder": _glm_asr_encoder,
    "granite_speech_encoder": _conformer,
    "granite_speech_plus_encoder": _conformer,
    "ovis2_vision": _ovis,
    "paddleocr_vl_vision": _siglip_without_head,
    "qianfan_ocr_vision": _internvit,
    "qwen2_5_omni_audio_encoder": _qwen2_omni_encoder,
    "video_llama_3_vision": _without_positions,
}


def tower_by_type(keys: Keys) -> Tower:
    """The tower that a config of that model_type describes."""
    return BY_TYPE[keys.model_type](keys)


# Whole models, by their own model_type


def _llava(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * _feature_layers(w.keys)
    bias = w.keys.flag("multimodal_projector_bias")
    return tower_by_type(w.vision), projector_of(*two_linear(d_in, w.d_text, w.d_text, bias))


def _llava_next(w: Whole) -> Sequence[Tower]:
    vision, projector = _llava(w)
    return vision, replace(projector, front=(Vectors(1, w.d_text, "newline", PROJECTOR),))


def _video_llava(w: Whole) -> Sequence[Tower]:
    image, projector = _llava(w)
    return image, replace(image, id="video_tower"), projector


def _vipllava(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * _feature_layers(
        w.keys, named_key(w.keys, "vision_feature_layers", "vision_feature_layer")
    )
    norm = LayerNorm(d_in, "projector_norm", component=PROJECTOR)
    return tower_by_type(w.vision), projector_of(norm, *two_linear(d_in, w.d_text, w.d_text))


def _paligemma(w: Whole) -> Sequence[Tower]:
    return tower_by_type(w.vision), projector_of(Linear(w.vision.size("hidden_size"), w.keys.size("projection_dim")))


def _gemma3(w: Whole) -> Sequence[Tower]:
    d = w.vision.size("hidden_size")
    return tower_by_type(w.vision), projector_of(RMSNorm(d, "projector_norm", PROJECTOR), Linear(d, w.d_text, False))


def _aya(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * w.keys.size("downsample_factor") ** 2
    inner = w.keys.optional("alignment_intermediate_size") or w.d_text
    norm = LayerNorm(d_in, "projector_norm", component=PROJECTOR)
    return tower_by_type(w.vision), projector_of(norm, Linear(d_in, inner), Linear(inner // 2, w.d_text))


def _cohere2(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * w.keys.size("downsample_factor") ** 2
    inner = w.keys.size("alignment_intermediate_size")
    return tower_by_type(w.vision), projector_of(Linear(d_in, inner), Linear(inner // 2, w.d_text))


def _idefics2(w: Whole) -> Sequence[Tower]:
    """A gated projection, then a resampler: learned queries that attend to the patches."""
    resampler = w.towers["perceiver_config"]
    d = resampler.size("hidden_size")
    n_heads, n_kv_heads = resampler.size("resampler_n_heads"), resampler.size("num_key_value_heads")
    layer = (
        RMSNorm(d, "attention_norm"),
        RMSNorm(d, "context_norm"),
        Attention(d, n_heads, n_kv_heads, resampler.size("resampler_head_dim"), sees="all"),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, 4 * d, True),
    )
    d_in, inner = w.vision.size("hidden_size"), w.text["d_ff"]
    front: tuple[Part, ...] = (
        Linear(d_in, inner, False, "linear_1"),
        Linear(d_in, inner, False, "linear_2"),
        Linear(inner, w.d_text, False, "linear_3"),
        Vectors(resampler.size("resampler_n_latents"), d, "resampler_queries", PROJECTOR),
    )
    depth = layers_of(resampler, "resampler_depth")
    norm = (RMSNorm(d, "final_norm"),)
    return tower_by_type(w.vision), Tower(front, ((Block(layer), depth),), norm, PROJECTOR, PROJECTOR)


def _idefics3(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * w.keys.size("scale_factor") ** 2
    return tower_by_type(w.vision), projector_of(Linear(d_in, w.d_text, False))


def _mistral3(w: Whole) -> Sequence[Tower]:
    return tower_by_type(w.vision), _mistral_projector(w)


def _mistral_projector(w: Whole) -> Tower:
    d, merge = w.vision.size("hidden_size"), w.keys.size("spatial_merge_size")
    bias = w.keys.flag("multimodal_projector_bias")
    return projector_of(
        RMSNorm(d, "projector_norm", PROJECTOR),
        Linear(d * merge**2, d, False),
        *two_linear(d * _feature_layers(w.keys), w.d_text, w.d_text, bias),
    )


def shuffled(keys: Keys) -> int:
    """How many patches' sides are joined to one."""
    ratio = keys.value("downsample_ratio")
    if not isinstance(ratio, int | float) or not 0 < ratio <= 1:
        raise InputError("downsample_ratio", "'downsample_ratio' must be between 0 and 1", code="key_not_modelled",
                         key="downsample_ratio", found=shown(ratio))  # fmt: skip
    return int(1 / ratio)


def _internvl(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * shuffled(w.keys) ** 2
    norm = LayerNorm(d_in, "projector_norm", component=PROJECTOR)
    return tower_by_type(w.vision), projector_of(norm, *two_linear(d_in, w.d_text, w.d_text))


def _kimi(w: Whole) -> Sequence[Tower]:
    merge = w.vision.list_of("merge_kernel_size", int) or [2, 2]
    d = w.vision.size("hidden_size")
    d_in = d * merge[0] * merge[1]
    norm = LayerNorm(w.keys.optional("projection_hidden_size") or d, "projector_norm", component=PROJECTOR)
    return tower_by_type(w.vision), projector_of(norm, *two_linear(d_in, d_in, w.d_text))


def _qwen2_vl(w: Whole) -> Sequence[Tower]:
    v = w.vision
    d = v.size("embed_dim")
    ratio = v.value("mlp_ratio")
    inner = int(d * ratio) if isinstance(ratio, int | float) and 0 < ratio < 1000 else d
    patch = Convolution(_channels(v), d, square_of(v) * v.size("temporal_patch_size"), False)
    layer = encoder_layer(v, heads="num_heads", width="embed_dim", inner=inner)
    wide = d * v.size("spatial_merge_size") ** 2
    merger = projector_of(
        LayerNorm(d, "projector_norm", component=PROJECTOR), *two_linear(wide, wide, v.size("hidden_size"))
    )
    return layers_as_tower([patch], layer, layers_of(v, "depth")), merger


def _channels(keys: Keys) -> int:
    return keys.size("in_channels")


def _qwen2_5_vision(v: Keys) -> Sequence[Tower]:
    d = v.size("hidden_size")
    patch = Convolution(_channels(v), d, square_of(v) * v.size("temporal_patch_size"), False)
    layer = encoder_layer(v, norm=RMSNorm, heads="num_heads", gated=True)
    wide = d * v.size("spatial_merge_size") ** 2
    merger = projector_of(RMSNorm(d, "projector_norm", PROJECTOR), *two_linear(wide, wide, v.size("out_hidden_size")))
    return layers_as_tower([patch], layer, layers_of(v, "depth")), merger


def _qwen2_5_vl(w: Whole) -> Sequence[Tower]:
    return _qwen2_5_vision(w.vision)


def _qwen3_vision(v: Keys, deep: bool = True) -> Sequence[Tower]:
    d = v.size("hidden_size")
    front: list[Part] = [
        Convolution(_channels(v), d, square_of(v) * v.size("temporal_patch_size")),
        LearnedPositions(v.size("num_position_embeddings"), d),
    ]
    wide, d_out = d * v.size("spatial_merge_size") ** 2, v.size("out_hidden_size")
    merger = projector_of(LayerNorm(d, "projector_norm", component=PROJECTOR), *two_linear(wide, wide, d_out))
    tower = layers_as_tower(front, encoder_layer(v, heads="num_heads"), layers_of(v, "depth"))
    n_deep = len(v.list_of("deepstack_visual_indexes", int) or ()) if deep else 0
    if not n_deep:
        return tower, merger
    one = (
        LayerNorm(wide, "projector_norm", component=PROJECTOR),
        Linear(wide, wide, True, "linear_2"),
        Linear(wide, d_out, True, "linear_3"),
    )
    return tower, replace(merger, blocks=((Block(one, "merger_block"), n_deep),))


def _qwen3_vl(w: Whole) -> Sequence[Tower]:
    return _qwen3_vision(w.vision)


def _qwen3_5(w: Whole) -> Sequence[Tower]:
    return _qwen3_vision(w.vision, deep=False)


def _glm4v(w: Whole) -> Sequence[Tower]:
    v = w.vision
    d, merge, d_out = v.size("hidden_size"), v.size("spatial_merge_size"), v.size("out_hidden_size")
    front: list[Part] = [
        Convolution(_channels(v), d, square_of(v) * v.size("temporal_patch_size")),
        RMSNorm(d, "embedding_norm"),
        LearnedPositions(patches_of(v), d),
    ]
    layer = encoder_layer(
        v, norm=RMSNorm, heads="num_heads", inner=d_out, qkv_bias=v.flag("attention_bias"), output_bias=False,
        gated=True, ffn_bias=False,
    )  # fmt: skip
    merger = Tower(
        (Convolution(d, d_out, merge**2, id="downsampling", component=PROJECTOR),),
        (),
        (
            Linear(d_out, d_out, False, "linear_1"),
            LayerNorm(d_out, "projector_norm", component=PROJECTOR),
            FeedForward(d_out, v.size("intermediate_size"), True, component=PROJECTOR),
        ),
        PROJECTOR,
        PROJECTOR,
    )
    return layers_as_tower(front, layer, layers_of(v, "depth"), [RMSNorm(d, "final_norm")]), merger


def _llama4(w: Whole) -> Sequence[Tower]:
    v = w.vision
    d = v.size("hidden_size")
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v), False),
        Vectors(1, d, "class_token"),
        LearnedPositions(patches_of(v) + 1, d),
        LayerNorm(d, "embedding_norm"),
    ]
    d_in, d_mid = v.size("intermediate_size"), v.size("projector_output_dim")
    projector = projector_of(
        Linear(d_in, v.size("projector_input_dim"), False),
        Linear(d_mid, d_mid, False),
        Linear(v.size("vision_output_dim"), w.d_text, False),
    )
    return layers_as_tower(front, encoder_layer(v), layers_of(v), [LayerNorm(d, "final_norm")]), projector


def _mllama(w: Whole) -> Sequence[Tower]:
    """Two stacks of layers, the second gated, and tables for tiles and their aspect ratios."""
    v = w.vision
    d, tiles = v.size("hidden_size"), v.size("max_num_tiles")
    ratios = v.optional("max_aspect_ratio_id") or len(v.list_of("supported_aspect_ratios", list) or ())
    rows = (ratios + 1) * tiles
    patches = patches_of(v) + 1
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v), False),
        Vectors(1, d, "class_token"),
        LearnedPositions(patches, d),
        LearnedPositions((ratios + 1) * tiles * patches, d, "tile_positions"),
        Vectors(2 * rows, d, "tile_vectors"),
        Vectors(3, 1, "gates"),
        LayerNorm(d, "embedding_norm"),
    ]
    layer = encoder_layer(v, heads="attention_heads", qkv_bias=False, output_bias=False)
    gated = (*layer, Vectors(2, 1, "gates"))
    blocks = ((Block(layer), layers_of(v)), (Block(gated, "global_block"), layers_of(v, "num_global_layers")))
    tower = Tower(tuple(front), blocks, (LayerNorm(d, "final_norm"),), VISION, VISION)
    return tower, projector_of(Linear(v.size("vision_output_dim"), w.d_text))


def _audio_linear(w: Whole) -> Sequence[Tower]:
    return tower_by_type(w.audio), projector_of(
        Linear(w.audio.size(named_key(w.audio, "d_model", "hidden_size")), w.d_text)
    )


def _voxtral(w: Whole) -> Sequence[Tower]:
    return tower_by_type(w.audio), projector_of(
        *two_linear(w.audio.size(named_key(w.audio, "encoder_ffn_dim", "intermediate_size")), w.d_text, w.d_text, False)
    )


def _audioflamingo(w: Whole) -> Sequence[Tower]:
    bias = w.keys.flag("projector_bias")
    d_in = w.audio.size(named_key(w.audio, "d_model", "hidden_size"))
    return tower_by_type(w.audio), projector_of(*two_linear(d_in, w.d_text, w.d_text, bias))


def _glm_asr(w: Whole) -> Sequence[Tower]:
    return tower_by_type(w.audio), projector_of(*two_linear(w.audio.size("intermediate_size"), 2 * w.d_text, w.d_text))


def _lighton(w: Whole) -> Sequence[Tower]:
    d, merge = w.vision.size("hidden_size"), w.keys.size("spatial_merge_size")
    return tower_by_type(w.vision), projector_of(
        RMSNorm(d, "projector_norm", PROJECTOR),
        Linear(d * merge**2, d, False),
        *two_linear(d, w.d_text, w.d_text, False),
    )


def _deepseek_vl(w: Whole) -> Sequence[Tower]:
    return tower_by_type(w.vision), projector_of(*two_linear(w.vision.size("hidden_size"), w.d_text, w.d_text))


def _hyperclovax(w: Whole) -> Sequence[Tower]:
    tower, merger = _qwen2_5_vision(w.vision)
    linear = Linear(w.vision.size("out_hidden_size"), w.d_text, True, "linear_4")
    return tower, replace(merger, back=(*merger.back, linear))


def _paddle(w: Whole) -> Sequence[Tower]:
    d = w.vision.size("hidden_size")
    wide = d * w.vision.size("spatial_merge_size") ** 2
    norm = LayerNorm(d, "projector_norm", component=PROJECTOR)
    return tower_by_type(w.vision), projector_of(norm, *two_linear(wide, wide, w.d_text))


def _qwen2_omni(w: Whole) -> Sequence[Tower]:
    return (tower_by_type(w.audio), *_qwen2_5_vision(w.vision))


def _ovis2(w: Whole) -> Sequence[Tower]:
    table = Vectors(w.vision.size("vocab_size"), w.keys.size("hidden_size"), "visual_embedding", PROJECTOR)
    return tower_by_type(w.vision), projector_of(table)


def _lfm2(w: Whole) -> Sequence[Tower]:
    d_in, inner = (
        w.vision.size("hidden_size") * w.keys.size("downsample_factor") ** 2,
        w.keys.size("projector_hidden_size"),
    )
    bias = w.keys.flag("projector_bias")
    norm = [LayerNorm(d_in, "projector_norm", component=PROJECTOR)] if w.keys.flag("projector_use_layernorm") else []
    return tower_by_type(w.vision), projector_of(*norm, *two_linear(d_in, inner, w.d_text, bias))


def _granite_speech(w: Whole) -> Sequence[Tower]:
    """Learned queries that attend to each other and to the sound (BLIP-2's Q-Former)."""
    encoder, former = w.towers["encoder_config"], w.towers["projector_config"]
    d, n_heads = former.size("hidden_size"), former.size("num_attention_heads")
    d_ff, d_sound = former.size("intermediate_size"), former.size("encoder_hidden_size")
    width = head_of(former, d, n_heads, "num_attention_heads")
    every = former.size("cross_attention_frequency")
    plain = (
        Attention(d, n_heads, n_heads, width, True, True, sees="all"),
        LayerNorm(d, "attention_norm"),
        FeedForward(d, d_ff, bias=True),
        LayerNorm(d, "feed_forward_norm"),
    )
    crossing = (
        *plain,
        Linear(d, d, True, "linear_1"),
        Linear(d_sound, d, True, "linear_2"),
        Linear(d_sound, d, True, "linear_3"),
        Linear(d, d, True, "linear_4"),
        LayerNorm(d, "cross_attention_norm"),
    )
    n_layers = layers_of(former)
    crossed = -(-n_layers // every)
    blocks = ((Block(crossing, "merger_block"), crossed), (Block(plain), n_layers - crossed))
    front: tuple[Part, ...] = (
        Vectors(w.keys.size("window_size") // w.keys.size("downsample_rate"), d, "resampler_queries", PROJECTOR),
        LayerNorm(d, "embedding_norm"),
    )
    linear = (Linear(d, w.d_text, True, "linear_1"),)
    kept = tuple((block, count) for block, count in blocks if count)
    return tower_by_type(encoder), Tower(front, kept, linear, PROJECTOR, PROJECTOR)


def _glm_ocr(w: Whole) -> Sequence[Tower]:
    v = w.vision
    d, merge, d_out = v.size("hidden_size"), v.size("spatial_merge_size"), v.size("out_hidden_size")
    bias = v.flag("attention_bias")
    inner = v.optional("projection_intermediate_size") or d_out * _channels(v)
    patch = Convolution(_channels(v), d, square_of(v) * v.size("temporal_patch_size"))
    also = [RMSNorm(d // v.size("num_heads"), f"{of}_norm", "qk_norm") for of in ("query", "key")]
    layer = encoder_layer(
        v, norm=RMSNorm, heads="num_heads", qkv_bias=bias, output_bias=bias, gated=True, ffn_bias=bias, extra=also
    )
    merger = Tower(
        (Convolution(d, d_out, merge**2, id="downsampling", component=PROJECTOR),),
        (),
        (
            Linear(d_out, d_out, False, "linear_1"),
            LayerNorm(d_out, "projector_norm", component=PROJECTOR),
            FeedForward(d_out, inner, True, component=PROJECTOR),
        ),
        PROJECTOR,
        PROJECTOR,
    )
    return layers_as_tower([patch], layer, layers_of(v, "depth"), [RMSNorm(d, "final_norm")]), merger


def _aria(w: Whole) -> Sequence[Tower]:
    """Learned queries that attend to the patches, as many as the largest image needs."""
    d = w.vision.size("hidden_size")
    rows = w.keys.value("projector_patch_to_query_dict") if w.keys.given("projector_patch_to_query_dict") else None
    most = "max_value_projector_patch_to_query_dict"
    if isinstance(rows, Mapping) and rows:
        count = max(whole("projector_patch_to_query_dict", row) for row in rows.values())
    else:
        count = w.keys.size(most)
    return tower_by_type(w.vision), projector_of(
        *(Linear(d, d, False) for _ in range(3)),
        Linear(d, d),
        Linear(d, w.d_text, False),
        Linear(w.d_text, w.d_text, False),
        Vectors(count, d, "resampler_queries", PROJECTOR),
        LayerNorm(d, "attention_norm"),
        LayerNorm(d, "context_norm"),
        Attention(d, 1, 1, d, True, True, sees="all", id="pooling_attention"),
        LayerNorm(d, "projector_norm", component=PROJECTOR),
    )


def _cosmos3_edge(w: Whole) -> Sequence[Tower]:
    v, inner = w.vision, w.keys.size("projector_hidden_size")
    d = v.size("hidden_size")
    norm = LayerNorm(d, "projector_norm", component=PROJECTOR)
    return _siglip2(v), projector_of(norm, *two_linear(d * v.size("spatial_merge_size") ** 2, inner, w.d_text))


def _voxtral_realtime(w: Whole) -> Sequence[Tower]:
    """Whisper's with rotary positions, a gate in the feed-forward network, and heads of their own width."""
    a = w.audio
    d, d_ff, n_heads = a.size("hidden_size"), a.size("intermediate_size"), a.size("num_attention_heads")
    width = a.optional("head_dim") or head_of(a, d, n_heads, "num_attention_heads")
    front: list[Part] = [
        Convolution(a.size("num_mel_bins"), d, 3, id="first_convolution", component=AUDIO),
        Convolution(d, d, 3, id="second_convolution", component=AUDIO),
    ]
    layer = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, False, True, sees="all"),
        Vectors(2, n_heads * width, "query_value_bias", AUDIO),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, d_ff, True),
        Vectors(1, d, "down_bias", AUDIO),
    )
    tower = layers_as_tower(front, layer, layers_of(a), [RMSNorm(d, "final_norm")], AUDIO)
    return tower, projector_of(*two_linear(d * w.keys.size("downsample_factor"), w.d_text, w.d_text, False))


def _gemma4_vision(v: Keys) -> Tower:
    d, n_heads, width = v.size("hidden_size"), v.size("num_attention_heads"), v.size("head_dim")
    front: list[Part] = [
        Convolution(3, d, square_of(v), False),
        LearnedPositions(2 * v.size("position_embedding_size"), d),
    ]
    layer = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, v.size("num_key_value_heads"), width, sees="all"),
        RMSNorm(width, "query_norm", "qk_norm"),
        RMSNorm(width, "key_norm", "qk_norm"),
        RMSNorm(d, "attention_post_norm"),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, v.size("intermediate_size"), True),
        RMSNorm(d, "feed_forward_post_norm"),
    )
    return layers_as_tower(front, layer, layers_of(v))


def _gemma4_audio(a: Keys) -> Tower:
    """A conformer: two half networks around attention and a convolution, each between two norms."""
    d, n_heads = a.size("hidden_size"), a.size("num_attention_heads")
    channels = a.list_of("subsampling_conv_channels", int) or []
    if len(channels) != 2 or min(channels) < 1:
        found = shown(a.value("subsampling_conv_channels"))
        raise InputError("subsampling_conv_channels", "'subsampling_conv_channels' must be two widths",
                         code="key_not_modelled", key="subsampling_conv_channels", found=found)  # fmt: skip
    first, second = channels
    width = head_of(a, d, n_heads, "num_attention_heads")
    front: list[Part] = [
        Convolution(1, first, 9, False, "first_convolution", AUDIO),
        LayerNorm(first, "embedding_norm", bias=False),
        Convolution(first, second, 9, False, "second_convolution", AUDIO),
        LayerNorm(second, "hidden_norm", bias=False),
        Linear(first // 4 * second, d, False, "linear_1", AUDIO),
    ]

    def half(id: str) -> tuple[Part, ...]:
        return RMSNorm(d, f"{id}_norm"), FeedForward(d, 4 * d, id=id), RMSNorm(d, f"{id}_post_norm")

    layer = (
        *half("feed_forward"),
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, sees="all"),
        Linear(d, d, False, "position_keys", AUDIO),
        Vectors(1, width, "query_scales", AUDIO),
        RMSNorm(d, "attention_post_norm"),
        RMSNorm(d, "convolution_norm"),
        Linear(d, 2 * d, False, "linear_1", AUDIO),
        Vectors(d, a.size("conv_kernel_size"), "convolution", AUDIO),
        RMSNorm(d, "inner_norm"),
        Linear(d, d, False, "linear_2", AUDIO),
        *half("second_feed_forward"),
        RMSNorm(d, "final_norm"),
    )
    return layers_as_tower(
        front, layer, layers_of(a), [Linear(d, a.size("output_proj_dims"), True, "linear_2", AUDIO)], AUDIO
    )


def _gemma4(w: Whole) -> Sequence[Tower]:
    """A tower for images and one for sound, each there only where the file has its config."""
    towers, projector = [], []
    if "vision_config" in w.towers:
        towers.append(_gemma4_vision(w.vision))
        projector.append(Linear(w.vision.size("hidden_size"), w.d_text, False))
    if "audio_config" in w.towers:
        towers.append(_gemma4_audio(w.audio))
        projector.append(Linear(w.audio.size("output_proj_dims"), w.d_text, False))
    return (*towers, projector_of(*projector)) if towers else ()


def _gemma4_unified(w: Whole) -> Sequence[Tower]:
    """No towers: patches and frames of sound go to the language model's width, and it does the rest."""
    parts: list[Part] = []
    if "vision_config" in w.towers:
        v = w.vision
        d, wide = v.size("mm_embed_dim"), 3 * (_side(v, "patch_size") * v.size("pooling_kernel_size")) ** 2
        parts += [
            LayerNorm(wide, "embedding_norm"),
            Linear(wide, d),
            LayerNorm(d, "hidden_norm"),
            LearnedPositions(2 * v.size("mm_posemb_size"), d),
            LayerNorm(d, "projector_norm", component=PROJECTOR),
            Linear(v.size("output_proj_dims"), w.d_text, False),
        ]
    if "audio_config" in w.towers:
        width = w.audio.size(named_key(w.audio, "output_proj_dims", "audio_embed_dim"))
        parts.append(Linear(width, w.d_text, False))
    return (projector_of(*parts),) if parts else ()


def _muse_vision(w: Whole) -> Sequence[Tower]:
    v, inner = w.vision, w.keys.size("projector_hidden_size")
    d = v.size("hidden_size")
    front: list[Part] = [
        Convolution(3, d, square_of(v) * v.size("patch_temporal"), False),
        LearnedPositions(v.size("pos_emb_height") * v.size("pos_emb_width"), d),
        LayerNorm(d, "embedding_norm"),
    ]
    tower = layers_as_tower(front, encoder_layer(v), layers_of(v), [LayerNorm(d, "final_norm")])
    return tower, projector_of(
        *two_linear(w.keys.size("out_hidden_size"), inner, inner, False), Linear(inner, w.d_text, False)
    )


def _muse_spark(w: Whole) -> Sequence[Tower]:
    """Sound goes through stages of convolutions, each wider than the one before, without attention."""
    a = w.audio
    a.refuse_other_than("num_hidden_layers", (1, 2, 3, 4))
    n_stages = a.size("num_hidden_layers")
    listed = [a.list_of(key, int, n_stages) or [] for key in ("hidden_sizes", "patch_sizes", "depths")]
    if any(not entries for entries in listed):
        raise a.missing("hidden_sizes")
    kernel, d_in, stages = a.size("conv_kernel_size"), 1, []
    for i, (d, patch, depth) in enumerate(zip(*listed, strict=True), 1):
        d, patch, depth = whole("hidden_sizes", d), whole("patch_sizes", patch), whole("depths", depth)
        if depth > MOST_LAYERS:
            raise InputError("depths", f"{depth:,} layers; more than {MOST_LAYERS:,} are not counted",
                             code="too_many_layers", number=depth, most=MOST_LAYERS)  # fmt: skip
        layer = (
            Convolution(1, d, kernel, id="convolution", component=AUDIO),
            RMSNorm(d, "feed_forward_norm"),
            FeedForward(d, inner_of(a, d), bias=True),
        )
        entry = (Linear(d_in * patch, d, True, "linear_1", AUDIO), RMSNorm(d, "embedding_norm"))
        stages.append(Tower(entry, ((Block(layer), depth),), (), f"stage_{i}", AUDIO))
        d_in = d
    d_out = a.size("out_hidden_size")
    back = (RMSNorm(d_in, "final_norm"), Linear(d_in, d_out, True, "linear_1", AUDIO), RMSNorm(d_out, "head_norm"))
    vision, projector = _muse_vision(w)
    return vision, Tower(tuple(stages), (), back, AUDIO, AUDIO), projector


def inner_of(keys: Keys, d: int) -> int:
    """So many times the width."""
    ratio = keys.value("mlp_ratio")
    if not isinstance(ratio, int | float) or not 0 < ratio < 1000:
        message = f"'mlp_ratio' = {shown(ratio)} is not modelled"
        raise InputError("mlp_ratio", message, code="key_not_modelled", key="mlp_ratio", found=shown(ratio))
    return whole("mlp_ratio", int(d * ratio))


def _step3p7(w: Whole) -> Sequence[Tower]:
    """Two convolutions halve the patches' sides and double their width after the layers."""
    v = w.vision
    width, heads, layers = (
        named_key(v, *names)
        for names in (("width", "hidden_size"), ("heads", "num_attention_heads"), ("layers", "num_hidden_layers"))
    )
    d = v.size(width)
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v), False),
        LearnedPositions(patches_of(v), d),
        LayerNorm(d, "embedding_norm"),
    ]
    back: list[Part] = [
        Convolution(d, 2 * d, 9, id="first_convolution"),
        Convolution(2 * d, 4 * d, 9, id="second_convolution"),
    ]
    layer = encoder_layer(v, width=width, heads=heads, inner=inner_of(v, d), extra=[Vectors(2, d, "layer_scales")])
    return layers_as_tower(front, layer, layers_of(v, layers), back), projector_of(
        Linear(4 * d, w.d_text, w.keys.flag("projector_bias"))
    )


def _mistral_large4(w: Whole) -> Sequence[Tower]:
    return _pixtral(w.vision), _mistral_projector(w)


def _minimax_m3(w: Whole) -> Sequence[Tower]:
    """Each patch is projected, then the patches of a square together."""
    v, inner = w.vision, w.keys.size("projector_hidden_size")
    d, merge = v.size("hidden_size"), v.size("spatial_merge_size")
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v) * v.size("temporal_patch_size"), False),
        LayerNorm(d, "embedding_norm"),
    ]
    together = two_linear(w.d_text * merge**2, inner, w.d_text)
    return layers_as_tower(front, encoder_layer(v), layers_of(v)), projector_of(
        *two_linear(d, inner, w.d_text), *together
    )


def _patches_of_sides(keys: Keys) -> int:
    """Patches of an image whose two sides may differ."""
    sides, patch = keys.list_of("image_size", int, 2) or [], _side(keys, "patch_size")
    if len(sides) != 2:
        raise keys.missing("image_size")
    return whole("image_size", (sides[0] // patch) * (sides[1] // patch))


def _molmo2(w: Whole) -> Sequence[Tower]:
    """Outputs of several layers, joined, are pooled by attention, then go through a gated network."""
    v, adapter = w.vision, w.towers["adapter_config"]
    d = v.size("hidden_size")

    def heads(keys: Keys) -> tuple[int, int, int]:
        n_heads = keys.size("num_attention_heads")
        width = keys.optional("head_dim") or head_of(keys, keys.size("hidden_size"), n_heads, "num_attention_heads")
        return n_heads, keys.size("num_key_value_heads"), width

    bias = v.flag("attention_bias")
    layer = (
        LayerNorm(d, "attention_norm"),
        Attention(d, *heads(v), bias, bias, sees="all"),
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, v.size("intermediate_size"), bias=True),
    )
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v)),
        LearnedPositions(v.optional("num_position_embeddings") or _patches_of_sides(v), d),
    ]
    d_pooled, inner = adapter.size("hidden_size"), adapter.size("intermediate_size")
    d_in = d_pooled * _feature_layers(adapter)
    n_heads, n_kv_heads, width = heads(adapter)
    bias, inner_bias = adapter.flag("attention_bias"), adapter.flag("mlp_bias")
    return layers_as_tower(front, layer, layers_of(v)), projector_of(
        Linear(d_in, n_heads * width, bias),
        Linear(d_in, n_kv_heads * width, bias),
        Linear(d_in, n_kv_heads * width, bias),
        Linear(n_heads * width, d_pooled, bias),
        Linear(d_pooled, inner, inner_bias),
        Linear(d_pooled, inner, inner_bias),
        Linear(inner, adapter.size("text_hidden_size"), False),
    )


def _granite_docling(w: Whole) -> Sequence[Tower]:
    """Two routes from patches to the language model, a coarse and a fine one, each with layers' outputs added."""
    w.keys.refuse_other_than("density_router_hidden_size", ())
    v = w.vision
    d, d_out, scale = v.size("hidden_size"), v.size("out_hidden_size"), v.size("scale_factor")
    n_deep = len(v.list_of("deepstack_visual_indexes", int) or ())
    scales = [scale, scale // 2] if v.flag("use_fine_route") else [scale]
    parts: list[Part] = [LayerNorm(d, "embedding_norm")]
    blocks = []
    for one, name in zip(scales, ("merger_block", "fine_block"), strict=False):
        wide = d * one**2
        parts.append(Linear(wide, d_out, False))
        merger = (
            LayerNorm(wide, "projector_norm", component=PROJECTOR),
            Linear(wide, d_out, True, "linear_1"),
            Linear(d_out, d_out, True, "linear_2"),
        )
        blocks += [(Block(merger, name), n_deep)] if n_deep else []
    parts += [LayerNorm(d_out, "hidden_norm"), Linear(d_out, d_out, False), LayerNorm(d_out, "final_norm")]
    return _siglip_without_head(v), replace(projector_of(*parts), blocks=tuple(blocks))


def _qwen3_omni_audio(a: Keys) -> Tower:
    """Three convolutions over time and pitch, then Whisper's layers with a bias everywhere."""
    d, width = a.size("d_model"), a.size("downsample_hidden_size")
    rows = a.size("num_mel_bins")
    for _ in range(3):
        rows = (rows + 1) // 2
    front: list[Part] = [
        Convolution(1, width, 9, id="first_convolution", component=AUDIO),
        Convolution(width, width, 9, id="second_convolution", component=AUDIO),
        Convolution(width, width, 9, id="third_convolution", component=AUDIO),
        Linear(width * rows, d, False, "linear_1", AUDIO),
    ]
    layer = encoder_layer(a, heads="encoder_attention_heads", width="d_model", inner=a.size("encoder_ffn_dim"))
    return layers_as_tower(front, layer, layers_of(a, "encoder_layers"), [LayerNorm(d, "final_norm")], AUDIO)


def _qwen3_omni(w: Whole) -> Sequence[Tower]:
    a = w.audio
    d, d_out = a.size("d_model"), a.size("output_dim")
    audio = _qwen3_omni_audio(a)
    projected = (Linear(d, d, True, "linear_2", AUDIO), Linear(d, d_out, True, "linear_3", AUDIO))
    return (replace(audio, back=(*audio.back, *projected)), *_qwen3_vision(w.vision))


def _qwen3_asr(w: Whole) -> Sequence[Tower]:
    d, d_out = w.audio.size("d_model"), w.audio.size("output_dim")
    return _qwen3_omni_audio(w.audio), projector_of(*two_linear(d, d, d_out))


def _radio(v: Keys, frames: int) -> Tower:
    """C-RADIO's: patches of images and of so many frames of a video, class tokens and registers."""
    d = v.size("hidden_size")
    n_heads, side = v.size("num_attention_heads"), v.size("max_img_size") // _side(v, "patch_size")
    patch = square_of(v) * v.size("num_channels")
    inner, gated = inner_of(v, d), v.flag("use_swiglu_ffn")
    if gated:
        inner = -(-int(inner * 2 / 3) // 8) * 8
    front: list[Part] = [
        Linear(patch, d, False, "patch_embedding", VISION),
        Linear(frames * patch, d, False, "video_embedding", VISION),
        LearnedPositions(side**2, d),
        Vectors(v.size("num_cls_tokens", 0) + v.size("num_registers", 0), d, "class_token"),
    ]
    layer = (
        LayerNorm(d, "attention_norm"),
        Attention(
            d, n_heads, n_heads, head_of(v, d, n_heads, "num_attention_heads"), v.flag("qkv_bias"), True, sees="all"
        ),
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, inner, gated, True),
        Vectors(2, d, "layer_scales"),
    )
    return layers_as_tower(front, layer, layers_of(v))


def _parakeet(a: Keys, bias: bool) -> Tower:
    """A conformer: two half networks around attention with relative positions and a convolution."""
    d, d_ff, n_heads = a.size("hidden_size"), a.size("intermediate_size"), a.size("num_attention_heads")
    width, kernel = head_of(a, d, n_heads, "num_attention_heads"), a.size("conv_kernel_size")
    channels, square = a.size("subsampling_conv_channels"), a.size("subsampling_conv_kernel_size") ** 2
    n_halvings = a.size("subsampling_factor").bit_length() - 1
    rows = a.size("num_mel_bins") // a.size("subsampling_conv_stride") ** n_halvings
    step = (
        Convolution(1, channels, square, id="second_convolution", component=AUDIO),
        Linear(channels, channels, True, "linear_1", AUDIO),
    )
    inside = a.flag("convolution_bias")
    layer = (
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, d_ff, bias=bias),
        LayerNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, bias, bias, sees="all"),
        Linear(d, d, False, "position_keys", AUDIO),
        Vectors(2, d, "relative_bias", AUDIO),
        LayerNorm(d, "convolution_norm"),
        Linear(d, 2 * d, inside, "linear_1", AUDIO),
        Convolution(1, d, kernel, inside, "convolution", AUDIO),
        LayerNorm(d, "inner_norm"),
        Linear(d, d, inside, "linear_2", AUDIO),
        LayerNorm(d, "second_feed_forward_norm"),
        FeedForward(d, d_ff, bias=bias, id="second_feed_forward"),
        LayerNorm(d, "final_norm"),
    )
    blocks = ((Block(step, "first_block"), n_halvings - 1), (Block(layer), layers_of(a)))
    front = (
        Convolution(1, channels, square, id="first_convolution", component=AUDIO),
        Linear(channels * rows, d, True, "linear_1", AUDIO),
    )
    return Tower(front, tuple((block, count) for block, count in blocks if count > 0), (), AUDIO, AUDIO)


def _nemotron_omni(w: Whole) -> Sequence[Tower]:
    """Images always; sound where the file has a tower for it. With layers that predict ahead, images have a norm."""
    width = w.keys.size(named_key(w.keys, "vit_hidden_size", "vision_hidden_size"))
    inner = w.keys.size("projector_hidden_size")
    wide = width * shuffled(w.keys) ** 2
    vision = _radio(w.vision, w.keys.size("video_temporal_patch_size"))
    norm = RMSNorm(wide, "projector_norm", PROJECTOR)
    text = w.keys.config.get("text_config") or w.keys.config.get("llm_config")
    if isinstance(text, Mapping) and text.get("num_nextn_predict_layers"):
        vision = replace(vision, back=(LayerNorm(width, "final_norm"),))
    if "audio_config" not in w.towers:
        return vision, projector_of(norm, *two_linear(wide, inner, w.d_text, False))
    a = w.audio
    d, d_mid, bias = a.size("hidden_size"), a.size("projection_hidden_size"), a.flag("projection_bias")
    return (
        vision,
        _parakeet(a, a.given("attention_bias") and a.flag("attention_bias")),
        projector_of(
            norm,
            *two_linear(wide, inner, w.d_text, False),
            RMSNorm(d, "hidden_norm"),
            *two_linear(d, d_mid, w.d_text, bias),
        ),
    )


def _hunyuan(w: Whole) -> Sequence[Tower]:
    """Two convolutions join patches; vectors mark where an image begins and ends, and its lines."""
    v = w.vision
    d, patch = v.size("hidden_size"), _side(v, "patch_size")
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, patch**2),
        LearnedPositions((v.size("max_image_size") // patch) ** 2 + 1, d),
    ]
    projector = projector_of(
        Linear(2 * d, 4 * d),
        Linear(4 * d, w.d_text),
        Convolution(d, 2 * d, v.size("spatial_merge_size") ** 2, id="downsampling", component=PROJECTOR),
        RMSNorm(d, "hidden_norm"),
        Vectors(1, 4 * d, "newline", PROJECTOR),
        Vectors(3, w.d_text, "ends_of_image", PROJECTOR),
        RMSNorm(w.d_text, "final_norm"),
    )
    every = (  # a head of keys for each of queries, whatever the file says
        replace(part, n_kv_heads=part.n_heads) if isinstance(part, Attention) else part for part in encoder_layer(v)
    )
    return layers_as_tower(front, tuple(every), layers_of(v)), projector


READERS: Mapping[str, Reader] = {
    "aria": _aria,
    "cosmos3_edge": _cosmos3_edge,
    "gemma4": _gemma4,
    "gemma4_unified": _gemma4_unified,
    "glm5_next": _glm_ocr,
    "granite_docling": _granite_docling,
    "minimax_m3_vl": _minimax_m3,
    "mistral_large4": _mistral_large4,
    "molmo2": _molmo2,
    "muse_glimmer": _muse_vision,
    "muse_spark": _muse_spark,
    "qwen3_asr": _qwen3_asr,
    "qwen3_omni_moe_thinker": _qwen3_omni,
    "nemotron_h_omni": _nemotron_omni,
    "hunyuan_vl": _hunyuan,
    "step3p7": _step3p7,
    "voxtral_realtime": _voxtral_realtime,
    "kimi_vl": _kimi,
    "glm_ocr": _glm_ocr,
    "granite_speech": _granite_speech,
    "granite_speech_plus": _granite_speech,
    "hyperclovax_vision_v2": _hyperclovax,
    "lfm2_vl": _lfm2,
    "ovis2": _ovis2,
    "paddleocr_vl": _paddle,
    "qianfan_ocr": _internvl,
    "qwen2_5_omni_thinker": _qwen2_omni,
    "video_llama_3": _deepseek_vl,
    "glmga": _glm4v,
    "aya_vision": _aya,
    "audioflamingo3": _audioflamingo,
    "cohere2_vision": _cohere2,
    "cosmos3_omni": _qwen3_vl,
    "deepseek_vl": _deepseek_vl,
    "exaone4_5": _qwen2_5_vl,
    "gemma3": _gemma3,
    "glm46v": _glm4v,
    "glm4v": _glm4v,
    "glm4v_moe": _glm4v,
    "glmasr": _glm_asr,
    "idefics2": _idefics2,
    "idefics3": _idefics3,
    "internvl": _internvl,
    "kimi_k25": _kimi,
    "lighton_ocr": _lighton,
    "llama4": _llama4,
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_next_video": _llava_next,
    "llava_onevision": _llava_next,
    "mistral3": _mistral3,
    "mllama": _mllama,
    "musicflamingo": _audioflamingo,
    "paligemma": _paligemma,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2_audio": _audio_linear,
    "qwen2_vl": _qwen2_vl,
    "qwen3_5": _qwen3_5,
    "qwen3_5_moe": _qwen3_5,
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_moe": _qwen3_vl,
    "shieldgemma2": _gemma3,
    "smolvlm": _idefics3,
    "video_llava": _video_llava,
    "vipllava": _vipllava,
    "voxtral": _voxtral,
}
