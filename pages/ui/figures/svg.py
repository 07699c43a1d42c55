"""Pieces of the drawings that are plain SVG. Colours of both themes stand side by side as CSS's light-dark()."""

from __future__ import annotations

from html import escape


def both(colour: str) -> str:
    """A colour of the palette, "light|dark", as CSS."""
    light, dark = (colour.split("|") * 2)[:2]
    return f"light-dark({light},{dark})"


def text(
    x: float,
    y: float,
    words: str,
    size: float,
    weight: int = 400,
    *,
    colour: str = "currentColor",
    anchor: str = "middle",
) -> str:
    """A line of words."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}" '
        f'style="fill:{colour}">{escape(words)}</text>'
    )
