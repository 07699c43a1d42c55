"""A Hub ``config.json`` as a model: which family it is, which task its class was made for, what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.beside import CAUSAL, PARTS_OF, TOWERS, default_text, default_tie, towers_of
from llmcalc.huggingface.families import FAMILIES, keys_of
from llmcalc.huggingface.family import COMMON, Family, decoder_alone
from llmcalc.huggingface.heads import HeadTask, task_of, with_head
from llmcalc.huggingface.keys import Keys, Notice, is_null, shown
from llmcalc.huggingface.layers import as_said, flat_patterns, refuse_other_layers
from llmcalc.huggingface.positions import with_positions
from llmcalc.huggingface.prediction import prediction_layers
from llmcalc.huggingface.quantized import Quantization, quantization_of
from llmcalc.huggingface.stack import Recipe, build
from llmcalc.huggingface.unusual import flat
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import Tower

# Where a multimodal model keeps the config of its language model, and which family that is when it does not say.
NESTED = ("text_config", "llm_config", "language_config", "llm_cfg")
TEXT_OF: Mapping[str, str] = {
    "aria": "aria_text",
    "audioflamingo3": "qwen2",
    "aya_vision": "cohere2",
    "blip": "blip_text_model",
    "blip-2": "opt",
    "cohere2_vision": "cohere2",
    "cosmos3_edge": "cosmos3_edge_text",
    "cosmos3_omni": "qwen3_vl_text",
    "deepseek_ocr2": "unlimited_ocr_text",
    "deepseek_vl": "llama",
    "dots3_note": "dots3_note_text",
    "ernie4_5_moe_vl": "ernie4_5_vl_moe_text",
    "ernie4_5_vl_moe": "ernie4_5_vl_moe_text",
    "exaone4_5": "exaone4",
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
    "kimi_k25": "deepseek_v3",
    "kimi_vl": "deepseek_v3",
    "kosmos-2": "kosmos_2_text_model",
    "lfm3_vl": "lfm3",
    "lighton_ocr": "qwen3",
    "llama4": "llama4_text",
    "llava": "llama",
    "llava_next": "llama",
    "llava_next_video": "llama",
    "llava_onevision": "qwen2",
    "minicpmv4_6": "qwen3_5_text",
    "minimax_m3_vl": "minimax_m3_vl_text",
    "mistral3": "mistral",
    "mistral_large4": "mistral_large4_text",
    "mllama": "mllama_text_model",
    "molmo2": "molmo2_text",
    "muse_glimmer": "muse_glimmer_text",
    "muse_spark": "muse_spark_text",
    "musicflamingo": "qwen2",
    "nemotron_h_omni": "nemotron_h",
    "ovis2": "qwen2",
    "paddleocr_vl": "paddleocr_vl_text",
    "paligemma": "gemma",
    "pp_chart2table": "qwen2",
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
    "shieldgemma2": "gemma3_text",
    "smolvlm": "llama",
    "step3p7": "step3p5",
    "unlimited_ocr": "unlimited_ocr_text",
    "video_llama_3": "qwen2",
    "video_llava": "llama",
    "vipllava": "llama",
    "voxtral": "llama",
    "voxtral_realtime": "voxtral_realtime_text",
}
# Other names of families that we know.
SAME_AS: Mapping[str, str] = {
    "byt5": "t5",
    "code_llama": "llama",
    "deepseek_ocr2_text": "unlimited_ocr_text",
    "deepseek_ref": "deepseek_v4",
    "deepseek_v2_text": "deepseek_v2",
    "exaone4_5_text": "exaone4",
    "gpt-sw3": "gpt2",
    "mimo": "qwen2",
    "minimax_m1": "minimax",
    "minimax_m3": "minimax_m3_vl_text",
    "minimax_text_01": "minimax",
    "mistral_text": "mistral",
    "myt5": "t5",
    "nllb": "m2m_100",
    "stablelm_epoch": "stablelm",
}
# Models that also speak: what is read is their thinker, of that model_type, which takes and writes all but sound
_THINKERS: Mapping[str, str] = {
    "qwen2_5_omni": "qwen2_5_omni_thinker",
    "qwen3_omni_moe": "qwen3_omni_moe_thinker",
}
_SIZES = ("hidden_size", "d_model", "n_embd")  # one of these is in every config of a language model
LLAMA_KEYS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
LIKE_LLAMA = Recipe(qkv_bias="attention_bias", output_bias="attention_bias", ffn_bias="mlp_bias", windows=as_said)
_LLAMA_DEFAULTS: Mapping[str, Any] = {"tie_word_embeddings": False}
# Lists that have one entry a layer
LISTS_BY_LAYER = (
    *("layer_types", "layers_block_type", "attention_layers", "attn_type_list", "hybrid_layer_pattern"),
    *("mlp_layer_types", "moe_layer_freq", "no_rope_layers", "indexer_types", "index_topk_pattern", "compress_ratios"),
    *("num_attention_heads_per_layer", "block_configs", "intermediate_size"),
)
_NESTED_LISTS = "sparse_attention_config"  # what holds lists of its own of one entry a layer
# Keys of an unknown model that show that it is not like LLaMA, however many of LLaMA's keys it has.
_NOT_LLAMA = (
    *("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),  # a mixture of experts
    *("kv_lora_rank", "cross_attention_layers", "hidden_size_per_layer_input"),  # another attention, another input
    *("state_size", "ssm_state_size", "mamba_d_state", "linear_num_key_heads", "lru_width"),  # a state space model
    *("layer_norm_eps", "layer_norm_epsilon"),  # another norm, and a network without a gate
    *("embd_layer", "audio_processor", "vision_lora"),  # what it sees and hears, and adapters for that
    *("type_vocab_size", "encoder_layers", "num_decoder_layers", "is_encoder_decoder"),  # an encoder
)

# What a model class is for, by the end of its name
_TASKS: tuple[tuple[str, str], ...] = (
    ("LMHeadModel", "language model"),
    ("ForCausalLM", "language model"),
    ("ForMaskedLM", "language model"),
    ("ForConditionalGeneration", "language model"),
    ("MTModel", "language model"),
    ("Omni_Reasoning_V3", "language model"),
    ("MiniCPMV", "language model"),
    ("ModelLM", "language model"),
    ("ForTextToText", "language model"),
    ("GenerationDecoder", "language model"),
    ("GenerationEncoder", "base"),
    ("ForPreTraining", "pretraining"),
    ("EncoderModel", "encoder"),
    ("Model", "base"),
)


@dataclass(frozen=True)
class Reading:
    """What a config turned out to be.

    ``used`` is the smallest config that reads the same, ``dimensions`` its sizes under our own names (those that
    `override` can set). ``notes`` say what is left out or assumed, ``warnings`` why the count may be wrong.
    ``left_out`` are parts that published files hold and the model's class does not: layers that predict further tokens.
    ``quantization`` is how the file's weights are stored, where the config says so.
    """

    model: Model
    model_type: str
    task: str
    dimensions: Mapping[str, int]
    used: Mapping[str, Any]
    notes: tuple[Notice, ...] = ()
    warnings: tuple[Notice, ...] = ()
    left_out: tuple[Part, ...] = ()
    quantization: Quantization | None = None


def read_config(config: Mapping[str, Any]) -> Reading:
    """The model that a Hugging Face ``config.json`` describes, and what is worth saying about the reading.

    Counts follow the classes of transformers 5.23: parameters without buffers, each tied weight once. Without
    ``architectures`` the class with a language-model head is assumed. Towers for images and sound that are modelled are
    beside the language model, and frozen.

    Raises InputError, naming the key, for a config that is malformed, incomplete or contradictory, and for a
    model_type that is unknown and not like LLaMA either.
    """
    if (thinker := _thinker(config)) is not None:
        reading = read_config(thinker)
        notice = Notice("thinker", "only the thinker is counted: the talker and its sound are left out")
        used = {"model_type": config["model_type"], "thinker_config": dict(reading.used)}
        return replace(reading, notes=(notice, *reading.notes), used=used)
    config = flat(config)
    path, text = language_part(config)
    model_type, family = _family(config, text)
    task, head, notices = _task(config, text, model_type, family)
    warnings = list(notices)
    if family is None:
        keys = _keys_like_llama(model_type, text)
        warnings.append(_like_llama(model_type))
        model = build(keys, LIKE_LLAMA, task)
    else:
        keys = keys_of(model_type, _with_outer_tie(config, text, path), family)
        model = family.build(keys, task)
    if head is not None:
        model = with_head(model, keys, head)
    model = with_positions(model, keys)
    notes = keys.notes
    if not (_architecture(text) or _architecture(config)):
        notes = [Notice("assumed_head", "no class is named: counted with a language-model head, no pooler"), *notes]
    ahead = prediction_layers(model, keys)
    if ahead:
        notes = [_predicts_ahead(ahead), *notes]
    used = {**_identity(config, text), **keys.used}
    outer = _text_or_none(config, "model_type")
    beside = _towers(config, outer, keys)
    if beside is not None:
        towers, of_towers = beside
        model = replace(model, beside=towers)
        used = _nested(config, path, used, of_towers)
        number = sum(int(tower.parameters().value) for tower in towers)
        text_of = f"of these, {number:,} parameters are of towers and projectors beside the language model"
        notes = [Notice("towers", text_of, {"parameters": number}), *notes] if towers else notes
    elif path or outer in TEXT_OF or any(key in config for key in PARTS_OF):
        notes = [
            Notice("language_part", "only the language model is counted: vision and other parts are left out"),
            *notes,
        ]
        used["vision_config"] = {}  # so that it reads the same: with this note
    quantization = quantization_of(config if "quantization_config" in config else text, model.n_layers)
    if quantization is not None:
        model = replace(model, unconverted=quantization.left)
        used["quantization_config"] = quantization.used
        notes = [quantization.notice, *notes]
    return Reading(
        model,
        model_type,
        head.kind if head else task,
        dict(keys.dimensions),
        used,
        tuple(notes),
        (*warnings, *keys.warnings),
        ahead,
        quantization,
    )


def from_config(config: Mapping[str, Any]) -> Model:
    """The model that a Hugging Face ``config.json`` describes. `read_config` also says what it noticed.

    >>> from_config({"model_type": "gpt2"}).parameters().value
    124439808

    Raises InputError as `read_config` does.
    """
    return read_config(config).model


def dimensions(config: Mapping[str, Any]) -> dict[str, int]:
    """The sizes in ``config`` under our own names (d_model, n_layers …), defaults filled in: what `override` can set.

    Raises InputError as `read_config` does.
    """
    return dict(read_config(config).dimensions)


def names_of_sizes(config: Mapping[str, Any]) -> dict[str, str]:
    """What we call the sizes in ``config``, by its own keys: n_layers by num_hidden_layers."""
    config = _thinker(config) or config
    family = _family(config, language_part(config)[1])[1]
    return {key: name for name, key in (COMMON if family is None else family.names).items()}


def override(config: Mapping[str, Any], **dimensions: int) -> dict[str, Any]:
    """A copy of ``config`` with other dimensions, written under the names that this family's configs use.

    Lists with one entry a layer are repeated or cut where n_layers changes. What else the config says stays: a
    head_dim that it gives outright does not follow d_model.

    >>> override({"model_type": "gpt2"}, n_layers=24)
    {'model_type': 'gpt2', 'n_layer': 24}

    Raises InputError for a dimension that the family's configs have no key for.
    """
    if (thinker := _thinker(config)) is not None:
        return {**config, "thinker_config": override(thinker, **dimensions)}
    config = flat(config)
    path, text = language_part(config)
    model_type, family = _family(config, text)
    names = COMMON if family is None else family.names
    aliases = {} if family is None else keys_of(model_type, text, family).aliases
    changed = dict(text)
    for name, value in dimensions.items():
        key = names.get(name)
        if key is None:
            message = f"a config of {model_type} has no {name}"
            raise InputError(name, message, tuple(names), code="no_such_size", name=name, model_type=model_type)
        for alias in aliases.get(key, ()):
            changed.pop(alias, None)
        changed[key] = value
    if "n_layers" in dimensions:
        if family is not None and keys_of(model_type, text).has("attention_types"):
            changed["attention_layers"] = changed.get("attention_layers") or flat_patterns(keys_of(model_type, text))
            changed.pop("attention_types", None)
        _resize_lists(changed, dimensions["n_layers"])
    return {**config, path: changed} if path else changed


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


def _thinker(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The config of the thinker of a model that also speaks, None for any other model."""
    outer = config.get("model_type") if isinstance(config, Mapping) else None
    if not isinstance(outer, str) or outer not in _THINKERS:
        return None
    given = config.get("thinker_config")
    inner = {} if given is None else given
    _check_mapping("thinker_config", inner)
    stored = {key: config[key] for key in ("quantization_config",) if key in config}
    return {**stored, **inner, "model_type": _THINKERS[outer]}


