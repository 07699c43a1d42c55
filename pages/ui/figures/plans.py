"""Plans for a cluster, all of them as points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmcalc.words import w
from pages.ui.figures.axes import Figure, above_plot, byte_unit, layout, log10, log_ticks, tick
from pages.ui.figures.palette import COLOURS, MARK, TEXT
from pages.ui.words.numbers import human, marked
from pages.ui.words.plans import plan_name

if TYPE_CHECKING:
    import pandas as pd

SLOW = 1.1  # idle and recomputing for a tenth of the work or more
_MOST_POINTS = 600  # of one kind
_COLOURS = {"fits": COLOURS["feed_forward"], "slow": COLOURS["attention"], "too_large": COLOURS["inputs"]}


def plans_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The plans of a table, each by the names of its columns."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def plan_points(title: str, plans: pd.DataFrame, chosen: Mapping[str, Any], device: tuple[str, float]) -> Figure:
    """What every plan needs of a device against the bytes that it sends, on log axes; the device's memory is a line."""
    name, memory = device
    largest, smallest = max(plans["needed"].max(), memory), min(plans["needed"].min(), memory)
    factor, unit = byte_unit((largest * smallest) ** 0.5)
    sent = plans["traffic"].clip(lower=1)
    sent_factor, sent_unit = byte_unit((sent.max() * sent.min()) ** 0.5)
    slow = plans["time"] >= SLOW
    kinds = {"too_large": ~plans["fits"], "slow": plans["fits"] & slow, "fits": plans["fits"] & ~slow}
    data: list[dict[str, Any]] = []
    for kind, where in kinds.items():
        rows = plans[where]
        rows = rows.iloc[:: -(-len(rows) // _MOST_POINTS) or 1]
        if len(rows):
            data.append({
                "type": "scatter", "mode": "markers", "name": w(f"cluster.{kind}"),
                "x": (rows["traffic"].clip(lower=1) / sent_factor).tolist(), "y": (rows["needed"] / factor).tolist(),
                "marker": {"color": _COLOURS[kind], "size": 6, "opacity": 0.75},
                "customdata": [_about(plan) for plan in plans_of(rows)],
                "hovertemplate": "%{customdata}<extra></extra>",
            })  # fmt: skip
    data.append({
        "type": "scatter", "mode": "markers", "name": w("cluster.here"),
        "x": [max(1, chosen["traffic"]) / sent_factor], "y": [chosen["needed"] / factor],
        "marker": {"symbol": "circle-open", "size": 15, "color": TEXT, "line": {"width": 2.5}},
        "customdata": [_about(chosen)], "hovertemplate": "%{customdata}<extra></extra>",
    })  # fmt: skip
    return {
        "data": data,
        "layout": layout(
            title,
            xaxis={"type": "log", "title": {"text": w("axes.traffic", unit=sent_unit)},
                   **_ticks(sent.min() / sent_factor, sent.max() / sent_factor)},
            yaxis={"type": "log", "title": {"text": w("axes.needed_per_rank", unit=unit)}, "automargin": True,
                   **_ticks(smallest / factor, largest / factor)},
            shapes=[{
                "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1,
                "y0": memory / factor, "y1": memory / factor, "line": {"color": MARK, "width": 2, "dash": "dash"},
            }],
            annotations=[above_plot(f"– – {name}: {human(memory, 'bytes')}")],
        ),
    }  # fmt: skip


def _ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks of a log axis; some within every power of ten where it spans few of them."""
    if high > 100 * low:
        return log_ticks(low, high)
    digits = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7)
    powers = range(int(log10(low) // 1), int(log10(high) // 1) + 1)
    values = [10.0**power * digit for power in powers for digit in digits]
    return {"tickvals": values, "ticktext": [tick(value) for value in values]}


def _about(plan: Mapping[str, Any]) -> str:
    needed, sent = human(plan["needed"], "bytes"), human(plan["traffic"], "bytes")
    return w("cluster.hover", plan=plan_name(plan), needed=needed, sent=sent, time=marked(f"{plan['time']:.2f}"))
