"""The sections of the report that tell numbers with their working."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

import numpy as np

from llmcalc.accuracy import errors, of_family
from llmcalc.article import article_components, article_parameters, training_rule_of_thumb
from llmcalc.catalog.accelerators import devices_by_memory
from llmcalc.configuration import Configuration
from llmcalc.inference import model_memory
from llmcalc.inputs import PURPOSES
from llmcalc.quantity import Quantity
from llmcalc.scaling import (
    KAPLAN_CRITICAL_PARAMETERS,
    loss_from_parameters,
    parameters_for_better_metric,
    parameters_for_lower_loss,
)
from llmcalc.sources import Citation, Work
from llmcalc.transformer.breakdown import in_symbols, invoice
from llmcalc.words import w
from llmcalc.words.names import name, unit_name
from pages.ui.document.blocks import (
    Block,
    Bullets,
    Line,
    Paragraph,
    Table,
    Working,
    bar,
    bold,
    linked,
    math,
    plain,
    said,
)
from pages.ui.figures.accounts import told_together
from pages.ui.figures.palette import COLOURS, component_of
from pages.ui.words.devices import memory_cell, memory_told
from pages.ui.words.numbers import error_share, exact, human, marked, percent, signed
from pages.ui.words.plans import plan_name
from pages.ui.words.standing import badge, standing_said
from pages.ui.words.verdict import as_on_one, on_each, verdict_words
from pages.ui.words.verdict import said as verdict_said
from pages.ui.words.working import latex_steps, rounded

_EVERYTHING = 9  # deeper than any tree of quantities goes


class Cited:
    """What has been told so far: each working once, and where each number is from."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()
        self._places: dict[Work, dict[str, None]] = {}

    def workings(self, quantities: Iterable[Quantity], depth: int = 0) -> Iterator[Working]:
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
            yield plain(f"{work.authors} {work.year}, ") + linked(work.title, work.url) + plain(f": {where}")

    def _working(self, q: Quantity) -> Working:
        *steps, result = latex_steps(q)
        end = plain(f" {' '.join(filter(None, (unit_name(q.unit, q.value), rounded(q))))}")
        about = (*said(w(f"formulas.{q.formula_id}")), *plain(" ")) if q.formula_id else ()
        source = plain(f"{w('working.source')}: ") + self._cite(q.source) if q.source else ()
        return Working(plain(name(q.id)), [*map(math, steps), math(result) + end], about + source)

    def _cite(self, source: Citation) -> Line:
        self._places.setdefault(source.work, {})[source.place] = None
        return linked(source, source.work.url)


def parameters(config: Configuration, cited: Cited) -> Iterator[Block]:
    """By component with bars, part by part with formulas, and the working."""
    model = config.model
    components = sorted(model.components().items(), key=lambda item: -item[1].value)
    yield _shares(((w(f"components.{id}"), q.value, id) for id, q in components), "parameters", "working.component")
    rows = [
        [
            plain(name(line.id)),
            plain(f"{exact(line.layers)} ×" if line.layers else ""),
            plain(exact(line.count.total)),
            math(in_symbols(line.part.parameters())),
        ]
        for line in invoice(model)
    ]
    heads = ("component", "layers", "amount", "formula")
    yield Table([plain(w(f"parameters.column_{head}")) for head in heads], rows, "lrrl")
    yield from cited.workings([model.parameters()])
    yield from cited.workings(model.components().values(), _EVERYTHING)


def training(config: Configuration, cited: Cited) -> Iterator[Block]:
    """What stays, and what the peak is made of: each term with its working; what the process takes beside it."""
    account, values = config.training, config.values
    sizes = {"batch": exact(values["batch_size"]), "length": exact(values["seq_len"])}
    amounts = {"steady": _bytes(account.steady_state.value), "peak": _bytes(account.peak.value)}
    told = {"phase": w(f"phases.{account.peak_phase}"), "account": w(f"counted.{values['account']}")}
    yield Paragraph(said(w("training.sentence", **sizes, **amounts, **told)))
    yield Paragraph(said(standing_said(config.standing)), is_note=True)
    peak = account.moments[account.peak_phase]
    yield _terms(peak)
    yield from cited.workings([account.peak, account.steady_state])
    yield from cited.workings(peak.parts, 1)
    process = config.verdict.needed
    yield Paragraph(bold(on_each(config, w("overhead.header"))))
    yield Paragraph(said(w("overhead.text")), is_note=True)
    yield from cited.workings([process, process.inputs["reserved_bytes"]])


