"""The working of a quantity as text: its formula in symbols and with values, its result, its source."""

from __future__ import annotations

from llmcalc.quantity import Quantity
from llmcalc.sources import Citation
from llmcalc.tex import localized
from llmcalc.words import locale, w
from llmcalc.words.names import name, unit_name
from pages.ui.words.numbers import exact, human

_LITTLE = 12  # numbers: a working of no more is told whole


def working_text(quantity: Quantity, depth: int = 1) -> str:
    """Formula in symbols, the same with values, the result and the source; then the same for what went in, down to
    ``depth``: where there is little of it, down to what the reader gave. As markdown."""
    told = quantity.collapsed
    numbers = sum(not q.is_given for _, q in told.walk())
    return "\n\n".join(_lines(told, _LITTLE if depth and numbers <= _LITTLE else depth))


def citation(source: Citation) -> str:
    """A source as markdown, linked where it has an address."""
    return f"[{source}]({source.work.url})" if source.work.url else str(source)


def _lines(quantity: Quantity, depth: int) -> list[str]:
    lines = [f"**{name(quantity.id)}**"]
    if quantity.formula_id:
        lines.append(f":small[{w(f'formulas.{quantity.formula_id}')}]")
    *steps, result = latex_steps(quantity)
    lines += [f"${step}$" for step in steps]
    lines.append(f"${result}$ {unit_name(quantity.unit, quantity.value)} {rounded(quantity)}")
    if quantity.source:
        lines.append(f":small[{w('working.source')}: {citation(quantity.source)}]")
    for part in quantity.inputs.values():
        if depth > 0 and not part.is_given:
            lines += ["---", *_lines(part, depth - 1)]
    return lines


def latex_steps(quantity: Quantity) -> list[str]:
    """The formula in symbols, the same with values, and the result, as LaTeX; of a given number the result alone."""
    return [localized(step, locale()) for step in quantity.steps]


def rounded(quantity: Quantity) -> str:
    """The value for people, where that is another than the exact one."""
    for_people = human(quantity.value, quantity.unit)
    return "" if not quantity.value or for_people == exact(quantity.value) else f"≈ {for_people}"
