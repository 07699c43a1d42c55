"""What engines print when they start, and what one of several devices holds, beside what is predicted for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from llmcalc.accuracy import spread
from llmcalc.accuracy.logs import FIGURES, LoggedFigure, logged_figures, served_logs
from llmcalc.accuracy.ranks import measured_ranks, rank_errors
from llmcalc.words import value_of, w
from pages.content.pieces import table
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, heading, note, paragraph, plain, said
from pages.ui.words.numbers import error_share, exact, human, marked

TOKENS = ("kv_tokens", "max_concurrency")  # the figures that are no bytes
WORST = 5
SIDES = (("accuracy.ranks_looked_at", True), ("reports.held_back_header", False))


def of_logs() -> Iterator[Block]:
    """Start-up logs, engine by engine and figure by figure, the worst, and every one."""
    found = logged_figures()
    yield heading(w("accuracy.logs_header"))
    held_back = exact(sum(not log.seen for log in served_logs()))
    yield paragraph(w("accuracy.logs", logs=len(served_logs()), count=len(found), held_back=held_back))
    lines = []
    for group in dict.fromkeys(map(_group, found)):
        for figure, (side, seen) in product(FIGURES, SIDES):
            of_side = [row for row in found if row.figure == figure and _group(row) == group and row.log.seen == seen]
            if errors := [row.error for row in of_side]:
                lines.append([group, _name(figure), w(side), exact(len(errors)), _three(errors)])
    heads = [w(key) for key in ("inputs.engine.label", "reports.figure", "accuracy.ranks_side")]
    yield table([*heads, w("accuracy.logs_count"), w("reports.errors")], lines, "lllrr", "logged_kinds")
    worst = sorted(found, key=lambda row: -abs(row.error))[:WORST]
    yield _rows(worst, w("accuracy.logs_worst"), "worst_logs")
    yield note(w("accuracy.logs_why"))
    yield say.Folded(said(w("accuracy.logs_every")), "every_log", lambda: [_rows(found, w("reports.run"), "logs")])


def _group(row: LoggedFigure) -> str:
    """Whose log it is: builds on llama.cpp count apart."""
    return row.log.build_of or value_of("engine", row.log.engine)


def _rows(rows: Sequence[LoggedFigure], head: str, key: str) -> say.Table:
    heads = [head, *(w(f"reports.{name}") for name in ("printed", "predicted", "error", "source"))]
    lines: list[list[str | Line]] = [
        [
            plain(f"{_group(row)} {row.log.model or row.log.library}: ") + said(_name(row.figure)),
            *(_size(row.figure, value) for value in (row.printed, row.predicted)),
            marked(f"{100 * row.error:+.2f}%".replace("-", "−")),
            plain(row.log.source),
        ]
        for row in rows
    ]
    return table(heads, lines, "lrrrw", key)


def _size(figure: str, value: float) -> str:
    if figure in TOKENS:
        return exact(round(value)) if figure == "kv_tokens" else marked(f"{value:,.2f}")
    return human(value, "bytes")


def _name(figure: str) -> str:
    return w(f"printed.{figure}")


def of_ranks() -> Iterator[Block]:
    """Peaks on one of several devices: those that were looked at, and those that were held back."""
    rows = measured_ranks()
    yield heading(w("accuracy.ranks_header"))
    yield paragraph(w("accuracy.ranks", count=len(rows), held_back=exact(sum(not row.seen for row in rows))))
    lines = []
    for framework in sorted({row.framework for row in rows}):
        for side, seen in SIDES:
            errors = [rank_errors(row)["step"] for row in rows if row.framework == framework and row.seen == seen]
            if errors:
                lines.append([framework, w(side), exact(len(errors)), _three(errors)])
    heads = [w("accuracy.ranks_framework"), w("accuracy.ranks_side"), w("accuracy.count"), w("reports.errors")]
    yield table(heads, lines, "llrr", "measured_ranks")


def _three(errors: Sequence[float]) -> str:
    off = spread(errors)
    return " / ".join(map(error_share, (off.median, off.p95, off.largest)))
