"""Parameters and memory as bars, stacked bars and curves.

Memory axes are in the binary unit that suits the largest value; a device's memory is a marked line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmcalc.words import w
from pages.ui.figures.axes import (
    Figure,
    above_plot,
    byte_unit,
    doublings,
    from_zero,
    handy_unit,
    layout,
    linear_ticks,
    values_at_ends,
    whole_decades,
    wrapped,
)
from pages.ui.figures.palette import COLOURS, MARK, MUTED, TEXT, ink_on
from pages.ui.words.numbers import human, percent

PANEL_GAP = 0.06  # between panels, of the whole width
_WRITTEN = 0.4  # of an axis: how far a sum behind a bar reaches on a phone
_LINE = 0.4  # of a row: how high it is
_SEEN = 0.002  # of a chart's width, less than a pixel: what is narrower in every row is not in the legend


def share_bars(title: str, values: Mapping[str, float], names: Mapping[str, str], unit: str, axis: str) -> Figure:
    """One horizontal bar a component, the largest on top, each with its value and share of the whole."""
    whole = sum(values.values()) or 1
    order = sorted(values, key=lambda component: values[component])
    largest = values[order[-1]]
    text = [f"{human(values[c], unit)} · {percent(values[c] / whole)}" for c in order]
    inside = [values[c] > 0.6 * largest for c in order]
    bars: dict[str, list[Any]] = {"y": [names[c] for c in order], "x": [values[c] for c in order]}
    return {
        "data": [
            {
                "type": "bar", "orientation": "h", **bars, "marker": {"color": [COLOURS[c] for c in order]},
                "customdata": text, "hovertemplate": "%{y}<br>%{customdata}<extra></extra>",
            },
            values_at_ends(**bars, text=text, inside=inside) | {
                "textfont": {"color": [ink_on(COLOURS[c]) if within else TEXT
                                       for c, within in zip(order, inside, strict=True)]},
            },
        ],
        "layout": layout(
            title, showlegend=False, bargap=0.25,
            xaxis={"title": {"text": axis}, **from_zero(1.12 * largest), **linear_ticks(largest, unit)},
            yaxis={"automargin": True, "ticksuffix": " "},
        ),
    }  # fmt: skip


def stacked_bars(
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    names: Mapping[str, str],
    unit: str,
    axis: str,
    *,
    reach: float = 0,
    marks: tuple[str, Mapping[str, float]] = ("", {}),
    with_shares: bool = False,
) -> Figure:
    """One stacked horizontal bar for each row, by component, with its sum at its end.

    ``rows`` maps a row's name to bytes or parameters (``unit``) by component, the first on top; ``axis`` is the axis
    title, with ``{unit}``. The axis goes at least as far as ``reach``. ``marks`` are a name and where each row that has
    one gets a line across. The legend is that of `stacked_shares` of the same rows too, ``with_shares``.
    """
    totals = {row: sum(parts.values()) for row, parts in rows.items()}
    largest = max(totals.values())
    factor, prefix = handy_unit(largest, unit)
    bottom_up = list(rows)[::-1]
    sums = [human(totals[row], unit) for row in bottom_up]
    room = 1.22 + 0.03 * max(0, max(map(len, sums)) - 8)  # for the sum behind the longest bar
    data = _stack(rows, names, unit, factor, _seen(rows, in_own=with_shares))
    name, at = marks
    if at:
        data.append({
            "type": "scatter", "mode": "markers", "name": name,
            "y": [wrapped(row) for row in at], "x": [value / factor for value in at.values()],
            "marker": {"symbol": "line-ns-open", "size": 28, "color": TEXT, "line": {"width": 3}},
            "customdata": [human(value, unit) for value in at.values()],
            "hovertemplate": f"{name}<br>%{{y}}: %{{customdata}}<extra></extra>",
        })  # fmt: skip
    ends = [totals[row] / factor for row in bottom_up]
    data.append(values_at_ends(x=ends, y=[wrapped(row) for row in bottom_up], text=sums))
    return {
        "data": data,
        "layout": layout(
            title, barmode="stack", bargap=0.35,
            xaxis={"title": {"text": axis.format(unit=prefix)}, **from_zero(room * max(largest, reach) / factor)},
            yaxis={"automargin": True, "ticksuffix": " "},
        ),
    }  # fmt: skip


def stacked_shares(
    title: str, rows: Mapping[str, Mapping[str, float]], names: Mapping[str, str], unit: str, axis: str
) -> Figure:
    """The same bars, each as long as the others, to stand beside them: how a row's sum is shared out."""
    return {
        "data": _stack(rows, names, unit, 1, _seen(rows, in_own=True)),
        "layout": layout(
            title, barmode="stack", barnorm="percent", bargap=0.35, showlegend=False,
            xaxis={"title": {"text": axis}, "range": [0, 100], "ticksuffix": w("numbers.per_cent"), "nticks": 6},
            yaxis={"automargin": True, "ticksuffix": " "},
        ),
    }  # fmt: skip


