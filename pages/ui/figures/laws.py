"""Figures of scaling laws, on axes of powers of ten: curves with what lies beyond their fit, points, bands, bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pages.ui.figures.axes import Figure, layout, log10, log_ticks, values_at_ends, wrapped
from pages.ui.figures.palette import MARK, MUTED, paler
from pages.ui.words.numbers import human

Trace = dict[str, Any]
Axis = tuple[str, float, float]  # its title, and from where to where


def curve(
    name: str, x: Iterable[float], y: Iterable[float | None], colour: str, told: Sequence[str] = (), **more: Any
) -> Trace:
    """A line. ``told`` is said of each point."""
    line = {"color": colour, "width": more.pop("width", 2.5), "dash": more.pop("dash", "solid")}
    hover = {"customdata": list(told), "hovertemplate": f"{name}<br>%{{customdata}}<extra></extra>"}
    said = hover if told else {"hoverinfo": "skip"}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": _plain(x),
        "y": _plain(y),
        "line": line,
        **said,
        **more,
    }


def fitted_and_beyond(
    name: str, x: Sequence[float], y: Sequence[float], beyond: Sequence[bool], colour: str, told: Sequence[str]
) -> list[Trace]:
    """A line, dotted where it lies beyond what its law was fitted on."""
    last = len(x) - 1
    near = [any(beyond[max(0, i - 1) : min(last, i + 1) + 1]) for i in range(len(x))]
    inside = [None if out else value for value, out in zip(y, beyond, strict=True)]
    outside = [value if out else None for value, out in zip(y, near, strict=True)]
    group = {"legendgroup": name}
    whole = curve(name, x, inside, colour, told, **group)
    dotted = curve(name, x, outside, colour, told, dash="dot", width=1.8, showlegend=all(beyond), **group)
    return [trace for trace in (whole, dotted) if any(value is not None for value in trace["y"])]


def points(
    name: str, x: Iterable[float], y: Iterable[float], told: Sequence[str], colour: str = MUTED, **more: Any
) -> Trace:
    """Points, with ``text`` beside some of them where that is given."""
    mode = "markers+text" if "text" in more else "markers"
    if "textfont" in more:
        more["textfont"] = {"shadow": "auto", **more["textfont"]}  # lines go through what is written, not over it
    marker = {"color": colour, "size": more.pop("size", 7), "symbol": more.pop("symbol", "circle")}
    return {
        "type": "scatter", "mode": mode, "name": name, "x": _plain(x), "y": _plain(y), "marker": marker,
        "customdata": list(told), "hovertemplate": "%{customdata}<extra></extra>", "cliponaxis": True, **more,
    }  # fmt: skip


def here(name: str, x: float, y: float, told: str) -> Trace:
    """Where the reader's model is."""
    return points(name, [x], [y], [told], MARK, size=14, symbol="star")


def band(name: str, x: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> Trace:
    """What lies between two lines, pale."""
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": [*x, *reversed(x)], "y": [*high, *reversed(low)],
        "fill": "toself", "fillcolor": paler(colour, 0.65), "line": {"width": 0, "color": paler(colour, 0.65)},
        "hoverinfo": "skip",
    }  # fmt: skip


def on_powers_of_ten(title: str, data: Sequence[Trace], x: Axis, y: Axis, *, linear_y: bool = False) -> Figure:
    """A figure whose horizontal axis, and whose vertical one but for ``linear_y``, are logarithmic."""
    across = {"type": "log", "title": {"text": x[0]}, **_range(x), **_ticks(x)}
    up: dict[str, Any] = {"title": {"text": y[0]}, "automargin": True}
    up |= {"range": [y[1], y[2]], "nticks": 6} if linear_y else {"type": "log", **_range(y), **_ticks(y)}
    legend = {"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0, "font": {"size": 12}}
    margin = {"l": 8, "r": 24, "t": 48, "b": 44}
    return {"data": list(data), "layout": layout(title, xaxis=across, yaxis=up, legend=legend, margin=margin)}


def _plain(values: Iterable[float | None]) -> list[float | None]:
    """Numbers as they are written to the browser."""
    return [None if value is None else float(value) for value in values]


def _range(axis: Axis) -> dict[str, Any]:
    low, high = log10(axis[1]), log10(axis[2])
    # room between the lowest number and those of the other axis, and for half of the highest
    return {"range": [low - 0.03 * (high - low), high + 0.05 * (high - low)]}


def _ticks(axis: Axis) -> dict[str, Any]:
    """Powers of ten; where they are beyond all names, as powers."""
    found = log_ticks(axis[1], axis[2], 6)
    if axis[2] >= _NAMELESS:
        found["ticktext"] = [human(value).split("×")[-1].strip() for value in found["tickvals"]]
    return found


def work_bars(title: str, values: Mapping[str, float], colours: Mapping[str, str], axis: str) -> Figure:
    """One horizontal bar of operations for each component, with its value at its end."""
    largest = max(values.values())
    factor, prefix = next(((f, p) for f, p in _PREFIXES if largest >= f), (1.0, ""))
    rows, ends = [wrapped(row) for row in values], [value / factor for value in values.values()]
    texts = [human(value, "FLOP") for value in values.values()]
    return {
        "data": [{
            "type": "bar", "orientation": "h", "y": rows, "x": ends, "customdata": texts,
            "marker": {"color": [colours[row] for row in values]},
            "hovertemplate": "%{y}<br>%{customdata}<extra></extra>",
        }, values_at_ends(ends, rows, texts)],
        "layout": layout(
            title, showlegend=False, bargap=0.35,
            xaxis={"title": {"text": axis.format(unit=f"{prefix}FLOP")}, "range": [0, 1.3 * max(ends)], "nticks": 5},
            yaxis={"automargin": True, "ticksuffix": " ", "autorange": "reversed"},
        ),
    }  # fmt: skip


_NAMELESS = 1e18
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
