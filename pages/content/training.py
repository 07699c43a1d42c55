"""Training memory: one step as it goes by, what its peak is made of, and what would make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from llmcalc.accuracy import PROCESS
from llmcalc.article import ArticleStep
from llmcalc.configuration import Configuration
from llmcalc.fit.advice import Advice
from llmcalc.lessons.facts import rule_of_four
from llmcalc.quantity import Quantity
from llmcalc.words import w
from llmcalc.words.names import name
from pages.content.pieces import changes_named, component_names, memory_chart, table, term_table, whose_memory, workings
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, bold, heading, paragraph, said, said_once
from pages.ui.figures.accounts import told_together
from pages.ui.figures.palette import by_component
from pages.ui.figures.timeline import timeline_figure
from pages.ui.words.devices import beside_tensors, process_name
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.standing import Headline
from pages.ui.words.verdict import as_counted, as_on_one, for_tensors, on_each, where

BESIDE = "loss_backward"  # the moment at which the article's account is set beside ours


def numbers(config: Configuration) -> list[Headline]:
    """The numbers at the top."""
    account = config.training
    return [
        (as_counted(config, w("training.steady_state")), account.steady_state, config.standing),
        (as_counted(config, w("training.saved_activations")), account.saved_activations, config.standing),
        (as_counted(config, w("training.peak")), account.peak, config.standing),
        (on_each(config, process_name(config.accelerator)), config.verdict.needed, PROCESS),
    ]


def headlines(config: Configuration) -> say.Headlines:
    """The same, once the chart is drawn."""
    return say.Headlines(partial(numbers, config))


@said_once
def through_the_step(config: Configuration) -> say.Chart:
    """The timeline, or the article's few moments."""
    account = config.training
    if isinstance(account, ArticleStep):
        rows = {w(f"phases.{moment}"): by_component(q.parts) for moment, q in account.moments.items()}
        return memory_chart(config, "memory_by_phase", w("training.chart"), rows, 320)
    figure = timeline_figure(w("timeline.title"), account.profile, component_names(), for_tensors(config))
    alt = w(
        "timeline.alt",
        peak=human(account.peak.value, "bytes"),
        phase=w(f"phases.{account.peak_phase}"),
        parts=", ".join(f"{name(q.id)} {human(q.value, 'bytes')}" for q in account.peak.parts),
    )
    return say.Chart(figure, "timeline", alt, 400)


@said_once
def in_words(config: Configuration) -> Iterator[Block]:
    """The step in a sentence, and how far off such steps were where they were measured."""
    account, values = config.training, config.values
    yield from whose_memory(config)
    told = w(
        "training.sentence",
        batch=exact(values["batch_size"]),
        length=exact(values["seq_len"]),
        steady=human(account.steady_state.value, "bytes"),
        peak=human(account.peak.value, "bytes"),
        phase=w(f"phases.{account.peak_phase}"),
        account=w(f"counted.{values['account']}"),
    )
    yield paragraph(told)
    yield say.Rests(config.standing)


@said_once
def what_would_fit(config: Configuration) -> Iterator[Block]:
    """The smallest changes after which it fits, where it does not; and all that would save memory."""
    verdict = config.verdict
    yield heading(on_each(config, w("advice.header")))
    if full := config.peak_of_full_training:
        yield paragraph(w("advice.lora_needs_more", lora=verdict.allocated.value, full=full))
    if verdict.fits:
        yield paragraph(w("advice.fits"))
    else:
        found = config.advice()
        there = where(verdict.devices, verdict.device.id)
        yield paragraph(w("advice.smallest" if found else "advice.none", where=there))
        yield from (_offer(advice, f"advice_{place}") for place, advice in enumerate(found))
    yield say.Folded(said(w("advice.all")), "savings", partial(_all_savings, config))


def _all_savings(config: Configuration) -> Iterator[Block]:
    return (_offer(advice, f"saving_{place}") for place, advice in enumerate(config.savings()))


def _offer(advice: Advice, key: str) -> say.Offer:
    """The changes, with what they save and lead to."""
    label = w(
        "advice.button",
        changes=changes_named([change.id for change in advice.changes], advice.fields),
        saved=human(advice.saved, "bytes"),
        peak=human(advice.peak, "bytes"),
    )
    cost = [w(f"advice.cost_{advice.cost}")]
    cost += [w("techniques.cost_loss_fused")] if advice.fields.get("loss") == "fused" else []
    return say.Offer(said(label), advice.fields, key, " ".join(cost))


def terms(at: Quantity) -> Iterator[Block]:
    """The terms of one moment, with their working."""
    yield term_table([q for q in at.parts if q.value], at)
    yield workings("peak_working", *at.parts, title="training.terms_working")


@said_once
def beside_the_tensors(config: Configuration) -> Iterator[Block]:
    """Allocated, reserved, and what the device shows."""
    verdict, device = config.verdict, config.accelerator
    yield heading(on_each(config, beside_tensors(device, "overhead.header", "overhead.header_elsewhere")))
    yield paragraph(beside_tensors(device, "overhead.text", "overhead.text_elsewhere"))
    told = {
        w("overhead.allocated"): verdict.allocated,
        w("overhead.reserved"): verdict.reserved,
        process_name(device): verdict.needed,
    }
    rows = [(label, human(quantity.value, "bytes")) for label, quantity in told.items()]
    yield table([w("working.term"), w("working.amount")], rows)
    yield workings("overhead_working", verdict.needed)


@said_once
def beside_the_article(config: Configuration) -> Iterator[Block]:
    """The article's account and ours at the same moment, term by term, with what makes the difference."""
    yield heading(as_on_one(config, w("training.article_header")))
    yield paragraph(w("training.article_text"))
    theirs, ours = (told_together(memory.moments[BESIDE]) for memory in (config.article, config.step))
    groups = [group for group in ours if theirs[group] or ours[group]]
    rows = [_compared(said(w(f"together.{group}")), theirs[group], ours[group]) for group in groups]
    rows.append(_compared(bold(w(f"phases.{BESIDE}")), sum(theirs.values()), sum(ours.values())))
    rule = rule_of_four(config)
    rows.append(_compared(said(name(rule.id)), rule.value, config.step.peak.value))
    ours_here = as_on_one(config, w("accounts.corrected"))
    yield table([w("working.term"), w("explore.article"), ours_here, w("training.ratio")], rows)
    reasons = {w(f"together.{group}"): w(f"together.{group}_why") for group in groups}
    reasons[name(rule.id)] = w("together.rule_why")
    yield say.Bullets([bold(group) + said(f": {why}") for group, why in reasons.items()])


def _compared(label: Line, theirs: float, ours: float) -> list[str | Line]:
    ratio = marked(f"{theirs / ours:.2f}") if ours else "–"
    return [label, human(theirs, "bytes"), human(ours, "bytes"), ratio]