def _check_mapping(key: str, config: Any) -> None:
    if not isinstance(config, Mapping) or any(not isinstance(name, str) for name in config):
        message = f"{key!r} must be a JSON object, not {shown(config)}"
        raise InputError(key, message, code="key_not_object", key=key, found=shown(config))


def _text_or_none(config: Mapping[str, Any], key: str) -> str | None:
    value = config.get(key)
    if value is not None and not isinstance(value, str):
        message = f"{key!r} must be text, not {shown(value)}"
        raise InputError(key, message, code="key_not_text", key=key, found=shown(value))
    return value or None


def _family(config: Mapping[str, Any], text: Mapping[str, Any]) -> tuple[str, Family | None]:
    """The family of the language model; None where its model_type is unknown."""
    outer = _text_or_none(config, "model_type")
    name = _text_or_none(text, "model_type") or (TEXT_OF.get(outer, outer) if outer else None)
    if name is None:
        name = _family_of_class(config) or _without_name(text)
    name = SAME_AS.get(name, name)
    name = TEXT_OF.get(name, name) if name not in FAMILIES else name
    family = FAMILIES.get(name)
    if family is not None and _is_decoder_alone(family, _architecture(text) or _architecture(config)):
        family = decoder_alone(family)
    return name, family


def _is_decoder_alone(family: Family, architecture: str | None) -> bool:
    """Whether a class of a family of two stacks is its decoder, as a language model of its own."""
    return "n_decoder_heads" in family.names and bool(architecture and architecture.endswith("ForCausalLM"))


