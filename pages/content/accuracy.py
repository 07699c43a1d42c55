"""Accuracy: measured steps beside what is predicted for them, those that were held back apart from the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from llmcalc.accuracy import (
    LABELS,
    METHODS,
    Comparison,
    Coverage,
    covered,
    error_of,
    errors,
    measured_inference,
    of_family,
    standing_of_row,
    without_prediction,
)
from llmcalc.accuracy import spread as spread_of
from llmcalc.accuracy.inference import WHAT
from llmcalc.accuracy.speed import TIMES, ServedRun, error_of_rate, errors_of, fitted_runs, served_rates, served_runs
from llmcalc.accuracy.speed import error_of as time_error
from llmcalc.accuracy.standing import FAR
from llmcalc.catalog.models import models
from llmcalc.configuration import Configuration
from llmcalc.measure.receipt import Receipt
from llmcalc.serving.speed.constants import CONSTANTS
from llmcalc.words import w
from pages.content.engines import of_logs, of_ranks
from pages.content.parameters import checked
from pages.content.pieces import table
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, heading, note, paragraph, said, said_once
from pages.ui.figures.steps import error_strips, predicted_against_measured
from pages.ui.words.numbers import error_share, exact, human, spread_told
from pages.ui.words.problems import as_text
from pages.ui.words.standing import setting_name


class Steps(tuple[Comparison, ...]):
    """Steps that are shown together, which keep what was said of them: there are thousands, and seldom others."""


@said_once
def told(row: Comparison, method: str, what: str) -> str:
    """One prediction in words."""
    measured, error = row.measured(what) or 0, row.error(method, what) or 0
    return w(
        "accuracy.said",
        run=row.row,
        method=w(f"accuracy.{method}"),
        measured=human(measured, "bytes"),
        predicted=human(row.predicted[method, what], "bytes"),
        error=("−" if error <= -1e-5 else "") + error_share(abs(error)),
    )


def counted(rows: Sequence[Comparison], what: str) -> list[Comparison]:
    """The steps of which the instrument counted it."""
    return [row for row in rows if row.measured(what) is not None]


def pairs(rows: Sequence[Comparison], method: str, what: str) -> tuple[list[float], list[float], list[str]]:
    """Measured, predicted, and what is said of each."""
    found = counted(rows, what)
    measured: list[float] = [row.measured(what) or 0 for row in found]
    predicted: list[float] = [row.predicted[method, what] for row in found]
    return measured, predicted, [told(row, method, what) for row in found]


def of_cards(receipts: Sequence[Receipt]) -> tuple[list[float], list[float], list[str]]:
    """Allocated as readers measured it, predicted, and what is said of each."""
    measured = [float(receipt.figures["allocated"]) for receipt in receipts]
    predicted = [receipt.predicted["allocated"] for receipt in receipts]
    return measured, predicted, [as_text(f"{receipt.model}, {receipt.device}") for receipt in receipts]


def strip(rows: Sequence[Comparison], method: str, what: str) -> tuple[list[float], list[str]]:
    """The errors of a method, and what is said of each."""
    found = counted(rows, what)
    return [row.error(method, what) or 0 for row in found], [told(row, method, what) for row in found]


def spread(rows: Sequence[Comparison], method: str, what: str) -> str:
    """Median, 95th percentile and largest error, for a table."""
    if what not in METHODS[method] or not counted(rows, what):
        return "–"
    return spread_told(errors(rows, method, what))


def apart(rows: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """The steps that were held back while the simulation was written, and those that were looked at."""
    sides = {"held_back": False, "looked_at": True}
    return {side: found for side, seen in sides.items() if (found := [row for row in rows if row.row.seen == seen])}


@said_once
def frames(rows: Steps, of: int) -> say.Frames:
    """How many steps, and how large the errors are."""
    sides = apart(rows)
    counts = {side: exact(len(sides.get(side, ()))) for side in ("held_back", "looked_at")}
    about = said(w("accuracy.all_of", count=exact(of), **counts))
    found = [say.Frame(said(w("accuracy.steps")), exact(len(rows)), [about])]
    for side, steps in sides.items():
        peak = errors(steps, "llmcalc", "peak")
        shares = w("accuracy.spread", median=error_share(peak.median), largest=error_share(peak.largest))
        found.append(say.Frame(said(w(f"accuracy.peak_{side}")), error_share(peak.p95), [said(shares)]))
    title, counted_on = w("accuracy.parameters", count=len(models())), w("accuracy.counted_on")
    return say.Frames([*found, say.Frame(said(title), w("accuracy.exact"), [said(counted_on)])])


def charts(rows: Sequence[Comparison], what: str, receipts: Sequence[Receipt] = ()) -> say.Beside:
    """Predicted against measured, and the errors of every rule."""
    methods = [method for method, known in METHODS.items() if what in known]
    spreads = "; ".join(f"{w(f'accuracy.{method}')} {spread(rows, method, what)}" for method in methods)
    sides = apart(rows).items()
    groups = {w(f"accuracy.{side}"): pairs(found, "llmcalc", what) for side, found in sides}
    if receipts and what == "peak":
        groups[w("reports.receipt")] = of_cards(receipts)
    article = (w("accuracy.article"), *pairs(rows, "article", what))
    axes = (w("accuracy.measured_axis"), w("accuracy.predicted_axis"))
    title = w(f"accuracy.scatter_{what}")
    figure = predicted_against_measured(title, groups, article, w("accuracy.equal"), axes)
    scatter = say.Chart(figure, "predicted_against_measured", w("accuracy.alt", title=title, errors=spreads), 400)
    ours = w("accuracy.llmcalc")
    strips = {f"{ours}: {w(f'accuracy.{side}')}": strip(found, "llmcalc", what) for side, found in sides}
    strips |= {w(f"accuracy.{method}"): strip(rows, method, what) for method in methods if method != "llmcalc"}
    title = w(f"accuracy.strips_{what}")
    figure = error_strips(title, strips, w("accuracy.error_axis"), w("accuracy.least"))
    return say.Beside(
        [[scatter], [say.Chart(figure, "error_strips", w("accuracy.alt", title=title, errors=spreads), 400)]]
    )


def spread_table(head: str, lines: Sequence[tuple[str, Sequence[Comparison], str]]) -> say.Table:
    """A line for each name: how many steps, and the errors of a method over them."""
    heads = [w(f"accuracy.{id}") for id in (head, "count", "column_saved", "column_peak")]
    rows = [
        [name, exact(len(rows)), *(spread(rows, method, what) for what in ("saved", "peak"))]
        for name, rows, method in lines
    ]
    return table(heads, rows)


def by(rows: Sequence[Comparison], name_of: Callable[[Comparison], str]) -> list[tuple[str, list[Comparison], str]]:
    """The steps by what they have in common, held back and looked at on lines of their own."""
    names = sorted({name_of(row) for row in rows})
    return [
        (f"{name}: {w(f'accuracy.{side}')}", found, "llmcalc")
        for name in names
        for side, found in apart([row for row in rows if name_of(row) == name]).items()
    ]


def rows_called(rows: Sequence[Comparison], label: str) -> list[Comparison]:
    """The steps of which the app would say that."""
    return [row for row in rows if standing_of_row(row).label == label]


def called(row: Comparison) -> str:
    """What a step that is run like this one is called."""
    return w(f"accuracy.called_{standing_of_row(row).label}")


def settings_table() -> Iterator[Block]:
    """Every setting that has rows, those that have none, and those that were measured and cannot be asked for yet."""
    every, rows = covered(), []
    for one in every:
        if one.held_back or one.seen:
            counts = (exact(len(found)) for found in (one.held_back, one.seen, one.families))
            rows.append([name_of_setting(one), *counts, spread_told(one.errors) if one.errors else "–"])
    heads = [w(f"accuracy.{head}") for head in ("setting", "held_back", "looked_at", "families", "column_peak")]
    yield heading(w("accuracy.settings_header"))
    yield paragraph(w("accuracy.settings"))
    yield table([head[0].upper() + head[1:] for head in heads], rows, key="covered")
    without = [name_of_setting(one) for one in every if not (one.held_back or one.seen or one.unpredicted)]
    yield paragraph(w("accuracy.without_rows", settings="; ".join(without)))
    unpredicted = [one for one in every if one.unpredicted and not (one.held_back or one.seen)]
    named = "; ".join(f"{name_of_setting(one)} ({exact(len(one.unpredicted))})" for one in unpredicted)
    count = exact(len(without_prediction()))
    yield paragraph(w("accuracy.without_prediction", count=count, settings=named))


def name_of_setting(one: Coverage) -> str:
    """A setting as the reader knows it."""
    return w("accuracy.as_it_starts") if one.setting is None else setting_name(one.setting)


def inference_table() -> Iterator[Block]:
    """Weights and cache beside what was measured in inference."""
    yield heading(w("accuracy.inference_header"))
    yield paragraph(w("accuracy.inference"))
    rows = []
    for side, seen in (("held_back", False), ("looked_at", True)):
        found = [row for row in measured_inference() if row.seen == seen]
        shares = (spread_told(spread_of(error_of(row, what) for row in found)) for what in WHAT)
        rows.append([w(f"accuracy.{side}"), exact(len(found)), *shares])
    yield table([w(f"accuracy.{head}") for head in ("runs", "count", *(f"inference_{what}" for what in WHAT))], rows)


def speed_table() -> Iterator[Block]:
    """How fast engines served on real machines beside what is predicted, by what was left out of the fit."""
    rows = fitted_runs()
    yield heading(w("accuracy.speed_header"))
    yield paragraph(w("accuracy.speed", runs=len(rows), constants=len(CONSTANTS)))
    lines = [_of_runs(w("accuracy.speed_all"), rows), _of_runs(w("accuracy.speed_fitted"), rows, fitted=True)]
    for kind in ("engine", "device"):
        names = sorted({vars(row)[kind] for row in rows})
        lines += [_of_runs(name, [row for row in rows if vars(row)[kind] == name]) for name in names]
    lines.append(_of_runs(w("accuracy.speed_apart"), [row for row in served_runs() if row.prefill_apart], times=1))
    lines.append(_of_runs(w("accuracy.speed_doubtful"), [row for row in served_runs() if row.is_doubtful]))
    for name in sorted({row.set for row in served_rates()}):
        found = [error_of_rate(row) for row in served_rates() if row.set == name]
        lines.append([w("accuracy.speed_other", set=name), exact(len(found)), _two(found), "–"])
    heads = [w(f"accuracy.{head}") for head in ("speed_group", "runs", "speed_between", "speed_first")]
    yield table(heads, lines, key="served")


def _of_runs(name: str, rows: Sequence[ServedRun], *, fitted: bool = False, times: int = 2) -> list[str]:
    """A line: how many runs, and the errors of both times."""
    off = [[error for row in rows if (error := time_error(row, what, fitted=fitted)) is not None] for what in TIMES]
    return [name, exact(len(rows)), *(_two(found) for found in off[:times]), *["–"] * (2 - times)]


def _two(signed: Sequence[float]) -> str:
    off = errors_of(signed)
    return " / ".join(map(error_share, (off.median, off.p90)))


@said_once
def spreads(rows: Steps) -> Iterator[Block]:
    """The tables of errors: by label, by setting, in inference, of other rules, by precision and by family."""
    yield heading(w("accuracy.called_header"))
    yield paragraph(w("accuracy.called", far=error_share(FAR)))
    yield spread_table("standing", [line for label in LABELS for line in by(rows_called(rows, label), called)])
    yield from settings_table()
    yield from inference_table()
    yield from of_ranks()
    yield from of_logs()
    yield from speed_table()
    yield heading(w("accuracy.beside_header"))
    yield spread_table("method", [(w(f"accuracy.{method}"), rows, method) for method in METHODS])
    yield note(w("accuracy.beside_note"))
    yield heading(w("accuracy.by_precision_header"))
    yield spread_table("filter_precision", by(rows, lambda row: str(row.row.training_run.precision)))
    by_family = partial(by, rows, lambda row: row.row.family)
    yield say.Folded(said(w("accuracy.by_family_header")), "by_family", lambda: [spread_table("family", by_family())])


def of_this_model(config: Configuration) -> Iterator[Block]:
    """What the parameters were held to, and how far off the measured steps of the same code are."""
    yield from checked(config)
    if measured := of_family(config.family):
        count, family = exact(len(measured)), f"`{config.family}`"
        yield paragraph(w("report.measured", count=count, family=family))
        rows = []
        for side, found in apart(measured).items():
            for what in ("saved", "peak"):
                off = errors(found, "llmcalc", what)
                name = f"{w(f'accuracy.{what}')}, {w(f'accuracy.{side}')}"
                rows.append([name, exact(off.count), *map(error_share, (off.median, off.p95, off.largest))])
        heads = ("report.what", "accuracy.count", "report.median", "report.p95", "report.largest")
        yield table([*map(w, heads)], rows)
        yield note(w("report.no_gpu"))
    yield say.Rests(config.standing)
