"""Every page in one place: all that it says, of whose numbers the working is taken home, and its other tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from llmcalc.accuracy import all_compared
from llmcalc.comparison import read_each
from llmcalc.configuration import Configuration
from llmcalc.errata import ERRATA
from llmcalc.errors import InputError
from llmcalc.export import TABLES
from llmcalc.export.rows import Rows
from llmcalc.lessons.chapters import CHAPTERS
from llmcalc.reference import formulas
from llmcalc.snippets import hub_name
from pages.content import (
    accuracy,
    article,
    cluster,
    compare,
    cost,
    explore,
    finetuning,
    fits,
    laws,
    lesson,
    lesson_charts,
    method,
    mix,
    parameters,
    pasted,
    reports,
    scaling,
    serving,
    training,
)
from pages.ui.document.blocks import Block, Notice, Verdict, Worked, said
from pages.ui.document.data import workings
from pages.ui.figures.plans import plans_of
from pages.ui.words.problems import problem_words

WORKING = "working"


@dataclass(frozen=True)
class Page:
    """``says``: all of it, in order. ``tables``: what it offers to take home, each a name of `llmcalc.export.TABLES`;
    `WORKING` has the working of every number in what is said."""

    says: Callable[[Configuration], Iterable[Block]]
    tables: tuple[str, ...]

    def data(self, config: Configuration) -> dict[str, Callable[[], Rows]]:
        """What makes the rows of each table."""
        return {name: partial(self._rows, name, config) for name in self.tables}

    def _rows(self, name: str, config: Configuration) -> Rows:
        return workings(self.says(config)) if name == WORKING else TABLES[name](config)


def _explore(config: Configuration) -> Iterator[Block]:
    yield explore.headlines(config)
    yield Verdict(config)
    yield from (explore.parameters_chart(config), explore.moments_chart(config), explore.growth_chart(config))
    yield from explore.what_is_shown(config)
    for piece in explore.MORE.values():
        yield from piece(config)


def _learn(config: Configuration) -> Iterator[Block]:
    chapter = CHAPTERS[config.values["chapter"]]
    yield from lesson_charts.lesson_chart(chapter.id, config)
    yield Worked(chapter.formulas(config))
    if chapter.id == "calculators":
        yield from lesson.calculators(config)
    yield Worked([config.model.parameters(), config.training.peak, config.inference])


def _training(config: Configuration) -> Iterator[Block]:
    yield Verdict(config)
    yield training.headlines(config)
    yield training.through_the_step(config)
    yield from training.in_words(config)
    yield from finetuning.recipe(config)
    yield from training.what_would_fit(config)
    for piece in (finetuning.what_it_takes, finetuning.other_trainings, finetuning.to_run_it):
        yield from piece(config)
    for moment in config.training.moments.values():
        yield from training.terms(moment)
    yield from training.beside_the_tensors(config)
    yield from training.beside_the_article(config)
    yield Worked([config.on_each.steady_state, config.on_each.saved_activations])  # of our account, if theirs is told


def _fits(config: Configuration) -> Iterator[Block]:
    yield from fits.fits(config, config.values["purpose"])
    yield Worked([config.verdict_of(config.values["purpose"]).needed])


def _serving(config: Configuration) -> Iterator[Block]:
    yield from serving.in_files(config)
    if config.served is not None:
        yield from pasted.to_start_it(hub_name(config), config.served.job)


def _cluster(config: Configuration) -> Iterator[Block]:
    """With the best plan chosen, and the layout that is set."""
    yield Verdict(config)
    try:
        plans = config.plans
    except InputError as error:
        yield Notice(said(problem_words(error)), "warning")
    else:
        yield from cluster.answer(config)
        best = plans_of(plans.head(1))[0]
        yield cluster.points(config)
        yield from cluster.held(config.with_plan(best), config.standing_of_plan(best))
    yield from cluster.held(config, config.verdict_standing)
    yield Worked([config.rank.traffic])


def _techniques(config: Configuration) -> Iterator[Block]:
    """The technique that was chosen; the mix in any case."""
    if (chosen := config.values["technique"]) != "mix":
        yield from mix.OTHERS[chosen](config)
    found = config.mix
    yield from mix.opening(config)
    yield from mix.switches(config)
    for bar in found.bars:
        yield from mix.one_switch(bar)
    yield from mix.closing()
    yield Worked([found.memory, *([found.time] if found.time else [])])


def _compare(config: Configuration) -> Iterator[Block]:
    models = compare.named(config, read_each(config.values["compare"])[0])
    yield from compare.charts(models)
    yield from compare.side_by_side(models)


def _scaling(config: Configuration) -> Iterator[Block]:
    yield from laws.laws(config)
    yield from scaling.scaling(config)
    yield Worked([quantity for _, quantity, _ in scaling.numbers(config)])


def _cost(config: Configuration) -> Iterator[Block]:
    yield from cost.cost(config)
    yield Worked([config.laws.compute])


def _article(config: Configuration) -> Iterator[Block]:
    yield from article.intro()
    yield from article.sections("abcdefghi")
    yield Worked([figure.right() for figure in ERRATA.values()])


def _accuracy(config: Configuration) -> Iterator[Block]:
    rows = accuracy.Steps(all_compared())
    yield accuracy.frames(rows, len(rows))
    for figure in ("peak", "saved"):
        yield accuracy.charts(rows, figure)
    yield from reports.of_kinds(rows)
    yield from reports.by_people()
    yield from accuracy.spreads(rows)


def _method(config: Configuration) -> Iterator[Block]:
    for found in formulas().values():
        for formula in found:
            yield from method.entry(formula)
    yield from method.nomenclature()
    yield from method.devices()


EVERY_PAGE: Mapping[str, Page] = {
    "explore": Page(_explore, ("components", "moments", "inference", "growth", "article_count", "formats", WORKING)),
    "learn": Page(_learn, ("components", "moments", "inference", WORKING)),
    "parameters": Page(parameters.parameters, ("components", "parts", "layers", "weights", WORKING)),
    "training": Page(_training, ("timeline", "profile", "moments", "process", "savings", "takes", "device", WORKING)),
    "fits": Page(_fits, ("devices", "memory_map", WORKING)),
    "cluster": Page(_cluster, ("plans", "device", WORKING)),
    "serving": Page(_serving, ("served", "served_users", "offers", WORKING)),
    "techniques": Page(_techniques, ("switches", "formats", "caches", "pruned", "distilled", WORKING)),
    "compare": Page(_compare, ("compared", "compared_components", "compared_working")),
    "scaling": Page(_scaling, ("best_by_law", "trained_models", "law", "improvements", WORKING)),
    "cost": Page(_cost, ("training_work", WORKING)),
    "article": Page(_article, ("printed", WORKING)),
    "accuracy": Page(
        _accuracy,
        (
            *("measured", "measured_settings", "measured_runs", "printed_peaks", "measured_speed", "measured_rates"),
            *("measured_ranks", "printed_logs"),
        ),
    ),
    "method": Page(_method, ("all_formulas", "symbols", "accelerators", "memory_readings")),
}
