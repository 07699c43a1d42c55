"""The article: its sections A to I retold, and every figure that it prints beside the right one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmcalc.article import article_gpt3_layer, article_layers, article_steady_state, article_step, article_ten_percent
from llmcalc.errata import (
    ERRATA,
    EXAMPLE_STEPS,
    GPT3,
    LAYER_TERMS,
    PEAK_MODEL,
    PEAK_RUN,
    PrintedFigure,
    complete_parameters,
    example_parameters,
    gpt3_parameters,
)
from llmcalc.quantity import Quantity
from llmcalc.step.step import training_step
from llmcalc.words import w
from llmcalc.words.names import name
from pages.content.pieces import prose, table, term_table, workings
from pages.ui.document.blocks import Block, Line, Table, Worked, bold, heading, paragraph
from pages.ui.words.numbers import exact, human, marked, signed


def intro() -> Iterator[Block]:
    """What the page is about."""
    yield paragraph(w("article.intro", count=len(ERRATA)))


def sections(letters: str) -> Iterator[Block]:
    """Those sections, one after the other."""
    for letter in letters:
        yield from _SECTIONS[letter](letter)


def _told(letter: str, **values: str) -> Iterator[Block]:
    """Title and text of one section."""
    yield heading(w(f"article.{letter}.header"))
    yield from prose(w(f"article.{letter}.text", **values))


def _amount(value: float, unit: str) -> str:
    """Every digit of a count, three digits of anything else, and the unit where the figure's name does not say it."""
    return exact(value) if unit in ("parameters", "bytes") else f"{marked(f'{value:.3g}')} {unit}".strip()


def _printed_and_right(letter: str, figures: Iterable[PrintedFigure], *, difference: bool = False) -> Table:
    """A row a figure: as printed, as computed, and why they differ."""
    heads = ["figure", "printed", "right", *(["difference"] if difference else []), "why"]
    rows = []
    for figure in figures:
        right, wrong = figure.right(), figure.id in ERRATA
        shown = _amount(right.value, right.unit)
        cells: list[str | Line] = [w(f"figures.{figure.id}"), _amount(figure.printed, right.unit)]
        cells.append(bold(shown) if wrong else shown)
        if difference:
            cells.append(signed(right.value - figure.printed) if wrong else "0")
        cells.append(w(f"errata.{figure.id}.why") if wrong else "")
        rows.append(cells)
    titles = [w(f"article.{head}") for head in heads]
    return table(titles, rows, "l" + "r" * (len(heads) - 2) + "l", f"printed_{letter}")


def _errata_of(letter: str) -> list[PrintedFigure]:
    """What the article prints wrongly in one section."""
    return [figure for figure in ERRATA.values() if figure.section == letter.upper()]


def has_errata(letter: str) -> bool:
    """Whether the article prints something wrongly in a section."""
    return bool(_errata_of(letter))


def _working(letter: str, *quantities: Quantity, depth: int = 0) -> Worked:
    return workings(f"working_{letter}", *quantities, depth=depth)


def _plain(letter: str) -> Iterator[Block]:
    """A section without figures."""
    yield from _told(letter)


def _parameters(letter: str) -> Iterator[Block]:
    yield from _told(letter)
    yield _printed_and_right(letter, EXAMPLE_STEPS, difference=True)
    tied, untied = complete_parameters(tied_head=True), complete_parameters(tied_head=False)
    yield paragraph(w("article.b.left_out"))
    head = untied.parts[-1]
    rows: list[list[str | Line]] = [[name(part.id), exact(part.value)] for part in tied.parts]
    rows.append([bold(w("article.b.tied")), bold(exact(tied.value))])
    rows.append([name(head.id), exact(head.value)])
    rows.append([bold(w("article.b.untied")), bold(exact(untied.value))])
    yield table([w("working.component"), w("axes.parameters")], rows)
    yield _working(letter, *(figure.right() for figure in EXAMPLE_STEPS), *untied.parts[1:], untied)


def _with_errata(letter: str) -> Iterator[Block]:
    yield from _told(letter)
    yield _printed_and_right(letter, _errata_of(letter))
    yield _working(letter, *(figure.right() for figure in _errata_of(letter)))


_RUN = {"batch_size": PEAK_RUN.batch_size, "seq_len": PEAK_RUN.seq_len}


def _setting() -> dict[str, str]:
    return {"batch": exact(_RUN["batch_size"]), "length": exact(_RUN["seq_len"])}


def _steady_state(letter: str) -> Iterator[Block]:
    yield from _told(letter, **_setting())
    steady = article_steady_state(parameters=example_parameters(), **_RUN)
    yield term_table(steady.parts, steady)
    yield _printed_and_right(letter, _errata_of(letter))
    yield _working(letter, steady, *(figure.right() for figure in _errata_of(letter)))


def _peak(letter: str) -> Iterator[Block]:
    yield from _told(letter)
    layer, matrix = ERRATA["layer_activations"], ERRATA["attention_matrix"]
    yield _printed_and_right(letter, (*LAYER_TERMS, layer, matrix))
    yield paragraph(w("article.f.peak", **_setting(), vocabulary=exact(PEAK_MODEL.vocab_size)))
    theirs = article_step(PEAK_MODEL.model(), PEAK_MODEL, **_RUN)
    ours = training_step(PEAK_MODEL.model(), PEAK_RUN)
    rows = [
        [w(f"training.{term}"), *(human(getattr(memory, term).value, "bytes") for memory in (theirs, ours))]
        for term in ("steady_state", "saved_activations", "peak")
    ]
    yield table([w("article.figure"), w("explore.article"), w("article.right")], rows)
    yield _working(letter, layer.right(), matrix.right(), theirs.peak, ours.peak, depth=1)


def _law(letter: str) -> Iterator[Block]:
    yield from _told(letter)
    yield _printed_and_right(letter, _errata_of(letter))
    printed = article_ten_percent(alpha=ERRATA["alpha"].printed)
    yield _working(letter, printed, *(figure.right() for figure in _errata_of(letter)))


def _gpt3(letter: str) -> Iterator[Block]:
    layer = article_gpt3_layer(d_model=GPT3.d_model, d_ff=GPT3.ffn_width())
    layers = article_layers(n_layers=GPT3.n_layers, block_parameters=layer)
    whole = exact(gpt3_parameters().value)
    yield from _told(letter, layer=exact(layer.value), layers=exact(layers.value), total=whole)
    yield _printed_and_right(letter, _errata_of(letter))
    yield _working(letter, layers, gpt3_parameters(), depth=2)


_SECTIONS = {
    "a": _plain,
    "b": _parameters,
    "c": _with_errata,
    "d": _with_errata,
    "e": _steady_state,
    "f": _peak,
    "g": _law,
    "h": _plain,
    "i": _gpt3,
}
