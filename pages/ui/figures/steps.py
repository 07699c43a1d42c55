"""Figures of what fits into a device's memory, and of how far predictions lie from measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from pages.ui.figures.axes import Figure, byte_unit, doublings, layout, log10, log_ticks, wrapped
from pages.ui.figures.palette import COLOURS, MARK, MUTED, TEXT, paler
from pages.ui.words.numbers import marked

_FITS, _FITS_NOWHERE = "#0072B2|#3D9BE0", "#C9CCD1|#4A525C"
_GROUPS = ((COLOURS["embedding"], "circle"), (COLOURS["attention"], "diamond"), (COLOURS["feed_forward"], "square"))
_NEAR_A_SIDE = 0.2  # of the chart's width: a label is some 0.3 of it on a phone
_LEAST_PERCENT = 1e-5
_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it spread evenly: dots of a strip do not lie on one another


def fits_map(
    title: str,
    grid: tuple[np.ndarray, np.ndarray, np.ndarray],
    devices: Mapping[str, float],
    chosen: tuple[str, float],
    here: tuple[str, int, int],
    ends: Mapping[str, tuple[int, int]],
    said: Sequence[Sequence[str]],
    axes: tuple[str, str],
    last: tuple[str, int] | None = None,
) -> Figure:
    """Memory over batch and length, in bands between the memories of ``devices``, the smallest first.

    ``grid`` is batches, lengths, and bytes for each pair; ``said`` tells each cell in words. The outline of what fits
    the ``chosen`` device is drawn bold. ``here`` is the reader's run, and ``ends`` are the runs at the device's
    limit, each a name with batch and length. ``last`` names the length beyond which the model cannot read.
    """
    batches, lengths, memory = grid
    x, y = lengths.tolist(), batches.tolist()
    edges = list(devices.values())
    bands = np.round(_band(memory, edges), 4).tolist()
    limit = float(_band(np.array([chosen[1]]), edges)[0])
    shades = [paler(_FITS, share) for share in np.linspace(0.9, 0, len(edges))]
    colours = [*shades, _FITS_NOWHERE]
    cells = {"type": "contour", "x": x, "y": y, "z": bands, "showscale": False}
    data: list[dict[str, Any]] = [cells | {
        "contours": {"coloring": "fill", "start": 1, "end": len(edges), "size": 1},
        "colorscale": [[at / len(edges), colour] for at, colour in enumerate(colours)],
        "line": {"color": "theme:background", "width": 1},
        "text": said, "hovertemplate": "%{text}<extra></extra>",
    }]  # fmt: skip
    for colour, width in (("theme:background", 6), (MARK, 3)):
        data.append(cells | {
            "contours": {"coloring": "none", "start": limit, "end": limit, "size": 1},
            "line": {"color": colour, "width": width}, "hoverinfo": "skip",
        })  # fmt: skip
    name, batch, length = here
    for end in ends.values():
        data.append({
            "type": "scatter", "mode": "lines", "x": [length, end[1]], "y": [batch, end[0]],
            "line": {"color": MARK, "width": 1.5, "dash": "dot"}, "hoverinfo": "skip", "showlegend": False,
        })  # fmt: skip
    runs = {name: (batch, length), **ends}
    filled, outlines = [MARK] + ["theme:background"] * len(ends), ["theme:background"] + [MARK] * len(ends)
    data.append({
        "type": "scatter", "mode": "markers", "x": [s for _, s in runs.values()], "y": [b for b, _ in runs.values()],
        "marker": {"size": 12, "color": filled, "line": {"width": 2, "color": outlines}},
        "customdata": list(runs), "hovertemplate": "%{customdata}<extra></extra>", "showlegend": False,
    })  # fmt: skip
    labels = {label: bytes_ for label, bytes_ in devices.items() if bytes_ != chosen[1]} | {chosen[0]: chosen[1]}
    annotations = _contour_labels(labels, chosen[0], grid, list(runs.values()))
    if last and last[1] < x[-1]:
        data.insert(-1, {
            "type": "scatter", "mode": "lines", "x": [last[1]] * 2, "y": [y[0], y[-1]],
            "line": {"color": TEXT, "width": 2}, "hoverinfo": "skip", "showlegend": False,
        })  # fmt: skip
        annotations.append({
            "text": last[0], "xref": "x", "yref": "paper", "x": log10(last[1]), "y": 1, "xanchor": "left",
            "yanchor": "bottom", "showarrow": False, "font": {"color": TEXT, "size": 12},
        })  # fmt: skip
    return {
        "data": data,
        "layout": layout(
            title, showlegend=False, hovermode="closest",
            xaxis={"type": "log", "title": {"text": axes[1]}, "showgrid": False, **_axis(lengths, 6)},
            yaxis={"type": "log", "title": {"text": axes[0]}, "showgrid": False, "automargin": True,
                   **_axis(batches, 10)},
            annotations=annotations,
        ),
    }  # fmt: skip


def _band(memory: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Between which devices so many bytes are: 1 at the memory of the first, 1.5 half way to the second, by ratio."""
    logs, knots = np.log(memory), np.log(edges)
    below, above = (logs - knots[0]) / (knots[1] - knots[0]), (logs - knots[-1]) / (knots[-1] - knots[-2])
    return np.interp(logs, knots, range(1, len(knots) + 1)) + np.minimum(below, 0) + np.maximum(above, 0)


