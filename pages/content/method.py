"""Method: every formula, symbol, unit and source, generated from the code; every device and who says what it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.quantity import Formula
from llmcalc.reference import formulas
from llmcalc.symbols import SYMBOLS
from llmcalc.words import w
from llmcalc.words.names import name, unit_name
from pages.content.pieces import table
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, bold, cite, code, math, paragraph, plain, said, small
from pages.ui.words.devices import memory_cell, printed_size
from pages.ui.words.numbers import human

# What there is to read, in the order in which one asks: each section's modules, or drawers of them, what is plain first
ASKED_FIRST: Mapping[str, tuple[str, ...]] = {
    "parameters": (
        *(
            f"transformer.{part}"
            for part in ("model", "embedding", "attention", "feedforward", "norm", "head", "linear")
        ),
        *("transformer.experts", "transformer.latent_attention", "transformer"),
    ),
    "training": ("step.state", "step.optimizer", "step.overhead", "step"),
    "inference": (
        *("serving.held", "transformer.cache", "transformer.state", "stored", "serving.weights", "serving.pool"),
        *("serving.speed", "serving"),
    ),
    "work": ("rates.flops", "transformer.flops", "rates.times", "rates.costs"),
    "devices": ("devices", "rates.messages"),
    "techniques": ("techniques", "fit"),
    "laws": ("scaling.power", "scaling.formulas", "scaling"),
    "article": ("article", "errata", "accuracy", "lessons"),
}


def in_sections(found: Mapping[str, Sequence[Formula]]) -> dict[str, dict[str, Sequence[Formula]]]:
    """What was found of each module, section by section, without those of which nothing was."""
    told: dict[str, dict[str, Sequence[Formula]]] = {section: {} for section in ASKED_FIRST}
    for module in sorted(found, key=lambda module: _place(module)[1]):
        if found[module]:
            told[_place(module)[0]][module] = found[module]
    return {section: modules for section, modules in told.items() if modules}


def _place(module: str) -> tuple[str, int]:
    """The section of a module, and its place there: by its own name, else by that of its drawer."""
    name = module.removeprefix("llmcalc.")
    named = [
        (len(prefix), section, place)
        for section, prefixes in ASKED_FIRST.items()
        for place, prefix in enumerate(prefixes)
        if f"{name}.".startswith(f"{prefix}.")
    ]
    _, section, place = max(named)
    return section, place


def matching(wanted: str) -> dict[str, list[Formula]]:
    """Of each module the formulas in whose name, arguments, meaning or source the reader's words stand."""

    def says(f: Formula) -> bool:
        return wanted in " ".join((f.id, name(f.id), w(f"formulas.{f.id}"), str(f.source), *f.arguments)).lower()

    return {module: [f for f in found if says(f)] for module, found in formulas().items()}


def entry(f: Formula) -> Iterator[say.Paragraph]:
    """One formula: its name, the formula, what it counts, its arguments and its source."""
    unit = f" ({unit_name(f.unit)})" if f.unit else ""
    yield say.Paragraph(bold(name(f.id)) + plain(f"{unit} ") + small(code(f.id)))
    yield say.Paragraph(math(f"{f.symbol} = {f.tex}"))
    about = plain(f"{w('method.where')} ")
    for place, argument in enumerate(f.arguments):
        symbol = SYMBOLS[argument]
        between = plain(", " if place else "")
        about += between + math(symbol.tex) + plain(" ") + code(argument) + plain(f" {unit_name(symbol.unit)}".rstrip())
    about += plain(f". {w('working.source')}: ") + cite(f.source)
    yield say.Paragraph(said(w(f"formulas.{f.id}")) + plain(" ") + small(about))


def nomenclature() -> Iterator[Block]:
    """Every symbol."""
    heads = [w(f"method.{head}") for head in ("symbol", "argument", "unit")]
    yield table(heads, ([math(s.tex), code(id), unit_name(s.unit)] for id, s in SYMBOLS.items()), "lll")


def devices() -> Iterator[Block]:
    """What makers print of their devices, and what drivers report."""
    yield paragraph(w("reported.explained"))
    yield _table_of_devices()


def _table_of_devices() -> say.Table:
    """Every device: what its maker prints, what its driver reports, how often that was read, and where."""
    rows: list[list[str | Line]] = []
    for device in ACCELERATORS.values():
        printed = list(dict.fromkeys(human(reading.memory, "bytes") for reading in device.readings))
        ends = f" ({printed[0]} – {printed[-1]})" if len(printed) > 1 else ""
        source = cite(device.memory_source) if device.memory_source else plain("–")
        read = f"{len(device.readings)}{ends}" if device.readings else "–"
        rows.append([device.id, printed_size(device), memory_cell(device.memory, [device.id]), read, source])
    heads = ("device", "printed", "has", "read", "source")
    return table([w(f"reported.column_{head}") for head in heads], rows, "lrrll")
