"""Accuracy: every measured training step beside what is predicted for it, here and by simpler rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from llmcalc.accuracy import METHODS, Comparison, all_compared, errors
from llmcalc.catalog.models import models
from llmcalc.units import GiB
from pages.ui.chart import chart
from pages.ui.numbers import error_share, exact, human
from pages.ui.shell import inside_app
from pages.ui.show import headline_row
from pages.ui.step_figures import error_strips, predicted_against_measured
from pages.ui.words import w

FILTERS = ("model", "precision", "attention", "recompute", "loss", "optimizer")
FIGURES = ("peak", "saved")

inside_app()


def trait(row: Comparison, key: str) -> str:
    """What a filter goes by."""
    return row.row.model if key == "model" else str(getattr(row.row.training_run, key))


def filtered(rows: Sequence[Comparison]) -> list[Comparison]:
    """The steps that the reader wants to see."""
    left = list(rows)
    with st.container(horizontal=True, gap="small"):
        for key in FILTERS:
            options = sorted({trait(row, key) for row in rows})
            wanted = st.multiselect(
                w(f"accuracy.filter_{key}"), options, key=f"accuracy_{key}", placeholder=w("accuracy.everything"),
                width="stretch",
            )  # fmt: skip
            left = [row for row in left if not wanted or trait(row, key) in wanted]
    return left


def said(row: Comparison, method: str, what: str) -> str:
    """One prediction in words."""
    return w(
        "accuracy.said",
        run=row.row,
        method=w(f"accuracy.{method}"),
        measured=human(row.measured(what), "bytes"),
        predicted=human(row.predicted[method, what], "bytes"),
        error=("−" if row.error(method, what) <= -1e-5 else "") + error_share(abs(row.error(method, what))),
    )


def pairs(rows: Sequence[Comparison], method: str, what: str) -> tuple[list[float], list[float], list[str]]:
    """Measured, predicted, and what is said of each."""
    measured, predicted = [row.measured(what) for row in rows], [row.predicted[method, what] for row in rows]
    return measured, predicted, [said(row, method, what) for row in rows]


def spread(rows: Sequence[Comparison], method: str, what: str) -> str:
    """Median, 95th percentile and largest error, for a table."""
    if what not in METHODS[method]:
        return "–"
    found = errors(rows, method, what)
    return " / ".join(map(error_share, (found.median, found.p95, found.largest)))


def headline_numbers(rows: Sequence[Comparison], of: int) -> None:
    """How many steps, and how large the errors are."""
    with headline_row():
        with st.container(border=True):
            st.metric(w("accuracy.steps"), exact(len(rows)))
            st.caption(w("accuracy.all_of", count=exact(of)))
        for what in ("saved", "peak"):
            found = errors(rows, "llmcalc", what)
            with st.container(border=True):
                st.metric(w(f"accuracy.{what}_error"), error_share(found.largest))
                st.caption(w("accuracy.spread", median=error_share(found.median), p95=error_share(found.p95)))
        with st.container(border=True):
            st.metric(w("accuracy.parameters", count=len(models())), w("accuracy.exact"))
            st.caption(w("accuracy.counted_on"))


def draw(rows: Sequence[Comparison]) -> None:
    """Predicted against measured, and the errors of every rule."""
    what = st.segmented_control(
        w("accuracy.drawn"), FIGURES, default="peak", key="accuracy_figure", required=True,
        format_func=lambda figure: w(f"accuracy.{figure}"), label_visibility="collapsed",
    )  # fmt: skip
    methods = [method for method, known in METHODS.items() if what in known]
    told = "; ".join(f"{w(f'accuracy.{method}')} {spread(rows, method, what)}" for method in methods)
    left, right = st.columns(2, gap="medium")
    with left:
        groups = {
            precision: pairs([row for row in rows if trait(row, "precision") == precision], "llmcalc", what)
            for precision in sorted({trait(row, "precision") for row in rows})
        }
        title = w(f"accuracy.scatter_{what}")
        figure = predicted_against_measured(
            title, groups, (w("accuracy.article"), *pairs(rows, "article", what)), w("accuracy.equal"),
            (w("accuracy.measured_axis"), w("accuracy.predicted_axis")),
        )  # fmt: skip
        chart(figure, key="predicted_against_measured", alt=w("accuracy.alt", title=title, errors=told), height=400)
    with right:
        strips = {
            w(f"accuracy.{method}"): (
                [row.error(method, what) for row in rows],
                [said(row, method, what) for row in rows],
            )
            for method in methods
        }
        title = w(f"accuracy.strips_{what}")
        figure = error_strips(title, strips, w("accuracy.error_axis"), w("accuracy.least"))
        chart(figure, key="error_strips", alt=w("accuracy.alt", title=title, errors=told), height=400)


def spread_table(head: str, lines: Sequence[tuple[str, Sequence[Comparison], str]]) -> str:
    """A line for each name: how many steps, and the errors of a method over them."""
    heads = (w(f"accuracy.{head}"), w("accuracy.count"), w("accuracy.column_saved"), w("accuracy.column_peak"))
    shown = ["| " + " | ".join(heads) + " |", "|:--|--:|--:|--:|"]
    for name, rows, method in lines:
        figures = (spread(rows, method, what) for what in ("saved", "peak"))
        shown.append(f"| {name} | {exact(len(rows))} | {' | '.join(figures)} |")
    return "\n".join(shown)


def by(rows: Sequence[Comparison], name_of: Callable[[Comparison], str]) -> list[tuple[str, list[Comparison], str]]:
    """The steps by what they have in common."""
    names = sorted({name_of(row) for row in rows})
    return [(name, [row for row in rows if name_of(row) == name], "llmcalc") for name in names]


def rounded(share: float) -> float:
    """An error in % to the digits that the table shows, without the sign of what is rounded away."""
    return round(100 * share, 3) + 0.0


def every_step(rows: Sequence[Comparison]) -> pd.DataFrame:
    """The table of all steps: how each was run, measured, predicted, and the errors of every rule."""
    table = []
    for row in rows:
        line: dict[str, Any] = {w(f"accuracy.filter_{key}"): trait(row, key) for key in FILTERS}
        run = row.row.training_run
        line[w("accuracy.column_run")] = f"{exact(run.batch_size)} × {exact(run.seq_len)}"
        for figure in FIGURES:
            what = w(f"accuracy.{figure}_short")
            line[w("accuracy.column_measured", what=what)] = row.measured(figure) / GiB
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
        table.append(line)
    return pd.DataFrame(table)


def page() -> None:
    """The whole page."""
    with st.spinner(w("accuracy.computing")):  # the first reader waits a moment, the others find it done
        everything = all_compared()
    count, kinds = len(everything), len({row.row.model for row in everything})
    st.header(w("accuracy.header"), anchor=False)
    st.markdown(w("accuracy.sentence", count=exact(count), models=kinds))
    rows = filtered(everything)
    if not rows:
        st.info(w("accuracy.nothing"))
        return
    headline_numbers(rows, count)
    draw(rows)
    st.subheader(w("accuracy.beside_header"), anchor=False)
    st.markdown(spread_table("method", [(w(f"accuracy.{method}"), rows, method) for method in METHODS]))
    st.caption(w("accuracy.beside_note"))
    st.subheader(w("accuracy.by_precision_header"), anchor=False)
    st.markdown(spread_table("filter_precision", by(rows, lambda row: trait(row, "precision"))))
    st.subheader(w("accuracy.by_family_header"), anchor=False)
    st.markdown(spread_table("family", by(rows, lambda row: row.row.family)))
    st.subheader(w("accuracy.table_header"), anchor=False)
    table = every_step(rows)
    numbers = table.select_dtypes("number").columns
    st.dataframe(
        table, hide_index=True, height=420,
        column_config={name: st.column_config.NumberColumn(format="%.3f") for name in numbers},
    )  # fmt: skip
    st.caption(w("accuracy.column_caption"))
    st.subheader(w("accuracy.how_header"), anchor=False)
    st.markdown(w("accuracy.how", count=len(models())))


page()
