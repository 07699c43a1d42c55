"""How quantities, models and steps show themselves in a notebook: Markdown with formulas, and parts to unfold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from llmcalc.quantity import Quantity
from llmcalc.units import exact, human
from llmcalc.words import w
from llmcalc.words.names import name, unit_name

if TYPE_CHECKING:
    from llmcalc.step.course import Course
    from llmcalc.transformer.model import Model

_MOST_TOLD = 200  # quantities below one; the whole is in its `to_frame`


def quantity(shown: Quantity) -> str:
    """A quantity's name, value, formula, the same with values, source, and what went in, to unfold."""
    told = shown.collapsed
    left = iter(range(_MOST_TOLD))
    return "\n\n".join(_told(told, left))


def model(shown: Model) -> str:
    """A model's layers, and how many parameters each of its components has."""
    return "\n\n".join([_table(shown.components().values()), quantity(shown.parameters())])


def step(shown: Course) -> str:
    """The moments of a step that may be its peak, and what the peak is made of."""
    return "\n\n".join([_table(shown.moments.values()), quantity(shown.peak)])


def _told(shown: Quantity, left: Iterator[int]) -> Iterator[str]:
    yield f"**{_name(shown)}** {_value(shown)}"
    if not shown.is_given:
        yield f"${' '.join(shown.steps)}$"
    if shown.source:
        yield f"{w('working.source')}: [{shown.source}]({shown.source.work.url})"
    parts = [part for part in shown.inputs.values() if not part.is_given]
    if not parts:
        return
    if next(left, None) is None:
        yield "…"
        return
    yield f"<details><summary>{', '.join(map(_name, parts))}</summary>"
    for part in parts:
        yield from _told(part, left)
    yield "</details>"


def _table(quantities: Iterable[Quantity]) -> str:
    return "\n".join(["| | |", "|:--|--:|", *(f"| {_name(q)} | {_value(q)} |" for q in quantities)])


def _name(shown: Quantity) -> str:
    try:
        return name(shown.id)
    except KeyError:  # one that the reader's own code made
        return shown.id


def _value(shown: Quantity) -> str:
    if isinstance(shown.value, np.ndarray):
        ends = (human(float(end), shown.unit) for end in (np.min(shown.value), np.max(shown.value)))
        return f"{' … '.join(ends)} ({shown.value.size})"
    for_people, all_digits = human(shown.value, shown.unit), exact(shown.value)
    unit = unit_name(shown.unit, shown.value)
    return f"{all_digits} {unit}".strip() + (f" ≈ {for_people}" if for_people not in (all_digits, "–") else "")