def _family_of_class(config: Mapping[str, Any]) -> str | None:
    """The family whose name begins the class in ``architectures``: GPT2 of GPT2LMHeadModel."""
    stem = _architecture(config) or ""
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
    if "peft_type" in text:
        raise _of_an_adapter(text)
    raise InputError("model_type", "the config has no 'model_type'", tuple(FAMILIES), code="no_model_type")


def _of_an_adapter(adapter: Mapping[str, Any]) -> InputError:
    """That this is PEFT's adapter_config.json, which tells nothing of the model's shape but whose adapter it is, and
    what is to be set for it under LoRA."""
    base, rank, targets = (adapter.get(key) for key in ("base_model_name_or_path", "r", "target_modules"))
    names = [targets] if isinstance(targets, str) else targets if isinstance(targets, list | tuple) else []
    about = "this is an adapter's file, and the shape is in the config.json of its base model"
    if isinstance(base, str) and base.strip() and isinstance(rank, int) and names:
        told = ", ".join(name for name in names if isinstance(name, str))
        text = f"{about}, {shown(base)}; its rank {rank} and its targets ({told[:200]}) are set under LoRA"
        return InputError("model_type", text, code="adapter_to_set", base=base, rank=str(rank), targets=told[:200])
    if not isinstance(base, str) or not base.strip():
        return InputError("model_type", about, code="adapter")
    return InputError("model_type", f"{about}, {shown(base)}", code="adapter_of", base=base)


