"""Tokens on their way up through the layers, drawn: beside each layer how long it reads and how long it multiplies.

Plain SVG that moves by CSS, one unit to a pixel at the width of a phone. Where nothing shall move, all bars are full.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from llmcalc.lessons.passage import Passage
from llmcalc.words import w
from pages.ui.figures.palette import COLOURS
from pages.ui.figures.svg import both, text
from pages.ui.words.numbers import exact, human

WIDTH = 360
_ROW, _TOP, _LEFT, _RIGHT = 40, 78, 148, 348
_SHOWN, _ENDS, _MOST_DOTS = 6, 3, 8
_SECONDS_A_LAYER, _AT_REST = 1.1, 0.9
_BARS = {"reading": COLOURS["weights"], "arithmetic": COLOURS["feed_forward"]}


def drawing(passage: Passage) -> str:
    """The SVG on one line, so that it is one piece of HTML inside of markdown."""
    rows, times = _rows_drawn(passage), _times(passage)
    height = _TOP + _ROW * len(rows) + 58
    pieces = [*_legend(passage, times), *_rows(rows, times), *_tokens(passage, len(rows))]
    alt = escape(description(passage), quote=True)
    return (
        f'<svg role="img" aria-label="{alt}" viewBox="0 0 {WIDTH} {height}" font-family="inherit" '
        f'style="width:100%;max-width:32rem;height:auto;display:block;margin:0 auto"><title>{alt}</title>'
        f"{''.join(pieces)}</svg>"
    )


def motion(passage: Passage) -> str:
    """The style that moves it."""
    return "".join(_motion(len(_rows_drawn(passage)), _times(passage)))


def description(passage: Passage) -> str:
    """The drawing in words."""
    return w(
        "learn.passage.alt",
        tokens=passage.tokens,
        layers=passage.config.model.n_layers,
        reading=passage.reading.value,
        arithmetic=passage.arithmetic.value,
    )


def _times(passage: Passage) -> dict[str, float]:
    """Seconds that one layer takes, by what it does."""
    return {id: getattr(passage, id).value / passage.config.model.n_layers for id in _BARS}


def _rows_drawn(passage: Passage) -> list[int]:
    """The layers that are drawn: all of a few, of many the first and the last."""
    rows = list(range(1, passage.config.model.n_layers + 1))
    return rows if len(rows) <= _SHOWN else rows[:_ENDS] + rows[-_ENDS:]


def _legend(passage: Passage, times: dict[str, float]) -> Iterator[str]:
    """What a layer takes; what all take."""
    for line, (id, colour) in enumerate(_BARS.items()):
        y = 16 + 20 * line
        yield f'<rect x="8" y="{y - 10}" width="12" height="12" rx="2" style="fill:{both(colour)}"/>'
        yield text(26, y, w(f"learn.passage.{id}", time=times[id]), 12.5, 600, anchor="start")
    slower = max(passage.reading.value, passage.arithmetic.value)
    waits = "arithmetic" if passage.reading.value >= passage.arithmetic.value else "reading"
    said = w("learn.passage.all", layers=passage.config.model.n_layers, time=slower)
    yield text(8, 56, f"{said} · {w(f'learn.passage.{waits}_waits')}", 12, 400, anchor="start")


def _rows(rows: list[int], times: dict[str, float]) -> Iterator[str]:
    """The layers, the first at the bottom, each with its two bars."""
    longest = max(times.values())
    for place, layer in enumerate(rows):
        top = _top(place, len(rows))
        yield (
            f'<rect x="6" y="{top}" width="{WIDTH - 12}" height="{_ROW - 8}" rx="7" fill="none" '
            'stroke="currentColor" stroke-opacity="0.45"/>'
        )
        yield text(14, top + 20, w("learn.passage.layer", number=exact(layer)), 12, 600, anchor="start")
        for line, (id, colour) in enumerate(_BARS.items()):
            width = max(1.5, (_RIGHT - _LEFT) * times[id] / longest)
            yield (
                f'<rect class="passage-{id}-{place}" x="{_LEFT}" y="{top + 6 + 11 * line}" width="{width:.1f}" '
                f'height="9" rx="2" style="fill:{both(colour)};transform-origin:{_LEFT}px 0"/>'
            )
        if place and layer > rows[place - 1] + 1:
            yield text(WIDTH / 2, top + _ROW - 1.5, "⋯", 13)


def _tokens(passage: Passage, rows: int) -> Iterator[str]:
    """The tokens below the first layer, and what goes in and comes out."""
    bottom = _TOP + _ROW * rows
    drawn = min(_MOST_DOTS, passage.tokens)
    dots = "".join(
        f'<circle cx="{91 + 12 * (dot % 4)}" cy="{bottom + 9 + 11 * (dot // 4)}" r="4.5"/>' for dot in range(drawn)
    )
    yield f'<g class="passage-tokens" style="fill:{both(COLOURS["embedding"])}">{dots}</g>'
    yield text(8, bottom + 44, w("learn.passage.tokens", tokens=passage.tokens), 12, 600, anchor="start")
    if passage.tokens > drawn:
        yield text(141, bottom + 18, f"… {human(passage.tokens)}", 11, anchor="start")
    yield text(WIDTH - 8, _TOP - 8, w("learn.passage.out"), 11, anchor="end")


def _motion(rows: int, times: dict[str, float]) -> Iterator[str]:
    """Each bar grows while its layer works; the tokens go on when the longer one is full."""
    longest, seconds = max(times.values()), _SECONDS_A_LAYER * (rows + 1)
    share = 100 * _AT_REST / rows  # of the turn, for a layer
    for place in range(rows):
        start = share * place
        for id, time in times.items():
            end = start + 0.85 * share * time / longest
            name = f"passage-{id}-{place}"
            yield (
                f"@keyframes {name}{{0%,{start:.2f}%{{transform:scaleX(0)}}{max(end, start + 0.01):.2f}%,100%"
                f"{{transform:scaleX(1)}}}}.{name}{{animation:{name} {seconds:.1f}s linear infinite}}"
            )
    stops = []
    for place in range(rows):
        start, moved = share * place, -(_ROW * (place + 1) - 4)
        stops.append(f"{start + 0.02 * share:.2f}%,{start + 0.85 * share:.2f}%{{transform:translateY({moved}px)}}")
    out = -(_ROW * (rows + 1) - 10)
    yield (
        f"@keyframes passage-tokens{{0%{{transform:none}}{''.join(stops)}"
        f"{100 * _AT_REST:.2f}%,100%{{transform:translateY({out}px);opacity:0.5}}}}"
        f".passage-tokens{{animation:passage-tokens {seconds:.1f}s ease-in-out infinite}}"
    )


def _top(place: int, rows: int) -> int:
    return _TOP + _ROW * (rows - 1 - place)
