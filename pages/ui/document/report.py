"""The report of one configuration: what it is, its numbers with their working, and every source that they cite.

What is said is settled here, once; `html` and `markdown` write it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from llmcalc.accuracy import LAW, PROCESS, SHAPES
from llmcalc.bases import SHAPE
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.inference import cache_per_token
from llmcalc.inputs import DEFAULTS, INPUTS, LINK_VERSION
from llmcalc.rates.flops import forward_flops
from llmcalc.words import label_of, language, value_of, w
from llmcalc.words.names import unit_name
from pages.ui.document.blocks import (
    Block,
    Bullets,
    Document,
    Line,
    Paragraph,
    Section,
    Table,
    code,
    linked,
    plain,
    said,
)
from pages.ui.document.report_sections import (
    Cited,
    accuracy,
    article,
    each_device,
    fits,
    inference,
    parameters,
    scaling,
    scaling_numbers,
    training,
)
from pages.ui.words.numbers import exact, human
from pages.ui.words.problems import notes_of, problem_words, unmarked
from pages.ui.words.standing import Headline, label, standing_said
from pages.ui.words.titles import title_of
from pages.ui.words.verdict import as_counted, counted_where, on_each, whole_model

_NOT_OF_A_RUN = ("lang", "present", "model", "config", "compare")


def report(config: Configuration, link: str, made: date) -> Document:
    """The whole report in the language of this run. ``link`` opens the configuration, ``made`` is the day."""
    cited = Cited()
    sections = [
        _section("numbers", _headlines(config)),
        _section("parameters", parameters(config, cited)),
        Section(plain(as_counted(config, w("report.training"))), list(training(config, cited))),
        *([_section("devices", each_device(config, cited))] if config.layout != Layout() else []),
        _section("inference", inference(config, cited)),
        _section("fits", fits(config)),
        _section("scaling", scaling(config, cited)),
        _section("article", article(config, cited)),
        _section("accuracy", accuracy(config)),
        _section("inputs", _all_inputs(config, link)),
        _section("sources", [Bullets(list(cited.works()))]),
    ]
    title = plain(w("report.title", name=title_of(config)))
    return Document(title, language(), list(_opening(config, link, made)), sections)


def _section(id: str, blocks: list[Block] | Iterator[Block]) -> Section:
    return Section(plain(w(f"report.{id}")), list(blocks))


def _opening(config: Configuration, link: str, made: date) -> Iterator[Block]:
    """What was counted, from where, when, what was changed of it and what is wrong with it."""
    yield Paragraph(plain(w("report.made", date=made.isoformat(), version=LINK_VERSION)))
    yield Paragraph(linked(w("report.link"), link))
    start = config.base
    about = plain(" · ".join(text for text in (start.id, start.group, str(start.year or "")) if text))
    if start.source:
        about += plain(f" · {w('working.source')}: ") + linked(start.source, start.url)
    yield Paragraph(about)
    notes = [unmarked(note) for note in (*notes_of(start), *map(problem_words, config.problems))]
    if notes:
        yield Bullets([plain(note) for note in notes])
    changed = list(_changed(config))
    yield Paragraph(said(w("report.changed") if changed else w("report.unchanged", name=start.id)))
    if changed:
        heads = ("report.input", "report.at_first", "report.here")
        yield Table([plain(w(head)) for head in heads], changed, "lrr")


def _changed(config: Configuration) -> Iterator[list[Line]]:
    """Every input that differs from the base, or from what it is at first where the base does not decide it."""
    at_first = {**DEFAULTS, **config.base.values}
    changed = config.base.changed(config.values)
    for id, value in config.values.items():
        if id in changed or (id not in (*SHAPE, *_NOT_OF_A_RUN) and value != at_first[id]):
            yield [_label(id), _value(id, at_first[id]), _value(id, value)]


def _headlines(config: Configuration) -> Iterator[Block]:
    """The numbers that the pages show in frames, for people and exactly."""
    model, values, step = config.model, config.values, config.training
    flops = forward_flops(model, seq_len=values["seq_len"])
    active = model.active_parameters()
    count, step_standing, serving = config.count_standing, config.standing, config.inference_standing
    cached = cache_per_token(model, cache_format=values["cache_format"])
    quantities: list[Headline] = [
        (w("parameters.total"), model.parameters(), count),
        *([(w("parameters.active"), active, count)] if active.value != model.parameters().value else []),
        (w("parameters.embedding"), model.embedding_parameters(), count),
        (w("parameters.non_embedding"), model.non_embedding_parameters(), count),
        (w("explore.weights", format=values["weight_format"]), config.inference.inputs["weights"], serving),
        (as_counted(config, w("training.steady_state")), step.steady_state, step_standing),
        (as_counted(config, w("training.saved_activations")), step.saved_activations, step_standing),
        (as_counted(config, w("explore.training_peak")), step.peak, step_standing),
        (on_each(config, w("overhead.process")), config.verdict.needed, PROCESS),
        (w("explore.inference"), config.inference, serving),
        (w("compare.cache", format=values["cache_format"]), cached, serving),
        *([(w("compare.flops", length=exact(values["seq_len"])), flops, SHAPES)] if flops else []),
        *((title, q, LAW) for title, q in scaling_numbers(config)),
    ]
    rows = [
        [
            plain(title),
            plain(human(q.value, q.unit)),
            plain(f"{_digits(q.value)} {unit_name(q.unit, q.value)}".strip()),
            plain(label(standing)),
        ]
        for title, q, standing in quantities
    ]
    heads = ("report.number", "report.rounded", "report.exact", "report.standing")
    yield Table([plain(w(head)) for head in heads], rows, "lrrl")
    if shown := counted_where(config):
        yield Paragraph(said(f"{shown} {whole_model(config)}"))
    for standing in dict.fromkeys(standing for *_, standing in quantities):
        yield Paragraph(said(standing_said(standing)), is_note=True)


def _digits(value: float) -> str:
    """Every digit before the point of a large number, six of a small one."""
    return exact(round(value) if value >= 1e6 else value)


def _all_inputs(config: Configuration, link: str) -> Iterator[Block]:
    """Every input, as the link has it, and the link for those who have it on paper."""
    rows = [[_label(id), code(id), _value(id, config.values[id])] for id in INPUTS]
    yield Table([plain(w(head)) for head in ("report.input", "report.key", "report.here")], rows, "llw")
    yield Paragraph(plain(f"{w('report.link')}: {link}"), is_note=True)


def _label(id: str) -> Line:
    return plain(label_of(id))


def _value(id: str, value: object) -> Line:
    """An input's value as the control shows it; a text that the reader gave is set as one."""
    return (code if value and id in ("config", "compare") else plain)(value_of(id, value))
