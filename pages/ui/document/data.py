"""What a page says, as data: every number with all that went into it, unrounded. Its other tables are those of
`llmcalc.export`, which have more than is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmcalc.export.rows import Rows, working
from llmcalc.quantity import Quantity
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block


def workings(blocks: Iterable[Block]) -> Rows:
    """The working of each number that is told, once, with what it may be called where that is said of it."""
    told = set()
    for quantity, standing in _numbers(blocks):
        key = (quantity.id, quantity.value, quantity.working.symbols)
        if key not in told:
            told.add(key)
            yield from ({**row, "standing": standing} for row in working(quantity))


def _numbers(blocks: Iterable[Block]) -> Iterator[tuple[Quantity, str | None]]:
    for block in blocks:
        match block:
            case say.Headlines(numbers):
                yield from ((quantity, standing.label) for _, quantity, standing in numbers())
            case say.Worked(quantities):
                yield from ((quantity, None) for quantity in quantities)
            case say.Beside(columns):
                for column in columns:
                    yield from _numbers(column)
