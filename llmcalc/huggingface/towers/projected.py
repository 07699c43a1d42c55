"""Models that put a tower of a known kind, and linear layers behind it, before a language model.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface.towers.encoders import pixtral, siglip2, tower_by_type
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    feature_layers,
    named_key,
    projector_of,
    shuffled,
    two_dealt,
    two_linear,
)
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.tower import PROJECTOR, Linear, Tower, Vectors


def _llava(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * feature_layers(w.keys)
    bias = w.keys.flag("multimodal_projector_bias")
    return tower_by_type(w.vision), projector_of(*two_dealt(d_in, w.d_text, w.d_text, bias))


def _llava_next(w: Whole) -> Sequence[Tower]:
    vision, projector = _llava(w)
    return vision, replace(projector, front=(Vectors(1, w.d_text, "newline", PROJECTOR),))


def _video_llava(w: Whole) -> Sequence[Tower]:
    image, projector = _llava(w)
    return image, replace(image, id="video_tower"), projector


def _vipllava(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * feature_layers(
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
        *two_linear(d * feature_layers(w.keys), w.d_text, w.d_text, bias),
    )


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


def _paddle(w: Whole) -> Sequence[Tower]:
    d = w.vision.size("hidden_size")
    wide = d * w.vision.size("spatial_merge_size") ** 2
    norm = LayerNorm(d, "projector_norm", component=PROJECTOR)
    return tower_by_type(w.vision), projector_of(norm, *two_linear(wide, wide, w.d_text))


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


def _cosmos3_edge(w: Whole) -> Sequence[Tower]:
    v, inner = w.vision, w.keys.size("projector_hidden_size")
    d = v.size("hidden_size")
    norm = LayerNorm(d, "projector_norm", component=PROJECTOR)
    return siglip2(v), projector_of(norm, *two_linear(d * v.size("spatial_merge_size") ** 2, inner, w.d_text))


def _mistral_large4(w: Whole) -> Sequence[Tower]:
    return pixtral(w.vision), _mistral_projector(w)


def _modernvbert(w: Whole) -> Sequence[Tower]:
    w.keys.refuse_other_than("classifier_bias", (False,))
    d_in = w.vision.size("hidden_size") * w.keys.size("pixel_shuffle_factor") ** 2
    return tower_by_type(w.vision), projector_of(Linear(d_in, w.d_text, False))


def _ultravbert(w: Whole) -> Sequence[Tower]:
    d_in = w.vision.size("hidden_size") * w.keys.size("pixel_shuffle_factor") ** 2
    norm = RMSNorm(w.d_text, "projector_norm", PROJECTOR)
    return tower_by_type(w.vision), projector_of(Linear(d_in, w.d_text, False), norm)


def _moss(w: Whole) -> Sequence[Tower]:
    d_in = w.audio.size("hidden_size") * w.keys.size("audio_merge_size")
    norm = LayerNorm(w.d_text, "projector_norm", component=PROJECTOR)
    bias = w.keys.flag("projector_bias")
    return tower_by_type(w.audio), projector_of(*two_linear(d_in, w.d_text, w.d_text, bias), norm)


READERS: Mapping[str, Reader] = {
    "cosmos3_edge": _cosmos3_edge,
    "mistral_large4": _mistral_large4,
    "kimi_vl": _kimi,
    "lfm2_vl": _lfm2,
    "ovis2": _ovis2,
    "paddleocr_vl": _paddle,
    "qianfan_ocr": _internvl,
    "video_llama_3": _deepseek_vl,
    "aya_vision": _aya,
    "audioflamingo3": _audioflamingo,
    "cohere2_vision": _cohere2,
    "deepseek_vl": _deepseek_vl,
    "gemma3": _gemma3,
    "glmasr": _glm_asr,
    "idefics3": _idefics3,
    "internvl": _internvl,
    "kimi_k25": _kimi,
    "lighton_ocr": _lighton,
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_next_video": _llava_next,
    "llava_onevision": _llava_next,
    "mistral3": _mistral3,
    "musicflamingo": _audioflamingo,
    "paligemma": _paligemma,
    "qwen2_audio": _audio_linear,
    "shieldgemma2": _gemma3,
    "t5gemma2": _gemma3,
    "smolvlm": _idefics3,
    "video_llava": _video_llava,
    "vipllava": _vipllava,
    "modernvbert": _modernvbert,
    "ultravbert": _ultravbert,
    "moss_transcribe_diarize": _moss,
    "voxtral": _voxtral,
}
