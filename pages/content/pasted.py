"""What a reader's machine printed, beside what is predicted; and the lines that start an engine so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmcalc.serving.job import Serving
from llmcalc.serving.pasted import Compared, Pasted, Row
from llmcalc.serving.pasted.figures import Figure
from llmcalc.serving.snippets import serving_snippets
from llmcalc.words import w
from pages.content.pieces import table
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, bold, cite, code, heading, note, paragraph, plain, said
from pages.ui.words.numbers import change, exact, marked
from pages.ui.words.problems import problem_words

_GAP = "\0"


def to_start_it(name: str, job: Serving) -> Iterator[Block]:
    """What to write to serve so, each with what it has no option for."""
    yield heading(w("commands.header"))
    snippets = list(serving_snippets(name, job))
    for snippet in snippets:
        yield say.Paragraph(said(w(f"commands.{snippet.id}")))
        yield say.Code(snippet.text, snippet.language)
        if snippet.leaves_out:
            checkpoint = f" {w('commands.checkpoint')}" if "weights" in snippet.leaves_out else ""
            yield note(w("commands.leaves_out", fields=_fields(snippet.leaves_out)) + checkpoint)
        yield say.Paragraph(cite(snippet.source), is_note=True)
    if not snippets:
        yield note(w("commands.none"))


def invitation() -> Iterator[Block]:
    """What may be pasted."""
    yield heading(w("pasted.header"))
    yield paragraph(w("pasted.text"))


def what_was_read(pasted: Pasted) -> Iterator[Block]:
    """Which programs, settings and names were recognised, and what was not."""
    if not pasted.kinds:
        yield say.Notice(said(w("pasted.nothing", lines=pasted.lines)), "warning")
        return
    kinds = ", ".join(pasted.kinds)
    yield paragraph(w("pasted.read", understood=exact(pasted.understood), lines=pasted.lines, kinds=kinds))
    for key, printed in (("model", pasted.model_name), ("device", pasted.device_name)):
        if printed:
            yield say.Paragraph(_quoted(w(f"pasted.{key}", **{key: _GAP}), printed))
    if pasted.settings:
        yield paragraph(w("pasted.settings", settings=_settings(pasted.settings.items())))
    if pasted.unclear:
        told = ", ".join(f"{id}={value}" for id, value in pasted.unclear.items())
        yield say.Paragraph(_quoted(w("pasted.unclear", settings=_GAP), told), is_note=True)
    if pasted.n_passed_over:
        yield note(w("pasted.passed_over", count=pasted.n_passed_over))
        yield say.Code("\n".join(pasted.passed_over), "text")


def beside_predicted(compared: Compared) -> Iterator[Block]:
    """Every figure that was printed beside the one that is predicted, with why they differ and the working."""
    for error in compared.refused:
        yield say.Notice(said(w("pasted.refused", reason=problem_words(error))), "warning")
    if compared.assumed:
        yield note(w("pasted.assumed", fields=_fields(compared.assumed)))
    if not compared.rows:
        return
    heads = ("figure", "printed", "predicted", "error")
    yield table(
        [w(f"pasted.{head}") for head in heads], [_row(row) for row in compared.rows], "lrrr", "printed_figures"
    )
    told: dict[str, list[str]] = {}
    for row in compared.rows:
        told.setdefault(_why(row), []).append(w(f"printed.{row.figure.id}"))
    yield say.Bullets([(*bold(", ".join(figures)), *plain(": "), *said(why)) for why, figures in told.items()])
    for row in compared.rows:
        if row.parts:
            parts = [[w(f"printed.{_part_id(part.id)}"), change(float(part.value), "bytes")] for part in row.parts]
            yield table([w("pasted.parts"), w("pasted.error")], parts, "lr", "printed_parts")
    yield say.Folded(said(w("pasted.working")), "printed_working", lambda: _workings(compared))


def _workings(compared: Compared) -> Iterator[Block]:
    for row in compared.rows:
        if row.difference is not None:
            yield say.Paragraph(bold(w(f"printed.{row.figure.id}")))
            yield say.Worked([row.difference])


def _quoted(words: str, given: str) -> Line:
    """Words with what somebody printed in their gap, whatever marks it has."""
    before, _, after = words.partition(_GAP)
    return (*said(before), plain(" ")[0], *code(given), *plain(after))


def _part_id(id: str) -> str:
    return id.removesuffix("_difference")


def _why(row: Row) -> str:
    why = w(f"reasons_printed.{row.why}")
    if row.of_printed is not None:
        why += " " + w("pasted.of_printed", value=_size(float(row.of_printed.value), row.figure))
    return why


def _row(row: Row) -> list[str | Line]:
    predicted = "–" if row.predicted is None else _size(float(row.predicted.value), row.figure)
    off = "–" if row.error is None else _off(row.error)
    return [w(f"printed.{row.figure.id}"), plain(row.figure.printed), predicted, off]


def _size(value: float, figure: Figure) -> str:
    """In the unit, and with the digits, that the figure was printed in."""
    factor, decimals, unit = figure.written
    return f"{marked(f'{value / factor:,.{decimals}f}'.replace('-', '−'))} {unit}".strip()


def _off(error: float) -> str:
    told = f"{100 * error:+.2f}%"
    return marked(told[1:] if float(told[:-1]) == 0 else told.replace("-", "−"))


def _fields(ids: Iterable[str]) -> str:
    return ", ".join(w(f"serving_fields.{id}") for id in ids)


def _settings(settings: Iterable[tuple[str, object]]) -> str:
    return ", ".join(w("pasted.setting", field=w(f"serving_fields.{id}"), value=_value(v)) for id, v in settings)


def _value(value: object) -> str:
    match value:
        case bool():
            return w("report.on" if value else "report.off")
        case int() | float():
            return exact(value)
    return str(value)
