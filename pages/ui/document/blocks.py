"""A document as data: sections of paragraphs, tables and workings, which a writer turns into a file.

What stands in a line are spans, each of one kind, so that a writer never has to guess what is text and what is markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["plain", "bold", "emphasis", "code", "math", "link", "bar"]


@dataclass(frozen=True)
class Span:
    """A stretch of a line. ``more`` is a link's address, or a bar's colour ("light|dark"); ``share`` a bar's length."""

    text: str
    kind: Kind = "plain"
    more: str = ""
    share: float = 0


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; a note is set small."""

    line: Line
    is_note: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list."""

    lines: Sequence[Line]


@dataclass(frozen=True)
class Table:
    """``alignment`` has a letter for each column: "l" for text, "r" for numbers, "w" for text that may wrap."""

    head: Sequence[Line]
    rows: Sequence[Sequence[Line]]
    alignment: str


@dataclass(frozen=True)
class Working:
    """How a number came about: its name, the formula, the same with values, the result; below it the source."""

    name: Line
    steps: Sequence[Line]
    source: Line


Block = Paragraph | Bullets | Table | Working


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: Line
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A whole document in one language, an ISO 639 code."""

    title: Line
    language: str
    opening: Sequence[Block]
    sections: Sequence[Section]


def plain(text: object) -> Line:
    """Text that is not looked at for markup."""
    return (Span(str(text)),)


def bold(text: object) -> Line:
    """The same in bold."""
    return (Span(str(text), "bold"),)


def code(text: object) -> Line:
    """Text in the letters of a program."""
    return (Span(str(text), "code"),)


def math(latex: str) -> Line:
    """A formula."""
    return (Span(latex, "math"),)


def linked(text: object, address: str) -> Line:
    """A link, or plain text where there is no address."""
    return (Span(str(text), "link", address),) if address else plain(text)


def bar(share: float, colour: str) -> Line:
    """A bar that takes a share of the column's width."""
    return (Span("", "bar", colour, share),)


def said(text: str) -> Line:
    """A text of ``llmcalc/words``, with the few marks that it may have: **bold**, *emphasis*, `code`, $formula$. Icons,
    which only the screen has, are left out, and what is a badge there stands in brackets."""
    return tuple(_spans(_BADGE.sub(r"(\1)", _ICON.sub("", text)).strip()))


_ICON = re.compile(r":\w+\[:material/\w+:\] ?|:material/\w+: ?")
_BADGE = re.compile(r":\w+-badge\[([^]]*)\]")
_MARKS: tuple[Kind, ...] = ("bold", "emphasis", "code", "math")
_MARKED = re.compile(r"\*\*(?P<bold>[^*]+)\*\*|\*(?P<emphasis>[^*]+)\*|`(?P<code>[^`]+)`|\$(?P<math>[^$]+)\$")


def _spans(text: str) -> Iterator[Span]:
    end = 0
    for found in _MARKED.finditer(text):
        if found.start() > end:
            yield Span(text[end : found.start()])
        kind = next(kind for kind in _MARKS if found[kind])
        yield Span(found[kind], kind)
        end = found.end()
    if end < len(text):
        yield Span(text[end:])
