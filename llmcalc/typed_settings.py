"""Settings as somebody would type them, "vLLM", "tp 2", "ZeRO-3", "rank 64": which inputs each sets, as fits what is
asked.

>>> typed, rest = read_settings("llama 3 8b, tp 2")
>>> typed[0].number_of("serve"), typed[0].number_of("full")
(('serve_tensor', 2), ('tensor_parallel', 2))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from llmcalc.bases import recipe_values
from llmcalc.catalog.recipes import BY_OBJECTIVE, PLAIN, RECIPES
from llmcalc.question import LORA, PRETRAIN, PRETRAINS, QLORA, SERVE, recipe_of
from llmcalc.typed_names import PLACE

_GIVES = r"(?: of| is)?(?: ?[=:] ?| |-)?"  # before a number
_RECOMPUTING = r"(?:(?:gradient|activation)[- ]checkpointing|(?:activation )?re-?(?:comput\w+|komputasi))"
_OF_OBJECTIVE = ("objective", "beta", "generations")  # what of a method's recipe is not how its library trains


@dataclass(frozen=True)
class _Row:
    """What is typed, as an expression, and what it sets of serving and of training: inputs, or the one that its number
    is of. A library or an objective sets what its recipe does. ``ask``: what it asks for where nothing else does."""

    typed: str
    serving: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    number_of: tuple[str, str] = ("", "")
    library: str = ""
    objective: str = ""
    ask: str = ""

    @property
    def sets(self) -> str:
        """What it sets: two rows that set the same exclude each other."""
        if self.library or self.objective:
            return "library" if self.library else "objective"
        return self.number_of[1] or self.number_of[0] or next(iter(self.serving or self.training))

    @property
    def rank(self) -> int:
        """The more it decides the lower."""
        return 0 if self.library else 1 if self.objective else 2


def _engine(typed: str, id: str) -> _Row:
    return _Row(typed, serving={"engine": id}, ask=SERVE)


def _count(short: str, long: str, serving: str, training: str) -> _Row:
    name = rf"(?:{short}|{long}[- ]parallel(?:ism)?)"
    return _Row(rf"{name}(?:[- ]size)?{_GIVES}(\d+)|(\d+)[- ]way[- ]{name}", number_of=(serving, training))


def _optimizer(typed: str, id: str) -> _Row:
    return _Row(rf"(?:(?:optimi[sz]er|pengoptimal) )?(?:{typed})(?: optimi[sz]er)?", training={"optimizer": id})


_8_BIT = r"8[- ]?bits?"
_ADAM = r"adam[- ]?w?"
_ROWS = (
    _engine(r"vllm", "vllm"),
    _engine(r"sg[- ]?lang", "sglang"),
    _engine(r"(?:tensor[- ]?rt|trt)[- ]?llm", "tensorrt-llm"),
    _engine(r"llama[.\- ]?cpp", "llama.cpp"),
    _engine(r"ollama", "ollama"),
    *(
        _Row(name.lower(), library=name, ask=PRETRAIN if name == PRETRAINS else "")
        for name in dict.fromkeys(row.library for row in RECIPES.values())
        if name != RECIPES[PLAIN].library
    ),
    *(
        _Row(rf"{id}(?:[- ]model(?:l?ing)?)?" if id != "reward" else r"reward[- ]model(?:l?ing)?", objective=id)
        for id in BY_OBJECTIVE
    ),
    _count("tp", "tensor", "serve_tensor", "tensor_parallel"),
    _count("pp", "pipeline", "serve_pipeline", "pipeline_parallel"),
    _count("dp", "data", "serve_data", "data_parallel"),
    _count("ep", "expert", "serve_experts", "expert_parallel"),
    _count("cp", "context", "", "context_parallel"),
    _Row(r"zero[- ]?(?:stage[- ]?)?([0-3])", number_of=("", "zero_stage")),
    _Row(r"fsdp2?|fully[- ]sharded(?: data[- ]parallel)?", training={"zero_stage": 3}),
    _Row(r"ddp", training={"zero_stage": 0}),
    _Row(rf"(?:lora[- ])?rank{_GIVES}(\d+)|r ?= ?(\d+)", number_of=("", "lora_rank"), ask=LORA),
    _Row(r"selective (?:re-?comput\w+|(?:activation )?checkpointing)", training={"recompute": "selective"}),
    _Row(rf"(?:no|without|tanpa) {_RECOMPUTING}", training={"recompute": "none"}),
    _Row(rf"(?:full )?{_RECOMPUTING}(?: penuh)?", training={"recompute": "full"}),
    _optimizer(rf"paged {_8_BIT} {_ADAM}|paged[- _]{_ADAM}[- _]?{_8_BIT}", "paged_adamw_8bit"),
    _optimizer(rf"{_8_BIT} (?:{_ADAM}|optimi[sz]ers?)|{_ADAM}[- _]?{_8_BIT}", "adamw_8bit"),
    _optimizer(rf"{_8_BIT} lion|lion[- _]?{_8_BIT}", "lion_8bit"),
    _optimizer(rf"fused {_ADAM}|{_ADAM}[- _]?fused", "adamw_fused"),
    _optimizer(_ADAM, "adamw_foreach"),
    _optimizer(r"sgd (?:with |dengan )?momentum", "sgd_momentum"),
    *(_optimizer(id, id) for id in ("sgd", "adafactor", "lion", "muon", "rmsprop", "adamax", "nadam", "adagrad")),
    _Row(
        rf"(?:gradient|grad)[- ]accum\w*(?: steps?)?{_GIVES}(\d+)|akumulasi gradien{_GIVES}(\d+)",
        number_of=("", "gradient_accumulation"),
    ),
    _Row(rf"global batch(?: size)?{_GIVES}(\d+)|batch global{_GIVES}(\d+)", number_of=("", "global_batch")),
)


@dataclass(frozen=True)
class TypedSetting:
    """A setting that was typed."""

    said: str
    row: _Row
    number: int | None = None

    @property
    def ask(self) -> str:
        """What it asks for where nothing else does: to serve, LoRA, or to train in whichever way, which is ""."""
        return self.row.ask

    @property
    def is_of_training(self) -> bool:
        """Whether it says nothing of serving."""
        return not self.row.serving and not self.row.number_of[0]

    def number_of(self, ask: str) -> tuple[str, int] | None:
        """The input that its number is of, and that; none where it has none, or says nothing of what is asked."""
        id = self.row.number_of[0 if ask == SERVE else 1]
        if self.number is None or not id or (id == "lora_rank" and ask not in (LORA, QLORA)):
            return None
        return id, self.number

    def recipe(self, ask: str) -> dict[str, Any]:
        """All that the recipe of a library sets, for what is asked, or of an objective, which beside adapters is no
        more than what is learnt."""
        if ask == SERVE:
            return {}
        if self.row.library:
            name = recipe_of(ask, self.row.library)
            return {} if RECIPES[name].library != self.row.library else {"recipe": name} | recipe_values(name)
        if not self.row.objective or ask == PRETRAIN:
            return {}
        name = next(id for id, row in RECIPES.items() if row.sets.get("objective") == self.row.objective)
        found = {"recipe": name} | recipe_values(name)
        return found if ask not in (LORA, QLORA) else {id: found[id] for id in _OF_OBJECTIVE}

    def inputs(self, ask: str) -> dict[str, Any]:
        """What it is said to have set: the inputs that it names, not all that follows."""
        if number := self.number_of(ask):
            return dict([number])
        recipe = self.recipe(ask)
        if recipe:
            told = "objective" if self.row.objective else "recipe"
            return {told: recipe[told]}
        return dict(self.row.serving if ask == SERVE else self.row.training)


@cache
def _patterns() -> tuple[tuple[_Row, re.Pattern[str]], ...]:
    return tuple((row, re.compile(rf"(?<![a-z0-9.$])(?:{row.typed})(?![a-z0-9]|\.\d)")) for row in _ROWS)


def expressions() -> tuple[str, ...]:
    """What is typed for each that can be negated, without groups. Not to recompute is a setting of its own."""
    return tuple(re.sub(r"\((?!\?)", "(?:", row.typed) for row in _ROWS if row.sets != "recompute")


def read_settings(text: str) -> tuple[tuple[TypedSetting, ...], str]:
    """The settings that a text in small letters names, of those that exclude each other the first, and the text without
    them. What decides more comes first: a library, an objective, and then the rest."""
    matches = [(typed, row) for row, pattern in _patterns() for typed in pattern.finditer(text)]
    found: dict[str, TypedSetting] = {}
    end, rest = 0, ""
    for typed, row in sorted(matches, key=lambda match: (match[0].start(), -match[0].end())):
        if typed.start() >= end and row.sets not in found:
            number = next((int(digits) for digits in typed.groups() if digits), None)
            found[row.sets] = TypedSetting(typed[0], row, number)
            rest, end = f"{rest}{text[end : typed.start()]}{PLACE}", typed.end()
    return tuple(sorted(found.values(), key=lambda setting: setting.row.rank)), rest + text[end:]
