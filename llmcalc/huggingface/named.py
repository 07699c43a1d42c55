"""Which family a config is of, where it keeps its language model, and which task its class was made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.beside import default_text
from llmcalc.huggingface.families import FAMILIES
from llmcalc.huggingface.family import Family, decoder_alone
from llmcalc.huggingface.heads import HeadTask, task_of
from llmcalc.huggingface.keys import Notice, shown
from llmcalc.huggingface.other_files import another_file

# Where a multimodal model keeps the config of its language model, and which family that is when it does not say.
NESTED = ("text_config", "llm_config", "language_config", "llm_cfg", "decoder_config")
TEXT_OF: Mapping[str, str] = {
    "aria": "aria_text",
    "audioflamingo3": "qwen2",
    "aya_vision": "cohere2",
    "blip": "blip_text_model",
    "blip-2": "opt",
    "canary": "canary_decoder",
    "cohere2_vision": "cohere2",
    "cosmos3_edge": "cosmos3_edge_text",
    "cosmos3_omni": "qwen3_vl_text",
    "deepseek_ocr": "unlimited_ocr_text",
    "deepseek_ocr2": "unlimited_ocr_text",
    "deepseek_vl": "llama",
    "deepseek_vl_hybrid": "llama",
    "dots3_note": "dots3_note_text",
    "ernie4_5_moe_vl": "ernie4_5_vl_moe_text",
    "ernie4_5_vl_moe": "ernie4_5_vl_moe_text",
    "exaone4_5": "exaone4",
    "florence2": "bart",
    "fun_asr_nano": "qwen3",
    "fuyu": "persimmon",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "glm46v": "glm4v_text",
    "glm4v": "glm4v_text",
    "glm4v_moe": "glm4v_moe_text",
    "glm5_next": "glm5_next_text",
    "glm_ocr": "glm_ocr_text",
    "glmasr": "llama",
    "glmga": "glm4v_text",
    "got_ocr2": "qwen2",
    "granite_docling": "granite_docling_text",
    "granite_speech": "granite",
    "granite_speech_plus": "granite",
    "hunyuan_vl": "hunyuan_vl_text",
    "hyperclovax_vision_v2": "hyperclovax",
    "idefics2": "mistral",
    "idefics3": "llama",
    "inkling_mm_model": "inkling_text",
    "instructblip": "opt",
    "instructblipvideo": "opt",
    "internvl": "qwen2",
    "janus": "llama",
    "kimi_k25": "deepseek_v3",
    "kimi_vl": "deepseek_v3",
    "kosmos-2": "kosmos_2_text_model",
    "kosmos-2.5": "kosmos_2_5_text_model",
    "lfm3_vl": "lfm3",
    "lighton_ocr": "qwen3",
    "llama4": "llama4_text",
    "llava": "llama",
    "llava_next": "llama",
    "llava_next_video": "llama",
    "llava_onevision": "qwen2",
    "minicpm_ocr": "qwen3_5_text",
    "minicpmv4_6": "qwen3_5_text",
    "minicpmv4_7": "qwen3_5_text",
    "minimax_m3_vl": "minimax_m3_vl_text",
    "mistral3": "mistral",
    "mistral_large4": "mistral_large4_text",
    "mllama": "mllama_text_model",
    "modernvbert": "modernbert",
    "molmo2": "molmo2_text",
    "moss_transcribe_diarize": "qwen3",
    "muse_glimmer": "muse_glimmer_text",
    "muse_spark": "muse_spark_text",
    "musicflamingo": "qwen2",
    "nemotron_h_omni": "nemotron_h",
    "ovis2": "qwen2",
    "paddleocr_vl": "paddleocr_vl_text",
    "paligemma": "gemma",
    "pix2struct": "pix2struct_text_model",
    "pp_chart2table": "qwen2",
    "pp_formulanet": "pp_formulanet_text",
    "qianfan_ocr": "qwen3",
    "qwen2_5_omni_thinker": "qwen2",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen2_audio": "qwen2",
    "qwen2_vl": "qwen2_vl_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_asr": "qwen3",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_omni_moe_thinker": "qwen3_omni_moe_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "qwen3_8_flash_next": "qwen4_exp_text",
    "qwen4_exp": "qwen4_exp_text",
    "shieldgemma2": "gemma3_text",
    "smolvlm": "llama",
    "step3p7": "step3p5",
    "t5gemma2": "t5gemma2_text",
    "ultravbert": "ultrabert",
    "unlimited_ocr": "unlimited_ocr_text",
    "vibevoice": "qwen2",
    "vibevoice_asr": "qwen2",
    "video_llama_3": "qwen2",
    "video_llava": "llama",
    "vipllava": "llama",
    "voxtral": "llama",
    "voxtral_realtime": "voxtral_realtime_text",
}
# Other names of families that we know.
SAME_AS: Mapping[str, str] = {
    "Yi": "llama",
    "byt5": "t5",
    "code_llama": "llama",
    "deepseek_ocr2_text": "unlimited_ocr_text",
    "deepseek_ref": "deepseek_v4",
    "deepseek_v2_text": "deepseek_v2",
    "exaone4_5_text": "exaone4",
    "gpt-sw3": "gpt2",
    "mimo": "qwen2",
    "minicpmo": "minicpmv",
    "minimax_m1": "minimax",
    "minimax_m3": "minimax_m3_vl_text",
    "minimax_text_01": "minimax",
    "mistral_text": "mistral",
    "myt5": "t5",
    "new": "gte",
    "nllb": "m2m_100",
    "qwen3_8_flash_next_text": "qwen4_exp_text",
    "stablelm_epoch": "stablelm",
}
# Models that also speak: what is read is their thinker, of that model_type, which takes and writes all but sound
_THINKERS: Mapping[str, str] = {
    "qwen2_5_omni": "qwen2_5_omni_thinker",
    "qwen3_omni_moe": "qwen3_omni_moe_thinker",
}
_SIZES = ("hidden_size", "d_model", "n_embd")  # one of these is in every config of a language model
LLAMA_KEYS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
# What a model class is for, by the end of its name
_TASKS: tuple[tuple[str, str], ...] = (
    ("LMHeadModel", "language model"),
    ("WithLMHead", "language model"),
    ("ForCausalLM", "language model"),
    ("ForMaskedLM", "language model"),
    ("ForConditionalGeneration", "language model"),
    ("MTModel", "language model"),
    ("Omni_Reasoning_V3", "language model"),
    ("MiniCPMV", "language model"),
    ("MiniCPMO", "language model"),
    ("ModelLM", "language model"),
    ("ForTextToText", "language model"),
    ("ForSpeechToText", "language model"),
    ("ForVisionText2Text", "language model"),
    ("GenerationDecoder", "language model"),
    ("GenerationEncoder", "base"),
    ("ForPreTraining", "pretraining"),
    ("EncoderModel", "encoder"),
    ("Model", "base"),
)


def language_part(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The key under which a multimodal config keeps its language model ("" for a plain one), and that config.

    Raises InputError where the config is no mapping of texts to values.
    """
    _check_mapping("config", config)
    for key in NESTED:
        inner = config.get(key)
        if inner is None or (key != "text_config" and not isinstance(inner, Mapping)):
            continue
        _check_mapping(key, inner)
        return key, inner
    outer = config.get("model_type")
    if isinstance(outer, str) and not any(key in config for key in _SIZES):
        default = default_text(outer)  # the whole model's class has a language model of its own choice
        if default is not None:
            return "text_config", default
    return "", config


