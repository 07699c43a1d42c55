"""The mix of techniques in a training step: from the plain step to the present one, in memory and in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from llmcalc.accuracy import RATE
from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity
from llmcalc.rates.flops import forward_flops
from llmcalc.techniques.mix import SWITCHES, Bar, Mix
from llmcalc.words import label_of, value_of, w, words
from pages.content import quantization, smaller
from pages.content.pieces import published, table
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, heading, note, paragraph, said, said_once
from pages.ui.figures.palette import by_component
from pages.ui.figures.techniques import waterfall
from pages.ui.words.numbers import change, exact, human
from pages.ui.words.standing import Headline
from pages.ui.words.verdict import of_next_token, on_each

MOST_TOLD = 3  # components of a switch's change


def numbers(config: Configuration) -> list[Headline]:
    """The plain step and the present one."""
    mix = config.mix
    found: list[Headline] = [
        (w("techniques.plain"), mix.plain.peak, config.standing_of(mix.plain_setup.run)),
        (on_each(config, w("techniques.mixed")), mix.result.peak, config.standing_of(config.run, config.layout)),
    ]
    if mix.time and mix.plain.time and mix.result.time:
        found += [(w("techniques.plain_time"), mix.plain.time, RATE)]
        found += [(w("techniques.mixed_time"), mix.result.time, RATE)]
    return found


@said_once
def opening(config: Configuration) -> Iterator[Block]:
    """What is compared, and the numbers."""
    plain = config.mix.plain_setup.run
    yield paragraph(w("techniques.mix", sequences=exact(plain.batch_size), length=exact(plain.seq_len)))
    if told := of_next_token(config):
        yield note(told)
    yield say.Headlines(partial(numbers, config))


@said_once
def switches(config: Configuration) -> Iterator[Block]:
    """Two waterfalls, and a table of what each switch saves and costs."""
    mix = config.mix
    yield say.Beside([[_memory(mix)], list(_time(config, mix))])
    if not mix.bars:
        yield say.Notice(said(w("techniques.nothing_thrown")))
        return
    yield heading(w("techniques.table_header"))
    yield _table(mix)


def closing() -> Iterator[Block]:
    """In which order the switches are thrown, and what was measured elsewhere."""
    order = ", ".join(w(f"techniques.switch_{id}") for id in SWITCHES)
    yield note(w("techniques.order", order=order))
    yield from published("mix")


def _names() -> dict[str, str]:
    names = {f"change_{id}": w(f"techniques.switch_{id}") for id in SWITCHES}
    names |= {f"plain_{what}": w("techniques.plain_step") for what in ("peak", "time")}
    return names | {f"mixed_{what}": w("techniques.present_step") for what in ("peak", "time")}


def _memory(mix: Mix) -> say.Chart:
    return _waterfall("mix_memory", w("techniques.memory_chart"), mix.memory, mix, w("axes.peak_per_rank"))


def _time(config: Configuration, mix: Mix) -> Iterator[Block]:
    device = config.accelerator
    if mix.time:
        yield _waterfall("mix_time", w("techniques.time_chart"), mix.time, mix, w("axes.time"))
        yield note(w("techniques.time_estimate", device=device.id, grade=device.grade))
    elif forward_flops(config.model, seq_len=config.values["seq_len"]) is None:
        yield say.Notice(said(w("techniques.no_operations")))
    else:
        yield say.Notice(said(w("techniques.no_rate", device=device.id, format=mix.without_rate)))


def _waterfall(key: str, title: str, whole: Quantity, mix: Mix, axis: str) -> say.Chart:
    names, (first, *changes) = _names(), whole.parts
    told = [f"{names[first.id]} {human(first.value, whole.unit)}"]
    told += [f"{names[part.id]} {change(part.value, whole.unit)}" for part in changes]
    told.append(f"{names[whole.id]} {human(whole.value, whole.unit)}")
    figure = waterfall(title, whole, names, axis)
    return say.Chart(figure, key, f"{title}: {', '.join(told)}", 130 + 38 * (2 + len(mix.bars)))


def _table(mix: Mix) -> say.Table:
    """A row a switch: its setting, what it does to memory and time, what else it costs."""
    rows = []
    for bar in mix.bars:
        time = change(bar.time.value, "s") if bar.time else w("techniques.untimed") if mix.time else "–"
        cells = [w(f"techniques.switch_{bar.id}"), _settings(bar), change(bar.memory.value, "bytes")]
        rows.append([*cells, _changes(bar), time, _cost(bar)])
    heads = [w(f"techniques.column_{id}") for id in ("switch", "setting", "memory", "shrinks", "time", "cost")]
    return table(heads, rows, "llrlrl", "technique_table")


def _cost(bar: Bar) -> str:
    """What else a switch costs: by what it was set to, where that makes a difference."""
    keys = (f"techniques.cost_{id}_{now}" for id, _, now in bar.settings)
    return " ".join(w(key) for key in keys if key in words()) or w(f"techniques.cost_{bar.id}")


def _settings(bar: Bar) -> str:
    """What is moved, from what to what; by name where it is more than one."""
    moved = [(id, f"{value_of(id, was)} → {value_of(id, is_now)}") for id, was, is_now in bar.settings]
    if len(moved) == 1:
        return moved[0][1]
    return " · ".join(f"{label_of(id)}: {change}" for id, change in moved)


def _by_component(bar: Bar) -> dict[str, tuple[float, float]]:
    """Bytes of each component at the peak before and after."""
    before, after = by_component(bar.before.peak.parts), by_component(bar.after.peak.parts)
    return {component: (before.get(component, 0), after.get(component, 0)) for component in {**before, **after}}


def _changes(bar: Bar) -> str:
    """The components that change most."""
    moved = {component: after - before for component, (before, after) in _by_component(bar).items()}
    largest = sorted(moved, key=lambda component: -abs(moved[component]))[:MOST_TOLD]
    told = [f"{w(f'components.{c}')} {change(moved[c], 'bytes')}" for c in largest if abs(moved[c]) >= 2**20]
    return ", ".join(told) or "–"


def one_switch(bar: Bar) -> Iterator[Block]:
    """The working of one switch: the peak before and after by component, and the time by what it goes into."""
    rows = [
        (w(f"components.{c}"), human(before, "bytes"), human(after, "bytes"), change(after - before, "bytes"))
        for c, (before, after) in _by_component(bar).items()
    ]
    heads = ("working.component", "techniques.before", "techniques.after", "techniques.change")
    yield table([*map(w, heads)], rows)
    yield say.Worked([bar.memory, *([bar.time] if bar.time and bar.after.time else [])], 0)
    if bar.time and bar.after.time:
        yield say.Worked([bar.after.time], 2)


# What else the page shows, in the mix's place
OTHERS: Mapping[str, Callable[[Configuration], Iterable[Block]]] = {
    "quantization": quantization.quantization,
    "cache": quantization.cache,
    "pruning": smaller.pruning,
    "distillation": smaller.distillation,
}