def _seen(rows: Mapping[str, Mapping[str, float]], *, in_own: bool) -> set[str]:
    """The components whose colour can be seen: in bars that are each drawn as long as the others, ``in_own``, or in
    such as are as long as their sums."""
    sums = {row: sum(parts.values()) for row, parts in rows.items()}
    width = sums if in_own else dict.fromkeys(sums, max(sums.values()))
    return {c for row, parts in rows.items() for c, value in parts.items() if value >= _SEEN * width[row]}


def _stack(
    rows: Mapping[str, Mapping[str, float]], names: Mapping[str, str], unit: str, factor: float, seen: set[str]
) -> list[dict[str, Any]]:
    """A trace for each component that any row has, in the palette's order; in the legend those that are ``seen``."""
    bottom_up = list(rows)[::-1]
    return [{
        "type": "bar", "orientation": "h", "name": names[c],
        "showlegend": c in seen, "y": [wrapped(row) for row in bottom_up],
        "x": [rows[row].get(c, 0) / factor for row in bottom_up],
        "marker": {"color": COLOURS[c]},
        "customdata": [_amount(c, rows[row], unit) for row in bottom_up],
        "hovertemplate": f"{names[c]}<br>%{{y}}: %{{customdata}}<extra></extra>",
    } for c in COLOURS if any(c in parts for parts in rows.values())]  # fmt: skip


def _amount(component: str, parts: Mapping[str, float], unit: str) -> str:
    value, whole = parts.get(component, 0), sum(parts.values())
    return f"{human(value, unit)} · {percent(value / whole)}" if whole else human(value, unit)


def memory_bars(
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    names: Mapping[str, str],
    device: tuple[str, float],
    axis: str,
) -> Figure:
    """Stacked bars in bytes, one for each row (a moment of a step, say), and a device's memory as a line."""
    largest = max(sum(parts.values()) for parts in rows.values())
    figure = stacked_bars(title, rows, names, "bytes", axis, reach=_axis_end(largest, device[1]))
    _mark_capacity(figure, device, byte_unit(largest)[0], largest, [sum(parts.values()) for parts in rows.values()])
    return figure


def _axis_end(largest: float, capacity: float) -> float:
    """The axis reaches to a device's memory only where that does not squeeze the bars into a corner."""
    return max(largest, capacity) if capacity < 4 * largest else largest


