"""How many tokens a model was made for, and the tables of angles that engines keep for its rotary positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmcalc.huggingface.keys import LARGEST_SIZE, Keys
from llmcalc.transformer.model import Angles, Model
from llmcalc.transformer.part import mixers, traits

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "n_ctx")
_SCALING = ("rope_scaling", "rope_parameters")
_SAID = ("rope_type", "type", "factor", "original_max_position_embeddings", "partial_rotary_factor", "mrope_section")
_FRACTION = ("partial_rotary_factor", "rotary_pct")
# Attention of families whose code is not read turns whole heads, but for these: nothing, or a part
_WITHOUT_ANGLES = (
    "jamba",
    "nemotron_h",
    "kimi_linear",
    "granitemoehybrid",
    "mpt",
    "bloom",
    "gpt_neo",
    "xlstm",
    "mamba2",
)
_PART_OF = {
    "qwen3_next": 0.25,
    "qwen3_5_text": 0.25,
    "qwen3_5_moe_text": 0.25,
    "qwen4_exp_text": 0.25,
    "mimo_v2_flash": 0.334,
}
# Families that place each token in time, height and width, whatever a config says of it
_IN_SECTIONS = (
    *("qwen2_vl", "qwen2_5_vl", "qwen2_5_omni", "qwen3_vl", "qwen3_omni", "qwen3_5", "qwen4"),
    *("glm4v", "glm_ocr"),
)
_LONG = ("su", "longrope")  # one table for short texts and one for long ones
_NOT_STRETCHED = (*_LONG, "llama3", "mrope", "default", "proportional")


def with_positions(model: Model, keys: Keys) -> Model:
    """The model with its context and its angles, as engines read them off a config (vLLM: `_get_and_verify_max_len`,
    `get_rope`). A context ends where a table of learned positions does."""
    found = _as_said(model, keys)
    ends = [end for end in (found.context, model.longest_sequence) if end is not None]
    return replace(found, context=min(ends, default=None))


def _as_said(model: Model, keys: Keys) -> Model:
    positions = next((n for key in _CONTEXT if (n := _whole(_looked_up(keys, key))) is not None), None)
    if positions is None:
        return model
    said = _scaling(keys)
    kind, factor = said.get("rope_type", said.get("type")), _number(said.get("factor")) or 1.0
    original = _whole(said.get("original_max_position_embeddings")) or positions
    context = positions
    if kind == "yarn":
        context = max(positions, round(original * factor))
    elif isinstance(kind, str) and kind not in _NOT_STRETCHED:
        context = round(positions * factor)
    rows = context + original if kind in _LONG else context
    if keys.model_type.startswith("gemma3"):  # its positions are those after stretching already
        context = positions
    turned = _rotated(model, keys, said)
    sections = "mrope_section" in said or keys.model_type.startswith(_IN_SECTIONS)
    angles = [Angles(rows, channels, sections) for channels in turned]
    if len(angles) > 1 and rows != context:  # only angles of global layers are stretched
        angles[-1] = Angles(context, turned[-1], sections)
    return replace(model, context=context, angles=tuple(angles))


def _rotated(model: Model, keys: Keys, said: Mapping[str, Any]) -> list[int]:
    """How many channels of a head each table of angles turns; none where nothing is turned."""
    code = model.code
    heads = {
        (mixer.heads.d_head, mixer.window is not None)
        for block, _ in model.blocks
        for mixer in mixers(block.parts)
        if mixer in block.caches() and mixer.sees == "past" and mixer.component == "attention"
    }
    turns = code.rotary if code else keys.model_type not in _WITHOUT_ANGLES and not _has_learned_positions(model)
    if not turns or not heads:
        return []
    tables = code.rotary_tables if code else len({width for width, _ in heads})
    for key in ("qk_rope_head_dim", "rotary_dim"):
        if (width := _whole(_looked_up(keys, key))) is not None:
            return [width] * min(tables, 1)
    if code and code.rotary_width:
        return [code.rotary_width] * tables
    given = [*(_looked_up(keys, key) for key in _FRACTION), said.get("partial_rotary_factor")]
    read = [code.rotary_fraction if code else None, _PART_OF.get(keys.model_type)]
    fraction = min(1.0, next((f for value in (*given, *read) if (f := _number(value)) is not None), 1.0))
    if code:
        return [int(max(width for width, _ in heads) * fraction)] * tables
    return [int(width * fraction) for width in sorted({width for width, _ in heads})]


def _has_learned_positions(model: Model) -> bool:
    return "learned" in traits(model.front)


def _scaling(keys: Keys) -> Mapping[str, Any]:
    """What is said of how angles are stretched, of global layers where there are several kinds."""
    for key in _SCALING:
        given = keys.config.get(key)
        if isinstance(given, Mapping):
            inner = given.get("full_attention", given)
            said = {name: inner[name] for name in _SAID if name in inner} if isinstance(inner, Mapping) else {}
            keys.used[key] = said
            return said
    return {}


def _looked_up(keys: Keys, key: str) -> Any:
    """What the config says, or what its class fills in; what cannot be is passed over: it shapes no weight."""
    if key in keys.config:
        if isinstance(keys.config[key], int | float):
            keys.used[key] = keys.config[key]
        return keys.config[key]
    return keys.defaults.get(key)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value <= LARGEST_SIZE else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and _number(value) is not None else None
