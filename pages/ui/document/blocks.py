"""What a page says, as data: text, tables, numbers, charts, workings; a writer draws it or makes a file of it.

What stands in a line are spans, each of one kind, so that a writer never has to guess what is text and what is markup.
The screen draws every block (`pages.ui.app.screen`); in a file each becomes one of those that are `Written`
(`pages.ui.document.written`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

from llmcalc.accuracy import Standing
from llmcalc.cached import cached_property, once_for_each
from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity
from llmcalc.sources import Citation
from llmcalc.words import language
from pages.ui.words.standing import Headline, label_and_colour

Kind = Literal["plain", "bold", "emphasis", "code", "math", "link", "bar", "badge", "icon"]

# What says something of a configuration alone: said once for all who look at the same one in the same language
said_once = once_for_each(language)
_EXACT = 10**7  # whole numbers below it are written as they are


@dataclass(frozen=True)
class Span:
    """A stretch of a line. ``more`` is a link's address, a badge's colour, or a bar's ("light|dark"); ``share`` is a
    bar's length. Icons are on the screen alone."""

    text: str
    kind: Kind = "plain"
    more: str = ""
    share: float = 0
    is_small: bool = False


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; a note is set small. ``why``: what a number in it rests on, to be had on demand."""

    line: Line
    is_note: bool = False
    why: Standing | None = None


@dataclass(frozen=True)
class Bullets:
    """A list."""

    lines: Sequence[Line]


@dataclass(frozen=True)
class Table:
    """``alignment`` has a letter for each column: "l" for text, "r" for numbers, "w" for text that may wrap.

    key: for a style of its own on the screen.
    on_paper: the columns that only files have.
    total: a last row that only files have.
    """

    head: Sequence[Line]
    rows: Sequence[Sequence[Line]]
    alignment: str
    key: str = ""
    on_paper: tuple[int, ...] = ()
    total: Sequence[Line] = ()

    @property
    def all_rows(self) -> list[Sequence[Line]]:
        """The rows that a file has."""
        return [*self.rows, self.total] if self.total else list(self.rows)


@dataclass(frozen=True)
class Working:
    """How a number came about: its name, the formula, the same with values, the result; below it the source."""

    name: Line
    steps: Sequence[Line]
    source: Line


Written = Paragraph | Bullets | Table | Working


@dataclass(frozen=True)
class Heading:
    """The title of what follows it within a page."""

    line: Line


@dataclass(frozen=True)
class Hint:
    """What the screen can do, in small letters; a file cannot."""

    line: Line


@dataclass(frozen=True)
class Headlines:
    """The numbers that a page shows in frames, worked out when they are drawn, which is after the charts."""

    numbers: Callable[[], Iterable[Headline]]


@dataclass(frozen=True)
class Chart:
    """A Plotly figure, the same in words, and in a file the data behind it.

    key: unique in the app and stable.
    height: in pixels.
    """

    figure: Mapping[str, Any]
    key: str
    alt: str
    height: int = 360
    data: Callable[[], Table] | None = None

    @cached_property
    def json(self) -> str:
        """The figure, written for a browser: numbers as exact as single precision has them, for more is never seen;
        what JSON cannot carry (NaN, infinities) is null, which Plotly draws as a gap."""
        return json.dumps(_written(self.figure), ensure_ascii=False, separators=(",", ":"))


def _written(value: Any) -> Any:
    if isinstance(value, float):
        if value.is_integer() and abs(value) < _EXACT:
            return int(value)
        return float(f"{value:.7g}") if isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _written(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    return value


@dataclass(frozen=True)
class Verdict:
    """Whether a training step fits; beside it, on demand, what that rests on."""

    config: Configuration


@dataclass(frozen=True)
class Rests:
    """What numbers may be called, and why."""

    standing: Standing


@dataclass(frozen=True)
class Code:
    """Text of a program or of a file, to be copied. Only the screen has it."""

    text: str
    language: str


@dataclass(frozen=True)
class Notice:
    """Something that the reader should not miss."""

    line: Line
    kind: Literal["info", "warning", "success"] = "info"


@dataclass(frozen=True)
class Worked:
    """How some numbers came about, and what went into them, down to ``depth``. Where it has a title, the screen shows
    it below that, once the reader asks for it; data has all that went in, however deep."""

    quantities: Sequence[Quantity]
    depth: int = 1
    title: Line = ()
    key: str = ""


@dataclass(frozen=True)
class Offer:
    """Inputs to set at once, what that does, and what it costs. There is nothing to do where ``is_done``."""

    line: Line
    values: Mapping[str, Any]
    key: str
    about: str = ""
    is_done: bool = False


@dataclass(frozen=True)
class Frame:
    """A number in a frame of its own that has no working to open: what is said below it, and what it can be set to."""

    label: Line
    value: str
    notes: Sequence[Line] = ()
    offer: Offer | None = None


@dataclass(frozen=True)
class Frames:
    """Such numbers side by side."""

    frames: Sequence[Frame]


@dataclass(frozen=True)
class Controls:
    """Controls of inputs beside what they move, in columns."""

    ids: Sequence[str]
    columns: int = 1


@dataclass(frozen=True)
class Folded:
    """What the screen shows, and works out, once the reader asks for it."""

    title: Line
    key: str
    blocks: Callable[[], Iterable[Block]]


@dataclass(frozen=True)
class Beside:
    """Blocks side by side where there is room."""

    columns: Sequence[Sequence[Block]]


_Number = Headlines | Frames | Chart | Verdict | Rests | Worked
Block = Written | Heading | Hint | Code | Notice | _Number | Offer | Controls | Folded | Beside


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: Line
    blocks: Sequence[Written]


@dataclass(frozen=True)
class Document:
    """A whole document in one language, an ISO 639 code."""

    title: Line
    language: str
    opening: Sequence[Written]
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


def badge(standing: Standing) -> Line:
    """The word for what a number may be called, as a small mark."""
    word, colour = label_and_colour(standing)
    return (Span(word, "badge", colour),)


def small(line: Line) -> Line:
    """The same in small letters."""
    return tuple(replace(span, is_small=True) for span in line)


def cite(source: Citation) -> Line:
    """A source, linked where it has an address."""
    return linked(source, source.work.url)


def said(text: str) -> Line:
    """A text of ``llmcalc/words``, with the few marks that it may have: **bold**, *emphasis*, `code`, $formula$, a
    [link](address), a badge, an icon."""
    return tuple(_spans(text.strip()))


def paragraph(text: str) -> Paragraph:
    """A text of ``llmcalc/words`` as a paragraph."""
    return Paragraph(said(text))


def note(text: str) -> Paragraph:
    """The same, set small."""
    return Paragraph(said(text), is_note=True)


def heading(text: str) -> Heading:
    """The same, as the title of what follows."""
    return Heading(said(text))


_MARKS: tuple[Kind, ...] = ("bold", "emphasis", "code", "math", "link", "badge", "icon")
_MARKED = re.compile(
    r"\*\*(?P<bold>[^*]+)\*\*|\*(?P<emphasis>[^*]+)\*|`(?P<code>[^`]+)`|\$(?P<math>[^$]+)\$"
    r"|:(?P<colour>\w+)-badge\[(?P<badge>[^]]*)\]|(?P<icon>:\w+\[:material/\w+:\] ?|:material/\w+: ?)"
    r"|\[(?P<link>[^\]]+)\]\((?P<address>[^)\s]+)\)"
)


def _spans(text: str) -> Iterator[Span]:
    end = 0
    for found in _MARKED.finditer(text):
        if found.start() > end:
            yield Span(text[end : found.start()])
        kind = next(kind for kind in _MARKS if found[kind])
        yield Span(found[kind], kind, found["colour"] or found["address"] or "")
        end = found.end()
    if end < len(text):
        yield Span(text[end:])
