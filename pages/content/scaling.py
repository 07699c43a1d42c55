"""Scaling law: loss against parameters, where the reader's model stands, and what "10% better" costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from llmcalc.accuracy import LAW
from llmcalc.article import article_ten_percent
from llmcalc.configuration import Configuration
from llmcalc.scaling import parameters_for_better_metric, parameters_for_lower_loss
from llmcalc.sweeps import law_loss, law_performance, times_parameters
from llmcalc.words import w
from pages.content.pieces import table, workings
from pages.ui.document.blocks import Block, Chart, Controls, heading, note, paragraph, said_once
from pages.ui.figures.axes import Figure, layout, log_ticks
from pages.ui.figures.palette import COLOURS, MARK
from pages.ui.words.numbers import human, marked
from pages.ui.words.standing import Headline
from pages.ui.words.titles import title_of

STEPS = (1, 2, 5, 10, 20, 50)  # per cent that a reader may want
_LETTERS = 44  # fewer than are as wide as the chart on a phone


def numbers(config: Configuration) -> list[Headline]:
    """The numbers at the top."""
    wanted, parameters, found = _wanted(config), config.model.non_embedding_parameters(), times_parameters(config)
    return [
        (w("scaling.parameters"), parameters, config.count_standing),
        (w("scaling.loss"), law_loss(config, parameters), LAW),
        (w("scaling.metric_better", percent=wanted), found["performance"], LAW),
        (w("scaling.loss_lower", percent=wanted), found["loss"], LAW),
    ]


def _wanted(config: Configuration) -> str:
    return marked(f"{config.values['improvement']:g}")


@said_once
def scaling(config: Configuration) -> Iterator[Block]:
    """The law, this model on it, the misprint, and what improvements cost."""
    yield paragraph(w("scaling.sentence"))
    yield Controls(["curve", "alpha", "improvement"], 3)
    yield the_law(config)
    yield heading(w("scaling.misprint_header"))
    printed = article_ten_percent(alpha=0.07)
    metric = parameters_for_better_metric(improvement=10, alpha=0.07)
    lower = parameters_for_lower_loss(improvement=10, alpha=0.07)
    right = {"metric": marked(f"{metric.value:.2f}"), "loss": marked(f"{lower.value:.2f}")}
    yield paragraph(w("scaling.misprint", printed=human(printed.value), **right))
    yield workings("misprint_working", printed, metric, lower, depth=0)
    yield heading(w("scaling.table_header"))
    rows = []
    for step in STEPS:
        grows = times_parameters(config, step)
        cells = (f"× {human(grows[what].value)}" for what in ("performance", "loss"))
        rows.append([f"{step}{w('numbers.per_cent')}", *cells])
    yield table([w("scaling.better"), w("scaling.metric"), w("scaling.lower")], rows, "rrr")
    yield note(w("scaling.caveat"))


@said_once
def the_law(config: Configuration) -> Chart:
    """The law that is drawn, in units that put this model at its loss, or at a performance of one."""
    alpha, curve = config.values["alpha"], config.values["curve"]
    here, grows = config.model.non_embedding_parameters().value, times_parameters(config)[curve].value
    target = here * grows
    sizes = np.logspace(5, max(13.0, np.ceil(np.log10(target)) + 2.7), 120)  # room for the labels

    def height(n: float | np.ndarray) -> Any:
        """The drawn quantity of a model of n parameters."""
        return law_loss(config, n).value if curve == "loss" else law_performance(config, n)

    def beside(size: float, full: str, short: str, *, on_the_right: bool) -> str:
        """What is written beside a point: in few letters where the chart's edge would cut off more on a phone."""
        decades = np.log10([sizes[0], size, sizes[-1]])
        room = (decades[2] - decades[1] if on_the_right else decades[1] - decades[0]) / (decades[2] - decades[0])
        return full if len(full) < _LETTERS * room else short

    title = w(f"scaling.chart_{curve}", alpha=marked(f"{alpha:g}"))
    at, times, falls = marked(f"{height(here):.3g}"), human(grows), curve == "loss"
    drawn = (sizes.tolist(), np.asarray(height(sizes)).tolist())
    points = [
        (
            w("scaling.here"),
            here,
            height(here),
            beside(here, f"{title_of(config)}: {at}", at, on_the_right=falls),
        ),
        (
            w(f"scaling.target_{curve}", percent=_wanted(config)),
            target,
            height(target),
            beside(target, w("scaling.times", times=times), f"× {times}", on_the_right=not falls),
        ),
    ]
    alt = w(
        f"scaling.alt_{curve}",
        title=title,
        size=human(here, "parameters"),
        loss=marked(f"{law_loss(config, here).value:.3g}"),
        times=human(grows),
    )
    return Chart(_figure(title, curve, drawn, points), "loss_against_parameters", alt, 440)


def _figure(
    title: str, curve: str, law: tuple[list[float], list[float]], points: list[tuple[str, float, Any, str]]
) -> Figure:
    hover = w(f"scaling.hover_{curve}") + "<extra></extra>"
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": w("scaling.law"),
        "x": law[0],
        "y": law[1],
        "line": {"color": COLOURS["embedding"], "width": 2.5},
        "customdata": [human(size, "parameters") for size in law[0]],
        "hovertemplate": hover,
    }
    looks: list[tuple[dict[str, str], str]] = [({}, "top"), ({"symbol": "circle-open"}, "bottom")]
    sides = {"top": "right", "bottom": "left"} if curve == "loss" else {"top": "left", "bottom": "right"}
    marks = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "hovertemplate": hover,
            "name": name,
            "x": [x],
            "customdata": [human(x, "parameters")],
            "y": [y],
            "marker": {"color": MARK, "size": 13, **look},
            "text": [text],
            "textposition": f"{place} {sides[place]}",
        }
        for (name, x, y, text), (look, place) in zip(points, looks, strict=True)
    ]
    ends = (law[0][0], law[0][-1])
    return {
        "data": [line, *marks],
        "layout": layout(
            title,
            showlegend=False,
            uirevision=curve,
            xaxis={"type": "log", "title": {"text": w("axes.non_embedding")}, **log_ticks(*ends)},
            yaxis={"type": "log", "title": {"text": w(f"axes.{curve}")}, "tickformat": ".3~g", "nticks": 6},
        ),
    }
