"""The mix of techniques in a training step: from the plain step to the present one, in memory and in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import streamlit as st

from llmcalc.accuracy import RATE
from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity
from llmcalc.rates.flops import forward_flops
from llmcalc.techniques.mix import SWITCHES, Bar, Mix
from llmcalc.words import label_of, value_of, w, words
from pages.content.parts import published, table
from pages.ui.app.ask import twin
from pages.ui.app.sections import set_inputs
from pages.ui.app.show import headlines, working
from pages.ui.chart.component import chart
from pages.ui.figures.palette import by_component
from pages.ui.figures.techniques import waterfall
from pages.ui.words.numbers import change, exact, human
from pages.ui.words.standing import Headline

KNOBS = (
    *("precision", "attention", "recompute", "loss", "optimizer", "lora_rank"),
    *("gradient_accumulation", "data_parallel", "zero_stage", "tensor_parallel", "pipeline_parallel"),
    *("utilization", "link_bandwidth", "host_bandwidth"),
)
MOST_TOLD = 3  # components of a switch's change


def mix_section(config: Configuration) -> None:
    """Two waterfalls, a table of what each switch saves and costs, and the working of one of them."""
    mix = config.mix
    plain = mix.plain_setup.run
    st.markdown(w("techniques.mix", sequences=exact(plain.batch_size), length=exact(plain.seq_len)))
    quantities: list[Headline] = [
        (w("techniques.plain"), mix.plain.peak, config.standing_of(plain)),
        (w("techniques.mixed"), mix.result.peak, config.standing_of(config.run, config.layout)),
    ]
    if mix.time and mix.plain.time and mix.result.time:
        quantities += [(w("techniques.plain_time"), mix.plain.time, RATE)]
        quantities += [(w("techniques.mixed_time"), mix.result.time, RATE)]
    headlines(lambda: quantities)
    _knobs(mix)
    _charts(config, mix)
    if mix.bars:
        _table(mix)
        _one_switch(mix)
    else:
        st.info(w("techniques.nothing_thrown"))
    order = ", ".join(w(f"techniques.switch_{id}") for id in SWITCHES)
    st.caption(w("techniques.order", order=order))
    published("mix")


def _knobs(mix: Mix) -> None:
    """The switches beside the charts, and a button that sets all of them back."""
    with st.expander(w("techniques.knobs"), key="technique_knobs"):
        columns = st.columns(3, gap="medium")
        for place, input_id in enumerate(KNOBS):
            with columns[place % 3]:
                twin(input_id)
        plain = mix.plain_setup
        values = {id: getattr(plain.run, id) for id in _RUN_INPUTS}
        values |= asdict(plain.layout)
        st.button(
            w("techniques.all_plain"), key="all_plain", on_click=set_inputs, args=(values,),
            help=w("techniques.all_plain_help"), disabled=not mix.bars,
        )  # fmt: skip


_RUN_INPUTS = (
    *("precision", "attention", "recompute", "loss", "keep_logits", "optimizer", "set_to_none", "lora_rank"),
    "gradient_accumulation",
)


def _charts(config: Configuration, mix: Mix) -> None:
    names = {f"change_{id}": w(f"techniques.switch_{id}") for id in SWITCHES}
    names |= {"plain_peak": w("techniques.plain_step"), "mixed_peak": w("techniques.present_step")}
    names |= {"plain_time": w("techniques.plain_step"), "mixed_time": w("techniques.present_step")}
    height = 130 + 38 * (2 + len(mix.bars))
    left, right = st.columns(2, gap="medium")
    with left:
        _waterfall("mix_memory", w("techniques.memory_chart"), mix.memory, names, w("axes.peak_per_rank"), height)
    with right:
        if mix.time:
            _waterfall("mix_time", w("techniques.time_chart"), mix.time, names, w("axes.time"), height)
            device = config.accelerator
            st.caption(w("techniques.time_estimate", device=device.id, grade=device.grade))
        elif forward_flops(config.model, seq_len=config.values["seq_len"]) is None:
            st.info(w("techniques.no_operations"))
        else:
            st.info(w("techniques.no_rate", device=config.accelerator.id, format=mix.without_rate))


def _waterfall(key: str, title: str, whole: Quantity, names: Mapping[str, str], axis: str, height: int) -> None:
    first, *changes = whole.parts
    said = [f"{names[first.id]} {human(first.value, whole.unit)}"]
    said += [f"{names[part.id]} {change(part.value, whole.unit)}" for part in changes]
    said.append(f"{names[whole.id]} {human(whole.value, whole.unit)}")
    chart(waterfall(title, whole, names, axis), key=key, alt=f"{title}: {', '.join(said)}", height=height)


def _table(mix: Mix) -> None:
    """A row a switch: its setting, what it does to memory and time, what else it costs."""
    st.subheader(w("techniques.table_header"), anchor=False)
    heads = [w(f"techniques.column_{id}") for id in ("switch", "setting", "memory", "shrinks", "time", "cost")]
    lines = [f"| {' | '.join(heads)} |", "|:--|:--|--:|:--|--:|:--|"]
    for bar in mix.bars:
        time = change(bar.time.value, "s") if bar.time else w("techniques.untimed") if mix.time else "–"
        cells = [w(f"techniques.switch_{bar.id}"), _settings(bar)]
        cells += [change(bar.memory.value, "bytes"), _changes(bar), time, _cost(bar)]
        lines.append(f"| {' | '.join(cells)} |")
    with st.container(key="technique_table"):
        st.markdown("\n".join(lines))


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


def _one_switch(mix: Mix) -> None:
    """The working of one switch: the peak before and after by component, and the time by what it goes into."""
    ids = [bar.id for bar in mix.bars]
    chosen = st.pills(
        w("techniques.working_of"), ids, format_func=lambda id: w(f"techniques.switch_{id}"), key="mix_working"
    )
    bar = next((bar for bar in mix.bars if bar.id == chosen), None)
    if bar is None:
        return
    heads = [w("working.component"), w("techniques.before"), w("techniques.after"), w("techniques.change")]
    rows = [
        (w(f"components.{c}"), human(before, "bytes"), human(after, "bytes"), change(after - before, "bytes"))
        for c, (before, after) in _by_component(bar).items()
    ]
    table(heads, rows)
    working(bar.memory, depth=0)
    if bar.time and bar.after.time:
        working(bar.time, depth=0)
        working(bar.after.time, depth=2)
