"""What a page says, as files have it: every block becomes text, a list, a table or a working."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmcalc.quantity import Quantity
from llmcalc.sources import Citation, Work
from llmcalc.words import w
from llmcalc.words.names import name, unit_name
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, Written, bold, cite, linked, math, plain, said
from pages.ui.words.standing import standing_said
from pages.ui.words.verdict import verdict_words
from pages.ui.words.working import latex_steps, rounded


class Cited:
    """What has been told so far: each working once, and where each number is from."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()
        self._places: dict[Work, dict[str, None]] = {}

    def workings(self, quantities: Iterable[Quantity], depth: int = 0) -> Iterator[say.Working]:
        """The working of each quantity, and of what went into it, that has not been told."""
        for q in (quantity.collapsed for quantity in quantities):
            key = (name(q.id) if not q.is_given else "", str(q.value), q.working.symbols)
            if not q.is_given and q.value and key not in self._told:
                self._told.add(key)
                yield self._working(q)
            if depth > 0:
                yield from self.workings(q.inputs.values(), depth - 1)

    def works(self) -> Iterator[Line]:
        """Every work that was cited, with the places in it."""
        for work, places in sorted(self._places.items(), key=lambda item: (item[0].authors, item[0].year)):
            where = "; ".join(places)
            yield plain(f"{work.called}, ") + linked(work.title, work.url) + plain(f": {where}")

    def _working(self, q: Quantity) -> say.Working:
        *steps, result = latex_steps(q)
        end = plain(f" {' '.join(filter(None, (unit_name(q.unit, q.value), rounded(q))))}")
        about = (*said(w(f"formulas.{q.formula_id}")), *plain(" ")) if q.formula_id else ()
        source = plain(f"{w('working.source')}: ") + self._cite(q.source) if q.source else ()
        return say.Working(plain(name(q.id)), [*map(math, steps), math(result) + end], about + source)

    def _cite(self, source: Citation) -> Line:
        self._places.setdefault(source.work, {})[source.place] = None
        return cite(source)


def written(blocks: Iterable[Block], cited: Cited) -> Iterator[Written]:
    """The same blocks without what only a screen has: of a chart the data behind it, of a control nothing."""
    for block in blocks:
        match block:
            case say.Paragraph() | say.Bullets() | say.Table() | say.Working():
                yield block
            case say.Heading(line):
                yield say.Paragraph(bold("".join(span.text for span in line)))
            case say.Chart(alt=alt, data=data):
                yield data() if data else say.Paragraph(plain(alt), is_note=True)
            case say.Frames(frames):
                yield say.Bullets([_framed(frame) for frame in frames])
            case say.Verdict(config):
                yield say.Paragraph(said(verdict_words(config)))
            case say.Rests(standing):
                yield say.Paragraph(said(standing_said(standing)), is_note=True)
            case say.Notice(line):
                yield say.Paragraph(line)
            case say.Worked(quantities, depth):
                yield from cited.workings(quantities, depth)
            case say.Offer(line, about=about):
                yield say.Bullets([line + plain(f" ({about})") if about else line])
            case say.Folded(blocks=inside):
                yield from written(inside(), cited)
            case say.Beside(columns):
                for column in columns:
                    yield from written(column, cited)
            case say.Headlines() | say.Controls() | say.Hint() | say.Code():
                pass


def _framed(frame: say.Frame) -> Line:
    notes = (plain(" · ") + note for note in frame.notes)
    return sum(notes, frame.label + plain(": ") + bold(frame.value))