def _architecture(config: Mapping[str, Any]) -> str | None:
    """The first class in ``architectures``, if any."""
    value = config.get("architectures")
    if value is None:
        return None
    if not isinstance(value, list | tuple) or any(not isinstance(name, str) for name in value):
        raise InputError("architectures", "'architectures' must be a list of class names", code="architectures")
    return value[0] if value else None


def _task(
    config: Mapping[str, Any], text: Mapping[str, Any], model_type: str, family: Family | None
) -> tuple[str, HeadTask | None, list[Notice]]:
    """What the model's class is for, and its head where that is no language model's; a class with a head that is not
    modelled is counted with a language-model head."""
    name = _architecture(text) or _architecture(config)
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


def _like_llama(model_type: str) -> Notice:
    text = f"the model_type {shown(model_type)} is unknown: counted as if it were built like LLaMA"
    return Notice("like_llama", text, {"model_type": model_type})


def _keys_like_llama(model_type: str, text: Mapping[str, Any]) -> Keys:
    """An unknown model read with LLaMA's keys.

    Raises InputError naming the first key that is missing, or one that LLaMA's layers cannot have.
    """
    for key in LLAMA_KEYS:
        if key in text and text[key] is None:
            raise is_null(key, text)
        if key not in text:
            message = f"the model_type {shown(model_type)} is unknown, and its config has no {key!r}"
            raise InputError(key, message, code="unknown_model_lacks", key=key, model_type=shown(model_type))
    for key in _NOT_LLAMA:
        if text.get(key) not in (None, False, 0, 1) or text.get(key) is True:
            message = f"the model_type {shown(model_type)} is unknown, and {key!r} is not LLaMA's"
            raise InputError(key, message, code="unknown_model_has", key=key, model_type=shown(model_type))
    keys = Keys(model_type, text, COMMON, _LLAMA_DEFAULTS, {})
    refuse_other_layers(keys, keys.layers())
    return keys


