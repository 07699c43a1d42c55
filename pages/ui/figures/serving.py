"""Figures of serving: the roofline with its passes, and what is gained and lost with every further user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages.ui.figures.axes import Figure, layout, log10, log_ticks, whole_decades
from pages.ui.figures.palette import COLOURS, MARK, MUTED, TEXT
from pages.ui.words.numbers import exact

_PASSES = {"decoding": (COLOURS["kv_cache"], "circle"), "prefill": (COLOURS["feed_forward"], "diamond")}
_ROOM = 4  # an axis goes so many times as far as what is drawn on it


def roofline(
    title: str,
    roof: tuple[str, float, float],
    points: Mapping[str, tuple[str, float, float, str]],
    axes: tuple[str, str],
) -> Figure:
    """Operations in a second against operations for each byte, on log axes.

    ``roof`` is the device's name, its bandwidth in bytes/s and its peak in FLOP/s. ``points`` are passes by their id:
    name, operations for each byte, operations in a second, and what is said of it.
    """
    device, bandwidth, peak = roof
    ridge = peak / bandwidth
    x = [ridge, *(at for _, at, _, _ in points.values())]
    y = [peak, *(rate for _, _, rate, _ in points.values())]
    low, high = min(x) / _ROOM, max(x) * _ROOM
    data: list[dict[str, Any]] = [{
        "type": "scatter", "mode": "lines", "name": device, "x": [low, ridge, high],
        "y": [low * bandwidth, peak, peak], "line": {"color": TEXT, "width": 2.5}, "hoverinfo": "skip",
    }]  # fmt: skip
    for id, (name, at, rate, told) in points.items():
        colour, symbol = _PASSES[id]
        data.append({
            "type": "scatter", "mode": "lines", "x": [at, at], "y": [rate, min(at * bandwidth, peak)],
            "line": {"color": colour, "width": 1.5, "dash": "dot"}, "hoverinfo": "skip", "showlegend": False,
        })  # fmt: skip
        data.append({
            "type": "scatter", "mode": "markers", "name": name, "x": [at], "y": [rate],
            "marker": {"color": colour, "symbol": symbol, "size": 13}, "customdata": [told],
            "hovertemplate": "%{customdata}<extra></extra>",
        })  # fmt: skip
    return {
        "data": data,
        "layout": layout(
            title, hovermode="closest",
            xaxis={"type": "log", "title": {"text": axes[0]}, "range": [log10(low), log10(high)],
                   **log_ticks(low, high)},
            yaxis={"type": "log", "title": {"text": axes[1]}, "automargin": True,
                   **whole_decades(min(*y, low * bandwidth), peak)},
        ),
    }  # fmt: skip


def batch_curve(
    title: str,
    curve: tuple[Sequence[int], Sequence[float], Sequence[float], Sequence[str]],
    here: tuple[str, float, float],
    most: int,
    names: tuple[str, str],
    axes: tuple[str, str],
) -> Figure:
    """Tokens in a second of all users against the time between the tokens of one, with the users along the curve.

    ``curve`` is users in rising order, milliseconds, tokens in a second, and what is said of each. ``here`` is the
    reader's run. Up to ``most`` users the memory holds; beyond it the curve is faint. ``names`` are those of either.
    """
    users, times, rates, told = curve
    held = sum(1 for n in users if n <= most)
    data: list[dict[str, Any]] = []
    pieces = (
        (names[0], range(held), COLOURS["feed_forward"], "solid"),
        (names[1], range(max(held - 1, 0), len(users)) if held < len(users) else range(0), MUTED, "dot"),
    )
    for name, piece, colour, dash in pieces:
        if len(piece):
            data.append({
                "type": "scatter", "mode": "lines+markers", "name": name, "x": [times[i] for i in piece],
                "y": [rates[i] for i in piece], "line": {"color": colour, "width": 2.5, "dash": dash},
                "marker": {"color": colour, "size": 6}, "customdata": [told[i] for i in piece],
                "hovertemplate": "%{customdata}<extra></extra>",
            })  # fmt: skip
    label, time, rate = here
    data.append({
        "type": "scatter", "mode": "markers", "name": label, "x": [time], "y": [rate],
        "marker": {"color": MARK, "size": 13, "line": {"width": 2, "color": "theme:background"}},
        "customdata": [label], "hovertemplate": "%{customdata}<extra></extra>",
    })  # fmt: skip
    marks = [{
        "text": exact(users[i]), "x": log10(times[i]), "y": log10(rates[i]), "showarrow": False, "yshift": 12,
        "xanchor": "right", "font": {"size": 11, "color": TEXT},
    } for i in range(0, len(users), 2)]  # fmt: skip
    low, high = min(*times, time), max(*times, time)
    return {
        "data": data,
        "layout": layout(
            title, hovermode="closest",
            xaxis={"type": "log", "title": {"text": axes[0]}, **whole_decades(low, high)},
            yaxis={"type": "log", "title": {"text": axes[1]}, "automargin": True,
                   **whole_decades(min(*rates, rate), max(*rates, rate))},
            annotations=marks,
        ),
    }  # fmt: skip