def _axis(values: np.ndarray, most: int) -> dict[str, Any]:
    """A log axis that ends where the values do, with powers of two on it."""
    low, high = float(values[0]), float(values[-1])
    return {"range": [log10(low), log10(high)], **doublings(low, high, most)}


def _contour_labels(
    devices: Mapping[str, float], chosen: str, grid: tuple[np.ndarray, np.ndarray, np.ndarray],
    runs: Sequence[tuple[int, int]],
) -> list[dict[str, Any]]:  # fmt: skip
    """A label on each outline, each at a height of its own, so that none lies on another or, if it can be, on a run."""
    order = sorted(devices, key=lambda label: devices[label])
    free = list(range(1, len(order) + 1))
    labels = []
    for label in order:
        crossings = {row: _crossing(row / (len(order) + 1), devices[label], *grid) for row in free}
        places = {row: at for row, at in crossings.items() if at}
        if not places:
            continue
        row = min(places, key=lambda row: (_is_near(places[row], runs, grid), row))
        batch, length = places[row]
        free.remove(row)
        ours = label == chosen
        labels.append({
            "text": f"<b>{label}</b>" if ours else label, "x": log10(length), "y": log10(batch), "showarrow": False,
            "xanchor": _anchor(length, grid[1]),
            "font": {"size": 12, "color": MARK if ours else "theme:text"}, "bgcolor": "theme:background",
            "borderpad": 2, "opacity": 0.9,
        })  # fmt: skip
    return labels


def _anchor(length: float, lengths: np.ndarray) -> str:
    """Which end of a label stands on its outline: near a side of the chart the one at that side, so that it stays
    within."""
    across = math.log(length / lengths[0]) / math.log(lengths[-1] / lengths[0])
    return "left" if across < _NEAR_A_SIDE else "right" if across > 1 - _NEAR_A_SIDE else "center"


