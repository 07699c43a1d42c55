"""Everything a reader can set, declared once: the declaration feeds the control, the link, the check and the help.

An input's id is its Python name, its widget's key, its key in a link and its key in ``words/``. A default never changes
without a new `LINK_VERSION`, because a link leaves out what is at its default.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
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
from llmcalc.errors import InputError
from llmcalc.fit.alignment import ENGINES as ROLLOUT_ENGINES
from llmcalc.fit.alignment import METHODS, NEXT_TOKEN
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
from llmcalc.units import Locale
from llmcalc.words import ENGLISH, LANGUAGES

LINK_VERSION = 4
READ_VERSIONS = ("2", "3", "4")  # links of earlier versions keep their meaning: see `Link.on_page`
MOST_TOLD = 200  # characters of what a reader or a link gave, where it is told back
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


@dataclass(frozen=True, kw_only=True)
class Integer:
    """A whole number between ``low`` and ``high``; ``scale`` are the slider's stops. With ``default`` None it may be
    left empty, and is then derived from others."""

    id: str
    group: str
    low: int
    high: int
    default: int | None
    scale: tuple[int, ...] = ()

    def read(self, text: str) -> int | None:
        """The value a link gives as text. Raises InputError where it is no whole number in range."""
        if text == "" and self.default is None:
            return None
        return self.checked(_number(self.id, text))

    def typed(self, text: str, locale: Locale) -> int:
        """The value that a reader writes in a language. Raises InputError where it is no whole number in range."""
        try:
            number = locale.number(text)
        except ValueError:
            raise InputError(self.id, f"{shortened(text)!r} is not a number", code="not_a_number") from None
        return self.checked(number)

    def checked(self, number: float) -> int:
        """The same number as this input takes it. Raises InputError where it is not whole or not in range."""
        _check_range(self.id, number, self.low, self.high)
        if number != int(number):
            near = (math.floor(number), math.ceil(number))
            raise InputError(self.id, f"{number:,.15g} is not a whole number", near, code="not_whole")
        return int(number)

    def nearest_stop(self, value: int) -> int:
        """The slider's stop that is nearest to a value, by ratio."""
        return min(self.scale, key=lambda stop: abs(math.log(stop / value)))

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values between which everything must work."""
        return (self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Real:
    """A number between ``low`` and ``high``, on a slider in steps of ``step``."""

    id: str
    group: str
    low: float
    high: float
    default: float
    step: float

    def read(self, text: str) -> float:
        """The value a link gives as text. Raises InputError where it is no number in range."""
        number = _number(self.id, text)
        _check_range(self.id, number, self.low, self.high)
        return number

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values between which everything must work."""
        return (self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several names, the same in every language. ``former`` are names of links made before, each with the option
    that stands for it now."""

    id: str
    group: str
    options: tuple[str, ...]
    default: str
    former: Mapping[str, str] = field(default_factory=dict, hash=False)

    def read(self, text: str) -> str:
        """The option a link names. Raises InputError where there is no such option, or where it has another name."""
        if now := self.former.get(text):
            raise InputError(self.id, f"{text} has become {now}", (now,), code="counted_apart")
        if text not in self.options:
            raise InputError(self.id, f"unknown option {shortened(text)!r}", self.options, code="unknown_option")
        return text

    @property
    def ends(self) -> tuple[Any, ...]:
        """Every option."""
        return self.options


@dataclass(frozen=True, kw_only=True)
class Switch:
    """On or off."""

    id: str
    group: str
    default: bool

    def read(self, text: str) -> bool:
        """What a link says. Raises InputError for anything but true and false."""
        if text.lower() not in ("true", "false"):
            raise InputError(self.id, f"{shortened(text)!r} is neither true nor false", code="not_a_switch")
        return text.lower() == "true"

    @property
    def ends(self) -> tuple[Any, ...]:
        """Off and on."""
        return (False, True)


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text of at most ``longest`` characters; what it must say is checked by who reads it."""

    id: str
    group: str
    longest: int
    default: str = ""

    def read(self, text: str) -> str:
        """The text. Raises InputError where it is too long."""
        if len(text) > self.longest:
            raise InputError(self.id, f"longer than {self.longest:,} characters", code="too_long", longest=self.longest)
        return text

    @property
    def ends(self) -> tuple[Any, ...]:
        """Nothing at all."""
        return ("",)


Input = Integer | Real | Choice | Switch | Text


def _number(input_id: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise InputError(input_id, f"{shortened(text)!r} is not a number", code="not_a_number") from None
    if not math.isfinite(number):
        raise InputError(input_id, f"{shortened(text)!r} is not a finite number", code="not_a_number")
    return number


def _check_range(input_id: str, number: float, low: float, high: float) -> None:
    if not low <= number <= high:
        message = f"{number:,.15g} is not between {low:,} and {high:,}"
        nearest = low if number < low else high
        raise InputError(input_id, message, (nearest,), code="out_of_range", low=low, high=high)


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
    Real(id="price_per_hour", group="serving", low=0.0, high=50.0, default=2.0, step=0.05),
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


def in_group(group: str) -> tuple[Input, ...]:
    """The inputs of one group, in the order in which they are asked."""
    return tuple(declared for declared in _ALL if declared.group == group)


@dataclass(frozen=True)
class LinkProblem:
    """Something in a link that could not be used: the key, what it said, and the value used instead.

    ``code`` and ``details`` say why, as a key under ``problems`` in ``words/``. However long a link is, ``key`` and
    ``given`` are short enough to be told.
    """

    key: str
    given: str
    code: str
    used: Any = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", shortened(self.key))
        object.__setattr__(self, "given", shortened(self.given))


def shortened(text: str) -> str:
    """As much of a text that somebody gave as is told back."""
    return text if len(text) <= MOST_TOLD else text[: MOST_TOLD - 1] + "…"


def read_parameters(
    parameters: Mapping[str, Sequence[str]], also_known: Iterable[str] = (), defaults: Mapping[str, Any] = DEFAULTS
) -> tuple[dict[str, Any], list[LinkProblem]]:
    """The inputs that a link's parameters set, and what is wrong with the others.

    ``defaults`` are used instead of what cannot be. ``also_known`` are keys that are no inputs but mean something, such
    as the host's embedding options. Of a key that is given several times, the last value that can be read is used. What
    is left empty is as the model has it.
    """
    known, read, problems = {"v", *also_known}, {}, []
    unknown = [key for key in parameters if key not in INPUTS and key not in known]
    for key, values in parameters.items():
        given = ", ".join(values)
        if key == "v" and given not in READ_VERSIONS:
            problems.append(LinkProblem(key, given, "other_version", LINK_VERSION))
        elif key in INPUTS:
            found, error = _read_last(INPUTS[key], values)
            if found and found[0] is not None:
                read[key] = found[0]
            used = read.get(key, defaults[key])
            if len(set(values)) > 1:
                problems.append(LinkProblem(key, given, "given_twice", used))
            elif error:
                problems.append(LinkProblem(key, given, error.code, used, error.details))
    if len(unknown) == 1:
        problems.append(LinkProblem(unknown[0], ", ".join(parameters[unknown[0]]), "unknown_key"))
    elif unknown:
        problems.append(LinkProblem(unknown[0], ", ".join(unknown), "unknown_keys", None, {"number": len(unknown)}))
    return read, problems


def _read_last(declared: Input, texts: Sequence[str]) -> tuple[list[Any], InputError | None]:
    """The value of the last text that can be read, if any; and why the last one cannot."""
    problem = None
    for text in reversed(texts):
        try:
            return [declared.read(text)], problem
        except InputError as error:
            problem = problem or error
            if error.code == "counted_apart":
                return [*error.suggestions], problem
    return [], problem


def one_number_of_devices(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What to set once inputs have changed, so that there is one number of devices: what was set last stands."""
    there = now["n_devices"]
    if there is None or now["data_parallel"] is None or there == math.prod(now[key] for key in TAKES_DEVICES):
        return {}
    return {"data_parallel": None} if there != before["n_devices"] else {"n_devices": None}


def link_parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Every input as a link writes it, defaults included, with the version: such a link keeps its meaning for good.

    A size that the model has not, such as positions in T5, and that cannot be left empty is not in it.
    """
    told = (key for key, declared in INPUTS.items() if values[key] is not None or declared.default is None)
    return {"v": str(LINK_VERSION)} | {key: written(values[key]) for key in told}


def link_differences(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """A shorter link, to be scanned: the version, the language, the model, and what differs from ``defaults``."""
    kept = ("lang", "model")
    different = {key: written(values[key]) for key in INPUTS if key in kept or values[key] != defaults[key]}
    return {"v": str(LINK_VERSION)} | different


def written(value: Any) -> str:
    """An input's value as a link writes it and `read` reads it back."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return repr(value).removesuffix(".0")
        case _:
            return str(value)
