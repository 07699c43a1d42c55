"""Scaling law: loss against parameters, where the reader's model stands, and what "10% better" costs."""

import numpy as np
import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.accuracy import LAW
from llmcalc.article import article_ten_percent
from llmcalc.scaling import (
    KAPLAN_CRITICAL_PARAMETERS,
    loss_from_parameters,
    parameters_for_better_metric,
    parameters_for_lower_loss,
    performance_from_parameters,
)
from llmcalc.words import w
from pages.ui.app.show import headlines, working
from pages.ui.app.state import configuration
from pages.ui.chart.component import chart
from pages.ui.figures.axes import layout, log_ticks
from pages.ui.figures.palette import COLOURS, MARK
from pages.ui.words.numbers import human, marked
from pages.ui.words.titles import title_of

inside_app()

st.header(w("scaling.header"), anchor=False)
st.markdown(w("scaling.sentence"))
config = configuration()
alpha, improvement, curve = (config.values[key] for key in ("alpha", "improvement", "curve"))
parameters = config.model.non_embedding_parameters()
law = {"critical_parameters": KAPLAN_CRITICAL_PARAMETERS, "alpha": alpha}
loss = loss_from_parameters(parameters=parameters, **law)
metric = parameters_for_better_metric(improvement=improvement, alpha=alpha)
lower = parameters_for_lower_loss(improvement=improvement, alpha=alpha)
percent = marked(f"{improvement:g}")

headlines(
    lambda: [
        (w("scaling.parameters"), parameters, config.count_standing),
        (w("scaling.loss"), loss, LAW),
        (w("scaling.metric_better", percent=percent), metric, LAW),
        (w("scaling.loss_lower", percent=percent), lower, LAW),
    ]
)

# The law that is drawn, in units that put this model at its loss, or at a performance of one
times = lower if curve == "loss" else metric
here, target = parameters.value, parameters.value * times.value
sizes = np.logspace(5, max(13.0, np.ceil(np.log10(target)) + 2.7), 120)  # room for the labels


def height(n: float | np.ndarray) -> float | np.ndarray:
    """The drawn quantity of a model of n parameters."""
    if curve == "loss":
        return loss_from_parameters(parameters=n, **law).value
    return (
        performance_from_parameters(parameters=n, alpha=alpha).value
        / performance_from_parameters(parameters=here, alpha=alpha).value
    )


title = w(f"scaling.chart_{curve}", alpha=marked(f"{alpha:g}"))
aim = w(f"scaling.target_{curve}", percent=percent)
hover = w(f"scaling.hover_{curve}") + "<extra></extra>"
mark = {"type": "scatter", "mode": "markers+text", "hovertemplate": hover}
figure = {
    "data": [
        {
            "type": "scatter",
            "mode": "lines",
            "name": w("scaling.law"),
            "x": sizes.tolist(),
            "y": np.asarray(height(sizes)).tolist(),
            "line": {"color": COLOURS["embedding"], "width": 2.5},
            "customdata": [human(size, "parameters") for size in sizes],
            "hovertemplate": hover,
        },
        mark
        | {
            "name": w("scaling.here"),
            "x": [here],
            "customdata": [human(here, "parameters")],
            "y": [height(here)],
            "marker": {"color": MARK, "size": 13},
            "text": [f"{title_of(config)}: {marked(f'{height(here):.3g}')}"],
            "textposition": "top right" if curve == "loss" else "top left",
        },
        mark
        | {
            "name": aim,
            "x": [target],
            "customdata": [human(target, "parameters")],
            "y": [height(target)],
            "marker": {"color": MARK, "size": 13, "symbol": "circle-open"},
            "text": [w("scaling.times", times=human(times.value))],
            "textposition": "bottom left" if curve == "loss" else "bottom right",
        },
    ],
    "layout": layout(
        title,
        showlegend=False,
        uirevision=curve,
        xaxis={"type": "log", "title": {"text": w("axes.non_embedding")}, **log_ticks(sizes[0], sizes[-1])},
        yaxis={"type": "log", "title": {"text": w(f"axes.{curve}")}, "tickformat": ".3~g", "nticks": 6},
    ),
}
alt = w(
    f"scaling.alt_{curve}",
    title=title,
    size=human(here, "parameters"),
    loss=marked(f"{loss.value:.3g}"),
    times=human(times.value),
)
chart(figure, key="loss_against_parameters", alt=alt, height=440)

st.subheader(w("scaling.misprint_header"), anchor=False)
printed = article_ten_percent(alpha=0.07)
right_metric = parameters_for_better_metric(improvement=10, alpha=0.07)
right_loss = parameters_for_lower_loss(improvement=10, alpha=0.07)
st.markdown(
    w(
        "scaling.misprint",
        printed=human(printed.value),
        metric=marked(f"{right_metric.value:.2f}"),
        loss=marked(f"{right_loss.value:.2f}"),
    )
)
with st.expander(w("working.open"), key="misprint_working", on_change="rerun") as opened:
    if opened.open:
        for quantity in (printed, right_metric, right_loss):
            working(quantity, depth=0)

st.subheader(w("scaling.table_header"), anchor=False)
lines = [f"| {w('scaling.better')} | {w('scaling.metric')} | {w('scaling.lower')} |", "|--:|--:|--:|"]
for step in (1, 2, 5, 10, 20, 50):
    grows = parameters_for_better_metric(improvement=step, alpha=alpha).value
    falls = parameters_for_lower_loss(improvement=step, alpha=alpha).value
    lines.append(f"| {step}{w('numbers.per_cent')} | × {human(grows)} | × {human(falls)} |")
st.markdown("\n".join(lines))
st.caption(w("scaling.caveat"))
