"""What a configuration starts from: a shape of the plain decoder, a model of the library, a config.json.

A base decides the values that its inputs have unless the reader changes them; a link carries the base by name and what
was changed. A config.json travels in the link itself, cut down to the keys that shape the model.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.catalog.models import models
from llmcalc.catalog.presets import PRESETS
from llmcalc.catalog.recipes import PLAIN, RECIPES
from llmcalc.errors import InputError
from llmcalc.huggingface import Notice, Reading, override, parse_config, read_config
from llmcalc.inputs import DEFAULTS, INPUTS, MODELS, PASTED, in_group
from llmcalc.kinds import Integer
from llmcalc.step.overhead import fragmentation_of
from llmcalc.transformer.dimensions import Dimensions, plain_sizes
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Part, training, traits

# The inputs that a base decides: all that shape a model
SHAPE = tuple(i.id for group in ("shape", "architecture") for i in in_group(group))
# Of these, what is beside the language model: it is there or not, and no size
_BESIDE: dict[str, Any] = {id: INPUTS[id].default for id in ("towers", "mtp")}
_PLAIN_DECODER = tuple(f.name for f in fields(Dimensions))
# The key under which transformers writes into a config.json where it was loaded from, and what of that is a name
_LOADED_FROM = "_name_or_path"
_A_NAME = re.compile(r"(?!www\.)[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?")
_LONGEST_NAME = 96  # characters, as on the Hub


# The inputs that a recipe decides: all that say how a step is run, but for the account that it is told in and the
# number of micro-batches, which goes with the batch
OF_RECIPE = tuple(
    i.id
    for group in ("run", "fine_tuning")
    for i in in_group(group)
    if i.id not in ("recipe", "account", "gradient_accumulation")
)


# What others than the inputs of a model and the recipe decide, as long as nobody sets it: what is recomputed, and how
# the file that a model was read from has its weights
AT_FIRST_OF_OTHERS = ("fragmentation", "weight_format")


def at_first(named: Mapping[str, Any], start: Base) -> dict[str, Any]:
    """What every input is as long as nobody sets it: the model that one starts from, and the file it was read from,
    decide some, the recipe others. ``named`` are those that are set."""
    found = DEFAULTS | dict(start.values) | dict(start.also) | recipe_values(named.get("recipe", PLAIN))
    recompute = named.get("recompute", found["recompute"])
    return found | {"fragmentation": fragmentation_of(recompute)}


def run_as(values: Mapping[str, Any], before: Base, start: Base) -> dict[str, Any]:
    """Every input for another model that is run as ``values`` run the one before: what that one's file decided, as long
    as nobody sets it, this one's does."""
    was, now = at_first(values, before), at_first(values, start)
    follows = {id: now[id] for id in AT_FIRST_OF_OTHERS if values[id] == was[id]}
    return {**values, "model": start.id, **start.values, **follows}


def recipe_values(recipe: str) -> dict[str, Any]:
    """All that a recipe decides, the sizes of a batch among it where its library has a default of them."""
    row = RECIPES[recipe]
    return {id: row.sets.get(id, DEFAULTS[id]) for id in OF_RECIPE} | dict(row.sizes)


