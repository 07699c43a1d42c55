"""The memory of one training step as it goes by: stacked areas, phases labelled, the peak and the device marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pages.ui.figures import Figure, byte_unit, layout
from pages.ui.numbers import human
from pages.ui.palette import COLOURS, MARK, MUTED, TEXT, component_of
from pages.ui.words import w

# How much of the chart's width each part of the step gets; the layers of a pass share theirs
_SHARES = {"forward": 40, "loss": 14, "backward": 38, "optimizer": 8}
_LARGEST_NAMED = 4  # categories that a hover tells


def timeline_figure(title: str, profile: pd.DataFrame, names: Mapping[str, str], device: tuple[str, float]) -> Figure:
    """Bytes alive through a step (`Step.profile`), by category. ``device`` is a name and its bytes."""
    factor, unit = byte_unit(profile["live"].max())
    x = _positions(profile)
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
    peak = int(profile["live"].idxmax())
    in_sight = device[1] < 2.5 * largest
    top = max(largest, device[1] if in_sight else 0) / factor
    return {
        "data": data,
        "layout": layout(
            title, hovermode="x",
            xaxis={
                "title": {"text": w("timeline.axis")}, "showticklabels": False, "showgrid": False, "zeroline": False,
                "range": [0, 100],
            },
            yaxis={"title": {"text": w("axes.memory", unit=unit)}, "range": [0, 1.18 * top], "automargin": True},
            shapes=[*_boundaries(), *([_line(device[1] / factor)] if in_sight else [])],
            annotations=[
                *_phase_names(),
                _peak_label(x[peak], largest, factor),
                _device_label(device, factor, in_sight),
            ],
        ),
    }  # fmt: skip


def _part(phase: str, layer: int | str) -> str:
    """The part of the chart that a point is drawn in: the head's backward belongs to the loss."""
    if phase in ("loss", "forward_end") or (phase, layer) == ("backward", "back"):
        return "loss"
    return phase


def _positions(profile: pd.DataFrame) -> list[float]:
    """Where each point is, from 0 to 100: evenly within its part of the step."""
    parts = [_part(phase, layer) for phase, layer in zip(profile["phase"], profile["layer"], strict=True)]
    start, found = 0.0, []
    for part, share in _SHARES.items():
        n = parts.count(part)
        found += [
            start + share * (i + 1) / n if part != "optimizer" else start + share * (i + 0.5) / n for i in range(n)
        ]
        start += share
    return [round(at, 3) for at in found]


def _areas(profile: pd.DataFrame) -> dict[str, list[float]]:
    """Bytes of each category at every point, in the order of the palette."""
    sums: dict[str, pd.Series] = {}
    for column in profile.columns:
        if column.startswith("live_"):
            category = component_of(column.removeprefix("live_"))
            sums[category] = sums.get(category, 0) + profile[column]
    return {c: sums[c].clip(lower=0).tolist() for c in COLOURS if c in sums and sums[c].max() > 0}


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


def _boundaries() -> list[dict[str, Any]]:
    edges, at = [], 0.0
    for share in list(_SHARES.values())[:-1]:
        at += share
        edges.append({
            "type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1,
            "line": {"color": MUTED, "width": 1, "dash": "dot"},
        })  # fmt: skip
    return edges


def _phase_names() -> list[dict[str, Any]]:
    labels, at = [], 0.0
    for part, share in _SHARES.items():
        labels.append({
            "text": w(f"timeline.{part}"), "x": at + share / 2, "y": 1, "xref": "x", "yref": "paper",
            "xanchor": "center", "yanchor": "bottom", "showarrow": False, "font": {"size": 12, "color": MUTED},
        })  # fmt: skip
        at += share
    return labels


def _line(y: float) -> dict[str, Any]:
    return {
        "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": y, "y1": y,
        "line": {"color": MARK, "width": 2, "dash": "dash"},
    }  # fmt: skip


def _peak_label(x: float, peak: float, factor: float) -> dict[str, Any]:
    return {
        "text": w("timeline.peak", amount=human(peak, "bytes")), "x": x, "y": peak / factor, "xref": "x", "yref": "y",
        "showarrow": True, "arrowhead": 2, "ax": 0, "ay": -26, "font": {"size": 13, "color": TEXT},
    }  # fmt: skip


def _device_label(device: tuple[str, float], factor: float, in_sight: bool) -> dict[str, Any]:
    name, memory = device
    text = f"{name}: {human(memory, 'bytes')}"
    if not in_sight:
        return {
            "text": f"{text} ↑", "xref": "paper", "yref": "paper", "x": 0.01, "y": 0.99, "xanchor": "left",
            "yanchor": "top", "showarrow": False, "font": {"color": MARK, "size": 12},
        }  # fmt: skip
    return {
        "text": text, "xref": "paper", "yref": "y", "x": 0.01, "y": memory / factor, "xanchor": "left",
        "yanchor": "middle", "showarrow": False, "font": {"color": MARK, "size": 12}, "bgcolor": "theme:background",
    }  # fmt: skip
