"""Models that hear or speak through stages of convolutions, or through layers with a memory of near sounds.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import MOST_LAYERS, Keys, whole
from llmcalc.huggingface.towers.backbones import numbers_of
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    encoder_layer,
    head_of,
    layers_as_tower,
    layers_of,
    projector_of,
    square_of,
    two_linear,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.experts import Experts, Router
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import AUDIO, PROJECTOR, VISION, Convolution, Linear, Tower, Vectors


def _fun_asr(w: Whole) -> Sequence[Tower]:
    """Layers that also remember near sounds by a convolution, the first on several frames together; more behind."""
    a, p = w.audio, w.towers["adaptor_config"]
    d, n_heads, kernel = a.size("hidden_size"), a.size("num_attention_heads"), a.size("fsmn_kernel_size")
    d_in, n_layers = a.size("num_mel_bins") * a.size("num_stacked_frames"), layers_of(a)
    width = head_of(a, d, n_heads, "num_attention_heads")

    def layer(wide: int) -> tuple[Part, ...]:
        return (
            LayerNorm(wide, "attention_norm"),
            Attention(d, n_heads, n_heads, width, True, True, sees="all", d_in=None if wide == d else wide),
            Vectors(d, kernel, "convolution", AUDIO),
            LayerNorm(d, "feed_forward_norm"),
            FeedForward(d, a.size("intermediate_size"), bias=True),
        )

    blocks = ((Block(layer(d_in), "first_block"), 1), (Block(layer(d)), n_layers - 1))
    back: tuple[Part, ...] = (LayerNorm(d, "final_norm"),)
    if 0 < a.size("num_timestamp_prediction_layers", 0) < n_layers:
        back = (LayerNorm(d, "hidden_norm"), *back)
    audio = Tower((), tuple((block, count) for block, count in blocks if count), back, AUDIO, AUDIO)
    projector = projector_of(*two_linear(d, p.size("projector_hidden_size"), p.size("hidden_size")))
    return audio, replace(projector, blocks=((Block(encoder_layer(p)), layers_of(p)),))


def _stage(k: Keys, entry: Part, d: int, depth: int, name: str) -> Tower:
    """A convolution, then so many layers of a convolution of each channel and a network, each scaled."""
    if depth > MOST_LAYERS:
        raise InputError("depths", f"{depth:,} layers; more than {MOST_LAYERS:,} are not counted",
                         code="too_many_layers", number=depth, most=MOST_LAYERS)  # fmt: skip
    layer = (
        RMSNorm(d, "convolution_norm"),
        Convolution(1, d, k.size("kernel_size"), id="first_convolution", component=AUDIO),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, d * k.size("ffn_expansion"), bias=True),
        Vectors(2, d, "layer_scales", AUDIO),
    )
    return Tower((entry,), ((Block(layer), depth),), (), name, AUDIO)


def _stages(k: Keys, inwards: bool) -> list[Part]:
    """VibeVoice's encoder from samples to vectors, or its decoder back to samples: each stage wider, or narrower."""
    ratios = numbers_of(k, "downsampling_ratios")
    depths = numbers_of(k, "depths", len(ratios) + 1)
    kernel, ends = k.size("kernel_size"), (k.size("channels"), k.size("hidden_size"))
    widths = [k.size("num_filters") * 2**i for i in range(len(depths))]
    if not inwards:
        ratios, depths, widths, ends = ratios[::-1], depths[::-1], widths[::-1], ends[::-1]
    kernels, ins = [kernel, *(2 * ratio for ratio in ratios)], [ends[0], *widths[:-1]]
    found: list[Part] = [
        _stage(k, Convolution(d_in, d, size, id="convolution", component=AUDIO), d, depth, f"stage_{i}")
        for i, (d_in, d, size, depth) in enumerate(zip(ins, widths, kernels, depths, strict=True), 1)
    ]
    return [*found, Convolution(widths[-1], ends[1], kernel, id="third_convolution", component=AUDIO)]


def _two_with_norm(d_in: int, d: int) -> tuple[Part, ...]:
    return Linear(d_in, d), RMSNorm(d, "projector_norm", PROJECTOR), Linear(d, d)


def _vibevoice_asr(w: Whole) -> Sequence[Tower]:
    """Two encoders, for how it sounds and what it means, each with a projection."""
    towers = [w.towers[f"{of}_tokenizer_encoder_config"] for of in ("acoustic", "semantic")]
    projectors = [projector_of(*_two_with_norm(k.size("hidden_size"), w.d_text)) for k in towers]
    first, second = (Tower(tuple(_stages(k, True)), id=AUDIO, component=AUDIO) for k in towers)
    return (first, replace(second, id="second_tower"), projectors[0], replace(projectors[1], id="second_projector"))