@dataclass(frozen=True)
class Base:
    """``values`` are those of every input in `SHAPE`; ``fixed`` are the inputs that this base does not let change.

    ``config`` is None for a plain decoder, which `Dimensions` describe. ``year`` and ``source`` say where it is from,
    ``note`` what is left out of it or printed otherwise (a key in words), ``library_id`` which row of the library it
    is, if any. ``called`` is what a pasted config.json says that its model is called, ``model_type`` of what kind it
    is; both are empty where they are no names. ``family`` is whose code its language model runs.
    ``also`` are inputs that its file decides beside `SHAPE`: the format of its weights.
    """

    id: str
    values: Mapping[str, Any]
    fixed: frozenset[str]
    config: Mapping[str, Any] | None = None
    group: str = ""
    year: int | None = None
    source: str = ""
    url: str = ""
    note: str = ""
    notices: tuple[Notice, ...] = field(default=())
    library_id: str = ""
    called: str = ""
    model_type: str = ""
    family: str = ""
    also: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def parameters(self) -> int:
        """How many it has, without changes."""
        return int(self.model(self.values).parameters().value)

    def within_reach(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What else changes where a reader takes this model up from ``values``: a length that its table of learned
        positions has no rows for."""
        longest = self.model(self.values).longest_sequence
        return {} if longest is None or values["seq_len"] <= longest else {"seq_len": longest}

    @property
    def is_guess(self) -> bool:
        """Whether its family is not known, and it is counted as if it were built like LLaMA."""
        return any(notice.id == "like_llama" for notice in self.notices)

    def changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that may change and differ from this base."""
        return {id: values[id] for id in SHAPE if id not in self.fixed and values[id] != self.values[id]}

    def model(self, values: Mapping[str, Any]) -> Model:
        """The model that the base and the changes describe.

        Raises InputError, naming the input, for changes that contradict the rest.
        """
        if self.config is None:
            return Dimensions(**{id: values[id] for id in _PLAIN_DECODER}).model()
        changed = self.changed(values)
        sizes = {id: value for id, value in changed.items() if value is not None and id not in _BESIDE}
        reading = read_config(override(self.config, **sizes))
        _enough_experts(reading.model)
        asked = {**_BESIDE, **changed}
        return replace(reading.model, beside=_beside(reading, asked["towers"], asked["mtp"]))


@functools.lru_cache(maxsize=512)
def base(model: str, config: str = "") -> Base:
    """The base of that name; ``config`` is the text of the config.json where the name is that of a pasted one.

    Raises InputError for a config.json that cannot be read, and for sizes beyond the dashboard's controls.
    """
    if model in PRESETS:
        preset = PRESETS[model]
        values = dict.fromkeys(SHAPE) | _BESIDE | asdict(preset.dimensions)
        fixed = frozenset(SHAPE) - set(_PLAIN_DECODER)
        work = preset.source.work
        from_work = (preset.group, work.year, str(preset.source), work.url, preset.note)
        return Base(model, values, fixed, None, *from_work, library_id=_ROW_OF_PRESET.get(model, ""))
    if model == PASTED:
        given = parse_config(config)
        reading = read_config(given)
        start = _of_reading(model, reading, group=reading.model_type)
        return replace(start, called=_own_name(given), model_type=_a_name(reading.model_type))
    row = LIBRARY[model]
    found = _of_reading(model, read_config(row.config), row.group, row.year, row.source)
    return replace(found, library_id=row.id, note=re.sub(r"\W+", "_", row.note))


def compact(config: Mapping[str, Any]) -> str:
    """A config.json cut down to its name and the keys that shape the model, as short text for a link.

    Raises InputError where it cannot be read.
    """
    used, name = read_config(config).used, _own_name(config)
    text = json.dumps({**used, _LOADED_FROM: name} if name else used, separators=(",", ":"))
    base(PASTED, INPUTS["config"].read(text))
    return text


def named(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A config.json of a model that is called so."""
    return {**config, _LOADED_FROM: name}


def _own_name(config: Mapping[str, Any]) -> str:
    """What a config.json says that its model is called: a repository's name, or the last folder of a path."""
    given = config.get(_LOADED_FROM)
    return (_a_name(given) or _a_name(re.split(r"[\\/]", given.rstrip("\\/"))[-1])) if isinstance(given, str) else ""


def _a_name(text: str) -> str:
    """The same text, or nothing where it is more than a name: it stands in headings and charts."""
    return text if len(text) <= _LONGEST_NAME and _A_NAME.fullmatch(text) else ""


LIBRARY = {row.name: row for row in models().values() if row.name in MODELS and row.name not in PRESETS}
_ROW_OF_PRESET = {
    preset: row.id for preset in PRESETS for row in models().values() if row.name.casefold() == preset.casefold()
}
# What the menu of models calls a row of the library, by its id
NAME_OF_ROW = {row.id: name for name, row in LIBRARY.items()} | {id: preset for preset, id in _ROW_OF_PRESET.items()}


def _of_reading(id: str, reading: Reading, group: str = "", year: int | None = None, source: str = "") -> Base:
    _enough_experts(reading.model)
    sizes = reading.dimensions
    for name, value in sizes.items():
        declared = INPUTS.get(name)
        if isinstance(declared, Integer) and not declared.low <= value <= declared.high:
            raise InputError(
                "config",
                f"{name} = {value:,}, but the controls go from {declared.low:,} to {declared.high:,}",
                code="config_out_of_range",
                name=name,
                value=value,
                low=declared.low,
                high=declared.high,
            )
    # what its config has no key for is told as the plain decoder about as large has it, and cannot be changed
    plain = plain_sizes(reading.model)
    told: dict[str, Any] = {"n_layers": plain.n_layers, "n_heads": plain.n_heads, **sizes}
    values = {input_id: told.get(input_id) for input_id in SHAPE} | _BESIDE | _traits(reading.model)
    there = {"towers": reading.model.beside, "mtp": reading.left_out}
    fixed = frozenset(SHAPE) - set(sizes) - {id for id, parts in there.items() if parts}
    notices = (*reading.warnings, *reading.notes)
    found = Base(id, values, fixed, reading.used, group, year, source, source, notices=notices)
    stored = reading.quantization
    also = {"weight_format": stored.format} if stored and stored.format in INPUTS["weight_format"].ends else {}
    return replace(found, family=reading.model_type, also=also)


def _enough_experts(model: Model) -> None:
    """Raises InputError, naming ``top_k``, for a mixture of which a token would choose more experts than there are."""
    for part in model.mixtures:
        if part.top_k > part.n_experts:
            message = f"top_k = {part.top_k} experts of n_experts = {part.n_experts}"
            raise InputError(
                "top_k",
                message,
                code="too_few_experts",
                key="top_k",
                top_k=part.top_k,
                whole_key="n_experts",
                n_experts=part.n_experts,
            )


def _beside(reading: Reading, towers: str, mtp: bool) -> tuple[Part, ...]:
    """What is beside the language model, as asked."""
    ahead = reading.left_out if mtp else ()
    if towers == "left_out":
        return ahead
    return (*(training(part, towers == "trained") for part in reading.model.beside), *ahead)


def _traits(model: Model) -> dict[str, Any]:
    """What the switches say of a model that has its own build: shown, not changed."""
    in_layers = traits(part for block, _ in model.blocks for part in block.parts)
    return {
        **{name: name in in_layers for name in ("gated", "attention_bias", "ffn_bias")},
        "norm": "RMSNorm" if "RMSNorm" in in_layers else "LayerNorm",
        "final_norm": any(part.component == "norm" for part in model.back),
        "positions": "learned" if "learned" in traits(model.front) else "none",
        "tied_head": model.tied,
    }
