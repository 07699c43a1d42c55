"""What figures share: their layout, units and ticks of axes, labels.

A figure is what Plotly takes, as a plain dictionary. Colours are the palette's, fonts the theme's.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from llmcalc.units import EiB, GiB, KiB, MiB, PiB, TiB
from llmcalc.words import locale
from pages.ui.figures.palette import MARK
from pages.ui.words.numbers import exact, human, marked

Figure = dict[str, Any]
_MARGIN = {"l": 8, "r": 32, "t": 48, "b": 44}


def layout(title: str, **more: Any) -> dict[str, Any]:
    """What all figures share: a title that says what is seen, and margins."""
    return {
        "title": {"text": title, "x": 0, "xanchor": "left", "xref": "container", "font": {"size": 15}},
        "margin": _MARGIN,
        "uirevision": "keep",
        "separators": locale().decimal + locale().thousands,
        **more,
    }


def byte_unit(largest: float) -> tuple[int, str]:
    """Divisor and name of the binary unit in which ``largest`` bytes is a handy number."""
    for factor, unit in ((EiB, "EiB"), (PiB, "PiB"), (TiB, "TiB"), (GiB, "GiB"), (MiB, "MiB")):
        if largest >= factor:
            return factor, unit
    return KiB, "KiB"


def handy_unit(largest: float, unit: str) -> tuple[int, str]:
    """Divisor and prefix with which ``largest`` bytes or parameters are a handy number."""
    if unit == "bytes":
        return byte_unit(largest)
    return next(((factor, prefix) for factor, prefix in locale().scale if largest >= factor), (1, ""))


def values_at_ends(
    x: Sequence[float], y: Sequence[str], text: Sequence[str], inside: Sequence[bool] = ()
) -> dict[str, Any]:
    """What is written behind the ends of bars, or before those that have it ``inside``: points, for Plotly measures the
    texts of bars and of annotations."""
    within = inside or [False] * len(text)
    return {
        "type": "scatter", "mode": "text", "x": list(x), "y": list(y),
        "text": [f"{value}\u2002" if i else f"\u2002{value}" for value, i in zip(text, within, strict=True)],
        "textposition": [f"middle {'left' if i else 'right'}" for i in within],
        "cliponaxis": False, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip


def wrapped(label: str, width: int = 22) -> str:
    """A row's name in lines that leave room for its bar on a phone; a long name of one word stays whole."""
    return "<br>".join(textwrap.wrap(label, width, break_long_words=False))


def above_plot(text: str) -> dict[str, Any]:
    """What a dashed line is, above the plot, where no point, bar or line goes through it and no edge cuts it off."""
    return {
        "text": text, "xref": "paper", "yref": "paper", "x": 1, "y": 1, "xanchor": "right", "yanchor": "bottom",
        "showarrow": False, "font": {"color": MARK, "size": 12},
    }  # fmt: skip


def log10(value: float) -> float:
    """Where Plotly wants a position on a log axis: in an annotation, not in a shape."""
    return math.log10(value)


def from_zero(reach: float) -> dict[str, Any]:
    """An axis from zero to a tick, or half way to the next, beyond ``reach``: it stays as it is while bars grow."""
    step = _tick_step(reach, 6)
    return {"range": [0, math.ceil(2 * reach / step) * step / 2], "tick0": 0, "dtick": step}


def linear_ticks(largest: float, unit: str, most: int = 5) -> dict[str, Any]:
    """Ticks from zero in steps of 1, 2 or 5 times a power of ten, written as people write them."""
    step = _tick_step(max(largest, 1), most)
    values = [step * n for n in range(most + 1)]
    return {"tickvals": values, "ticktext": ["0", *(_plain(human(value, unit)) for value in values[1:])]}


def _tick_step(reach: float, most: int) -> float:
    """The least 1, 2 or 5 times a power of ten of which ``most`` steps go as far as ``reach``."""
    magnitude = 10.0 ** math.floor(log10(reach / most)) if reach > 0 else 1.0
    return next(magnitude * n for n in (1, 2, 5, 10) if reach <= most * magnitude * n)


def _plain(text: str) -> str:
    """A round number without its zeros after the point: 20.0 M is 20 M."""
    mark = locale().decimal
    return text.replace(f"{mark}00", "").replace(f"{mark}0", "")


def log_ticks(low: float, high: float, most: int = 7) -> dict[str, Any]:
    """Tick positions on a log axis: powers of ten, thinned, written as people write them."""
    first, last = int(log10(low) // 1), int(-(-log10(high) // 1))
    step = max(1, -(-(last - first) // most))
    values = [10.0**power for power in range(first, last + 1, step)]
    return {"tickvals": values, "ticktext": [tick(value) for value in values]}


def doublings(low: float, high: float, most: int) -> dict[str, Any]:
    """Tick positions on a log axis of sequences or tokens: powers of two, thinned."""
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    values = [2**power for power in range(first, last + 1, -(-(last - first + 1) // most))] if last >= first else []
    return {"tickvals": values, "ticktext": [exact(value) for value in values]}


def whole_decades(low: float, high: float) -> dict[str, Any]:
    """Ticks and range of a log axis from one power of ten to another: it stays as it is while curves move."""
    first, last = log10(low) // 1, -(-log10(high) // 1)
    room = 0.03 * (last - first)  # between the lowest number and those of the other axis
    return {**log_ticks(low, high), "range": [first - room, last + room]}


def tick(value: float) -> str:
    """A power of ten for an axis: 1, 10, 1 k, 1 M; below one, 0.01; beyond 10¹⁵, 10¹⁸."""
    if value < 1:
        return marked(f"{value:g}")
    return f"{value:g}" if value < 1000 else _plain(human(value, "parameters"))
