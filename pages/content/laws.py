"""Scaling laws in use: where the model stands by one of them, what budgets buy, and what each law would do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from llmcalc.accuracy import LAW, RATE
from llmcalc.configuration import Configuration
from llmcalc.inputs import LAWS_WITH_LOSS
from llmcalc.scaling import LAWS, Law
from llmcalc.scaling.laws import counts_active
from llmcalc.scaling.published import TRAINED
from llmcalc.words import w
from pages.content.pieces import table, workings
from pages.content.scaling import numbers as improvements
from pages.ui.document.blocks import (
    Block,
    Chart,
    Controls,
    Headlines,
    Notice,
    bold,
    cite,
    heading,
    note,
    paragraph,
    plain,
    said,
    said_once,
)
from pages.ui.figures.axes import log10
from pages.ui.figures.laws import Trace, band, curve, fitted_and_beyond, here, on_powers_of_ten, points
from pages.ui.figures.palette import LAW_COLOURS, MARK, MUTED, paler
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.standing import Headline
from pages.ui.words.titles import title_of

BUDGETS = tuple(10.0**power for power in range(19, 27))
SIZES = np.logspace(7, 13, 90)
_DATA = np.logspace(8, 16, 240)
_NAMED = ("GPT-3 175B", "Chinchilla", "Llama 3.1 405B", "Pythia 1B")  # few, for a phone
_SPENDING = tuple(law for law in LAWS.values() if "optimal" in law.answers)


def numbers(config: Configuration) -> list[Headline]:
    """The numbers at the top."""
    laws = config.laws
    found: list[Headline] = [
        (w("laws.compute"), laws.compute, LAW),
        (w("laws.loss"), laws.loss, LAW),
        (w("laws.best_parameters"), laws.best.parameters, LAW),
        (w("laws.best_tokens"), laws.best.tokens, LAW),
    ]
    return found + ([(w("laws.bought"), laws.bought, RATE)] if laws.bought else [])


def law_name(law: Law) -> str:
    """What a law is called."""
    return w(f"options.law.{law.id}") if law.id in LAWS_WITH_LOSS else w(f"law_names.{law.id}")


def _in_legend(law: Law) -> str:
    """The same in few letters, where all laws are told at once."""
    return w(f"law_short.{law.id}")


@said_once
def laws(config: Configuration) -> Iterator[Block]:
    """The chosen law on this model: its numbers, four charts, and what every law says of the same budget."""
    chosen = config.laws.law
    if not config.laws.is_of_decoder:
        yield Notice(said(w("laws.of_decoders", name=title_of(config))), "warning")
    yield Controls(["law", "train_tokens", "train_days"], 3)
    yield the_map(config)
    yield note(w("laws.map_note"))
    yield Headlines(lambda: [*numbers(config), *improvements(config)[2:]])
    yield from _in_words(config)
    yield note(w(f"law_notes.{chosen.id}"))
    yield against_compute(config)
    yield note(w("laws.spent_note"))
    yield from served_and_repeated(config)
    yield valleys(config)
    yield note(w("laws.valleys_note"))
    yield against_tokens(config)
    yield note(w("laws.tokens_note"))
    yield frontiers(config)
    yield note(w("laws.frontiers_note"))
    yield heading(w("laws.every_law"))
    yield table(
        [w("laws.law"), w("laws.their_parameters"), w("laws.their_tokens"), w("laws.ratio"), w("laws.source")],
        [_row(law, config) for law in _SPENDING],
        "lrrrl",
    )
    yield note(w("laws.left_out"))
    best = config.laws.best
    yield workings("laws_working", config.laws.loss, best.parameters, best.tokens, best.loss, depth=1)


def _in_words(config: Configuration) -> Iterator[Block]:
    laws, best = config.laws, config.laws.best
    ratio = laws.tokens / laws.parameters.value
    told = {
        "name": title_of(config),
        "ratio": human(ratio),
        "best_ratio": human(best.tokens_per_parameter.value),
        "parameters": human(best.parameters.value, "parameters"),
        "tokens": human(best.tokens.value, "tokens"),
        "loss": marked(f"{laws.loss.value:.3f}"),
        "best_loss": marked(f"{best.loss.value:.3f}"),
    }
    yield paragraph(w("laws.longer" if ratio > best.tokens_per_parameter.value else "laws.shorter", **told))
    if counts_active(model := config.model):
        whole, active = (human(q.value, "parameters") for q in (model.parameters(), model.active_parameters()))
        yield note(w("laws.of_active", active=active, all=whole))
    if bool(laws.law.extrapolates(parameters=laws.parameters, tokens=laws.tokens, compute=laws.compute)):
        yield note(w("laws.beyond"))


def served_and_repeated(config: Configuration) -> Iterator[Block]:
    """How many tokens it will serve, and how many that it is trained on differ: what that makes of it."""
    found = config.laws
    yield heading(w("laws.served_header"))
    yield Controls(["served_tokens", "unique_tokens"], 2)
    if best := found.served:
        told = {"parameters": human(best.parameters.value, "parameters"), "tokens": human(best.tokens.value, "tokens")}
        sizes = {"size": human(best.parameters.value / found.parameters.value),
                 "longer": human(best.tokens.value / found.tokens)}  # fmt: skip
        served = found.values["served_tokens"] * 10**9
        yield paragraph(w("laws.served", name=title_of(config), served=human(served, "tokens"), **told, **sizes))
        yield workings("served_working", best.parameters, best.tokens, best.compute, depth=1)
    else:
        yield note(w("laws.served_none" if not found.values["served_tokens"] else "laws.served_unknown"))
    if found.repeated:
        worth, loss = found.repeated
        told = {
            "epochs": human(found.epochs),
            "worth": human(worth.value, "tokens"),
            "tokens": human(found.tokens, "tokens"),
        }
        yield paragraph(w("laws.repeated", loss=marked(f"{loss.value:.3f}"), **told))
        yield workings("repeated_working", worth, loss, depth=1)
    else:
        yield note(w("laws.repeated_none"))


def _row(law: Law, config: Configuration) -> list[Any]:
    best = law.optimal(compute=config.laws.compute)
    name, is_chosen = law_name(law), law.id == config.laws.law.id
    shown = bold(name) if is_chosen else plain(name)
    found = (human(best.parameters.value, "parameters"), human(best.tokens.value, "tokens"))
    return [shown, *map(plain, found), plain(human(best.tokens_per_parameter.value)), cite(law.source)]


def _losses(law: Law, sizes: Any, tokens: Any) -> np.ndarray:
    return np.asarray(law.loss(parameters=sizes, tokens=tokens).value, dtype=float)


def _told(sizes: Any, tokens: Any, losses: Any = ()) -> list[str]:
    told = [
        f"{human(float(n), 'parameters')} · {human(float(d), 'tokens')}"
        for n, d in zip(*map(np.ravel, np.broadcast_arrays(sizes, tokens)), strict=True)
    ]
    return [f"{a}<br>{marked(f'{b:.3f}')}" for a, b in zip(told, losses, strict=True)] if len(losses) else told


@said_once
def the_map(config: Configuration) -> Chart:
    """Parameters across, tokens up: equal losses, equal budgets, the best of each, published models, this one."""
    found, law, colour = config.laws, config.laws.law, LAW_COLOURS[config.laws.law.id]
    data: list[Trace] = []
    for at, budget in enumerate(BUDGETS):
        along = budget / (6 * SIZES)
        first: dict[str, Any] = {"showlegend": at == 0, "legendgroup": "budgets"}
        data.append(curve(w("laws.equal_budget"), SIZES, along, MUTED, dash="dot", width=1, **first))
    grid = _losses(law, SIZES[:, None], _DATA[None, :])
    for at, budget in enumerate(BUDGETS):
        best = law.optimal(compute=budget)
        level = law.loss(parameters=best.parameters, tokens=best.tokens).value
        sizes, tokens = _level(grid, level)
        first = {"showlegend": at == 0, "legendgroup": "losses"}
        name = w("laws.equal_loss")
        told = _told(sizes, tokens, [level] * len(sizes))
        data.append(curve(name, sizes, tokens, paler(colour, 0.35), told, width=1.4, **first))
    budgets = np.logspace(18, 27, 60)
    best = law.optimal(compute=budgets)
    beyond = np.broadcast_to(law.extrapolates(compute=budgets, parameters=best.parameters), budgets.shape)
    told = _told(best.parameters.value, best.tokens.value)
    line = (best.parameters.value.tolist(), best.tokens.value.tolist(), beyond.tolist())
    data += fitted_and_beyond(w("laws.best_split"), *line, colour, told)
    if found.bought:
        bought = found.bought.value / (6 * SIZES)
        data.append(curve(w("laws.your_budget"), SIZES, bought, MARK, _told(SIZES, bought), dash="dash", width=2))
    data.append(_published())
    n, d = found.parameters.value, found.tokens
    data.append(here(title_of(config), n, d, f"{title_of(config)}<br>{_told([n], [d])[0]}"))
    title = w("laws.map_title", law=law_name(law))
    alt = w("laws.map_alt", title=title, name=title_of(config), parameters=human(n, "parameters"),
            tokens=human(d, "tokens"), best=human(found.best.parameters.value, "parameters"))  # fmt: skip
    x = (w("axes.parameters"), min(1e7, n / 2), max(1e13, n * 2))
    y = (w("laws.tokens_axis"), min(1e9, d / 2), max(1e14, d * 2))
    return Chart(on_powers_of_ten(title, data, x, y), "laws_map", alt, 620)


def _level(grid: np.ndarray, level: float) -> tuple[list[float], list[float]]:
    """Where the loss is ``level``: for each size the tokens that it takes, as far as the grid goes."""
    x, y = [], []
    for size, losses in zip(SIZES, grid, strict=True):
        if losses[-1] <= level <= losses[0]:
            x.append(float(size))
            y.append(float(10 ** np.interp(-level, -losses, np.log10(_DATA))))
    return x, y


def _published() -> Trace:
    sizes, tokens = [row.parameters for row in TRAINED], [row.tokens for row in TRAINED]
    told = [f"{row.name}<br>{_told([row.parameters], [row.tokens])[0]}" for row in TRAINED]
    text = [row.name if row.name in _NAMED else "" for row in TRAINED]
    look = {"text": text, "textposition": "top center", "textfont": {"size": 11, "color": MUTED}}
    return points(w("laws.published"), sizes, tokens, told, MUTED, **look)


@said_once
def valleys(config: Configuration) -> Chart:
    """Loss against parameters at one budget after the other: the bottom of each valley is the best split."""
    found, law, colour = config.laws, config.laws.law, LAW_COLOURS[config.laws.law.id]
    budgets = [budget for budget in (1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25)]
    data: list[Trace] = []
    lowest, highest = np.inf, 0.0
    for at, budget in enumerate(budgets):
        best = law.optimal(compute=budget)
        sizes = np.logspace(-1.4, 1.4, 51) * best.parameters.value
        losses = _losses(law, sizes, budget / (6 * sizes))
        name, shade = f"{_power(budget)} FLOP", paler(colour, 0.6 - 0.1 * at)
        beyond = np.broadcast_to(law.extrapolates(parameters=sizes, compute=budget), sizes.shape).tolist()
        told = _told(sizes, budget / (6 * sizes), losses)
        data += fitted_and_beyond(name, sizes.tolist(), losses.tolist(), beyond, shade, told)
        lowest, highest = min(lowest, losses.min()), max(highest, losses.min())
    best = law.optimal(compute=np.array(budgets))
    bottoms = _losses(law, best.parameters.value, best.tokens.value)
    told = _told(best.parameters.value, best.tokens.value, bottoms)
    data.append(points(w("laws.best_split"), best.parameters.value, bottoms, told, colour, size=9, symbol="diamond"))
    n, loss = found.parameters.value, found.loss.value
    data.append(here(title_of(config), n, loss, f"{title_of(config)}<br>{_told([n], [found.tokens], [loss])[0]}"))
    title = w("laws.valleys_title", law=law_name(law))
    alt = w("laws.valleys_alt", title=title, best=human(found.best.parameters.value, "parameters"),
            compute=_power(found.compute.value))  # fmt: skip
    reach = (min(lowest, loss) - 0.05, max(highest, loss) + 0.35)
    x = (w("axes.parameters"), min(1e7, n / 2), max(1e13, n * 2))
    return Chart(on_powers_of_ten(title, data, x, (w("axes.loss"), *reach), linear_y=True), "laws_valleys", alt, 480)


@said_once
def against_tokens(config: Configuration) -> Chart:
    """Loss against tokens for models of three sizes, and what is left of it with endless data."""
    found, law, colour = config.laws, config.laws.law, LAW_COLOURS[config.laws.law.id]
    tokens = np.logspace(9, 14, 80)
    n, data, lowest, highest = found.parameters.value, [], np.inf, 0.0
    for factor, shade in ((0.25, 0.5), (1, 0), (4, 0.3)):
        losses = _losses(law, n * factor, tokens)
        beyond = np.broadcast_to(law.extrapolates(parameters=n * factor, tokens=tokens), tokens.shape).tolist()
        told = _told(n * factor, tokens, losses)
        name = human(n * factor, "parameters")
        data += fitted_and_beyond(name, tokens.tolist(), losses.tolist(), beyond, paler(colour, shade), told)
        lowest, highest = min(lowest, losses.min()), max(highest, losses[20])
    best = law.optimal(compute=np.logspace(18, 27, 60))
    losses = _losses(law, best.parameters.value, best.tokens.value)
    told = _told(best.parameters.value, best.tokens.value, losses)
    data.append(curve(w("laws.best_split"), best.tokens.value, losses, MUTED, told, dash="dash", width=1.8))
    told_here = f"{title_of(config)}<br>{_told([n], [found.tokens], [found.loss.value])[0]}"
    data.append(here(title_of(config), found.tokens, found.loss.value, told_here))
    title = w("laws.tokens_title", law=law_name(law))
    alt = w("laws.tokens_alt", title=title, name=title_of(config), loss=marked(f"{found.loss.value:.3f}"),
            tokens=human(found.tokens, "tokens"))  # fmt: skip
    x = (w("laws.tokens_axis"), 1e9, 1e14)
    y = (w("axes.loss"), min(lowest, found.loss.value) - 0.05, max(highest, found.loss.value) + 0.1)
    return Chart(on_powers_of_ten(title, data, x, y, linear_y=True), "laws_tokens", alt, 440)


@said_once
def against_compute(config: Configuration) -> Chart:
    """Loss against compute by the chosen law: the best of each budget, published runs, and this model."""
    found, law, colour = config.laws, config.laws.law, LAW_COLOURS[config.laws.law.id]
    budgets = np.logspace(18, 27, 60)
    best = law.optimal(compute=budgets)
    losses = _losses(law, best.parameters.value, best.tokens.value)
    beyond = np.broadcast_to(law.extrapolates(compute=budgets, parameters=best.parameters), budgets.shape).tolist()
    told = _told(best.parameters.value, best.tokens.value, losses)
    data = fitted_and_beyond(w("laws.best_split"), budgets.tolist(), losses.tolist(), beyond, colour, told)
    sizes, tokens = (np.array([getattr(row, name) for row in TRAINED]) for name in ("parameters", "tokens"))
    theirs = _losses(law, sizes, tokens)
    told = [f"{row.name}<br>{there}" for row, there in zip(TRAINED, _told(sizes, tokens, theirs), strict=True)]
    data.append(points(w("laws.published_by_law"), (6 * sizes * tokens).tolist(), theirs, told, MUTED, size=6))
    c, loss = found.compute.value, found.loss.value
    data.append(here(title_of(config), c, loss, f"{title_of(config)}<br>{_power(c)} FLOP<br>{marked(f'{loss:.3f}')}"))
    title = w("laws.spent_title", law=law_name(law))
    alt = w("laws.spent_alt", title=title, name=title_of(config), loss=marked(f"{loss:.3f}"), compute=_power(c),
            best=marked(f"{found.best.loss.value:.3f}"))  # fmt: skip
    x = (w("laws.compute_axis"), min(1e18, c / 2), max(1e27, c * 2))
    y = (w("axes.loss"), min(losses.min(), loss) - 0.05, max(losses[5], loss) + 0.1)
    return Chart(on_powers_of_ten(title, data, x, y, linear_y=True), "laws_compute", alt, 440)


@said_once
def frontiers(config: Configuration) -> Chart:
    """The best number of parameters for a budget, by every law that says one, each in its own colour."""
    found, budgets = config.laws, np.logspace(18, 27, 46)
    data: list[Trace] = []
    chosen = found.law
    if ends := chosen.band(budgets):
        name = w("laws.interval", law=_in_legend(chosen))
        data.append(band(name, budgets.tolist(), ends[0].tolist(), ends[1].tolist(), LAW_COLOURS[chosen.id]))
    for law in _SPENDING:
        best = law.optimal(compute=budgets).parameters.value
        beyond = np.broadcast_to(law.extrapolates(compute=budgets, parameters=best), budgets.shape).tolist()
        told = [
            f"{law_name(law)}<br>{_power(c)} FLOP · {human(n, 'parameters')}"
            for c, n in zip(budgets, best, strict=True)
        ]
        data += fitted_and_beyond(_in_legend(law), budgets.tolist(), best.tolist(), beyond, LAW_COLOURS[law.id], told)
    spent = [6 * row.parameters * row.tokens for row in TRAINED]
    told = [f"{row.name}<br>{_power(c)} FLOP" for row, c in zip(TRAINED, spent, strict=True)]
    data.append(points(w("laws.published"), spent, [row.parameters for row in TRAINED], told, MUTED, size=5))
    n, c = found.parameters.value, found.compute.value
    data.append(here(title_of(config), c, n, f"{title_of(config)}<br>{_power(c)} FLOP"))
    title = w("laws.frontiers_title")
    alt = w("laws.frontiers_alt", title=title, count=exact(len(_SPENDING)), law=law_name(chosen),
            best=human(found.best.parameters.value, "parameters"), compute=_power(c))  # fmt: skip
    x = (w("laws.compute_axis"), min(1e18, c / 2), max(1e27, c * 2))
    y = (w("axes.parameters"), min(1e7, n / 2), max(1e13, n * 2))
    return Chart(on_powers_of_ten(title, data, x, y), "laws_frontiers", alt, 640)


def _power(value: float) -> str:
    """A budget as people write it: 3.8 × 10²⁵."""
    text = human(value)
    return text.replace(marked("1.00") + " × ", "") if log10(value).is_integer() else text
