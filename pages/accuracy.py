"""Accuracy: every measured step beside what is predicted for it, those that were held back apart from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.accuracy import METHODS, MeasuredStep, all_compared, measured_steps
from llmcalc.catalog.models import models
from llmcalc.errors import InputError, shortened
from llmcalc.measure.receipt import Receipt, read_receipt
from llmcalc.units import GiB
from llmcalc.words import value_of, w
from pages.content.accuracy import Steps, charts, frames, spreads
from pages.content.reports import by_people, of_kinds, of_receipts
from pages.ui.app.screen import draw
from pages.ui.document.blocks import said_once
from pages.ui.words.numbers import exact, marked
from pages.ui.words.problems import problem_words, verbatim

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

FILTERS = ("model", "precision", "attention", "recompute", "loss", "optimizer")
FIGURES = ("peak", "saved")
COMMAND = 'python -m llmcalc.measure "Llama 3.2 1B" precision=bf16 batch_size=4 seq_len=1024 lora_rank=16'
MOST_RECEIPTS = 50


def page() -> None:
    """The page."""
    steps = measured_steps()
    count, kinds = len(steps), len({step.model for step in steps})
    st.header(w("accuracy.header"), anchor=False)
    held_back = exact(sum(not step.seen for step in steps))
    st.markdown(w("accuracy.sentence", count=exact(count), models=exact(kinds), held_back=held_back))
    rows = left_by(wanted())
    if not rows:
        st.info(w("accuracy.nothing"))
        return
    draw([frames(rows, count)])
    receipts = kept_receipts()
    draw([charts(rows, chosen_figure(), receipts)])
    your_own_card(receipts)
    with st.container(key="spreads"):
        draw(of_kinds(rows))
        draw(by_people())
        draw(spreads(rows))
    st.subheader(w("accuracy.table_header"), anchor=False)
    st.dataframe(every_step(rows), hide_index=True, height=420, placeholder="–")
    st.caption(w("accuracy.column_caption"))
    st.subheader(w("accuracy.how_header"), anchor=False)
    st.markdown(w("accuracy.how", count=len(models())))


def kept_receipts() -> list[Receipt]:
    """The receipts that the reader gave and that can be read."""
    return [found for found in map(_read, _given().items()) if isinstance(found, Receipt)]


def your_own_card(receipts: Sequence[Receipt]) -> None:
    """How to measure on a card of one's own, where the receipts go, and what they say."""
    st.subheader(w("reports.receipts_header"), anchor=False)
    st.markdown(w("reports.receipts"))
    st.code(COMMAND, language="sh", wrap_lines=True)
    st.file_uploader(w("reports.upload"), type="json", accept_multiple_files=True, key="receipts")
    for name, text in _given().items():
        if isinstance(problem := _read((name, text)), InputError):
            st.error(f"{verbatim(shortened(name))} {problem_words(problem)}")
    draw(of_receipts(receipts))


def _given() -> dict[str, str]:
    """The text of each file that was given, by its name."""
    files = st.session_state.get("receipts") or []
    return {file.name: file.getvalue().decode("utf-8", "replace") for file in files[:MOST_RECEIPTS]}


def _read(given: tuple[str, str]) -> Receipt | InputError:
    try:
        return read_receipt(given[1])
    except InputError as error:
        return error


def chosen_figure() -> str:
    """Which of the measured figures is drawn."""
    return st.segmented_control(
        w("accuracy.drawn"), FIGURES, default="peak", key="accuracy_figure", required=True,
        format_func=lambda figure: w(f"accuracy.{figure}"), label_visibility="collapsed",
    )  # fmt: skip


def trait(row: MeasuredStep, key: str) -> str:
    """What a filter goes by."""
    return row.model if key == "model" else str(getattr(row.training_run, key))


@cache
def traits(key: str) -> list[str]:
    """All that a filter can go by."""
    return sorted({trait(row, key) for row in measured_steps()})


def wanted() -> tuple[frozenset[str], ...]:
    """What the reader has each filter go by; nothing where all may pass."""
    with st.container(horizontal=True, gap="small"):
        return tuple(frozenset(_filter(key)) for key in FILTERS)


def _filter(key: str) -> list[str]:
    return st.multiselect(
        w(f"accuracy.filter_{key}"), traits(key), key=f"accuracy_{key}", placeholder=w("accuracy.everything"),
        width="stretch", format_func=partial(value_of, key),
    )  # fmt: skip


@lru_cache(maxsize=16)
def left_by(filters: tuple[frozenset[str], ...]) -> Steps:
    """The steps that pass all filters."""
    asked = [(key, wanted) for key, wanted in zip(FILTERS, filters, strict=True) if wanted]
    return Steps(row for row in all_compared() if all(trait(row.row, key) in wanted for key, wanted in asked))


def thousandths(number: float) -> str:
    """A number to three digits behind the decimal mark."""
    return marked(f"{number:.3f}".replace("-", "−"))


def rounded(share: float | None) -> float | None:
    """An error in % to the digits that the table shows, without the sign of what is rounded away."""
    return None if share is None else round(100 * share, 3) + 0.0


@said_once
def every_step(rows: Steps) -> Styler:
    """The table of all steps: how each was run, measured, predicted, and the errors of every rule."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {w(f"accuracy.filter_{key}"): value_of(key, trait(row.row, key)) for key in FILTERS}
        run = row.row.training_run
        line[w("accuracy.held_back")] = not row.row.seen
        line[w("accuracy.column_run")] = f"{exact(run.batch_size)} × {exact(run.seq_len)}"
        for figure in FIGURES:
            what = w(f"accuracy.{figure}_short")
            measured = row.measured(figure)
            line[w("accuracy.column_measured", what=what)] = None if measured is None else measured / GiB
            line[w("accuracy.column_predicted", what=what)] = row.predicted["llmcalc", figure] / GiB
            line[w("accuracy.column_error", what=what)] = rounded(row.error("llmcalc", figure))
        for method, known in METHODS.items():
            for figure in known if method != "llmcalc" else ():
                title = w(
                    "accuracy.column_error_of", what=w(f"accuracy.{figure}_short"), method=w(f"accuracy.{method}")
                )
                line[title] = rounded(row.error(method, figure))
        line[w("accuracy.column_instrument")] = row.row.instrument
        line[w("accuracy.column_group")] = row.row.group
        lines.append(line)
    table = pd.DataFrame(lines)
    columns = table.select_dtypes("number").columns
    numbers: dict[str, str | Callable[[Any], str] | None] = dict.fromkeys(columns, thousandths)
    return table.style.set_uuid("0").format(numbers, na_rep="–")


if __name__ == "__main__":
    alone()