def _mark_capacity(
    figure: Figure, device: tuple[str, float], factor: float, largest: float, sums: Sequence[float]
) -> None:
    """A dashed line down the rows, of which ``sums`` are the ends, that leaves out where a row's sum is written."""
    name, memory = device
    layout_ = figure["layout"]
    if _axis_end(largest, memory) < memory:
        layout_["annotations"] = [above_plot(f"{name}: {human(memory, 'bytes')} →")]
        return
    written = _WRITTEN * layout_["xaxis"]["range"][1] * factor
    clear = [not reached <= memory < reached + written for reached in reversed(sums)]
    layout_["yaxis"]["range"] = [-0.5, len(sums) - 0.5]
    at = memory / factor
    layout_["shapes"] = [{
        "type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": low, "y1": high,
        "line": {"color": MARK, "width": 2, "dash": "dash"}, "layer": "above",
    } for low, high in _pieces(clear)]  # fmt: skip
    layout_["annotations"] = [above_plot(f"– – {name}: {human(memory, 'bytes')}")]


def _pieces(clear: Sequence[bool]) -> list[tuple[float, float]]:
    """The height in pieces, from below, without the middle of each row that is not ``clear``."""
    ends = [0.0]
    for row, free in enumerate(clear):
        ends += [] if free else [(row + 0.5 - _LINE / 2) / len(clear), (row + 0.5 + _LINE / 2) / len(clear)]
    ends.append(1.0)
    return list(zip(ends[::2], ends[1::2], strict=True))


class Panel(NamedTuple):
    """Curves against one quantity: the places ``x``; of each curve its name, bytes and colour; and where one stands."""

    x: Sequence[float]
    curves: Sequence[tuple[str, Sequence[float], str]]
    here: float
    axis: str


def memory_curves(title: str, panels: Sequence[Panel], device: tuple[str, float], y_axis: str) -> Figure:
    """Bytes on log axes, in panels side by side that share the memory axis and a device's memory across it."""
    heights = [value for panel in panels for _, y, _ in panel.curves for value in y]
    smallest, largest = min(heights), max(heights)
    factor, unit = byte_unit((largest * smallest) ** 0.5)
    name, memory = device
    data: list[dict[str, Any]] = []
    x_axes: dict[str, Any] = {}
    shapes: list[dict[str, Any]] = []
    width = (1 + PANEL_GAP) / len(panels) - PANEL_GAP
    for i, (x, curves, here, axis) in enumerate(panels):
        number, left = str(i + 1) if i else "", i * (width + PANEL_GAP)
        data += [{
            "type": "scatter", "mode": "lines", "name": curve, "showlegend": i == 0, "xaxis": f"x{number}",
            "x": list(x), "y": [value / factor for value in y],
            "line": {"color": colour, "width": 2.5},
            "customdata": [human(value, "bytes") for value in y],
            "hovertemplate": f"{curve}<br>%{{x:,}}: %{{customdata}}<extra></extra>",
        } for curve, y, colour in curves]  # fmt: skip
        low, high = min(x), max(x)
        if i + 1 < len(panels):  # the next panel's first number stands where this one's last would
            high /= (high / low) ** 0.2
        ticks = doublings(low, high, 8 // len(panels))
        # on a phone a title in one line would meet the next panel's
        told = {"text": axis} if len(panels) == 1 else {"text": axis.replace(" (", "<br>("), "standoff": 6}
        x_axes[f"xaxis{number}"] = {
            "type": "log", "title": told, "automargin": len(panels) > 1, "domain": [left, left + width], **ticks,
        }  # fmt: skip
        shapes.append({
            "type": "line", "xref": f"x{number}", "yref": "paper", "x0": here, "x1": here, "y0": 0, "y1": 1,
            "line": {"color": MUTED, "width": 1.5, "dash": "dot"},
        })  # fmt: skip
    shapes.append({
        "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": memory / factor, "y1": memory / factor,
        "line": {"color": MARK, "width": 2, "dash": "dash"},
    })  # fmt: skip
    return {
        "data": data,
        "layout": layout(
            title, **x_axes,
            yaxis={"type": "log", "title": {"text": y_axis.format(unit=unit)}, "automargin": True,
                   **whole_decades(min(smallest, memory) / factor, max(largest, memory) / factor)},
            shapes=shapes,
            annotations=[above_plot(f"– – {name}: {human(memory, 'bytes')}")],
        ),
    }  # fmt: skip
