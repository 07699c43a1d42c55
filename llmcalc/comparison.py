r"""Models that a reader has pinned to stand beside the present one, as one text that a link can carry.

A model is its base and only what was changed of it, with semicolons between; models have bars between. A config.json
stands, cut down, behind the name of the pasted base. A bar, semicolon or backslash behind a backslash is itself.

>>> [pinned.base_id for pinned in read_pinned("Llama 3 8B;n_layers=40|Mixtral 8x7B")]
['Llama 3 8B', 'Mixtral 8x7B']
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmcalc.bases import SHAPE, Base, base, run_as
from llmcalc.errors import InputError, shortened
from llmcalc.inputs import DEFAULTS, INPUTS, MODELS, PASTED
from llmcalc.link_text import written

MOST_PINNED = 4
_SPECIAL = re.compile(r"[\\|;]")


@dataclass(frozen=True)
class Pinned:
    """A model as a reader left it: the id of its base, the base's config if that was pasted, and what was changed."""

    base_id: str
    config: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> Base:
        """What it starts from."""
        return base(self.base_id, self.config)

    def controls(self) -> dict[str, Any]:
        """What to set the dashboard's inputs to, so that they describe this model; how it is run is not among them."""
        pasted = {"config": self.config} if self.base_id == PASTED else {}
        return {"model": self.base_id, **pasted, **self.base.values, **self.changes}

    def values(self, run: Mapping[str, Any] = DEFAULTS, present: Base | None = None) -> dict[str, Any]:
        """The value of every input: the model's own sizes, and ``run`` for how it is run, as once this one is loaded
        in place of the ``present`` one; without one, of the model that one starts from."""
        return {**run_as(run, present or base(DEFAULTS["model"]), self.base), **self.controls()}

    def __str__(self) -> str:
        fields = [self.base_id]
        if self.base_id == PASTED:
            fields.append(self.config)
        fields += [f"{id}={written(value)}" for id, value in self.changes.items()]
        return ";".join(_SPECIAL.sub(r"\\\g<0>", text) for text in fields)


def pinned_of(values: Mapping[str, Any]) -> Pinned:
    """The model that the inputs describe at present; where a pasted config cannot be read, the plain decoder."""
    try:
        start = base(values["model"], values["config"])
    except InputError:
        start = base(DEFAULTS["model"])
    return Pinned(start.id, values["config"] if start.id == PASTED else "", start.changed(values))


def write_pinned(models: Iterable[Pinned]) -> str:
    """The text that `read_pinned` reads back.

    Raises InputError for more models than are compared, and where their configs are too long for a link.
    """
    pinned = list(models)
    _check_number(pinned)
    text = "|".join(map(str, pinned))
    INPUTS["compare"].read(text)
    return text


def read_pinned(text: str) -> list[Pinned]:
    """The models that a text names, in its order.

    Raises InputError, with the wrong piece of the text as its detail ``piece``, for a model that there is not, an input
    that it does not have, a value that this input cannot take, a config that cannot be read, and for too many models.
    """
    models, problems = read_each(text)
    if problems:
        raise problems[0]
    return models


def read_each(text: str) -> tuple[list[Pinned], list[InputError]]:
    """The models that a text names, without those that cannot be read and no more than are compared; and what is wrong
    with the others, as `read_pinned` raises it."""
    models: list[Pinned] = []
    problems: list[InputError] = []
    for fields in _split(text):
        try:
            models.append(_read_one(fields))
        except InputError as error:
            problems.append(error)
    if len(problems) > MOST_PINNED:
        number = len(problems) - MOST_PINNED
        message = f"{number} more models cannot be read"
        problems[MOST_PINNED:] = [InputError("compare", message, code="more_unread", number=number)]
    try:
        _check_number(models)
    except InputError as error:
        problems.append(error)
    return models[:MOST_PINNED], problems


def _check_number(models: Sequence[Any]) -> None:
    if len(models) > MOST_PINNED:
        message = f"{len(models)} models are pinned; no more than {MOST_PINNED} can be"
        raise InputError("compare", message, code="too_many_pinned", number=len(models), most=MOST_PINNED)


def _split(text: str) -> list[list[str]]:
    """Models, each as its fields, with backslashes resolved; nothing between two bars is no model."""
    models, characters = [[""]], iter(text)
    for character in characters:
        if character == "|":
            models.append([""])
        elif character == ";":
            models[-1].append("")
        else:
            models[-1][-1] += next(characters, "") if character == "\\" else character
    return [fields for fields in models if any(map(str.strip, fields))]


def _read_one(fields: list[str]) -> Pinned:
    name, rest = fields[0].strip(), fields[1:]
    piece = name
    try:
        if name not in MODELS:
            raise InputError("compare", f"there is no model {shortened(name)!r}", code="unknown_model")
        config = rest.pop(0) if name == PASTED and rest else ""
        start = base(name, config)
        changes: dict[str, Any] = {}
        for piece in rest:
            id, _, value = (part.strip() for part in piece.partition("="))
            if id not in SHAPE:
                raise InputError("compare", f"there is no input {shortened(id)!r}", code="unknown_key")
            if id in start.fixed:
                raise InputError("compare", f"{name} does not let {id} change", code="fixed_input", name=name)
            if id in changes:
                raise InputError("compare", f"{id} is given twice", code="given_twice")
            changes[id] = INPUTS[id].read(value)
    except InputError as error:
        piece, code = shortened(piece), error.code or "config_refused"
        details = {"reason": error, **error.details, "piece": piece}
        raise InputError("compare", f"{piece}: {error}", code=code, **details) from None
    return Pinned(name, config, start.changed({**start.values, **changes}))
