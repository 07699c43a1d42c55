"""Text, lists and tables as the Markdown that Streamlit shows, with its badges and icons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from pages.ui.document.blocks import Bullets, Line, Span, Table
from pages.ui.document.markdown import RULES, fenced

# What would be markup, in the places where it would be; a letter after "<", ":", "&" or "www." makes one of these
_MARKUP = re.compile(
    r"[\\`*\[\]|$~@]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|:(?=[a-z/])|(?<=\bwww)\.|(?<!\w)_|_(?!\w)", re.IGNORECASE
)


def text(line: Line) -> str:
    """A line."""
    pieces = ((is_small, "".join(map(_span, spans))) for is_small, spans in groupby(line, lambda span: span.is_small))
    return "".join(f":small[{piece}]" if is_small else piece for is_small, piece in pieces)


def bullets(block: Bullets) -> str:
    """A list."""
    return "\n".join(f"- {text(line)}" for line in block.lines)


def table(block: Table) -> str:
    """A table, without the columns that only files have."""
    return "\n".join(_table(block))


def _table(block: Table) -> Iterator[str]:
    shown = [place for place in range(len(block.head)) if place not in block.on_paper]
    yield f"| {' | '.join(text(block.head[place]) for place in shown)} |"
    yield f"|{'|'.join(RULES[block.alignment[place]] for place in shown)}|"
    for row in block.rows:
        yield f"| {' | '.join(text(row[place]) for place in shown)} |"


def _span(span: Span) -> str:
    match span.kind:
        case "bold":
            return f"**{_escaped(span.text)}**" if span.text else ""
        case "emphasis":
            return f"*{_escaped(span.text)}*"
        case "code":
            return fenced(span.text)
        case "math":
            return f"${span.text}$"
        case "link":
            return f"[{_escaped(span.text)}]({span.more})"
        case "badge":
            return f":{span.more}-badge[{_escaped(span.text)}]"
        case "bar":
            return ""
        case "icon":
            return span.text
    return _escaped(span.text)


def _escaped(given: str) -> str:
    return _MARKUP.sub(lambda mark: f"&#{ord(mark[0])};", given.replace("\n", " "))
