"""Figures of one model's parameters: what is inside what, and what each layer holds. Colours are the components'."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from llmcalc.transformer.breakdown import Piece, in_symbols, layer_components
from llmcalc.transformer.model import Block
from llmcalc.words import w
from llmcalc.words.names import kind, name
from pages.ui.figures.axes import Figure, layout, linear_ticks, wrapped
from pages.ui.figures.palette import COLOURS, KINDS, ink_on, paler
from pages.ui.words.numbers import exact, human, percent

_PALER_BY_DEPTH = (0, 0, 0.12, 0.25)  # the model, its components, their parts, their weights and biases
_IDLE_PALER = 0.7
_LABELLED_LAYERS = 16
_WIDE_TILE = 14  # letters in a line of a tile's name


def share_of(value: float, whole: float) -> str:
    """A share in per cent; nothing of nothing is none."""
    return percent(value / whole if whole else 0)


def plain(latex: str) -> str:
    """A formula of sums and products as Plotly's labels can write it: d_\\text{ff} becomes d<sub>ff</sub>."""
    text = re.sub(r"_(?:\\text\{([^}]*)\}|(\w))", lambda m: f"<sub>{m[1] or m[2]}</sub>", latex)
    text = re.sub(r"\^\{([^}]*)\}", r"<sup>\1</sup>", text)
    return text.replace(r" \cdot ", " · ").replace(r"\left", "").replace(r"\right", "")


def parameter_map(title: str, whole: Piece, label: str, names: Mapping[str, str]) -> Figure:
    """A treemap to drill into: a piece's area is its parameters. ``label`` names the model."""
    pieces = list(whole.walk())
    ids = ["/".join(path) for path, _ in pieces]
    labels = [label, *(names[p.id] if len(path) == 2 else name(p.id) for path, p in pieces[1:])]
    colours = [
        paler(COLOURS[path[1]], _PALER_BY_DEPTH[min(len(path), len(_PALER_BY_DEPTH)) - 1]) for path, _ in pieces[1:]
    ]
    return {
        "data": [{
            "type": "treemap", "branchvalues": "total", "sort": True,
            "ids": ids, "labels": labels, "parents": ["", *("/".join(path[:-1]) for path, _ in pieces[1:])],
            "values": [p.value for _, p in pieces],
            "text": [f"{_in_tile(said, [names[id] for id in path[1:2]])}<br>{human(p.value, 'parameters')}"
                     for said, (path, p) in zip(labels, pieces, strict=True)],
            "textinfo": "text",
            "marker": {"colors": ["theme:background", *colours], "line": {"color": "theme:background", "width": 1},
                       "pad": {"t": 24, "l": 3, "r": 3, "b": 3}},
            "tiling": {"pad": 2},
            "textfont": {"size": 13, "color": ["theme:text", *map(ink_on, colours)]},
            "pathbar": {"side": "bottom", "thickness": 28, "textfont": {"size": 13}},
            "customdata": [_about(p, whole.value) for _, p in pieces],
            "hovertemplate": "<b>%{label}</b><br>%{customdata}<extra></extra>",
        }],
        "layout": layout(title, margin={"l": 0, "r": 0, "t": 44, "b": 30}, uniformtext={"minsize": 11, "mode": "hide"}),
    }  # fmt: skip


def _in_tile(said: str, component: Sequence[str]) -> str:
    """A piece's name in lines, without that of the component whose tile it is in."""
    for inside in component:
        rest = re.sub(rf"\s*\b{re.escape(inside)}\b\s*", " ", said, flags=re.IGNORECASE).strip()
        said = rest[:1].upper() + rest[1:] if rest else said
    return wrapped(said, _WIDE_TILE)