def each_device(config: Configuration, cited: Cited) -> Iterator[Block]:
    """What the device that needs most holds of a step that is laid out over several."""
    run, rank = config.run, config.rank
    plan = {"micro_batch": run.batch_size, "micro_batches": run.gradient_accumulation, "recompute": run.recompute}
    layout = plan_name(asdict(config.layout) | plan)
    yield Paragraph(plain(w("training.rank_header", devices=config.layout.devices, plan=layout)))
    yield _terms(rank.peak)
    yield from cited.workings([rank.peak])
    yield from cited.workings(rank.peak.parts, 1)
    yield from cited.workings([rank.traffic], 1)


def inference(config: Configuration, cited: Cited) -> Iterator[Block]:
    """Weights and cache."""
    yield _terms(config.inference)
    yield from cited.workings([config.inference], _EVERYTHING)


def fits(config: Configuration) -> Iterator[Block]:
    """Whether a step fits the device, and the largest batch and longest sequence on every device."""
    device, values = config.accelerator, config.values
    yield Paragraph(said(verdict_words(config)))
    serving = verdict_said(config.verdict_of_inference, w("verdict.inference"))
    yield Paragraph(said(f"{serving} {badge(config.inference_standing)}"))
    groups = devices_by_memory()
    knobs = ("batch_size", "seq_len")
    largest = {(p, k): config.largest_that_fits(p, k, np.array(list(groups))) for p in PURPOSES for k in knobs}
    held = {"batch_size": exact(values["seq_len"]), "seq_len": exact(values["batch_size"])}
    heads = [f"{w(f'fits.{p}')}: {w(f'fits.{k}', held=held[k])}" for p, k in largest]
    heads = [on_each(config, head) if p == "training" else head for head, (p, _) in zip(heads, largest, strict=True)]
    rows = [
        [
            (bold if memory == device.memory else plain)(memory_cell(memory, names)),
            plain(", ".join(names)),
            *(plain(exact(found[row]) if found[row] else "–") for found in largest.values()),
        ]
        for row, (memory, names) in enumerate(groups.items())
    ]
    titles = (w("fits.memory"), w("fits.devices"), *heads)
    yield Table(list(map(plain, titles)), rows, "rwrrrr")
    yield from (Paragraph(plain(w(f"fits.caveat_{purpose}")), is_note=True) for purpose in PURPOSES)
    yield Paragraph(said(memory_told(device, cite=str)), is_note=True)


def scaling_numbers(config: Configuration) -> list[tuple[str, Quantity]]:
    """The loss by Kaplan et al.'s law, and what an improvement costs by it."""
    alpha, improvement = config.values["alpha"], config.values["improvement"]
    asked = {"improvement": improvement, "alpha": alpha}
    wanted = marked(f"{improvement:g}")
    loss = loss_from_parameters(
        critical_parameters=KAPLAN_CRITICAL_PARAMETERS,
        parameters=config.model.non_embedding_parameters(),
        alpha=alpha,
    )
    return [
        (w("scaling.loss"), loss),
        (w("scaling.metric_better", percent=wanted), parameters_for_better_metric(**asked)),
        (w("scaling.loss_lower", percent=wanted), parameters_for_lower_loss(**asked)),
    ]


def scaling(config: Configuration, cited: Cited) -> Iterator[Block]:
    """The same with its working."""
    yield Paragraph(said(w("scaling.sentence")))
    yield from cited.workings([config.model.non_embedding_parameters(), *(q for _, q in scaling_numbers(config))])
    yield Paragraph(said(w("scaling.caveat")), is_note=True)


