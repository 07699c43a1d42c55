"""Accuracy: every measured step beside what is predicted for it, those that were held back apart from the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.accuracy import (
    LABELS,
    METHODS,
    Comparison,
    Coverage,
    MeasuredStep,
    all_compared,
    comparing,
    covered,
    error_of,
    errors,
    measured_inference,
    measured_steps,
    standing_of_row,
    without_prediction,
)
from llmcalc.accuracy import spread as spread_of
from llmcalc.accuracy.inference import WHAT
from llmcalc.accuracy.standing import FAR
from llmcalc.catalog.models import models
from llmcalc.units import GiB
from llmcalc.words import w
from pages.ui.app.show import headline_row
from pages.ui.chart.component import chart
from pages.ui.figures.steps import error_strips, predicted_against_measured
from pages.ui.words.numbers import error_share, exact, human, marked
from pages.ui.words.standing import setting_name

FILTERS = ("model", "precision", "attention", "recompute", "loss", "optimizer")
FIGURES = ("peak", "saved")
SOON, OFTEN = 0.3, 0.2  # seconds until the reader is told how far it is, and between two times

inside_app()


def trait(row: MeasuredStep, key: str) -> str:
    """What a filter goes by."""
    return row.model if key == "model" else str(getattr(row.training_run, key))


def filtered(rows: Sequence[MeasuredStep]) -> list[MeasuredStep]:
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


def all_at_hand() -> None:
    """Have every measured step simulated. A process's first reader sees how far that is; later ones find it done."""
    steps, begun = exact(len(measured_steps())), time.monotonic()
    place, told = st.empty(), begun + SOON
    for count in comparing():
        if (now := time.monotonic()) > told:
            said = w("accuracy.computing", count=exact(count), steps=steps)
            place.progress(count / len(measured_steps()), text=said)
            told = now + OFTEN
    place.empty()


def said(row: Comparison, method: str, what: str) -> str:
    """One prediction in words."""
    measured, error = row.measured(what) or 0, row.error(method, what) or 0
    return w(
        "accuracy.said",
        run=row.row,
        method=w(f"accuracy.{method}"),
        measured=human(measured, "bytes"),
        predicted=human(row.predicted[method, what], "bytes"),
        error=("−" if error <= -1e-5 else "") + error_share(abs(error)),
    )


def counted(rows: Sequence[Comparison], what: str) -> list[Comparison]:
    """The steps of which the instrument counted it."""
    return [row for row in rows if row.measured(what) is not None]


def pairs(rows: Sequence[Comparison], method: str, what: str) -> tuple[list[float], list[float], list[str]]:
    """Measured, predicted, and what is said of each."""
    found = counted(rows, what)
    measured: list[float] = [row.measured(what) or 0 for row in found]
    predicted: list[float] = [row.predicted[method, what] for row in found]
    return measured, predicted, [said(row, method, what) for row in found]


def strip(rows: Sequence[Comparison], method: str, what: str) -> tuple[list[float], list[str]]:
    """The errors of a method, and what is said of each."""
    found = counted(rows, what)
    return [row.error(method, what) or 0 for row in found], [said(row, method, what) for row in found]


def spread(rows: Sequence[Comparison], method: str, what: str) -> str:
    """Median, 95th percentile and largest error, for a table."""
    if what not in METHODS[method] or not counted(rows, what):
        return "–"
    found = errors(rows, method, what)
    return " / ".join(map(error_share, (found.median, found.p95, found.largest)))


