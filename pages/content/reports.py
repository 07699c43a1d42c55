"""The three kinds of figures that predictions are held to: looked at, held back, printed by people of their GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmcalc.accuracy import errors, spread
from llmcalc.accuracy.reports import FIGURES, STATES, Report, judged, off_of_judged, printed, reports
from llmcalc.accuracy.rows import WAYS
from llmcalc.measure.receipt import MEASURED, Receipt
from llmcalc.units import GiB
from llmcalc.words import label_of, w
from pages.content.accuracy import Steps
from pages.content.pieces import table
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, cite, code, heading, note, paragraph, plain, said, said_once
from pages.ui.words.numbers import error_share, exact, human, marked, spread_told

WORST = 5
Found = tuple[Report, str]  # and which of its figures


@said_once
def of_kinds(rows: Steps) -> Iterator[Block]:
    """Steps measured on PyTorch, by how they were run: those that were looked at, and those that were held back."""
    for side, seen in (("looked_at", True), ("held_back", False)):
        found = [row for row in rows if row.row.seen == seen]
        yield heading(w(f"reports.{side}_header"))
        yield paragraph(w(f"reports.{side}", count=exact(len(found))))
        ways = {way: [row for row in found if row.row.way == way] for way in WAYS}
        lines = [
            [w(f"reports.kind_{way}"), exact(len(some)), spread_told(errors(some, "llmcalc", "peak"))]
            for way, some in ways.items()
            if some
        ]
        yield table([w("reports.kind"), w("accuracy.count"), w("accuracy.column_peak")], lines)


def by_people() -> Iterator[Block]:
    """Figures that people printed: how far off what is computed for them is, the worst, and every one."""
    every = printed()
    yield heading(w("reports.people_header"))
    yield paragraph(w("reports.people", count=exact(len(every)), programs=exact(len({r.framework for r in reports()}))))
    lines = []
    for figure in FIGURES:
        for state in STATES:
            found = [report.error(figure) for report, which in every if which == figure and report.state == state]
            if found:
                shares = spread_told(spread(found))
                lines.append([w(f"reports.{figure}"), w(f"reports.{state}"), exact(len(found)), shares])
    yield table([w("reports.figure"), w("reports.settings"), w("reports.count"), w("reports.errors")], lines, "llrr")
    off = off_of_judged()
    sizes = {"median": error_share(off.median), "p95": error_share(off.p95)}
    yield paragraph(w("reports.judged", count=exact(off.count), **sizes))
    worst = sorted(judged(), key=lambda found: -abs(found[0].error(found[1])))[:WORST]
    yield table([w("reports.worst"), *_heads()], [_row(*found) for found in worst], "lrrrww", "worst_reports")
    yield note(w("reports.worst_why"))
    yield say.Folded(said(w("reports.every")), "every_report", lambda: [_all(every)])


def _all(every: Sequence[Found]) -> say.Table:
    return table([w("reports.run"), *_heads()], [_row(*found) for found in every], "lrrrww", "every_printed")


def _heads() -> list[str]:
    return [w("reports.printed"), w("reports.predicted"), w("reports.error"), w("reports.said_of"), w("reports.source")]


def _row(report: Report, figure: str) -> list[str | Line]:
    return [
        plain(f"{report}: ") + said(w(f"reports.{figure}")),
        human(report.printed[figure] * GiB, "bytes"),
        human(report.predicted[figure], "bytes"),
        _off(report.error(figure)),
        _said_of(report),
        cite(report.source),
    ]


def _said_of(report: Report) -> str:
    """What its source leaves open, what cannot be asked for, and what stands for it."""
    told = []
    if report.open:
        told.append(w("reports.is_open", fields=", ".join(map(label_of, report.open))))
    if report.not_offered:
        told.append(w("reports.is_not_offered", fields=", ".join(w(f"reports.no_{id}") for id in report.not_offered)))
    if report.nearest:
        told.append(w("reports.is_nearest", fields=", ".join(map(label_of, report.nearest))))
    return " ".join(told) or "–"


def of_receipts(receipts: Sequence[Receipt]) -> Iterator[Block]:
    """What readers measured on cards of their own, beside what is predicted."""
    rows: list[list[str | Line]] = []
    for receipt in receipts:
        run = receipt.training_run
        name = plain(f"{receipt.model}, {run.batch_size} × {run.seq_len}, {run.precision}")
        card = code(f"{receipt.device}, torch {receipt.versions.get('torch', '?')}")
        for figure in MEASURED:
            both = (human(receipt.figures[figure], "bytes"), human(receipt.predicted[figure], "bytes"))
            rows.append([name, card, w(f"reports.{figure}"), *both, _off(receipt.error(figure))])
    heads = ("run", "card", "figure", "measured", "predicted", "error")
    if rows:
        yield table([w(f"reports.{head}") for head in heads], rows, "lllrrr", "receipts")


def _off(error: float) -> str:
    return marked(f"{100 * error:+.1f}%".replace("-", "−"))
