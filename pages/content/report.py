"""The report of one configuration: what its pages say, every input, and every source that is cited.

`pages.ui.document.html` and `markdown` write it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import date

from llmcalc.bases import SHAPE, at_first
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.inputs import INPUTS, PURPOSES
from llmcalc.lessons.facts import rule_of_four
from llmcalc.link_text import LINK_VERSION
from llmcalc.words import label_of, language, value_of, w
from llmcalc.words.names import unit_name
from pages.content import (
    accuracy,
    cluster,
    compare,
    cost,
    explore,
    fits,
    laws,
    parameters,
    scaling,
    serving,
    training,
)
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, Line, Written, code, linked, note, paragraph, plain
from pages.ui.document.written import Cited, written
from pages.ui.words.numbers import exact, human
from pages.ui.words.plans import plan_name
from pages.ui.words.problems import notes_of, problem_words, unmarked
from pages.ui.words.standing import Headline, label, standing_said
from pages.ui.words.titles import title_of
from pages.ui.words.verdict import as_counted, counted_where, whole_model

_NOT_OF_A_RUN = ("lang", "present", "model", "config", "compare")
_EVERYTHING = 9  # deeper than any tree of quantities goes


def report(config: Configuration, link: str, made: date) -> say.Document:
    """The whole report in the language of this run. ``link`` opens the configuration, ``made`` is the day."""
    cited = Cited()
    told = {
        w("report.numbers"): _headlines(config),
        w("report.parameters"): _parameters(config),
        as_counted(config, w("report.training")): _training(config),
        **({w("report.devices"): _each_device(config)} if config.layout != Layout() else {}),
        w("report.inference"): explore.inference(config),
        w("report.fits"): (block for purpose in PURPOSES for block in fits.fits(config, purpose)),
        w("report.serving"): serving.in_files(config),
        w("report.laws"): laws.laws(config),
        w("report.cost"): cost.cost(config),
        w("report.scaling"): [*scaling.scaling(config), say.Worked([q for _, q, _ in scaling.numbers(config)])],
        w("report.article"): _article(config),
        w("report.accuracy"): accuracy.of_this_model(config),
        w("report.inputs"): _all_inputs(config, link),
    }
    sections = [say.Section(plain(title), _once(written(blocks, cited))) for title, blocks in told.items()]
    sources = say.Section(plain(w("report.sources")), [say.Bullets(list(cited.works()))])
    title = plain(w("report.title", name=title_of(config)))
    return say.Document(title, language(), list(_opening(config, link, made)), [*sections, sources])


def _once(blocks: Iterable[Written]) -> list[Written]:
    """What one section says once, though two pieces of a page say it; and of lists in a row one."""
    told: list[Written] = []
    for block in blocks:
        if isinstance(block, say.Bullets) and told and isinstance(last := told[-1], say.Bullets):
            told[-1] = say.Bullets([*last.lines, *block.lines])
        elif not (isinstance(block, say.Paragraph) and block in told):
            told.append(block)
    return told


def _parameters(config: Configuration) -> Iterator[Block]:
    yield from parameters.parameters(config)
    yield say.Worked([config.model.parameters(), *config.model.components().values()], _EVERYTHING)


def _training(config: Configuration) -> Iterator[Block]:
    account = config.training
    yield from training.in_words(config)
    yield training.through_the_step(config)
    yield from training.terms(account.moments[account.peak_phase])
    yield say.Worked([account.peak, account.steady_state, account.saved_activations])
    yield from training.what_would_fit(config)
    yield from training.beside_the_tensors(config)


def _each_device(config: Configuration) -> Iterator[Block]:
    """What the device that needs most holds of a step that is laid out over several."""
    run, rank = config.run, config.rank
    plan = {"micro_batch": run.batch_size, "micro_batches": run.gradient_accumulation, "recompute": run.recompute}
    layout = plan_name(asdict(config.layout) | plan)
    yield say.Paragraph(plain(w("training.rank_header", devices=config.layout.devices, plan=layout)))
    yield from cluster.held(config, config.verdict_standing)
    yield say.Worked([*rank.peak.parts, rank.traffic])


def _article(config: Configuration) -> Iterator[Block]:
    yield from explore.beside_the_article(config)
    yield from training.beside_the_article(config)
    yield say.Worked([config.article.peak, rule_of_four(config)], 2)


def _opening(config: Configuration, link: str, made: date) -> Iterator[Written]:
    """What was counted, from where, when, what was changed of it and what is wrong with it."""
    yield say.Paragraph(plain(w("report.made", date=made.isoformat(), version=LINK_VERSION)))
    yield say.Paragraph(linked(w("report.link"), link))
    start = config.base
    about = plain(" · ".join(text for text in (start.id, start.group, str(start.year or "")) if text))
    if start.source:
        about += plain(f" · {w('working.source')}: ") + linked(start.source, start.url)
    yield say.Paragraph(about)
    notes = [unmarked(note) for note in (*notes_of(start), *map(problem_words, config.problems))]
    if notes:
        yield say.Bullets([plain(note) for note in notes])
    changed = list(_changed(config))
    yield paragraph(w("report.changed") if changed else w("report.unchanged", name=start.id))
    if changed:
        heads = ("report.input", "report.at_first", "report.here")
        yield say.Table([plain(w(head)) for head in heads], changed, "lrr")


def _changed(config: Configuration) -> Iterator[list[Line]]:
    """Every input that differs from the base, or from what it is at first where the base does not decide it."""
    first = at_first(config.values, config.base)
    changed = config.base.changed(config.values)
    for id, value in config.values.items():
        if id in changed or (id not in (*SHAPE, *_NOT_OF_A_RUN) and value != first[id]):
            yield [_label(id), _value(id, first[id]), _value(id, value)]


def _headlines(config: Configuration) -> Iterator[Block]:
    """The numbers that the pages show in frames, each once, for people and exactly."""
    every: list[Headline] = [
        *(*parameters.numbers(config), *explore.numbers(config), *training.numbers(config)),
        *((title, of.quantity, of.standing) for title, of in compare.per_token(config).items() if of.quantity),
        *(serving.headlines(config, config.served) if config.served else ()),
        *laws.numbers(config),
        *cost.numbers(config),
        *scaling.numbers(config),
    ]
    numbers: dict[tuple[str, float], Headline] = {}
    for headline in every:
        numbers.setdefault((headline[1].id, headline[1].value), headline)
    rows = [
        [
            plain(title),
            plain(human(q.value, q.unit)),
            plain(f"{_digits(q.value)} {unit_name(q.unit, q.value)}".strip()),
            plain(label(standing)),
        ]
        for title, q, standing in numbers.values()
    ]
    heads = ("report.number", "report.rounded", "report.exact", "report.standing")
    yield say.Table([plain(w(head)) for head in heads], rows, "lrrl")
    if shown := counted_where(config):
        yield paragraph(f"{shown} {whole_model(config)}")
    for standing in dict.fromkeys(standing for *_, standing in numbers.values()):
        yield note(standing_said(standing))


def _digits(value: float) -> str:
    """Every digit before the point of a large number, six of a small one."""
    return exact(round(value) if value >= 1e6 else value)


def _all_inputs(config: Configuration, link: str) -> Iterator[Block]:
    """Every input, as the link has it, and the link for those who have it on paper."""
    rows = [[_label(id), code(id), _value(id, config.values[id])] for id in INPUTS]
    yield say.Table([plain(w(head)) for head in ("report.input", "report.key", "report.here")], rows, "llw")
    yield say.Paragraph(plain(f"{w('report.link')}: {link}"), is_note=True)


def _label(id: str) -> Line:
    return plain(label_of(id))


def _value(id: str, value: object) -> Line:
    """An input's value as the control shows it; a text that the reader gave is set as one."""
    return (code if value and id in ("config", "compare") else plain)(value_of(id, value))