def thinker_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The config of the thinker of a model that also speaks, None for any other model."""
    outer = config.get("model_type") if isinstance(config, Mapping) else None
    if not isinstance(outer, str) or outer not in _THINKERS:
        return None
    given = config.get("thinker_config")
    inner = {} if given is None else given
    _check_mapping("thinker_config", inner)
    stored = {key: config[key] for key in ("quantization_config", "quantization") if key in config}
    return {**stored, **inner, "model_type": _THINKERS[outer]}


def _check_mapping(key: str, config: Any) -> None:
    if not isinstance(config, Mapping) or any(not isinstance(name, str) for name in config):
        message = f"{key!r} must be a JSON object, not {shown(config)}"
        raise InputError(key, message, code="key_not_object", key=key, found=shown(config))


def text_or_none(config: Mapping[str, Any], key: str) -> str | None:
    """A text that may be absent.

    Raises InputError for anything but a text.
    """
    value = config.get(key)
    if value is not None and not isinstance(value, str):
        message = f"{key!r} must be text, not {shown(value)}"
        raise InputError(key, message, code="key_not_text", key=key, found=shown(value))
    return value or None


def family_of(config: Mapping[str, Any], text: Mapping[str, Any]) -> tuple[str, Family | None]:
    """The family of the language model; None where its model_type is unknown."""
    outer = text_or_none(config, "model_type")
    name = text_or_none(text, "model_type") or (TEXT_OF.get(outer, outer) if outer else None)
    if name is None:
        name = _family_of_class(config) or _without_name(text)
    name = SAME_AS.get(name, name)
    name = TEXT_OF.get(name, name) if name not in FAMILIES else name
    if name not in FAMILIES and text is config:  # a name of its own for a class that we know
        name = _family_of_class(config) or name
    family = FAMILIES.get(name)
    if family is not None and _is_decoder_alone(family, architecture_of(text) or architecture_of(config)):
        family = decoder_alone(family)
    return name, family


def read_by_class(config: Mapping[str, Any], model_type: str) -> Notice | None:
    """That a config's own model_type is unknown, and the family is that of its class; None where it is known."""
    named, architecture = text_or_none(config, "model_type"), architecture_of(config)
    known = SAME_AS.get(named or "", named)
    if named is None or model_type in (named, known, TEXT_OF.get(known or "")) or architecture is None:
        return None
    text = f"the model_type {shown(named)} is unknown: counted as its class, {shown(architecture)}, is built"
    return Notice("by_class", text, {"model_type": named, "architecture": architecture})


