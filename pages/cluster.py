"""Plan for a cluster: every way to lay the training step out over so many devices, the best that fits first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.accuracy import PROCESS, SHAPES
from llmcalc.devices.plans import settings
from llmcalc.errors import InputError
from llmcalc.units import GiB
from llmcalc.words import w
from pages.ui.app.sections import set_inputs
from pages.ui.app.show import headlines, model_header, working
from pages.ui.app.state import configuration
from pages.ui.app.verdict import draw_verdict, verdict_place
from pages.ui.chart.component import chart
from pages.ui.figures.memory import memory_bars
from pages.ui.figures.palette import COLOURS, by_component
from pages.ui.figures.plans import plan_points, plans_of
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.plans import plan_name
from pages.ui.words.problems import problem_words
from pages.ui.words.standing import badge, why
from pages.ui.words.titles import title_of
from pages.ui.words.verdict import for_tensors

if TYPE_CHECKING:
    import pandas as pd

FILTERS = ("tensor_parallel", "pipeline_parallel", "context_parallel", "zero_stage", "recompute")
COLUMNS = ("fits", "needed", "time", "plan", "recompute", "traffic", "bubble")
MOST_ROWS = 1_000
NUMBERS = (8, 64, 512)  # of devices, to begin with

inside_app()
config = configuration()
cluster = config.cluster
device = (config.accelerator.id, config.accelerator.memory)


def answer(plans: pd.DataFrame) -> None:
    """What is the best plan, or what is nearest where none fits."""
    fitting = int(plans["fits"].sum())
    plan = plans_of(plans.head(1))[0]
    needed, memory = plan["needed"], human(device[1], "bytes")
    said = {"plan": plan_name(plan), "all": len(plans), "needed": human(needed, "bytes"), "memory": memory}
    if fitting:
        st.markdown(w("cluster.best", fitting=fitting, headroom=human(device[1] - needed, "bytes"), **said))
    else:
        st.markdown(w("cluster.none", over=human(needed - device[1], "bytes"), device=device[0], **said))
        st.info(w("cluster.change"))
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="cluster_estimate"):
        standing = config.standing_of_plan(plan)
        st.markdown(badge(standing), help=why(standing), width="content")
        st.caption(w("cluster.batch", batch=cluster.global_batch, length=config.values["seq_len"]))


def filtered(plans: pd.DataFrame) -> pd.DataFrame:
    """The plans that the reader wants to see."""
    with st.container(horizontal=True, gap="medium", key="plan_filters"):
        for column in FILTERS:
            options = sorted(config.plans[column].unique().tolist())
            if len(options) > 1:
                label = w(f"cluster.filter_{column}")
                said = {n: w(f"options.recompute.{n}") if column == "recompute" else exact(n) for n in options}
                wanted = st.pills(
                    label, options, selection_mode="multi", key=f"plans_{column}", format_func=said.__getitem__
                )
                plans = plans[plans[column].isin(wanted or options)]
    return plans


def table(plans: pd.DataFrame) -> Mapping[str, Any]:
    """The plans to choose from; returns the one that was selected, else the first."""
    shown = plans.head(MOST_ROWS)
    told = shown.assign(
        needed=shown["needed"] / GiB,
        traffic=shown["traffic"] / GiB,
        plan=[plan_name({**plan, "recompute": "none"}) for plan in plans_of(shown)],
    )
    written: dict[str, str | Callable[[Any], str] | None] = {
        "needed": lambda gib: marked(f"{gib:,.1f}"),
        "time": lambda ratio: marked(f"{ratio:.2f}"),
        "traffic": lambda gib: human(gib),
        "bubble": lambda share: marked(f"{share:.0%}"),
        "recompute": lambda option: w(f"options.recompute.{option}"),
    }
    helps = {name: w(f"cluster.help_{name}") for name in ("time", "traffic", "bubble")}
    picked = st.dataframe(
        told.style.set_uuid("0").format(written),
        hide_index=True,
        column_order=COLUMNS,
        column_config={
            name: st.column_config.Column(w(f"cluster.column_{name}"), help=helps.get(name)) for name in COLUMNS
        },
        key="plans",
        on_select="rerun",
        selection_mode="single-row",
        height=320,
        alt=w("cluster.table"),
    )
    rows = [row for row in picked["selection"]["rows"] if row < len(shown)]
    return plans_of(shown.iloc[rows[:1] or [0]])[0]


def memory_of(plan: Mapping[str, Any]) -> None:
    """What the chosen plan holds on the device that needs most, with its working, and a button that puts it to use."""
    used = config.with_plan(plan)
    rank = used.rank
    st.subheader(w("cluster.chosen", plan=plan_name(plan)), anchor=False)
    if config.uses(plan):
        st.success(w("cluster.applied"), icon=":material/check:")
    else:
        st.button(
            w("cluster.apply"), key="apply_plan", type="primary", help=w("cluster.apply_help"),
            on_click=set_inputs, args=(settings(plan),),
        )  # fmt: skip
    standing = config.standing_of_plan(plan)
    numbers = [(w("overhead.process"), used.verdict.needed, PROCESS), (w("cluster.peak"), rank.peak, standing)]
    numbers += [(w("components.weights"), rank.weights, standing)]
    numbers += [(w("components.optimizer_state"), rank.optimizer_state, standing)]
    if used.layout.devices > 1:
        numbers += [(w("components.communication"), rank.communication, standing)]
        numbers += [(w("cluster.sends"), rank.traffic, SHAPES)]
    headlines(lambda: numbers)
    names = {component: w(f"components.{component}") for component in COLOURS}
    parts = by_component(rank.peak.parts)
    title = w("cluster.peak_chart")
    said = ", ".join(f"{names[component]} {human(value, 'bytes')}" for component, value in parts.items())
    bars = memory_bars(title, {w("cluster.peak"): parts}, names, for_tensors(used), w("axes.memory"))
    chart(bars, key="plan_memory", alt=f"{title}: {said}", height=200)
    with st.expander(w("cluster.working"), key="plan_working", on_change="rerun") as opened:
        if opened.open:
            working(rank.peak)


def more_devices() -> None:
    """One device sends nothing, so there is nothing to choose from: numbers of devices to plan for."""
    with st.container(horizontal=True, vertical_alignment="center", key="more_devices"):
        st.markdown(w("cluster.one_device"), width="content")
        for n in NUMBERS:
            st.button(
                w("cluster.plan_for", devices=n), key=f"plan_for_{n}", on_click=set_inputs,
                args=({"n_devices": n, "data_parallel": None},),
            )  # fmt: skip


def to_choose_from(wanted: pd.DataFrame) -> None:
    """The chart and the table of the plans, and what the chosen one needs."""
    drawing = st.container()
    st.subheader(w("cluster.table"), anchor=False)
    st.caption(w("cluster.table_hint"))
    plan = table(wanted)
    with st.container(horizontal=True, vertical_alignment="center", key="plan_download"):
        st.download_button(
            w("cluster.download"), lambda: wanted.to_csv(index=False), "plans.csv", "text/csv",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
        if len(wanted) > MOST_ROWS:
            st.caption(w("cluster.first", shown=MOST_ROWS, count=len(wanted)))
    with drawing:
        if wanted["traffic"].any():
            title = w("cluster.chart", count=len(wanted))
            ends = {"low": human(wanted["needed"].min(), "bytes"), "high": human(wanted["needed"].max(), "bytes")}
            figure = plan_points(title, wanted, plan, device)
            chart(figure, key="plan_points", alt=w("cluster.chart_alt", title=title, **ends), height=380)
        elif cluster.devices == 1:
            more_devices()
    memory_of(plan)
    st.caption(w("cluster.estimate"))


model_header(w("cluster.header", name=title_of(config), devices=cluster.devices, device=device[0]), config.base)
draw_verdict(config, verdict_place())
try:
    plans = config.plans
except InputError as error:
    st.warning(problem_words(error))
else:
    answer(plans)
    wanted = filtered(plans)
    if wanted.empty:
        st.info(w("cluster.nothing_left"))
    else:
        to_choose_from(wanted)