def _vibevoice(w: Whole) -> Sequence[Tower]:
    """An encoder and a decoder of sounds, an encoder of what they mean, and a head that makes sounds out of noise."""
    sounds, meaning, head = w.audio, w.towers["semantic_model_config"], w.towers["diffusion_head_config"]
    ways = [Tower(tuple(_stages(sounds, inwards)), id=id, component=AUDIO)
            for inwards, id in ((True, AUDIO), (False, "sound_decoder"))]  # fmt: skip
    second = Tower(tuple(_stages(meaning, True)), id="second_tower", component=AUDIO)
    d, latent = w.d_text, sounds.size("hidden_size")  # whatever the head's own config says
    bias = head.flag("mlp_bias")
    layer = (RMSNorm(d, "feed_forward_norm"), FeedForward(d, head.size("intermediate_size"), True, bias),
             Linear(d, 3 * d, False, "linear_1", AUDIO))  # fmt: skip
    front = [
        Linear(d_in, d, False, f"linear_{i}", AUDIO)
        for i, d_in in enumerate((latent, d, head.size("frequency_embedding_size"), d), 1)
    ]
    back = [Linear(d, 2 * d, False, "linear_5", AUDIO), Linear(d, latent, False, "linear_6", AUDIO)]
    noise = replace(layers_as_tower(front, layer, layers_of(head), back, AUDIO), id="diffusion_head")
    return (
        *ways,
        second,
        noise,
        projector_of(*_two_with_norm(sounds.size("hidden_size"), w.d_text), Vectors(2, 1, "gates", PROJECTOR)),
        replace(projector_of(*_two_with_norm(meaning.size("hidden_size"), w.d_text)), id="second_projector"),
    )


def _experts_of(v: Keys, n_layers: int) -> list[int]:
    """How many experts each layer of dots.note's tower has, 0 where it has a network; as published, more and more."""
    listed = v.list_of("pyramid_num_routed", int, n_layers) if v.has("pyramid_num_routed") else None
    if listed is not None:
        return [max(0, number) for number in listed]
    kinds = v.list_of("mlp_layer_types", str, n_layers) if v.given("mlp_layer_types") else None
    if kinds is None:
        as_published = [0] * 25 + [*range(4, 65, 4), 64]
        if n_layers != len(as_published):
            raise v.missing("mlp_layer_types")
        return as_published
    own = v.value("per_layer_config") if v.has("per_layer_config") else None
    rows = own if isinstance(own, Mapping) else {}
    found = []
    for i, kind in enumerate(kinds):
        row = rows.get(str(i), rows.get(i))
        number = row.get("num_local_experts") if isinstance(row, Mapping) else None
        found.append(whole("num_local_experts", number or v.size("num_local_experts")) if kind == "sparse" else 0)
    return found


def _dots_note_vision(v: Keys) -> tuple[Tower, Tower]:
    d, n_heads, n_layers = v.size("hidden_size"), v.size("num_attention_heads"), layers_of(v)
    width, bias = head_of(v, d, n_heads, "num_attention_heads"), v.flag("attention_bias")
    experts = _experts_of(v, n_layers)
    mixer: tuple[Part, ...] = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, bias, bias, sees="all"),
        RMSNorm(width, "query_norm", "qk_norm"),
        RMSNorm(width, "key_norm", "qk_norm"),
        RMSNorm(d, "feed_forward_norm"),
    )
    dense = Block((*mixer, FeedForward(d, v.size("intermediate_size"), True, v.flag("mlp_bias"))))
    blocks = [(dense, experts.count(0)), (Block(mixer, "sparse_block"), n_layers - experts.count(0))]
    mixture: tuple[Part, ...] = ()
    if any(experts):  # of all layers together: each has as many as it has
        expert = FeedForward(d, v.size("moe_intermediate_size"), True, id="expert")
        mixture = (Router(d, sum(experts)), Experts(sum(experts), v.optional("num_experts_per_tok") or 2, expert))
    patch = (Convolution(v.size("num_channels"), d, square_of(v)), RMSNorm(d, "embedding_norm"))
    wide = d * v.size("adapter_merge_size") ** 2
    norm = LayerNorm(d, "projector_norm", component=PROJECTOR)
    kept = tuple((block, count) for block, count in blocks if count)
    tower = Tower(patch, kept, (*mixture, RMSNorm(d, "final_norm")), VISION, VISION)
    return tower, projector_of(norm, *two_linear(wide, wide, v.size("adapter_out_dim")))


def _dots_note_audio(a: Keys) -> Tower:
    """Three convolutions, layers with gates whose keys have no bias, and two linear layers."""
    d, n_heads, channels = a.size("hidden_size"), a.size("num_attention_heads"), a.size("downsample_hidden_size")
    bias, d_out = a.flag("attention_bias"), a.size("adapter_out_dim")
    front: list[Part] = [
        Convolution(1, channels, 9, id="first_convolution", component=AUDIO),
        Convolution(channels, channels, 9, id="second_convolution", component=AUDIO),
        Convolution(channels, channels, 9, id="third_convolution", component=AUDIO),
        Linear(channels * ((a.size("feature_size") + 7) // 8), d, False, "linear_1", AUDIO),
    ]
    layer: tuple[Part, ...] = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, head_of(a, d, n_heads, "num_attention_heads"), False, bias, sees="all"),
        *((Vectors(2, d, "query_value_bias", AUDIO),) if bias else ()),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, a.size("intermediate_size"), True, True),
    )
    back: list[Part] = [
        RMSNorm(d, "final_norm"),
        LayerNorm(d, "projector_norm"),
        Linear(d, d_out, True, "linear_2", AUDIO),
        Linear(d_out, d_out, True, "linear_3", AUDIO),
    ]
    return layers_as_tower(front, layer, layers_of(a), back, AUDIO)


def _dots_note(w: Whole) -> Sequence[Tower]:
    return (*_dots_note_vision(w.vision), _dots_note_audio(w.audio))


READERS: Mapping[str, Reader] = {
    "dots3_note": _dots_note,
    "fun_asr_nano": _fun_asr,
    "vibevoice": _vibevoice,
    "vibevoice_asr": _vibevoice_asr,
}
