"""The memory of one training step as it goes by: stacked areas, phases labelled, the peak and the device marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from llmcalc.words import w
from pages.ui.figures.axes import Figure, byte_unit, from_zero, layout
from pages.ui.figures.palette import COLOURS, MARK, MUTED, TEXT, component_of
from pages.ui.words.numbers import human

# How much of the chart's width each part of the step gets; the layers of a pass share theirs
_SHARES = {"rollout": 14, "scores": 10, "forward": 40, "loss": 14, "backward": 38, "optimizer": 8}
_LARGEST_NAMED = 4  # categories that a hover tells
_LABEL_HEIGHT = 0.1  # of the chart's
_LEAST_DRAWN = 0.004  # of the peak: what is never more is a pixel high, and drawn with others of its size


def timeline_figure(title: str, profile: pd.DataFrame, names: Mapping[str, str], device: tuple[str, float]) -> Figure:
    """Bytes alive through a step (`Step.profile`), by category. ``device`` is a name and its bytes."""
    factor, unit = byte_unit(profile["live"].max())
    shares = _shares(profile)
    x = _positions(profile, shares)
    areas = _areas(profile)
    data: list[dict[str, Any]] = [{
        "type": "scatter", "mode": "lines", "name": names[category], "x": x, "stackgroup": "step",
        "y": [round(value / factor, 4) for value in values],
        "line": {"width": 0, "color": COLOURS[category]}, "fillcolor": COLOURS[category], "hoverinfo": "skip",
    } for category, values in areas.items()]  # fmt: skip
    data.append({
        "type": "scatter", "mode": "lines", "x": x, "y": [round(value / factor, 4) for value in profile["live"]],
        "line": {"width": 1.5, "color": TEXT}, "showlegend": False,
        "customdata": _told(profile, areas, names), "hovertemplate": "%{customdata}<extra></extra>",
    })  # fmt: skip
    largest = profile["live"].max()
    peak = int(profile["live"].argmax())
    above, in_sight = device[1] > largest, device[1] < 2.5 * largest
    axis = from_zero(1.15 * max(largest, device[1] if in_sight else 0) / factor)
    top = axis["range"][1]
    name = f"{device[0]}: {human(device[1], 'bytes')}"
    name = f"– – {name}" if above and in_sight else f"{name} {'↑' if above else '↓'}"
    line = device[1] / factor
    is_close = 0 <= line - largest / factor < _LABEL_HEIGHT * top  # then it is written above the line, not through it
    data.append(_labels((x[peak], line if is_close else largest / factor), human(largest, "bytes"), name, top))
    return {
        "data": data,
        "layout": layout(
            title, hovermode="x",
            xaxis={"title": {"text": w("timeline.axis")}, "range": [0, 100], "zeroline": False, **_phases(shares)},
            yaxis={"title": {"text": w("axes.memory", unit=unit)}, "automargin": True, **axis},
            shapes=[*_borders(largest / factor, shares), *([_line(device[1] / factor)] if in_sight else [])],
        ),
    }  # fmt: skip


def _part(phase: str, layer: int | str) -> str:
    """The part of the chart that a point is drawn in: the head's backward belongs to the loss."""
    if phase in ("loss", "forward_end") or (phase, layer) == ("backward", "back"):
        return "loss"
    return phase


def _parts(profile: pd.DataFrame) -> list[str]:
    return [_part(phase, layer) for phase, layer in zip(profile["phase"], profile["layer"], strict=True)]


def _shares(profile: pd.DataFrame) -> dict[str, float]:
    """Per cent of the chart's width for each part that the step has; the last three are in any step."""
    there = {*_parts(profile), "loss", "backward", "optimizer"}
    shares = {part: share for part, share in _SHARES.items() if part in there}
    return {part: 100 * share / sum(shares.values()) for part, share in shares.items()}


def _positions(profile: pd.DataFrame, shares: Mapping[str, float]) -> list[float]:
    """Where each point is, from 0 to 100: evenly within its part of the step."""
    parts = _parts(profile)
    start, found = 0.0, []
    for part, share in shares.items():
        n = parts.count(part)
        found += [
            start + share * (i + 1) / n if part != "optimizer" else start + share * (i + 0.5) / n for i in range(n)
        ]
        start += share
    return [round(at, 3) for at in found]


def _areas(profile: pd.DataFrame) -> dict[str, list[float]]:
    """Bytes of each category at every point, in the order of the palette."""
    sums: dict[str, Any] = {}
    for column in profile.columns:
        if column.startswith("live_"):
            category = component_of(column.removeprefix("live_"))
            sums[category] = sums.get(category, 0) + profile[column].to_numpy()
    held = {category: np.maximum(alive, 0) for category, alive in sums.items()}
    least = _LEAST_DRAWN * profile["live"].max()
    small = [category for category, alive in held.items() if alive.max() < least]
    if len(small) > 1:
        held["rest"] = sum(held.pop(category) for category in small)
    return {c: held[c].tolist() for c in COLOURS if c in held and held[c].max() > 0}


def _told(profile: pd.DataFrame, areas: Mapping[str, list[float]], names: Mapping[str, str]) -> list[str]:
    """What a hover says at each point: where in the step, how much in all, and what most of it is."""
    texts = []
    for i, (phase, layer, live) in enumerate(zip(profile["phase"], profile["layer"], profile["live"], strict=True)):
        part = w(f"timeline.{_part(phase, layer)}")
        place = w("timeline.layer", phase=part, number=layer + 1) if isinstance(layer, int) else part
        most = sorted(areas, key=lambda category: -areas[category][i])[:_LARGEST_NAMED]
        lines = [f"{names[c]}: {human(areas[c][i], 'bytes')}" for c in most if areas[c][i] > 0]
        texts.append("<br>".join([f"<b>{place}: {human(live, 'bytes')}</b>", *lines]))
    return texts


def _phases(shares: Mapping[str, float]) -> dict[str, Any]:
    """Ticks of the axis: a name in the middle of each phase."""
    borders = np.cumsum([0, *shares.values()])
    middles = (borders[:-1] + borders[1:]) / 2
    return {
        "tickvals": middles.tolist(), "ticktext": [w(f"timeline.{part}") for part in shares], "tickangle": 0,
        "showgrid": False,
    }  # fmt: skip


def _borders(top: float, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """A dotted line between two phases, as high as the peak, above which is written what it is."""
    return [{
        "type": "line", "xref": "x", "yref": "y", "x0": at, "x1": at, "y0": 0, "y1": top, "layer": "below",
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
    } for at in np.cumsum([*shares.values()])[:-1].tolist()]  # fmt: skip


def _line(y: float) -> dict[str, Any]:
    return {
        "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": y, "y1": y,
        "line": {"color": MARK, "width": 2, "dash": "dash"},
    }  # fmt: skip


def _labels(peak: tuple[float, float], amount: str, device: str, top: float) -> dict[str, Any]:
    """The peak, and above the plot the device: points with a text, which Plotly draws faster than annotations."""
    side = "right" if peak[0] < 15 else "left" if peak[0] > 85 else "center"  # within the chart's edges
    return {
        "type": "scatter", "mode": "text", "x": [peak[0], 100], "y": [peak[1], top],
        "text": [w("timeline.peak", amount=amount), device], "textposition": [f"top {side}", "top left"],
        "textfont": {"size": 13, "color": [TEXT, MARK]}, "cliponaxis": False, "showlegend": False, "hoverinfo": "skip",
    }  # fmt: skip
