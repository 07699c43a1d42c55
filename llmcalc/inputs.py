"""Everything a reader can set, declared once: the declaration feeds the control, the link, the check and the help.

An input's id is its Python name, its widget's key, its key in a link and its key in ``words/``. A default never changes
without a new `link_text.LINK_VERSION`, because a link leaves out what is at its default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, fields
from functools import cache
from typing import Any

from llmcalc.catalog.accelerators import ACCELERATORS, FORMER_NAMES
from llmcalc.catalog.formats import CACHE_FORMATS, STORED_FORMATS
from llmcalc.catalog.grids import GRIDS, WORLD
from llmcalc.catalog.models import models
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.catalog.presets import PRESETS
from llmcalc.catalog.recipes import PLAIN, RECIPES
from llmcalc.devices.layout import TAKES_DEVICES, Layout, is_switch, least
from llmcalc.fit.alignment import ENGINES as ROLLOUT_ENGINES
from llmcalc.fit.alignment import METHODS, NEXT_TOKEN
from llmcalc.kinds import Choice, Input, Integer, Real, Switch, Text
from llmcalc.scaling.laws import DEFAULT_LAW, LAWS
from llmcalc.serving.job import DRAFTS, ENGINES, SLOT_RANKS
from llmcalc.step.run import (
    ATTENTIONS,
    LORA_BASES,
    LORA_PRECISIONS,
    LORA_TARGETS,
    LOSSES,
    RECOMPUTATIONS,
    SAVED_MODULES,
)
from llmcalc.techniques.pruning import PRUNINGS
from llmcalc.transformer.dimensions import POSITIONS
from llmcalc.transformer.norm import NORMS
from llmcalc.words import ENGLISH, LANGUAGES

TOWERS_ARE = ("frozen", "trained", "left_out")  # what becomes of towers beside a language model
PURPOSES = ("training", "inference")  # what has to fit into a device's memory
ACCOUNTS = ("corrected", "article")  # whose formulas the memory of a step is computed with
COUNTED_ON = ("each", "one")  # of several devices: what each holds, or what the step holds on one
CHAPTERS = tuple(str(number) for number in range(1, 13))  # of the lesson
PASTED = "config.json"
NO_DRAFT = "none"  # no layer that drafts
# Every model that one can start from: shapes of the plain decoder, all else of the library, a paste
_PRESET_NAMES = {name.lower() for name in PRESETS}
MODELS = (*PRESETS, *(row.name for row in models().values() if row.name.lower() not in _PRESET_NAMES), PASTED)
# What a model can be distilled into, and which technique is looked at
STUDENTS = tuple(model for model in MODELS if model != PASTED)
LAWS_WITH_LOSS = tuple(law.id for law in LAWS.values() if {"loss", "optimal"} <= law.answers)
TECHNIQUES = ("mix", "quantization", "cache", "pruning", "distillation")


def _stops(low: int, high: int, per_doubling: int, smallest: int = 1) -> tuple[int, ...]:
    """Stops in equal steps within each doubling: with 16, d_model = 768, 1,600, 5,120 and 12,288 are all stops."""
    found, value = [], low
    while value <= high:
        found.append(value)
        value += max(smallest, 2 ** math.floor(math.log2(value)) // per_doubling)
    return tuple(found)


_VOCABULARIES = (
    100,
    256,
    1_000,
    2_000,
    5_000,
    8_000,
    10_000,
    16_000,
    20_000,
    30_522,
    32_000,
    40_000,
    50_000,
    50_257,
    50_304,
    64_000,
    80_000,
    100_000,
    128_256,
    151_936,
    200_000,
    256_000,
    300_000,
    400_000,
    500_000,
)


def _of_layout(declared: Field[Any]) -> Input:
    """The input that sets a field of the layout."""
    if is_switch(declared):
        return Switch(id=declared.name, group="devices", default=False)
    default: Any = None if declared.metadata["is_filled"] else declared.default
    low, high = least(declared), declared.metadata["most"]
    return Integer(id=declared.name, group="devices", low=low, high=high, default=default)


_ALL: tuple[Input, ...] = (
    # the language of the words; where neither link nor reader says, the browser's
    Choice(id="lang", group="language", options=LANGUAGES, default=ENGLISH),
    # where in the lesson the reader is
    Choice(id="chapter", group="lesson", options=CHAPTERS, default=CHAPTERS[0]),
    # one chart at a time, for a room
    Switch(id="present", group="room", default=False),
    # what it starts from
    Choice(id="model", group="base", options=MODELS, default="GPT-2 124M"),
    Text(id="config", group="base", longest=20_000),
    # the main knobs
    Integer(id="d_model", group="shape", low=1, high=65_536, default=768, scale=_stops(64, 32_768, 16, 64)),
    Integer(id="n_layers", group="shape", low=1, high=1_000, default=12, scale=_stops(1, 256, 64)),
    Integer(id="n_heads", group="shape", low=1, high=1_024, default=12, scale=_stops(1, 256, 64)),
    Integer(id="vocab_size", group="shape", low=1, high=2_000_000, default=50_257, scale=_VOCABULARIES),
    Integer(id="batch_size", group="size", low=1, high=65_536, default=8, scale=_stops(1, 65_536, 2)),
    Integer(id="seq_len", group="size", low=1, high=1_048_576, default=1_024, scale=_stops(16, 1_048_576, 2)),
    # the rest of the architecture
    Integer(id="d_ff", group="architecture", low=1, high=1_000_000, default=None),
    Integer(id="n_kv_heads", group="architecture", low=1, high=1_024, default=None),
    Integer(id="d_head", group="architecture", low=1, high=8_192, default=None),
    Switch(id="gated", group="architecture", default=False),
    Switch(id="attention_bias", group="architecture", default=True),
    Switch(id="ffn_bias", group="architecture", default=True),
    Choice(id="norm", group="architecture", options=tuple(NORMS), default="LayerNorm"),
    Switch(id="final_norm", group="architecture", default=True),
    Choice(id="positions", group="architecture", options=POSITIONS, default="learned"),
    Integer(id="n_positions", group="architecture", low=1, high=100_000_000, default=1_024),
    Switch(id="tied_head", group="architecture", default=True),
    Integer(id="n_experts", group="architecture", low=1, high=10_000, default=None),
    Integer(id="top_k", group="architecture", low=1, high=10_000, default=None),
    Integer(id="d_expert", group="architecture", low=1, high=1_000_000, default=None),
    Integer(id="n_decoder_layers", group="architecture", low=1, high=1_000, default=None),
    Choice(id="towers", group="architecture", options=TOWERS_ARE, default=TOWERS_ARE[0]),
    Switch(id="mtp", group="architecture", default=False),
    # how it is run
    Choice(id="precision", group="run", options=tuple(PRECISIONS), default="amp_bf16"),
    Choice(id="optimizer", group="run", options=tuple(OPTIMIZERS), default="adamw_foreach"),
    Choice(id="attention", group="run", options=ATTENTIONS, default="sdpa"),
    Choice(id="recompute", group="run", options=RECOMPUTATIONS, default="none"),
    Choice(id="loss", group="run", options=LOSSES, default="hf"),
    Switch(id="keep_logits", group="run", default=False),
    Real(id="dropout", group="run", low=0.0, high=0.5, default=0.0, step=0.05),
    Integer(id="gradient_accumulation", group="run", low=1, high=65_536, default=1),
    Switch(id="set_to_none", group="run", default=True),
    Switch(id="padding", group="run", default=False),
    Switch(id="use_cache", group="run", default=False),
    Switch(id="fp32_outputs", group="run", default=False),
    Switch(id="activation_offload", group="run", default=False),
    Switch(id="optimizer_in_backward", group="run", default=False),
    Real(id="weight_decay", group="run", low=0.0, high=1.0, default=0.0, step=0.01),
    Choice(id="account", group="run", options=ACCOUNTS, default="corrected"),
    # what is trained, and as which library does it
    Choice(id="recipe", group="fine_tuning", options=tuple(RECIPES), default=PLAIN),
    Choice(id="objective", group="fine_tuning", options=(NEXT_TOKEN, *METHODS), default=NEXT_TOKEN),
    Real(id="beta", group="fine_tuning", low=0.0, high=1.0, default=0.1, step=0.01),
    Integer(id="generations", group="fine_tuning", low=1, high=1_024, default=8),
    Choice(id="rollout_engine", group="fine_tuning", options=ROLLOUT_ENGINES, default=ROLLOUT_ENGINES[0]),
    Integer(id="lora_rank", group="fine_tuning", low=0, high=4_096, default=0),
    Choice(id="lora_targets", group="fine_tuning", options=LORA_TARGETS, default="attention"),
    Choice(id="lora_base", group="fine_tuning", options=LORA_BASES, default="same"),
    Choice(id="lora_precision", group="fine_tuning", options=LORA_PRECISIONS, default="fp32"),
    Real(id="lora_dropout", group="fine_tuning", low=0.0, high=0.5, default=0.0, step=0.05),
    Switch(id="kbit_prepared", group="fine_tuning", default=False),
    Switch(id="input_require_grads", group="fine_tuning", default=False),
    Choice(id="modules_to_save", group="fine_tuning", options=SAVED_MODULES, default="none"),
    # the device, and what inference keeps on it
    Choice(id="accelerator", group="device", options=tuple(ACCELERATORS), default="H100 SXM", former=FORMER_NAMES),
    Choice(id="weight_format", group="formats", options=STORED_FORMATS, default="bf16"),
    Choice(id="cache_format", group="formats", options=tuple(CACHE_FORMATS), default="bf16"),
    Real(id="cuda_context", group="overhead", low=0.0, high=2_000.0, default=450.0, step=10.0),
    Real(id="workspaces", group="overhead", low=0.0, high=500.0, default=17.0, step=1.0),
    Real(id="fragmentation", group="overhead", low=0.0, high=50.0, default=14.0, step=1.0),
    # what fits
    Choice(id="purpose", group="fits", options=PURPOSES, default="training"),
    # how it is served; what is left empty is the engine's own, the context as long as the model was made for, up to
    # `USUAL_CONTEXT`
    Choice(id="engine", group="serving", options=ENGINES, default=ENGINES[0]),
    Integer(id="concurrency", group="serving", low=1, high=65_536, default=1, scale=_stops(1, 65_536, 2)),
    Integer(id="context", group="serving", low=1, high=16_777_216, default=None),
    Integer(id="input_tokens", group="serving", low=1, high=1_048_576, default=512, scale=_stops(1, 1_048_576, 2)),
    Integer(id="output_tokens", group="serving", low=1, high=1_048_576, default=512, scale=_stops(1, 1_048_576, 2)),
    Integer(id="serve_tensor", group="serving", low=1, high=1_024, default=1),
    Integer(id="serve_pipeline", group="serving", low=1, high=1_024, default=1),
    Integer(id="serve_data", group="serving", low=1, high=1_024, default=1),
    Integer(id="serve_experts", group="serving", low=1, high=1_024, default=1),
    Integer(id="memory_utilization", group="serving", low=1, high=100, default=None),
    Integer(id="max_sequences", group="serving", low=1, high=65_536, default=None),
    Integer(id="batched_tokens", group="serving", low=1, high=1_048_576, default=None),
    Integer(id="lora_slots", group="serving", low=0, high=1_024, default=0),
    Choice(id="slot_rank", group="serving", options=tuple(map(str, SLOT_RANKS)), default="16"),
    Choice(id="draft", group="serving", options=(NO_DRAFT, *DRAFTS), default=NO_DRAFT),
    # the reader's, in any currency: none of ours
    Real(id="price_per_hour", group="serving", low=0.0, high=1_000_000.0, default=None, step=0.01),
    # scaling
    Choice(id="law", group="scaling", options=LAWS_WITH_LOSS, default=DEFAULT_LAW),
    Integer(id="train_tokens", group="scaling", low=1, high=100_000, default=300),
    Integer(id="train_days", group="scaling", low=1, high=1_000, default=30),
    Integer(id="served_tokens", group="scaling", low=0, high=10_000_000, default=0),
    Integer(id="unique_tokens", group="scaling", low=1, high=100_000, default=None),
    Choice(id="curve", group="scaling", options=("loss", "performance"), default="loss"),
    Real(id="alpha", group="scaling", low=0.01, high=1.0, default=0.076, step=0.001),
    Real(id="improvement", group="scaling", low=1.0, high=90.0, default=10.0, step=1.0),
    # what a run of training costs
    Real(id="power_usage", group="cost", low=1.0, high=3.0, default=1.2, step=0.05),
    Choice(id="grid", group="cost", options=tuple(GRIDS), default=WORLD),
    # how many devices there are, and how the step is laid out over them: of the two numbers of devices that this could
    # give, the layout's and theirs, what is left empty follows from the other
    Integer(id="n_devices", group="devices", low=1, high=100_000, default=None),
    Integer(id="node_size", group="devices", low=1, high=1_024, default=8),
    *map(_of_layout, fields(Layout)),
    Integer(id="global_batch", group="devices", low=1, high=1_000_000, default=None),
    # whose memory is drawn: that of the device that needs most, or of a step on one device alone
    Choice(id="counted_on", group="devices", options=COUNTED_ON, default="each"),
    # techniques that save memory or time, and how fast the devices are
    Choice(id="technique", group="techniques", options=TECHNIQUES, default="mix"),
    Choice(id="pruning", group="techniques", options=PRUNINGS, default="unstructured"),
    Real(id="pruned", group="techniques", low=0.0, high=95.0, default=50.0, step=5.0),
    Choice(id="student", group="techniques", options=STUDENTS, default="DistilGPT2 82M"),
    Real(id="utilization", group="speed", low=1.0, high=100.0, default=40.0, step=1.0),
    Real(id="link_bandwidth", group="speed", low=1.0, high=2_000.0, default=450.0, step=1.0),
    Real(id="host_bandwidth", group="speed", low=1.0, high=1_000.0, default=50.0, step=1.0),
    # what the present model is compared with
    Text(id="compare", group="comparison", longest=20_000),
)

INPUTS: dict[str, Input] = {declared.id: declared for declared in _ALL}
DEFAULTS: dict[str, Any] = {declared.id: declared.default for declared in _ALL}


def integer(input_id: str) -> Integer:
    """The declaration of an input that is a whole number. Raises TypeError where it is none."""
    declared = INPUTS[input_id]
    if not isinstance(declared, Integer):
        raise TypeError(f"{input_id} is no whole number")
    return declared


@cache
def in_group(group: str) -> tuple[Input, ...]:
    """The inputs of one group, in the order in which they are asked."""
    return tuple(declared for declared in _ALL if declared.group == group)


def one_number_of_devices(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What to set once inputs have changed, so that there is one number of devices: what was set last stands."""
    there = now["n_devices"]
    if there is None or now["data_parallel"] is None or there == math.prod(now[key] for key in TAKES_DEVICES):
        return {}
    return {"data_parallel": None} if there != before["n_devices"] else {"n_devices": None}
