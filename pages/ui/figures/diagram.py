"""A Transformer drawn as blocks: its encoder and decoder, lit up where they are talked about, with live counts.

Plain SVG, one unit to a pixel at the width of a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from llmcalc.lessons.anatomy import CROSS_ATTENTION, STACKS, Stack, parameters_of, stacks
from llmcalc.transformer.model import Model
from llmcalc.words import w
from pages.ui.figures.palette import COLOURS, ink_on
from pages.ui.figures.svg import both, text
from pages.ui.words.numbers import exact, human, percent

WIDTH, HEIGHT = 360, 470
_CENTRE = {"encoder": 88, "decoder": 272}
_BOX, _FRAME, _TALL, _FLAT = 132, 168, 36, 16
_EVERY_LAYER = ("attention", CROSS_ATTENTION, "feed_forward", "norm")


def drawing(model: Model, lit: str) -> str:
    """The SVG on one line, so that it is one piece of HTML inside of markdown."""
    present = stacks(model)
    pieces = [_legend(model, lit)]
    for name in STACKS:
        stack = present.get(name)
        column = _column(name, stack, lit, crossed=len(present) > 1)
        missing = "" if stack else _note(name)
        pieces.append(f'<g opacity="{1 if stack else 0.32}">{"".join(column)}</g>{missing}')
    if "encoder" in present and "decoder" in present:
        pieces.append(_bridge())
    alt = escape(description(model, present, lit), quote=True)
    return (
        f'<svg role="img" aria-label="{alt}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="inherit" '
        f'style="width:100%;max-width:30rem;height:auto;display:block;margin:0 auto"><title>{alt}</title>'
        f"{''.join(pieces)}</svg>"
    )


def description(model: Model, present: Mapping[str, Stack], lit: str) -> str:
    """The drawing in words: its stacks, and what is lit."""
    columns = ", ".join(
        w("learn.diagram.stack", name=w(f"learn.diagram.{s}"), layers=present[s].layers) for s in present
    )
    return w(
        "learn.diagram.alt", stacks=columns, part=w(f"learn.part.{lit}.label"),
        count=exact(parameters_of(model, lit).value),
    )  # fmt: skip


def _legend(model: Model, lit: str) -> str:
    """What is lit, how many parameters that is and what share of all: above the encoder, where there is room."""
    quantity, whole = parameters_of(model, lit), model.parameters().value
    lines = [
        (w(f"learn.part.{lit}.label"), 13, 700),
        (human(quantity.value, "parameters"), 22, 700),
        (w("learn.diagram.share", share=percent(quantity.value / whole), total=human(whole, "parameters")), 11, 400),
    ]
    tops = (26, 52, 72)
    return "".join(
        text(8, top, said, size, weight, anchor="start") for top, (said, size, weight) in zip(tops, lines, strict=True)
    )


def _column(name: str, stack: Stack | None, lit: str, *, crossed: bool) -> Iterable[str]:
    """One stack from the bottom up: tokens, tables, layers, output. One that the model has not is never lit."""
    x, counts = _CENTRE[name], stack.counts if stack else None
    times = w("learn.diagram.times", layers=exact(stack.layers)) if stack else ""
    lit = lit if stack else ""
    is_decoder = name == "decoder"
    yield text(x, HEIGHT - 6, w(f"learn.diagram.{name}_input"), 11)
    yield _arrow(x, HEIGHT - 20, 430)
    yield _box(x, 394, "embedding", w("learn.diagram.embedding"), _count(counts, "embedding"), lit)
    yield _arrow(x, 394, 384)
    yield _box(x, 348, "positions", w("learn.diagram.positions"), _count(counts, "positions"), lit)
    yield _arrow(x, 348, 320)
    top = 98 if is_decoder else 176
    yield _frame(x, top, 336 - top, times, lit, left=not is_decoder)
    yield from _sublayer(x, 304, "attention", w(f"learn.diagram.{name}_attention"), counts, lit)
    if is_decoder:
        yield from _sublayer(
            x, 232, CROSS_ATTENTION, w("learn.diagram.cross_attention"), counts, lit, faint=not crossed
        )
    yield from _sublayer(
        x, 232 if not is_decoder else 160, "feed_forward", w("learn.diagram.feed_forward"), counts, lit
    )
    yield _arrow(x, top + 6, 76 if is_decoder else top - 20)
    if is_decoder:
        yield _flat(x, 60, lit)
        yield _arrow(x, 60, 52)
        tied = counts is not None and not counts.get("head")
        said = w("learn.diagram.tied") if tied else _count(counts, "head")
        yield _box(x, 16, "head", w("learn.diagram.head"), said, lit)
        yield text(x, 11, w("learn.diagram.output"), 11)


def _sublayer(
    x: int, bottom: int, part: str, label: str, counts: Mapping[str, int] | None, lit: str, *, faint: bool = False
) -> Iterable[str]:
    """A norm, the part that reads it, and the way around both. ``bottom`` is the lower edge of the norm."""
    norm, box = bottom, bottom - 8 - _TALL
    lit = "" if faint else lit
    inner = [
        _flat(x, norm, lit),
        _arrow(x, norm, box + _TALL),
        _box(x, box, part, label, _count(counts, part) if not faint else w("learn.diagram.unused"), lit),
        _line(f"M{x} {norm + _FLAT + 6} H{x - 74} V{box - 8} H{x - 4}"),
        _arrow(x, box, box - 12),
    ]
    yield f'<g opacity="0.32">{"".join(inner)}</g>' if faint else "".join(inner)


def _count(counts: Mapping[str, int] | None, part: str) -> str:
    """Parameters in a box; nothing in one of a stack that is not there."""
    if counts is None:
        return ""
    return human(counts[part], "parameters") if counts.get(part) else w("learn.diagram.none")


def _is_lit(part: str, lit: str) -> bool:
    everywhere = lit == "model" or (lit == "layer" and part in _EVERY_LAYER)
    return everywhere or part == lit or (lit == "attention" and part == CROSS_ATTENTION)


def _paint(part: str, lit: str) -> tuple[str, str]:
    """Style of a box, and the colour of what is written in it."""
    colour = COLOURS["attention" if part == CROSS_ATTENTION else part]
    if _is_lit(part, lit):
        return f"fill:{both(colour)};stroke:{both(colour)}", both(ink_on(colour))
    return f"fill:none;stroke:{both(colour)};stroke-opacity:0.75", "currentColor"


def _box(x: int, top: int, part: str, label: str, count: str, lit: str) -> str:
    style, ink = _paint(part, lit)
    return (
        _rect(x, top, _TALL, style)
        + text(x, top + 15, label, 12, 600, colour=ink)
        + text(x, top + 29, count, 11.5, colour=ink)
    )


def _flat(x: int, top: int, lit: str) -> str:
    style, ink = _paint("norm", lit)
    return _rect(x, top, _FLAT, style) + text(x, top + 12, w("learn.diagram.norm"), 11, colour=ink)


def _rect(x: int, top: int, height: int, style: str) -> str:
    edge = f'x="{x - _BOX / 2:g}" y="{top}" width="{_BOX}" height="{height}" rx="6" stroke-width="1.5"'
    return f'<rect {edge} style="{style}"/>'


def _frame(x: int, top: int, height: int, label: str, lit: str, *, left: bool) -> str:
    """The edge of one layer, and how often it is stacked."""
    width = 2.5 if lit in ("layer", "model") else 1
    return (
        f'<rect x="{x - _FRAME / 2:g}" y="{top}" width="{_FRAME}" height="{height}" rx="10" fill="none" '
        f'stroke="currentColor" stroke-opacity="0.55" stroke-width="{width}" stroke-dasharray="4 3"/>'
        + text(x - _FRAME / 2 if left else x + _FRAME / 2, top - 6, label, 12, 700, anchor="start" if left else "end")
    )


def _bridge() -> str:
    """From the encoder's last layer to the decoder's attention to it."""
    start, end = _CENTRE["encoder"], _CENTRE["decoder"] - _BOX / 2
    way = f"M{start} 156 V140 H{(start + end) / 2 + 34:g} V206 H{end:g}"
    return _line(way) + _head(f"{end:g},206 {end - 5:g},202.5 {end - 5:g},209.5")


def _note(name: str) -> str:
    """Written over a stack that the model has not."""
    x = _CENTRE[name]
    return (
        f'<rect x="{x - 66}" y="254" width="132" height="36" rx="6" stroke="currentColor" stroke-opacity="0.5" '
        f'style="fill:light-dark(#ffffff,#11151a)"/>'
        + text(x, 269, w(f"learn.diagram.no_{name}"), 11, 600)
        + text(x, 283, w("learn.diagram.in_your_model"), 11)
    )


def _arrow(x: float, start: float, end: float) -> str:
    """An arrow upwards."""
    return _line(f"M{x:g} {start:g} V{end + 1:g}") + _head(
        f"{x:g},{end:g} {x - 3.5:g},{end + 5:g} {x + 3.5:g},{end + 5:g}"
    )


def _line(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity="0.6" stroke-width="1.2"/>'


def _head(points: str) -> str:
    return f'<polygon points="{points}" fill="currentColor" fill-opacity="0.6"/>'
