"""Models whose tower joins the patches of a square before the language model: Qwen-VL, GLM-V and their kin.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.towers.encoders import tower_by_type
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    channels_of,
    encoder_layer,
    layers_as_tower,
    layers_of,
    patches_of,
    projector_of,
    square_of,
    two_dealt,
    two_linear,
)
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import AUDIO, PROJECTOR, VISION, Convolution, Linear, Tower


def _qwen2_vl(w: Whole) -> Sequence[Tower]:
    v = w.vision
    d = v.size("embed_dim")
    ratio = v.value("mlp_ratio")
    inner = int(d * ratio) if isinstance(ratio, int | float) and 0 < ratio < 1000 else d
    patch = Convolution(channels_of(v), d, square_of(v) * v.size("temporal_patch_size"), False)
    layer = encoder_layer(v, heads="num_heads", width="embed_dim", inner=inner)
    wide = d * v.size("spatial_merge_size") ** 2
    merger = projector_of(
        LayerNorm(d, "projector_norm", component=PROJECTOR), *two_dealt(wide, wide, v.size("hidden_size"))
    )
    return layers_as_tower([patch], layer, layers_of(v, "depth")), merger


def _qwen2_5_vision(v: Keys) -> Sequence[Tower]:
    d = v.size("hidden_size")
    patch = Convolution(channels_of(v), d, square_of(v) * v.size("temporal_patch_size"), False)
    layer = encoder_layer(v, norm=RMSNorm, heads="num_heads", gated=True)
    wide = d * v.size("spatial_merge_size") ** 2
    merger = projector_of(RMSNorm(d, "projector_norm", PROJECTOR), *two_dealt(wide, wide, v.size("out_hidden_size")))
    return layers_as_tower([patch], layer, layers_of(v, "depth")), merger


def _qwen2_5_vl(w: Whole) -> Sequence[Tower]:
    return _qwen2_5_vision(w.vision)


def _qwen3_vision(v: Keys, deep: bool = True) -> Sequence[Tower]:
    d = v.size("hidden_size")
    front: list[Part] = [
        Convolution(channels_of(v), d, square_of(v) * v.size("temporal_patch_size")),
        LearnedPositions(v.size("num_position_embeddings"), d),
    ]
    wide, d_out = d * v.size("spatial_merge_size") ** 2, v.size("out_hidden_size")
    merger = projector_of(LayerNorm(d, "projector_norm", component=PROJECTOR), *two_dealt(wide, wide, d_out))
    tower = layers_as_tower(front, encoder_layer(v, heads="num_heads"), layers_of(v, "depth"))
    n_deep = len(v.list_of("deepstack_visual_indexes", int) or ()) if deep else 0
    if not n_deep:
        return tower, merger
    one = (
        LayerNorm(wide, "projector_norm", component=PROJECTOR),
        Linear(wide, wide, True, "linear_2", dealt="d_out"),
        Linear(wide, d_out, True, "linear_3", dealt="d_in"),
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
        Convolution(channels_of(v), d, square_of(v) * v.size("temporal_patch_size")),
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


def _hyperclovax(w: Whole) -> Sequence[Tower]:
    tower, merger = _qwen2_5_vision(w.vision)
    linear = Linear(w.vision.size("out_hidden_size"), w.d_text, True, "linear_4")
    return tower, replace(merger, back=(*merger.back, linear))


def _qwen2_omni(w: Whole) -> Sequence[Tower]:
    return (tower_by_type(w.audio), *_qwen2_5_vision(w.vision))


def _glm_ocr(w: Whole) -> Sequence[Tower]:
    v = w.vision
    d, merge, d_out = v.size("hidden_size"), v.size("spatial_merge_size"), v.size("out_hidden_size")
    bias = v.flag("attention_bias")
    inner = v.optional("projection_intermediate_size") or d_out * channels_of(v)
    patch = Convolution(channels_of(v), d, square_of(v) * v.size("temporal_patch_size"))
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


def _ernie(w: Whole) -> Sequence[Tower]:
    """Patches of a square, then of two moments, go through two layers each."""
    v = w.vision
    d = v.size("hidden_size")
    wide = d * v.size("spatial_merge_size") ** 2
    front: list[Part] = [Linear(v.size("in_channels") * square_of(v), d, False, "patch_embedding", VISION)]
    tower = layers_as_tower(
        front, encoder_layer(v, heads="num_heads"), layers_of(v, "depth"), [LayerNorm(d, "final_norm")]
    )
    return tower, projector_of(
        *two_linear(wide, wide, wide),
        LayerNorm(wide, "projector_norm", component=PROJECTOR),
        *two_linear(wide * v.size("temporal_merge_size"), wide, wide),
        LayerNorm(wide, "hidden_norm", component=PROJECTOR),
        Linear(wide, w.d_text),
        RMSNorm(w.d_text, "final_norm", PROJECTOR),
    )


READERS: Mapping[str, Reader] = {
    "glm5_next": _glm_ocr,
    "minimax_m3_vl": _minimax_m3,
    "qwen3_asr": _qwen3_asr,
    "qwen3_omni_moe_thinker": _qwen3_omni,
    "glm_ocr": _glm_ocr,
    "hyperclovax_vision_v2": _hyperclovax,
    "qwen2_5_omni_thinker": _qwen2_omni,
    "glmga": _glm4v,
    "cosmos3_omni": _qwen3_vl,
    "exaone4_5": _qwen2_5_vl,
    "glm46v": _glm4v,
    "glm4v": _glm4v,
    "glm4v_moe": _glm4v,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2_vl": _qwen2_vl,
    "qwen3_5": _qwen3_5,
    "qwen3_5_moe": _qwen3_5,
    "qwen4_exp": _qwen3_5,
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_moe": _qwen3_vl,
    "ernie4_5_vl_moe": _ernie,
}
