"""What the sections of several pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llmcalc.accuracy.published_results import PUBLISHED_RESULTS
from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity
from llmcalc.words import w
from llmcalc.words.names import name, unit_name
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, bar, bold, cite, heading, math, note, paragraph, plain, said, small
from pages.ui.figures.memory import memory_bars
from pages.ui.figures.palette import COLOURS, component_of
from pages.ui.words.numbers import exact, human, percent
from pages.ui.words.verdict import counted_where, for_tensors


def component_names() -> dict[str, str]:
    """What each component is called."""
    return {component: w(f"components.{component}") for component in COLOURS}


def changes_named(ids: Iterable[str], sets: Mapping[str, Any]) -> str:
    """Changes to a training step that are made together, with the number of micro-batches where they set it too."""
    told = " + ".join(w(f"advice.{id}") for id in ids)
    if "gradient_accumulation" in sets and "half_batch" not in ids:
        return f"{told}, {w('advice.in_micro_batches', count=exact(sets['gradient_accumulation']))}"
    return told


def sums_told(rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """The sum of each row, as a chart's words."""
    return ", ".join(f"{row} {human(sum(parts.values()), unit)}" for row, parts in rows.items())


def memory_chart(
    config: Configuration,
    key: str,
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    height: int,
    names: Mapping[str, str] | None = None,
) -> say.Chart:
    """A bar of memory for each row, in components, with the line of what fits. ``names``: of components, in order."""
    figure = memory_bars(title, rows, names or component_names(), for_tensors(config), w("axes.memory"))
    return say.Chart(figure, key, f"{title}: {sums_told(rows, 'bytes')}", height)


def whose_memory(config: Configuration, rest: str = "") -> Iterator[Block]:
    """Whose memory the page shows, a control for that, and what the rest of it is of."""
    if shown := counted_where(config):
        if config.values["account"] != "article":
            yield say.Controls(["counted_on"])
        yield note(f"{shown} {rest}")


def prose(text: str) -> Iterator[Block]:
    """A text of several paragraphs and lists."""
    for piece in text.strip().split("\n\n"):
        lines = piece.strip().split("\n")
        if all(line.startswith("- ") for line in lines):
            yield say.Bullets([said(line.removeprefix("- ")) for line in lines])
        else:
            yield paragraph(" ".join(lines))


def as_lines(cells: Iterable[str | Line]) -> list[Line]:
    """A row of a table: what is no line yet is a text of ``llmcalc/words``, or a number."""
    return [cell if isinstance(cell, tuple) else said(cell) for cell in cells]


def table(heads: Sequence[str], rows: Iterable[Iterable[str | Line]], alignment: str = "", key: str = "") -> say.Table:
    """A table whose first column is words and whose others are numbers, where nothing else is said."""
    return say.Table(as_lines(heads), [as_lines(row) for row in rows], alignment or "l" + "r" * (len(heads) - 1), key)


def term_table(terms: Iterable[Quantity], whole: Quantity) -> say.Table:
    """A sum's terms, the largest first: name, amount, share and formula; in a file also bars and every digit."""
    parts = sorted(terms, key=lambda q: -q.value)
    largest = max((q.value for q in parts), default=1) or 1
    rows = [
        [
            plain(name(q.id)),
            bar(q.value / largest, COLOURS.get(component_of(q.id), COLOURS["weights"])),
            plain(human(q.value, q.unit)),
            plain(exact(q.value)),
            plain(percent(q.value / whole.value if whole.value else 0)),
            math(q.working.symbols),
        ]
        for q in parts
    ]
    heads = (w("working.term"), "", w("working.amount"), unit_name(whole.unit).capitalize())
    titles = as_lines([*heads, w("working.share"), w("working.formula")])
    total = [bold(w("working.total")), (), bold(human(whole.value, whole.unit)), bold(exact(whole.value)), (), ()]
    return say.Table(titles, rows, "llrrrl", on_paper=(1, 3), total=total)


def shares(rows: Iterable[tuple[str, float, str]], unit: str, head: str) -> say.Table:
    """A bar, the amount and its share for each row of name, value and component; below them the sum."""
    told = list(rows)
    whole, largest = sum(value for _, value, _ in told), max((value for _, value, _ in told), default=1)
    lines = [
        [
            plain(label),
            bar(value / largest, COLOURS.get(component, COLOURS["weights"])),
            plain(human(value, unit)),
            plain(exact(value)),
            plain(percent(value / whole)),
        ]
        for label, value, component in told
    ]
    lines.append([bold(w("working.total")), (), bold(human(whole, unit)), bold(exact(whole)), ()])
    titles = (w(head), "", w("report.rounded"), unit_name(unit).capitalize(), w("working.share"))
    return say.Table(list(map(plain, titles)), lines, "llrrr")


def workings(key: str, *quantities: Quantity, depth: int = 1, title: str = "working.open") -> say.Worked:
    """The working of some numbers, on demand."""
    return say.Worked(quantities, depth, said(w(title)), key)


def published(technique: str) -> Iterator[Block]:
    """What was measured of a technique elsewhere, each with its source."""
    yield heading(w("techniques.published"))
    rows = [row for row in PUBLISHED_RESULTS.values() if row.technique == technique]
    yield say.Bullets([said(w(f"published.{row.id}")) + plain(" ") + small(cite(row.source)) for row in rows])