def _about(piece: Piece, whole: int) -> str:
    """Value and share of the model, and the formula of one copy, where it has one of its own."""
    lines = [f"{human(piece.value, 'parameters')} · {share_of(piece.value, whole)}"]
    if all(part.copies == piece.copies and not part.pieces for part in piece.pieces):
        formula = plain(in_symbols(piece.one))
        lines.append(formula if piece.copies == 1 else f"{exact(piece.copies)} × ({formula})")
    return "<br>".join(lines)


def layer_bars(
    title: str, layers: Sequence[tuple[int, Block]], names: Mapping[str, str], axes: tuple[str, str]
) -> Figure:
    """One bar a layer, stacked by component. What a token leaves unused is pale, and on top: the rest is active.

    Where the model has several kinds of layers, a strip below the bars says which is which.
    """
    blocks = {block.name: block for _, block in layers}
    counts = {block_name: layer_components(block) for block_name, block in blocks.items()}
    used, idle = [], []
    for component, colour in COLOURS.items():
        here = {block_name: count[component] for block_name, count in counts.items() if component in count}
        if here:
            active = {block_name: count.active for block_name, count in here.items()}
            used.append(_stack(layers, active, names[component], colour))
        if rest := {block_name: c.total - c.active for block_name, c in here.items() if c.total > c.active}:
            label = w("parameters.idle", component=names[component])
            idle.append(_stack(layers, rest, label, paler(colour, _IDLE_PALER)))
    largest = max(sum(count.total for count in components.values()) for components in counts.values())
    step = -(-len(layers) // _LABELLED_LAYERS)
    ticks = {at: str(number) for at, (number, _) in enumerate(layers) if number % step == 0}
    figure: Figure = {
        "data": used + idle,
        "layout": layout(
            title, barmode="stack", bargap=0.12 if len(layers) <= 100 else 0,
            xaxis={"title": {"text": axes[0]}, "tickvals": list(ticks), "ticktext": list(ticks.values()),
                   "showgrid": False},
            yaxis={"title": {"text": axes[1]}, "rangemode": "tozero", "automargin": True,
                   **linear_ticks(largest, "parameters")},
        ),
    }  # fmt: skip
    if len(counts) > 1:
        _add_strip(figure, layers, list(counts))
    return figure


def _stack(layers: Sequence[tuple[int, Block]], values: Mapping[str, int], label: str, colour: str) -> dict[str, Any]:
    shown = {block: human(value, "parameters") for block, value in values.items()}
    here = [(at, number, block.name) for at, (number, block) in enumerate(layers) if values.get(block.name)]
    return {
        "type": "bar", "name": label, "marker": {"color": colour},
        "x": [at for at, _, _ in here], "y": [values[block] for _, _, block in here],
        "customdata": [f"{_layer(number, block)}: {shown[block]}" for _, number, block in here],
        "hovertemplate": f"{label}<br>%{{customdata}}<extra></extra>",
    }  # fmt: skip


def _add_strip(figure: Figure, layers: Sequence[tuple[int, Block]], kinds: Sequence[str]) -> None:
    """The kind of every layer as a band of its own under the bars."""
    for block, colour in zip(kinds, cycle(KINDS), strict=False):
        here = [(at, number) for at, (number, b) in enumerate(layers) if b.name == block]
        figure["data"].append({
            "type": "bar", "name": w("parameters.kind", kind=kind(block)), "yaxis": "y2", "marker": {"color": colour},
            "x": [at for at, _ in here], "y": [1] * len(here),
            "customdata": [_layer(number, block) for _, number in here],
            "hovertemplate": "%{customdata}<extra></extra>",
        })  # fmt: skip
    figure["layout"]["yaxis"]["domain"] = [0.09, 1]
    figure["layout"]["yaxis2"] = {"domain": [0, 0.05], "range": [0, 1], "visible": False, "fixedrange": True}
    figure["layout"]["xaxis"]["anchor"] = "y2"


def _layer(number: int, block: str) -> str:
    of_kind = kind(block)
    return w("parameters.layer_of_kind" if of_kind else "parameters.layer", number=number, kind=of_kind)