def _towers(
    config: Mapping[str, Any], outer: str | None, keys: Keys
) -> tuple[tuple[Tower, ...], dict[str, Any]] | None:
    """The towers beside the language model, and what was read of them; None where there are none that are known."""
    named = _architecture(config) or ""
    if outer not in TOWERS or (named.endswith("ForCausalLM") and outer not in CAUSAL):
        return None  # such a class is the language model alone
    try:
        return towers_of(config, keys.dimensions)
    except InputError as error:
        if error.code != "tower_unknown":
            raise
        return None


def _predicts_ahead(ahead: tuple[Part, ...]) -> Notice:
    number = sum(int(part.parameters().value) for part in ahead)
    text = f"layers that predict further tokens ({number:,} parameters) are not in the model's class: left out"
    return Notice("mtp", text, {"parameters": number})


def _nested(
    config: Mapping[str, Any], path: str, used: Mapping[str, Any], of_towers: Mapping[str, Any]
) -> dict[str, Any]:
    """What was read of a model with towers, in the shape in which its config has it."""
    named = {key: config[key] for key in ("model_type", "architectures") if config.get(key) is not None}
    whole = {**named, **of_towers}
    if not path:
        return {**used, **whole}
    text = config.get(path)
    own = isinstance(text, Mapping) and bool(text.get("architectures"))
    of_text = {key: value for key, value in used.items() if key != "architectures" or own or key not in config}
    if "tie_word_embeddings" in config:
        whole["tie_word_embeddings"] = config["tie_word_embeddings"]
    return {**whole, path: of_text} if config.get(path) is not None else whole


def _with_outer_tie(config: Mapping[str, Any], text: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Whether the head is tied is for a multimodal config to say; where it does not, for its language model, and where
    that does not either, for the whole model's class."""
    if path and "tie_word_embeddings" in config:
        return {**text, "tie_word_embeddings": config["tie_word_embeddings"]}
    if "tie_word_embeddings" not in text and (tied := default_tie(config.get("model_type"))) is not None:
        return {**text, "tie_word_embeddings": tied}
    return text


def _identity(config: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key in ("model_type", "architectures"):
        value = text.get(key) or config.get(key)
        if value is not None:
            found[key] = value
    return found


def _resize_lists(config: dict[str, Any], n_layers: Any) -> None:
    """Lists of one entry a layer, made as long as there are layers now."""
    if not isinstance(n_layers, int) or not 0 < n_layers <= 10_000:
        return

    def resized(entries: Any) -> Any:
        of_layers = isinstance(entries, list | tuple) and entries
        return [entries[i % len(entries)] for i in range(n_layers)] if of_layers else entries

    for key in LISTS_BY_LAYER:
        if key in config:
            config[key] = resized(config[key])
    nested = config.get(_NESTED_LISTS)
    if isinstance(nested, Mapping):
        config[_NESTED_LISTS] = {key: resized(entries) for key, entries in nested.items()}
