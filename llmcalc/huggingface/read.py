"""A Hub ``config.json`` as a model: which family it is, which task its class was made for, what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.beside import CAUSAL, PARTS_OF, TOWERS, default_tie, towers_of
from llmcalc.huggingface.families import keys_of
from llmcalc.huggingface.flattened import flat
from llmcalc.huggingface.heads import with_head
from llmcalc.huggingface.keys import Keys, Notice
from llmcalc.huggingface.named import (
    TEXT_OF,
    architecture_of,
    family_of,
    language_part,
    read_by_class,
    task_named,
    text_or_none,
    thinker_of,
)
from llmcalc.huggingface.positions import with_positions
from llmcalc.huggingface.prediction import prediction_layers
from llmcalc.huggingface.quantized import KEYS, Quantization, quantization_of
from llmcalc.huggingface.stack import build
from llmcalc.huggingface.unknown import LIKE_LLAMA, keys_like_llama, refuse_draft, said_like_llama
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Part, mixers
from llmcalc.transformer.tower import Tower


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
    if (thinker := thinker_of(config)) is not None:
        reading = read_config(thinker)
        notice = Notice("thinker", "only the thinker is counted: the talker and its sound are left out")
        used = {"model_type": config["model_type"], "thinker_config": dict(reading.used)}
        return replace(reading, notes=(notice, *reading.notes), used=used)
    config = flat(config)
    path, text = language_part(config)
    refuse_draft(config)
    model_type, family = family_of(config, text)
    task, head, notices = task_named(config, text, model_type, family)
    warnings = list(notices)
    if family is None:
        keys = keys_like_llama(model_type, text)
        warnings.append(said_like_llama(model_type))
        model = build(keys, LIKE_LLAMA, task)
    else:
        keys = keys_of(model_type, _with_outer_tie(config, text, path), family)
        model = family.build(keys, task)
        if (guessed := read_by_class(text, model_type)) is not None:
            warnings.append(guessed)
    if keys.has("is_decoder") and keys.flag("is_decoder"):
        model = _as_decoder(model)
    if head is not None:
        model = with_head(model, keys, head)
    model = with_positions(model, keys)
    notes = keys.notes
    if not (architecture_of(text) or architecture_of(config)):
        notes = [Notice("assumed_head", "no class is named: counted with a language-model head, no pooler"), *notes]
    ahead = prediction_layers(model, keys)
    if ahead:
        model = replace(model, predicts_ahead=True)
        notes = [_predicts_ahead(ahead), *notes]
    used = {**_identity(config, text), **keys.used}
    outer = text_or_none(config, "model_type")
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
    quantization = quantization_of(config if any(key in config for key in KEYS) else text, model.n_layers)
    if quantization is not None:
        model = replace(model, unconverted=quantization.left, converted=quantization.others)
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


def _as_decoder(model: Model) -> Model:
    """An encoder's layers run as a decoder's: each token sees those before it, whose keys and values are cached."""

    def causal(part: Any) -> Part:
        sees_all = any(mixer.sees == "all" for mixer in mixers((part,)))
        return replace(part, sees="past") if sees_all else part

    blocks = [(replace(block, parts=tuple(map(causal, block.parts))), count) for block, count in model.blocks]
    return model if model.is_pair else replace(model, blocks=tuple(blocks))


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


def _towers(
    config: Mapping[str, Any], outer: str | None, keys: Keys
) -> tuple[tuple[Tower, ...], dict[str, Any]] | None:
    """The towers beside the language model, and what was read of them; None where there are none that are known."""
    named = architecture_of(config) or ""
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
