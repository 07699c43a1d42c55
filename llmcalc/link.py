"""A link as a whole: what it sets, read by the inputs' own declarations, and what of it cannot be used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmcalc.bases import Base, base, recipe_values
from llmcalc.comparison import read_each, write_pinned
from llmcalc.devices.layout import TAKES_DEVICES
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, PASTED
from llmcalc.link_text import LinkProblem, read_parameters, written

_OF_BASE = ("model", "config")


@dataclass(frozen=True)
class Link:
    """The inputs that a link sets, what of it could not be used, and the version that it says it is of, if any."""

    values: Mapping[str, Any]
    problems: tuple[LinkProblem, ...]
    version: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """What it sets, as a link is written: nothing else is left of it."""
        return {key: written(value) for key, value in self.values.items()}

    def on_page(self, page: str) -> Link:
        """As this version would write it: a link of an earlier one keeps the meaning that it had on that page. A link
        that names no version says on every page what it would say in this one."""
        now = self.values
        if self.version == "2":
            now = _with_one_number_of_devices(now, page)
        if self.version in ("2", "3"):
            now = _as_fragmentation_was(_as_adapters_were(_without_towers(now)))
        if self.version in ("2", "3", "4"):
            now = _at_the_price_that_stood_there(now)
        if self.version in ("2", "3", "4", "5"):
            now = _in_the_weights_that_were_asked_for(now)
        if self.version in ("2", "3", "4", "5", "6") and page not in ("explore", "serving"):
            now = _with_users_for_a_batch(now)
        return self if now == self.values else replace(self, values=now)


def _with_users_for_a_batch(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until version 6 inference was of the batch, each request as long as its sequences, but where users were asked
    for."""
    if values.get("purpose") != "inference":
        return values
    sizes = {**DEFAULTS, **recipe_values(values.get("recipe", DEFAULTS["recipe"])), **values}
    return {**values, "concurrency": sizes["batch_size"], "context": sizes["seq_len"]}


def _with_one_number_of_devices(values: Mapping[str, Any], page: str) -> Mapping[str, Any]:
    """Until version 2 a step ran on as many devices as its layout takes, and ``n_devices`` was only what plans were
    made for. Now there is one number: on the page of plans that which plans were made for, with as many sequences in a
    step; elsewhere that of the layout."""
    now = dict(values)
    if not {"n_devices", "data_parallel"} <= set(now):
        return now
    if now["n_devices"] == math.prod(now.get(key, 1) for key in TAKES_DEVICES):
        return now
    if page != "cluster":
        del now["n_devices"]
        return now
    copies = now.pop("data_parallel")
    in_a_copy = (now.get(key, DEFAULTS[key]) for key in ("batch_size", "gradient_accumulation"))
    return {"global_batch": math.prod(in_a_copy) * copies, **now}


def _as_adapters_were(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until version 3 adapters were in the format of the weights, had the model's dropout, and NF4's scales were
    quantised too."""
    if not values.get("lora_rank"):
        return values
    now = {"lora_precision": "same", "lora_dropout": values.get("dropout", 0.0), **values}
    if now.get("lora_base") == "NF4":
        now["lora_base"] = "NF4-double"
    return now


def _as_fragmentation_was(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until version 3 it was the same whatever is recomputed."""
    return {"fragmentation": DEFAULTS["fragmentation"], **values} if values.get("recompute") == "full" else values


def _at_the_price_that_stood_there(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until version 4 an hour of a device cost 2 where the reader gave no price."""
    return {"price_per_hour": 2.0, **values}


def _in_the_weights_that_were_asked_for(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until version 5 weights were in 16 bits, however a file has them, where the reader did not ask for others."""
    start = base(values.get("model", DEFAULTS["model"]), values.get("config", DEFAULTS["config"]))
    return {**{key: DEFAULTS[key] for key in start.also}, **values}


def _without_towers(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until version 3 what is beside a language model was not counted."""
    start = base(values.get("model", DEFAULTS["model"]), values.get("config", DEFAULTS["config"]))
    return values if "towers" in start.fixed else {"towers": "left_out", **values}


def read_link(
    parameters: Mapping[str, Sequence[str]], also_known: Iterable[str] = (), defaults: Mapping[str, Any] = DEFAULTS
) -> Link:
    """What a link sets, and what of it cannot be used; all else in it is used as it is.

    ``also_known`` are keys that are no inputs but mean something. ``defaults`` are the values of inputs that the link
    does not set, but for those that its model decides.
    """
    of_base = {key: values for key, values in parameters.items() if key in _OF_BASE}
    values, problems = read_parameters(of_base, (), defaults)
    start, unread = _start(values, defaults)
    problems += [problem for problem in unread if problem.key not in {told.key for told in problems}]
    rest = {key: values for key, values in parameters.items() if key not in _OF_BASE}
    of_recipe, _ = read_parameters({key: values for key, values in rest.items() if key == "recipe"})
    known = {**defaults, **start.values, **start.also, **recipe_values(of_recipe.get("recipe", DEFAULTS["recipe"]))}
    found, unread = read_parameters(rest, also_known, known)
    values |= found
    problems += unread
    problems += _take_out_fixed(values, start)
    problems += _mend_pinned(values)
    version = next(iter(parameters.get("v", ())), None)
    return Link(values, tuple(problems), version)


def _start(values: dict[str, Any], defaults: Mapping[str, Any]) -> tuple[Base, list[LinkProblem]]:
    """The base that the link names; where it is a config.json that cannot be read, takes that out of ``values``."""
    model, config = (values.get(key, defaults[key]) for key in _OF_BASE)
    try:
        return base(model, config), []
    except InputError as error:
        values.pop("config", None)
        values.pop("model", None)
        code, details = error.code or "config_refused", {"reason": error, **error.details}
        unread = LinkProblem("config", config, code, "", details)
        return base(DEFAULTS["model"]), [unread, LinkProblem("model", PASTED, "config_unread", DEFAULTS["model"])]


def _take_out_fixed(values: dict[str, Any], start: Base) -> list[LinkProblem]:
    """Take out sizes and switches that the model does not have, or does not let change."""
    problems = []
    for key in start.fixed.intersection(values):
        given, used = values.pop(key), start.values[key]
        if given != used:
            code = "no_such_part" if used is None else "fixed_input"
            problems.append(LinkProblem(key, written(given), code, used, {"name": start.id}))
    return sorted(problems, key=lambda problem: list(DEFAULTS).index(problem.key))


def _mend_pinned(values: dict[str, Any]) -> list[LinkProblem]:
    """Leave out those pinned models that cannot be read."""
    models, errors = read_each(values.get("compare", ""))
    if not errors:
        return []
    text, used = values.pop("compare"), ""
    while models and not used:
        try:
            used = values["compare"] = write_pinned(models)
        except InputError as error:  # a number can be longer as it is written than as it was given
            errors.append(error)
            models.pop()
    return [LinkProblem("compare", text, error.code, used, error.details) for error in errors]
