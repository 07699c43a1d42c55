"""What a reader asks first: to serve a model, or to train it in one of four ways; and which inputs say that.

It is no input of its own: it is read off those that there are, so that every link has one and keeps its meaning.

>>> from llmcalc.inputs import DEFAULTS
>>> asked(DEFAULTS), asked({**DEFAULTS, "lora_rank": 8}), asked({**DEFAULTS, "purpose": "inference"})
('full', 'lora', 'serve')
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from llmcalc.bases import recipe_values
from llmcalc.cached import once
from llmcalc.catalog import recipes
from llmcalc.catalog.recipes import PLAIN, RECIPES
from llmcalc.configuration import Configuration
from llmcalc.fit.advice import changes_by_cost
from llmcalc.serving.job import OF_LLAMA_CPP

SERVE, FULL, LORA, QLORA, PRETRAIN = ASKS = ("serve", "full", "lora", "qlora", "pretrain")
PRETRAINS = "torchtitan"  # the library whose recipe trains from the beginning
ADAPTS = "PEFT"  # whose recipe stands in where the reader's library has none with adapters
MOST_CHANGES = 3
LEAST_SAVED = 0.005  # of what is needed

_METHODS = {FULL: recipes.FULL, LORA: recipes.LORA, QLORA: recipes.QLORA}
SPREADS = ("serve_tensor", "serve_pipeline", "serve_data")  # an engine's devices: their product


def asked(values: Mapping[str, Any]) -> str:
    """Which of `ASKS` the inputs describe."""
    if values["purpose"] == "inference":
        return SERVE
    if values["lora_rank"]:
        return LORA if values["lora_base"] == "same" else QLORA
    return PRETRAIN if RECIPES[values["recipe"]].library == PRETRAINS else FULL


def asking(ask: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs to set so that it is asked: to train, with all that the recipe of that method decides, of the library
    that the reader has, else of one that has such a recipe. Where that is so already nothing but the purpose. There are
    as many devices as before, where nobody has said yet how many there are for that.
    """
    if ask == SERVE:
        return {"purpose": "inference"} | _as_many_devices(ask, values)
    found: dict[str, Any] = {"purpose": "training"} | _as_many_devices(ask, values)
    if asked({**values, **found}) == ask:
        return found
    recipe = recipe_of(ask, RECIPES[values["recipe"]].library)
    return found | {"recipe": recipe} | recipe_values(recipe)


def recipe_of(ask: str, library: str) -> str:
    """The recipe of what is asked of training: the library's own, else of one that has such a recipe."""
    if ask == PRETRAIN:
        return f"{PRETRAINS} {recipes.FULL}"
    method = _METHODS[ask]
    own = f"{library} {method}"
    if own in RECIPES and library != PRETRAINS:
        return own
    return PLAIN if ask == FULL else f"{ADAPTS} {method}"


def blanks(values: Mapping[str, Any]) -> dict[str, str]:
    """What there is to fill in beside the model: the input that each blank stands for."""
    if asked(values) == SERVE:
        devices = "serve_pipeline" if values["engine"] in OF_LLAMA_CPP else "serve_tensor"
        return {"many": "concurrency", "length": "context", "devices": devices, "device": "accelerator"}
    return {"many": "batch_size", "length": "seq_len", "devices": "n_devices", "device": "accelerator"}


def other_devices(values: Mapping[str, Any]) -> int:
    """By how much an engine's devices are more than the blank for them says: copies, and stages of a pipeline."""
    blank = blanks(values)["devices"]
    return math.prod(values[id] for id in SPREADS if id != blank) if blank in SPREADS else 1


def _as_many_devices(ask: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """As many for serving as for training, or the other way round, where those are one and nobody set it."""
    serves = {**values, "purpose": "inference"}
    of_serving, of_training = blanks(serves)["devices"], values["n_devices"]
    is_one_served = math.prod(values[id] for id in SPREADS) == 1
    if ask == SERVE and asked(values) != SERVE and of_training and is_one_served:
        return {of_serving: min(of_training, 1_024)}
    is_one_trained = of_training is None and not values["data_parallel"]
    if ask != SERVE and asked(values) == SERVE and is_one_trained and not is_one_served:
        return {"n_devices": math.prod(values[id] for id in SPREADS)}
    return {}


@dataclass(frozen=True)
class Cheaper:
    """Inputs to set together (``changes`` are the names of what they do), the bytes that the device which needs most
    is spared, whether it fits then, and how dear it is: 0 costs nothing, 3 takes more devices."""

    changes: tuple[str, ...]
    values: Mapping[str, Any]
    saved: float
    fits: bool
    cost: int


@once
def cheapest(config: Configuration, most: int = MOST_CHANGES) -> list[Cheaper]:
    """What would change it most cheaply: first those changes after which it fits, where it does not, the cheapest
    first; then those single ones that save memory, again the cheapest first and of these what saves most. What saves
    hardly any of it is no change."""
    serves = asked(config.values) == SERVE
    found = _of_serving(config) if serves else _of_training(config)
    held = config.served if serves else config.verdict
    least = LEAST_SAVED * float(held.needed.value) if held else 0
    distinct: list[Cheaper] = []
    for change in found:
        if change.saved < least and not (held and change.fits > held.fits):
            continue
        if all(change.values != other.values for other in distinct):
            distinct.append(change)
        if len(distinct) == most:
            break
    return distinct


def _of_training(config: Configuration) -> Iterator[Cheaper]:
    enough = [] if config.verdict.fits else config.advice()
    told = {change.id for advice in enough for change in advice.changes}
    alone = (advice for advice in changes_by_cost(config.job) if advice.changes[0].id not in told)
    for advice in chain(enough, alone):
        ids = tuple(change.id for change in advice.changes)
        yield Cheaper(ids, advice.fields, advice.saved, advice.fits, advice.cost)


def _of_serving(config: Configuration) -> list[Cheaper]:
    now = config.serving.served
    if now is None:
        return []
    ways = [*config.serving.ways(), *config.serving.savings()]
    costs = {"concurrency": 1, "context": 1, "cache_format": 2, "weight_format": 2}
    return [
        Cheaper(
            tuple(way.values),
            way.values,
            float(now.needed.value - way.served.needed.value),
            way.served.fits,
            max(costs.get(id, 3) for id in way.values),
        )
        for way in ways
    ]
