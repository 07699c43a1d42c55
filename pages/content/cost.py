"""What a run of training takes: operations by component, time, electricity, emissions and money by what moves them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from llmcalc.accuracy import RATE, SHAPES
from llmcalc.configuration import Configuration
from llmcalc.scaling.cost import TrainingCost
from llmcalc.words import label_of, w
from llmcalc.words.names import name
from pages.content.pieces import table, workings
from pages.ui.document.blocks import (
    Block,
    Chart,
    Controls,
    Headlines,
    Notice,
    heading,
    note,
    paragraph,
    said,
    said_once,
)
from pages.ui.figures.laws import curve, here, on_powers_of_ten, work_bars
from pages.ui.figures.palette import COLOURS, MUTED
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.standing import Headline
from pages.ui.words.titles import title_of

UTILIZATIONS = (20, 30, 40, 50, 60)
_DAY = 86_400
_OTHERS = {"scores": "all_attention_flops", "again": "again"}  # of no component of the parameters
KNOBS = (
    *("train_tokens", "seq_len", "accelerator", "n_devices", "utilization", "recompute"),
    *("price_per_hour", "power_usage", "grid"),
)


def numbers(config: Configuration) -> list[Headline]:
    """The numbers at the top."""
    cost = config.laws.cost
    if cost is None:
        return []
    found: list[Headline] = [
        (w("cost.flops"), cost.flops, SHAPES),
        (w("cost.time"), cost.time, RATE),
        (w("cost.device_hours"), cost.device_hours, RATE),
    ]
    told = (("energy", cost.energy), ("carbon", cost.carbon), ("money", cost.money))
    found += [(w(f"cost.{id}"), quantity, RATE) for id, quantity in told if quantity is not None]
    return [*found, (w("cost.mfu"), cost.model_flops_utilization, RATE)]


@said_once
def cost(config: Configuration) -> Iterator[Block]:
    """The run that was set up, its operations by component, and how its time and cost move."""
    found = config.laws.cost
    if found is None:
        yield Notice(said(_why_unknown(config)), "warning")
        yield Controls(KNOBS, 3)
        return
    yield paragraph(
        w("cost.sentence", name=title_of(config), tokens=human(config.laws.tokens, "tokens"),
          devices=exact(config.n_devices), device=config.accelerator.id, days=human(found.time.value, "s"))
    )  # fmt: skip
    if not config.verdict.fits:
        yield note(w("cost.does_not_fit"))
    yield Headlines(partial(numbers, config))
    if found.money is None:
        yield note(w("cost.no_price", price=label_of("price_per_hour")))
    yield Controls(KNOBS, 3)
    yield by_component(config, found)
    yield note(w("cost.components_note"))
    yield by_devices(config, found)
    yield note(w("cost.devices_note"))
    yield heading(w("cost.utilization_header"))
    heads = [w("cost.utilization"), w("cost.time"), w("cost.device_hours"), w("cost.energy"), w("cost.carbon")]
    heads += [w("cost.money")] if found.money is not None else []
    yield table(heads, [_at(config, share) for share in UTILIZATIONS], "r" * len(heads))
    yield heading(w("cost.views_header"))
    views = {"exact": found.model_flops, "done": found.flops, "six_nd": found.six_nd, "palm": found.palm}
    yield table(
        [w("cost.view"), w("cost.flops"), w("cost.beside")],
        [
            [w(f"cost.view_{id}"), human(q.value, "FLOP"), marked(f"{q.value / found.model_flops.value:.3f}")]
            for id, q in views.items()
        ],
    )
    yield note(w("cost.views_note"))
    money = [found.money] if found.money is not None else []
    energy = [q for q in (found.energy, found.carbon) if q is not None]
    yield workings("cost_working", found.flops, found.time, found.device_hours, *energy, *money, depth=2)


def _why_unknown(config: Configuration) -> str:
    if not config.laws.is_of_decoder:
        return w("cost.unknown_operations", name=title_of(config))
    return w("cost.unknown_rate", name=title_of(config), device=config.accelerator.id)


def _at(config: Configuration, share: float) -> list[str]:
    found = config.laws.cost_with(utilization=share / 100)
    assert found is not None
    told = [human(found.time.value, "s"), human(found.device_hours.value, "h")]
    for quantity in (found.energy, found.carbon):
        told.append("–" if quantity is None else human(quantity.value, quantity.unit))
    money = [] if found.money is None else [human(found.money.value, found.money.unit)]
    return [marked(f"{share}%"), *told, *money]


def by_component(config: Configuration, found: TrainingCost) -> Chart:
    """Operations of a token in all passes, by component."""
    colours = {"scores": COLOURS["positions"], "again": COLOURS["rest"]}
    named = {
        id: name(_OTHERS[id]) if id in _OTHERS else w(f"components.{id}")
        for id in sorted(found.components, key=lambda id: -found.components[id].value)
    }
    values = {named[id]: found.components[id].value for id in named}
    inks = {named[id]: colours.get(id, COLOURS.get(id, MUTED)) for id in named}
    title = w("cost.components_title", length=exact(config.values["seq_len"]))
    told = ", ".join(f"{row} {human(value, 'FLOP')}" for row, value in values.items())
    return Chart(work_bars(title, values, inks, w("cost.components_axis")), "cost_components", f"{title}: {told}",
                 130 + 40 * len(values))  # fmt: skip


def by_devices(config: Configuration, found: TrainingCost) -> Chart:
    """Days against devices, at three utilisations: the present one, half and one and a half of it."""
    devices = np.logspace(0, 5, 41)
    days = found.time.value * config.n_devices / devices / _DAY
    share = config.values["utilization"]
    data = []
    for factor, dash in ((0.5, "dot"), (1, "solid"), (1.5, "dash")):
        if share * factor > 100:
            continue
        along = days / factor
        told = [f"{exact(round(n))} · {human(d * _DAY, 's')}" for n, d in zip(devices, along, strict=True)]
        label = w("cost.at_utilization", share=marked(f"{share * factor:g}%"))
        data.append(curve(label, devices.tolist(), along.tolist(), COLOURS["embedding"], told, dash=dash, width=2.2))
    at, long = config.n_devices, found.time.value / _DAY
    data.append(here(title_of(config), at, long, f"{exact(at)} · {human(found.time.value, 's')}"))
    title = w("cost.devices_title", device=config.accelerator.id)
    alt = w("cost.devices_alt", title=title, devices=exact(at), time=human(found.time.value, "s"))
    low, high = 0.6 * min(days.min(), long), 2.5 * max(days.max(), long)  # room for the least utilisation
    x, y = (w("cost.devices_axis"), 1, max(1e5, at)), (w("cost.days_axis"), low, high)
    return Chart(on_powers_of_ten(title, data, x, y), "cost_devices", alt, 440)