def apart(rows: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """The steps that were held back while the simulation was written, and those that were looked at."""
    sides = {"held_back": False, "looked_at": True}
    return {side: found for side, seen in sides.items() if (found := [row for row in rows if row.row.seen == seen])}


def headline_numbers(rows: Sequence[Comparison], of: int) -> None:
    """How many steps, and how large the errors are."""
    sides = apart(rows)
    with headline_row():
        with st.container(border=True):
            st.metric(w("accuracy.steps"), exact(len(rows)))
            counts = {side: exact(len(sides.get(side, ()))) for side in ("held_back", "looked_at")}
            st.caption(w("accuracy.all_of", count=exact(of), **counts))
        for side, found in sides.items():
            peak = errors(found, "llmcalc", "peak")
            with st.container(border=True):
                st.metric(w(f"accuracy.peak_{side}"), error_share(peak.p95))
                told = {"median": error_share(peak.median), "largest": error_share(peak.largest)}
                st.caption(w("accuracy.spread", **told))
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
        groups = {w(f"accuracy.{side}"): pairs(found, "llmcalc", what) for side, found in apart(rows).items()}
        title = w(f"accuracy.scatter_{what}")
        figure = predicted_against_measured(
            title, groups, (w("accuracy.article"), *pairs(rows, "article", what)), w("accuracy.equal"),
            (w("accuracy.measured_axis"), w("accuracy.predicted_axis")),
        )  # fmt: skip
        chart(figure, key="predicted_against_measured", alt=w("accuracy.alt", title=title, errors=told), height=400)
    with right:
        strips = {
            f"{w('accuracy.llmcalc')}: {w(f'accuracy.{side}')}": strip(found, "llmcalc", what)
            for side, found in apart(rows).items()
        }
        strips |= {w(f"accuracy.{method}"): strip(rows, method, what) for method in methods if method != "llmcalc"}
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
    """The steps by what they have in common, held back and looked at on lines of their own."""
    names = sorted({name_of(row) for row in rows})
    return [
        (f"{name}: {w(f'accuracy.{side}')}", found, "llmcalc")
        for name in names
        for side, found in apart([row for row in rows if name_of(row) == name]).items()
    ]


def rows_called(rows: Sequence[Comparison], label: str) -> list[Comparison]:
    """The steps of which the app would say that."""
    return [row for row in rows if standing_of_row(row).label == label]


def called(row: Comparison) -> str:
    """What a step that is run like this one is called."""
    return w(f"accuracy.called_{standing_of_row(row).label}")


def settings_table() -> None:
    """Every setting that has rows, those that have none, and those that were measured and cannot be asked for yet."""
    every = covered()
    heads = ("setting", "held_back", "looked_at", "families", "column_peak")
    titles = (w(f"accuracy.{head}") for head in heads)
    lines = ["| " + " | ".join(title[0].upper() + title[1:] for title in titles) + " |", "|:--|--:|--:|--:|--:|"]
    for one in every:
        if one.held_back or one.seen:
            off = one.errors
            shares = " / ".join(map(error_share, (off.median, off.p95, off.largest))) if off else "–"
            counts = (exact(len(found)) for found in (one.held_back, one.seen, one.families))
            lines.append(f"| {name_of_setting(one)} | {' | '.join(counts)} | {shares} |")
    st.subheader(w("accuracy.settings_header"), anchor=False)
    st.markdown(w("accuracy.settings"))
    st.markdown("\n".join(lines))
    without = [name_of_setting(one) for one in every if not (one.held_back or one.seen or one.unpredicted)]
    st.markdown(w("accuracy.without_rows", settings="; ".join(without)))
    unpredicted = [one for one in every if one.unpredicted and not (one.held_back or one.seen)]
    told = [f"{name_of_setting(one)} ({exact(len(one.unpredicted))})" for one in unpredicted]
    count = exact(len(without_prediction()))
    st.markdown(w("accuracy.without_prediction", count=count, settings="; ".join(told)))


def name_of_setting(one: Coverage) -> str:
    """A setting as the reader knows it."""
    return w("accuracy.as_it_starts") if one.setting is None else setting_name(one.setting)


def inference_table() -> None:
    """Weights and cache beside what was measured in inference."""
    st.subheader(w("accuracy.inference_header"), anchor=False)
    st.markdown(w("accuracy.inference"))
    heads = ("runs", "count", *(f"inference_{what}" for what in WHAT))
    lines = ["| " + " | ".join(w(f"accuracy.{head}") for head in heads) + " |", "|:--|--:|--:|--:|--:|"]
    for side, seen in (("held_back", False), ("looked_at", True)):
        rows = [row for row in measured_inference() if row.seen == seen]
        spreads = [spread_of(error_of(row, what) for row in rows) for what in WHAT]
        shares = (" / ".join(map(error_share, (off.median, off.p95, off.largest))) for off in spreads)
        lines.append(f"| {w(f'accuracy.{side}')} | {exact(len(rows))} | {' | '.join(shares)} |")
    st.markdown("\n".join(lines))


def rounded(share: float | None) -> float | None:
    """An error in % to the digits that the table shows, without the sign of what is rounded away."""
    return None if share is None else round(100 * share, 3) + 0.0


def every_step(rows: Sequence[Comparison]) -> pd.DataFrame:
    """The table of all steps: how each was run, measured, predicted, and the errors of every rule."""
    table = []
    for row in rows:
        line: dict[str, Any] = {w(f"accuracy.filter_{key}"): trait(row.row, key) for key in FILTERS}
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
        table.append(line)
    return pd.DataFrame(table)


def spreads(rows: Sequence[Comparison]) -> None:
    """The tables of errors: by label, by setting, in inference, of other rules, by precision and by family."""
    st.subheader(w("accuracy.called_header"), anchor=False)
    st.markdown(w("accuracy.called", far=error_share(FAR)))
    st.markdown(spread_table("standing", [line for label in LABELS for line in by(rows_called(rows, label), called)]))
    settings_table()
    inference_table()
    st.subheader(w("accuracy.beside_header"), anchor=False)
    st.markdown(spread_table("method", [(w(f"accuracy.{method}"), rows, method) for method in METHODS]))
    st.caption(w("accuracy.beside_note"))
    st.subheader(w("accuracy.by_precision_header"), anchor=False)
    st.markdown(spread_table("filter_precision", by(rows, lambda row: trait(row.row, "precision"))))
    with st.expander(w("accuracy.by_family_header"), key="by_family", on_change="rerun") as opened:
        if opened.open:
            st.markdown(spread_table("family", by(rows, lambda row: row.row.family)))


def page() -> None:
    """The whole page."""
    steps = measured_steps()
    count, kinds = len(steps), len({step.model for step in steps})
    st.header(w("accuracy.header"), anchor=False)
    held_back = exact(sum(not step.seen for step in steps))
    st.markdown(w("accuracy.sentence", count=exact(count), models=exact(kinds), held_back=held_back))
    wanted = set(filtered(steps))
    if not wanted:
        st.info(w("accuracy.nothing"))
        return
    all_at_hand()
    rows = [found for found in all_compared() if found.row in wanted]
    headline_numbers(rows, count)
    draw(rows)
    with st.container(key="spreads"):
        spreads(rows)
    st.subheader(w("accuracy.table_header"), anchor=False)
    table = every_step(rows)
    columns = table.select_dtypes("number").columns
    numbers: dict[str, str | Callable[[Any], str] | None] = dict.fromkeys(columns, lambda n: marked(f"{n:.3f}"))
    st.dataframe(table.style.set_uuid("0").format(numbers, na_rep="–"), hide_index=True, height=420)
    st.caption(w("accuracy.column_caption"))
    st.subheader(w("accuracy.how_header"), anchor=False)
    st.markdown(w("accuracy.how", count=len(models())))


page()