def _is_decoder_alone(family: Family, architecture: str | None) -> bool:
    """Whether a class of a family of two stacks is its decoder, as a language model of its own."""
    return "n_decoder_heads" in family.names and bool(
        architecture and architecture.endswith(("ForCausalLM", "ForSpeechToText"))
    )


def _family_of_class(config: Mapping[str, Any]) -> str | None:
    """The family whose name begins the class in ``architectures``: GPT2 of GPT2LMHeadModel."""
    stem = architecture_of(config) or ""
    for ending, _ in (*_TASKS, ("With", "")):
        stem = stem.removesuffix(ending)
    plain = {_plain(name): name for name in FAMILIES}
    return plain.get(_plain(stem))


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _without_name(text: Mapping[str, Any]) -> str:
    if all(key in text for key in ("d_model", "n_heads", "d_ff", "encoder_layers", "decoder_layers")):
        return "vanilla_transformer"
    if all(key in text for key in LLAMA_KEYS):
        return "(none)"
    if (error := another_file(text)) is not None:
        raise error
    raise InputError("model_type", "the config has no 'model_type'", tuple(FAMILIES), code="no_model_type")


def architecture_of(config: Mapping[str, Any]) -> str | None:
    """The first class in ``architectures``, if any."""
    value = config.get("architectures")
    if value is None:
        return None
    if not isinstance(value, list | tuple) or any(not isinstance(name, str) for name in value):
        raise InputError("architectures", "'architectures' must be a list of class names", code="architectures")
    return value[0] if value else None


def task_named(
    config: Mapping[str, Any], text: Mapping[str, Any], model_type: str, family: Family | None
) -> tuple[str, HeadTask | None, list[Notice]]:
    """What the model's class is for, and its head where that is no language model's; a class with a head that is not
    modelled is counted with a language-model head."""
    name = architecture_of(text) or architecture_of(config)
    if name is None:
        return "language model", None, []
    if family is not None and (head := task_of(name, model_type)):
        return head.body, head, []
    if family is not None and "n_decoder_heads" not in family.names and _is_decoder_alone(FAMILIES[model_type], name):
        return "decoder", None, []
    for ending, task in _TASKS:
        if name.endswith(ending):
            return task, None, []
    text_of = f"the head of {shown(name)} is not modelled: counted with a language-model head"
    return "language model", None, [Notice("other_head", text_of, {"architecture": name})]