def article(config: Configuration, cited: Cited) -> Iterator[Block]:
    """The article's count of the parameters and of a step's memory beside ours, term by term."""
    model, dimensions = config.model, config.dimensions
    printed, counted = article_components(dimensions), {id: q.value for id, q in model.components().items()}
    rows = [[plain(w(f"components.{id}")), *_difference(printed.get(id, 0), ours)] for id, ours in counted.items()]
    rows.append([bold(w("working.total")), *_difference(sum(printed.values()), sum(counted.values()))])
    heads = ("working.component", "explore.article", "explore.exact", "explore.difference")
    yield Table([plain(w(head)) for head in heads], rows, "lrrr")
    yield Paragraph(said(w("explore.article_difference_why")), is_note=True)
    yield from _memory_beside(config)
    shape = {key: getattr(dimensions, key) for key in ("d_model", "n_layers", "vocab_size")}
    rule = training_rule_of_thumb(model_bytes=model_memory(parameters=model.parameters(), bits_per_weight=32))
    yield from cited.workings([article_parameters(d_ff=dimensions.ffn_width(), **shape)], 3)
    yield from cited.workings([config.article.peak, rule], 2)


def _memory_beside(config: Configuration) -> Iterator[Block]:
    moment = "loss_backward"
    theirs, ours = (told_together(memory.moments[moment]) for memory in (config.article, config.step))
    groups = [group for group in ours if theirs[group] or ours[group]]
    rows = [[plain(w(f"together.{group}")), *_ratio(theirs[group], ours[group])] for group in groups]
    rows.append([bold(w(f"phases.{moment}")), *_ratio(sum(theirs.values()), sum(ours.values()))])
    rule = training_rule_of_thumb(model_bytes=model_memory(parameters=config.model.parameters(), bits_per_weight=32))
    rows.append([plain(name(rule.id)), *_ratio(rule.value, config.step.peak.value)])
    yield Paragraph(said(w("training.article_text")))
    ours_here = as_on_one(config, w("accounts.corrected"))
    heads = (w("working.term"), w("explore.article"), ours_here, w("training.ratio"))
    yield Table(list(map(plain, heads)), rows, "lrrr")
    reasons = {w(f"together.{group}"): w(f"together.{group}_why") for group in groups}
    reasons[name(rule.id)] = w("together.rule_why")
    yield Bullets([bold(group) + said(f": {why}") for group, why in reasons.items()])


def accuracy(config: Configuration) -> Iterator[Block]:
    """What the parameters were held to, and how far off the measured steps of the same code are."""
    if counted := config.counted:
        by = f"`transformers {counted.transformers}: {counted.class_name}`"
        difference = signed(config.model.parameters().value - counted.total)
        yield Paragraph(said(w("parameters.checked", by=by, count=exact(counted.total), difference=difference)))
    measured = of_family(config.family)
    if measured:
        yield Paragraph(said(w("report.measured", count=exact(len(measured)), family=f"`{config.family}`")))
        rows = []
        for side, seen in (("held_back", False), ("looked_at", True)):
            steps = [step for step in measured if step.row.seen == seen]
            for what in ("saved", "peak") if steps else ():
                found = errors(steps, "llmcalc", what)
                shares = (found.median, found.p95, found.largest)
                label = f"{w(f'accuracy.{what}')}, {w(f'accuracy.{side}')}"
                rows.append([plain(label), plain(exact(found.count)), *(plain(error_share(share)) for share in shares)])
        heads = ("report.what", "accuracy.count", "report.median", "report.p95", "report.largest")
        yield Table([plain(w(head)) for head in heads], rows, "lrrrr")
        yield Paragraph(plain(w("report.no_gpu")), is_note=True)
    yield Paragraph(said(standing_said(config.standing)))


def _terms(whole: Quantity) -> Table:
    """A sum's terms, the largest first, as bars and shares."""
    parts = sorted((q for q in whole.parts if q.value), key=lambda q: -q.value)
    return _shares(((name(q.id), q.value, component_of(q.id)) for q in parts), whole.unit, "working.term")


def _shares(rows: Iterable[tuple[str, float, str]], unit: str, head: str) -> Table:
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
    return Table(list(map(plain, titles)), lines, "llrrr")


def _difference(theirs: float, ours: float) -> tuple[Line, ...]:
    return plain(exact(theirs)), plain(exact(ours)), plain(signed(ours - theirs))


def _ratio(theirs: float, ours: float) -> tuple[Line, ...]:
    return plain(_bytes(theirs)), plain(_bytes(ours)), plain(marked(f"{theirs / ours:.2f}") if ours else "–")


def _bytes(value: float) -> str:
    return human(value, "bytes")
