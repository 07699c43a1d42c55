"""The library of published models: each a Hub config cut down to the keys that shape it, and where it is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from llmcalc.errors import InputError


@dataclass(frozen=True)
class PublishedModel:
    """One model of the library. ``config`` goes to `llmcalc.from_config`; ``source`` is where its config is published.

    ``published`` is the number of parameters that its authors or the Hub state, None where that is rounded.
    ``note`` says what the row leaves out.
    """

    id: str
    name: str
    group: str
    year: int
    source: str
    config: Mapping[str, Any]
    published: int | None = None
    note: str = ""


@cache
def models() -> Mapping[str, PublishedModel]:
    """Every model of the library by id, in the order of the menu: family by family, small to large."""
    text = resources.files("llmcalc.catalog").joinpath("models.json").read_text("utf-8")
    return {row["id"]: PublishedModel(**row) for row in json.loads(text)}


def model(id: str) -> PublishedModel:
    """The model of that id.

    Raises InputError, with the ids that begin alike, where there is none.
    """
    found = models().get(id)
    if found is None:
        alike = tuple(known for known in models() if known[:4] == id[:4])
        raise InputError("model", f"the library has no model {id!r}", alike)
    return found


def groups() -> Mapping[str, tuple[PublishedModel, ...]]:
    """The library by family, for a menu."""
    found: dict[str, list[PublishedModel]] = {}
    for row in models().values():
        found.setdefault(row.group, []).append(row)
    return {group: tuple(rows) for group, rows in found.items()}
