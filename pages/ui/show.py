"""Show a quantity: its value for people, and its working on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from llmcalc.accuracy import Standing
from llmcalc.bases import Base
from llmcalc.configuration import Configuration
from llmcalc.inputs import PASTED
from llmcalc.quantity import Quantity
from llmcalc.sources import Citation
from llmcalc.tex import localized
from llmcalc.words import locale, w
from llmcalc.words.names import name, unit_name
from pages.ui.numbers import exact, human, percent
from pages.ui.problems import caveats_of
from pages.ui.sections import after_charts
from pages.ui.stage import at_the_front
from pages.ui.standing import badge, standing_note, why
from pages.ui.titles import start_title

_OPENED = "opened_number"
Headline = tuple[str, Quantity, Standing]
_LITTLE = 12  # numbers: a working of no more is told whole


def title_of(config: Configuration) -> str:
    """What the configuration is called: a published shape, what a config.json calls itself, or one with changes."""
    if config.name and config.name != PASTED:
        return config.name
    start = start_title(config.base)
    return start if config.name else w("sidebar.custom", base=start)


def model_header(text: str, start: Base) -> None:
    """The title of a page that tells of a model; below it what is left out of that, or that it is a guess."""
    st.header(text, anchor=False)
    if caveats := caveats_of(start):
        st.caption(" ".join(caveats))


@contextmanager
def headline_row() -> Iterator[Any]:
    """Frames of headline numbers go side by side in it, wrapping where there is no room."""
    with at_the_front():
        row = st.container(key="headlines")
    with row:
        yield row


def headlines(quantities: Callable[[], Iterable[Headline]]) -> None:
    """Headline numbers side by side, wrapping where there is no room; (label, quantity, what it may be called) each.

    They are worked out after the charts. Each is a button that opens its working. Once a page.
    """

    def numbers() -> dict[str, Headline]:
        return {f"number_{place}": number for place, number in enumerate(quantities())}

    def draw() -> None:
        for id, (label, quantity, standing) in numbers().items():
            number = human(quantity.value, quantity.unit)
            said = f"{label} {badge(standing)} **{number}** :small[{w('working.open')}]"
            st.button(
                said, key=id, width="stretch", help=why(standing),
                on_click=st.session_state.update, args=({_OPENED: id},),
            )  # fmt: skip

    with headline_row() as row:
        after_charts(row, draw)
    if _OPENED in st.session_state and (number := numbers().get(st.session_state[_OPENED])):
        del st.session_state[_OPENED]
        label, quantity, standing = number
        st.dialog(label, width="medium")(_opened)(quantity, standing)


def _opened(quantity: Quantity, standing: Standing) -> None:
    standing_note(standing)
    working(quantity, depth=3)


def one_of(parts: Mapping[str, Callable[[], None]], key: str) -> None:
    """Things to read, of which one is drawn once its name is chosen; they go by the keys of their names in words."""
    chosen = st.pills(w("app.more"), parts, format_func=w, key=key, label_visibility="collapsed")
    if chosen:
        parts[chosen]()


def working(quantity: Quantity, depth: int = 1) -> None:
    """Formula in symbols, the same with values, the result and the source; then the same for what went in, down to
    ``depth``: where there is little of it, down to what the reader gave."""
    told = quantity.collapsed
    numbers = sum(not q.is_given for _, q in told.walk())
    st.markdown("\n\n".join(_lines(told, _LITTLE if depth and numbers <= _LITTLE else depth)))


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


def term_table(quantities: Sequence[Quantity], whole: Quantity) -> str:
    """A markdown table of a sum's terms: name, formula, value, share."""
    rows = [
        f"| {w('working.term')} | {w('working.amount')} | {w('working.share')} | {w('working.formula')} |",
        "|:--|--:|--:|:--|",
    ]
    for q in sorted(quantities, key=lambda part: -part.value):
        share = q.value / whole.value if whole.value else 0
        rows.append(f"| {name(q.id)} | {human(q.value, q.unit)} | {percent(share)} | ${q.working.symbols}$ |")
    return "\n".join(rows)