def _is_near(
    place: tuple[float, float],
    runs: Sequence[tuple[int, int]],
    grid: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> bool:
    """Whether a label there would cover one of the runs, or the lines between them."""
    across, up = (math.log(values[-1] / values[0]) for values in (grid[1], grid[0]))
    middle = math.log(place[1]) + across * {"left": 0.15, "center": 0, "right": -0.15}[_anchor(place[1], grid[1])]
    return any(
        abs(middle - math.log(length)) < 0.15 * across and abs(math.log(place[0] / batch)) < 0.08 * up
        for batch, length in runs
    )


def _crossing(
    height: float, limit: float, batches: np.ndarray, lengths: np.ndarray, memory: np.ndarray
) -> tuple[float, float] | None:
    """Where an outline passes so far up the chart, well inside its sides: batch and length."""
    row = round(height * (len(batches) - 1))
    inner = slice(len(lengths) // 10, -len(lengths) // 10)
    found = memory[row, inner]
    if not found[0] < limit < found[-1]:
        return None
    return float(batches[row]), float(np.exp(np.interp(np.log(limit), np.log(found), np.log(lengths[inner]))))


def predicted_against_measured(
    title: str,
    groups: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[str]]],
    beside: tuple[str, Sequence[float], Sequence[float], Sequence[str]],
    equal: str,
    axes: tuple[str, str],
) -> Figure:
    """Bytes against bytes on log axes: each group has measured, predicted, and what is said of each run.

    ``beside`` is another prediction of the same runs, drawn faintly; ``equal`` names the line where both are the same.
    """
    every = [value for x, y, _ in (*groups.values(), beside[1:]) for value in (*x, *y)]
    factor, unit = byte_unit(math.sqrt(min(every) * max(every)))
    low, high = min(every) / factor / 1.3, max(every) / factor * 1.3
    hover = "%{customdata}<extra></extra>"

    def points(name: str, x: Sequence[float], y: Sequence[float], said: Sequence[str], marker: Any) -> dict[str, Any]:
        return {
            "type": "scatter", "mode": "markers", "name": name, "marker": marker, "customdata": list(said),
            "x": [v / factor for v in x], "y": [v / factor for v in y], "hovertemplate": hover,
        }  # fmt: skip

    line = {
        "type": "scatter", "mode": "lines", "name": equal, "x": [low, high], "y": [low, high],
        "line": {"color": MUTED, "width": 1, "dash": "dot"}, "hoverinfo": "skip",
    }  # fmt: skip
    data = [line, points(*beside, {"color": MUTED, "symbol": "x-thin-open", "size": 7, "opacity": 0.7})]
    for (name, (x, y, said)), (colour, symbol) in zip(groups.items(), cycle(_GROUPS), strict=False):
        data.append(points(name, x, y, said, {"color": colour, "symbol": symbol, "size": 9, "opacity": 0.8}))
    return {
        "data": data,
        "layout": layout(
            title, hovermode="closest",
            xaxis={"type": "log", "title": {"text": axes[0].format(unit=unit)}, **log_ticks(low, high)},
            yaxis={"type": "log", "title": {"text": axes[1].format(unit=unit)}, "automargin": True,
                   **log_ticks(low, high)},
        ),
    }  # fmt: skip


def error_strips(
    title: str, methods: Mapping[str, tuple[Sequence[float], Sequence[str]]], axis: str, least: str
) -> Figure:
    """A dot for each error on a log axis in per cent, a strip for each method, the first on top and in colour.

    What is smaller than the axis shows is drawn at its beginning, which ``least`` names.
    """
    order = list(methods)
    data: list[dict[str, Any]] = []
    for at, (name, (found, said)) in enumerate(methods.items()):
        height = len(order) - 1 - at
        data.append({
            "type": "scatter", "mode": "markers", "name": name, "showlegend": False,
            "x": [max(100 * abs(error), _LEAST_PERCENT) for error in found],
            "y": [height + 0.6 * ((i * _GOLDEN) % 1 - 0.5) for i in range(len(found))],
            "marker": {"color": MUTED if at else _GROUPS[0][0], "size": 7, "opacity": 0.6},
            "customdata": list(said), "hovertemplate": "%{customdata}<extra></extra>",
        })  # fmt: skip
    largest = max(max(trace["x"]) for trace in data)
    ticks = [10.0**power for power in range(round(log10(_LEAST_PERCENT)), math.ceil(log10(largest)) + 1, 2)]
    return {
        "data": data,
        "layout": layout(
            title, hovermode="closest", showlegend=False,
            xaxis={"type": "log", "title": {"text": axis}, "tickvals": ticks, "tickangle": 0,
                   "ticktext": [least, *(marked(f"{tick:,g}") for tick in ticks[1:])],
                   "range": [log10(_LEAST_PERCENT) - 0.3, log10(max(largest, 1)) + 0.3]},
            yaxis={"tickvals": [len(order) - 1 - at for at in range(len(order))], "automargin": True,
                   "ticktext": [wrapped(name, 14) + " " for name in order], "showgrid": False, "zeroline": False,
                   "range": [-0.6, len(order) - 0.4]},
            shapes=[{"type": "line", "xref": "x", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1,
                     "line": {"color": MARK, "width": 1.5, "dash": "dash"}}],
            annotations=[{"text": "1%", "xref": "x", "yref": "paper", "x": 0, "y": 1, "xanchor": "left",
                          "yanchor": "bottom", "showarrow": False, "font": {"color": MARK, "size": 12}}],
        ),
    }  # fmt: skip
