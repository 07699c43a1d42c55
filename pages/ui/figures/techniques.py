"""Figures of the techniques: a waterfall from one step to another, bars by number format, curves against sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmcalc.quantity import Quantity
from llmcalc.words import locale, w
from pages.ui.figures.axes import Figure, byte_unit, from_zero, layout, values_at_ends, wrapped
from pages.ui.figures.palette import COLOURS, MARK, MUTED
from pages.ui.words.numbers import change, human

# What is added, what is saved, and where it begins and ends
_MORE, _LESS, _WHOLE = "#C1553B|#E8806A", "#009E73|#1FB386", "#3D434C|#B6BDC7"
_SECONDS = (3600.0, 60.0, 1.0, 1e-3, 1e-6)


def time_unit(largest: float) -> tuple[float, str]:
    """Divisor and unit in which so many seconds are a handy number."""
    _, hours, minutes = locale().times
    named = dict(zip(_SECONDS, (hours, minutes, "s", "ms", "µs"), strict=True))
    return next(((factor, unit) for factor, unit in named.items() if largest >= factor), (_SECONDS[-1], "µs"))


def waterfall(title: str, whole: Quantity, names: Mapping[str, str], axis: str) -> Figure:
    """One bar for each part of a sum, from where the one before it ended; the first part and the sum are whole bars.

    ``names`` are those of the parts by id, and that of the sum under its own.
    """
    first, *changes = whole.parts
    unit = whole.unit
    highest = first.value
    height = first.value
    for part in changes:
        height += part.value
        highest = max(highest, height)
    factor, prefix = byte_unit(highest) if unit == "bytes" else time_unit(highest)
    rows = [names[part.id] for part in whole.parts] + [names[whole.id]]
    texts = [human(first.value, unit), *(change(part.value, unit) for part in changes), human(whole.value, unit)]
    starts, lengths, colours, height = [0.0], [first.value], [_WHOLE], first.value
    for part in changes:
        starts.append(min(height, height + part.value))
        lengths.append(abs(part.value))
        colours.append(_LESS if part.value <= 0 else _MORE)
        height += part.value
    starts, lengths, colours = [*starts, 0.0], [*lengths, whole.value], [*colours, _WHOLE]
    ends = [(start + length) / factor for start, length in zip(starts, lengths, strict=True)]
    data = [{
        "type": "bar", "orientation": "h", "y": rows, "base": [start / factor for start in starts],
        "x": [length / factor for length in lengths], "marker": {"color": colours}, "customdata": texts,
        "hovertemplate": "%{y}<br>%{customdata}<extra></extra>", "showlegend": False,
    }, values_at_ends(ends, rows, texts)]  # fmt: skip
    return {
        "data": data,
        "layout": layout(
            title, bargap=0.3,
            xaxis={"title": {"text": axis.format(unit=prefix)}, **from_zero(1.5 * highest / factor)},
            yaxis={"automargin": True, "ticksuffix": " ", "autorange": "reversed"},
        ),
    }  # fmt: skip


def sparsity_curves(
    title: str, shares: Mapping[str, Sequence[float]], curves: Mapping[str, Sequence[float]], here: float
) -> Figure:
    """Bytes of the weights against the share of zeros, for each way to store them; ``here`` is marked."""
    factor, prefix = byte_unit(max(max(y) for y in curves.values()))
    colours = {
        "dense": _WHOLE,
        "bitmask": COLOURS["embedding"],
        "csr": COLOURS["kv_cache"],
        "semi_structured": COLOURS["head"],
        "structured": COLOURS["feed_forward"],
    }
    data: list[dict[str, Any]] = [{
        "type": "scatter", "mode": "lines", "name": w(f"techniques.storage_{id}"), "x": list(shares[id]),
        "y": [value / factor for value in y], "line": {"color": colours[id], "width": 2.5},
        "customdata": [human(value, "bytes") for value in y],
        "hovertemplate": f"{w(f'techniques.storage_{id}')}<br>%{{x:g}}: %{{customdata}}<extra></extra>",
    } for id, y in curves.items() if id != "semi_structured"]  # fmt: skip
    if "semi_structured" in curves:
        data.append({
            "type": "scatter", "mode": "markers", "name": w("techniques.storage_semi_structured"), "x": [50],
            "y": [curves["semi_structured"][0] / factor], "customdata": [human(curves["semi_structured"][0], "bytes")],
            "marker": {"color": colours["semi_structured"], "size": 13, "symbol": "diamond"},
            "hovertemplate": f"{w('techniques.storage_semi_structured')}<br>%{{customdata}}<extra></extra>",
        })  # fmt: skip
    mark = {
        "type": "line", "xref": "x", "yref": "paper", "x0": here, "x1": here, "y0": 0, "y1": 1,
        "line": {"color": MARK, "width": 1.5, "dash": "dot"},
    }  # fmt: skip
    return {
        "data": data,
        "layout": layout(
            title,
            xaxis={"title": {"text": w("axes.pruned")}, "range": [0, 96], "nticks": 8,
                   "ticksuffix": w("numbers.per_cent")},
            yaxis={"title": {"text": w("axes.memory").format(unit=prefix)}, "rangemode": "tozero", "automargin": True},
            shapes=[mark],
        ),
    }  # fmt: skip


def plain_bars(title: str, values: Mapping[str, float], unit: str, axis: str, marked: str = "") -> Figure:
    """One horizontal bar for each row with its value at its end; that of the present model is in the mark's colour."""
    factor, prefix = byte_unit(max(values.values()))
    rows, ends = [wrapped(row) for row in values], [value / factor for value in values.values()]
    texts = [human(value, unit) for value in values.values()]
    return {
        "data": [{
            "type": "bar", "orientation": "h", "y": rows, "x": ends, "customdata": texts,
            "marker": {"color": [COLOURS["kv_cache"] if row == marked else MUTED for row in values]},
            "hovertemplate": "%{y}<br>%{customdata}<extra></extra>",
        }, values_at_ends(ends, rows, texts)],
        "layout": layout(
            title, showlegend=False, bargap=0.35,
            xaxis={"title": {"text": axis.format(unit=prefix)}, **from_zero(1.25 * max(values.values()) / factor)},
            yaxis={"automargin": True, "ticksuffix": " ", "autorange": "reversed"},
        ),
    }  # fmt: skip
