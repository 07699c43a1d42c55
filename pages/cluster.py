"""Plan for a cluster: every way to lay the training step out over so many devices, the best that fits first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.configuration import Configuration
from llmcalc.devices.plans import settings
from llmcalc.errors import InputError
from llmcalc.units import GiB
from llmcalc.words import w
from pages.content import cluster
from pages.content.cluster import Wanted
from pages.ui.app.screen import draw
from pages.ui.app.sections import set_inputs
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration
from pages.ui.document.blocks import Verdict, note, said_once
from pages.ui.figures.plans import plans_of
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.plans import layout_name, plan_name, plan_sentence
from pages.ui.words.problems import problem_words
from pages.ui.words.standing import badge, why
from pages.ui.words.titles import title_of

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler

FILTERS = ("tensor_parallel", "pipeline_parallel", "context_parallel", "zero_stage", "recompute")
COLUMNS = ("fits", "needed", "time", "plan", "recompute", "traffic", "bubble")
MOST_ROWS = 1_000
NUMBERS = (8, 64, 512)  # of devices, to begin with


def page() -> None:
    """The page."""
    config = configuration()
    of = {"devices": config.cluster.devices, "device": config.accelerator.id}
    model_header(w("cluster.header", name=title_of(config), **of), config.base)
    try:
        plans = config.plans
    except InputError as error:
        draw([Verdict(config)])
        st.warning(problem_words(error))
        return
    draw(cluster.answer(config))
    what_it_is(config, plans)
    draw([note(w("cluster.as_set", layout=layout_name(config.layout) or w("plan_said.one_device"))), Verdict(config)])
    wanted = choice(plans)
    if cluster.wanted_plans(config, wanted).empty:
        st.info(w("cluster.nothing_left"))
    else:
        to_choose_from(config, wanted)


def what_it_is(config: Configuration, plans: pd.DataFrame) -> None:
    """What the best plan's numbers may be called, and how much it goes through in a step."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="cluster_estimate"):
        standing = config.standing_of_plan(plans_of(plans.head(1))[0])
        st.markdown(badge(standing), help=why(standing), width="content")
        st.caption(w("cluster.batch", batch=config.cluster.global_batch, length=config.values["seq_len"]))


def choice(plans: pd.DataFrame) -> Wanted:
    """Which plans the reader wants to see."""
    found = []
    with st.container(horizontal=True, gap="medium", key="plan_filters"):
        for column in FILTERS:
            options = sorted(plans[column].unique().tolist())
            if len(options) > 1:
                label = w(f"cluster.filter_{column}")
                said = {n: w(f"options.recompute.{n}") if column == "recompute" else exact(n) for n in options}
                wanted = st.pills(
                    label, options, selection_mode="multi", key=f"plans_{column}", format_func=said.__getitem__
                )
                if wanted:
                    found.append((column, tuple(wanted)))
    return tuple(found)


@said_once
def written(config: Configuration, wanted: Wanted) -> Styler:
    """The first of them as the table writes them."""
    shown = cluster.wanted_plans(config, wanted).head(MOST_ROWS)
    told = shown.assign(
        needed=shown["needed"] / GiB,
        traffic=shown["traffic"] / GiB,
        plan=[plan_name({**plan, "recompute": "none"}) for plan in plans_of(shown)],
    )
    columns: dict[str, str | Callable[[Any], str] | None] = {
        "needed": lambda gib: marked(f"{gib:,.1f}"),
        "time": lambda ratio: marked(f"{ratio:.2f}"),
        "traffic": lambda gib: human(gib),
        "bubble": lambda share: marked(f"{share:.0%}"),
        "recompute": lambda option: w(f"options.recompute.{option}"),
    }
    return told.style.set_uuid("0").format(columns)


def table(config: Configuration, wanted: Wanted) -> int:
    """The plans to choose from; returns the row of the one that was selected, else the first."""
    helps = {name: w(f"cluster.help_{name}") for name in ("time", "traffic", "bubble")}
    picked = st.dataframe(
        written(config, wanted),
        hide_index=True,
        column_order=COLUMNS,
        column_config={
            name: st.column_config.Column(w(f"cluster.column_{name}"), help=helps.get(name)) for name in COLUMNS
        },
        key="plans",
        on_select="rerun",
        selection_mode="single-row",
        height=320,
        placeholder="–",
        alt=w("cluster.table"),
    )
    shown = min(MOST_ROWS, len(cluster.wanted_plans(config, wanted)))
    return next((row for row in picked["selection"]["rows"] if row < shown), 0)


def memory_of(config: Configuration, plan: Mapping[str, Any]) -> None:
    """What the chosen plan holds on the device that needs most, and a button that puts it to use."""
    st.subheader(w("cluster.chosen", plan=plan_name(plan)), anchor=False)
    st.caption(plan_sentence(plan))
    if config.uses(plan):
        st.success(w("cluster.applied"), icon=":material/check:")
    else:
        st.button(
            w("cluster.apply"), key="apply_plan", type="primary", help=w("cluster.apply_help"),
            on_click=set_inputs, args=(settings(plan),),
        )  # fmt: skip
    draw(cluster.held(config.with_plan(plan), config.standing_of_plan(plan)))


def more_devices() -> None:
    """One device sends nothing, so there is nothing to choose from: numbers of devices to plan for."""
    with st.container(horizontal=True, vertical_alignment="center", key="more_devices"):
        st.markdown(w("cluster.one_device"), width="content")
        for n in NUMBERS:
            st.button(
                w("cluster.plan_for", devices=n), key=f"plan_for_{n}", on_click=set_inputs,
                args=({"n_devices": n, "data_parallel": None},),
            )  # fmt: skip


def to_choose_from(config: Configuration, wanted: Wanted) -> None:
    """The chart and the table of the plans, and what the chosen one needs."""
    plans = cluster.wanted_plans(config, wanted)
    drawing = st.container()
    st.subheader(w("cluster.table"), anchor=False)
    st.caption(w("cluster.table_hint"))
    row = table(config, wanted)
    with st.container(horizontal=True, vertical_alignment="center", key="plan_download"):
        st.download_button(
            w("cluster.download"), lambda: plans.to_csv(index=False), "plans.csv", "text/csv",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
        if len(plans) > MOST_ROWS:
            st.caption(w("cluster.first", shown=MOST_ROWS, count=len(plans)))
    with drawing:
        if plans["traffic"].any():
            draw([cluster.points(config, wanted, row)])
        elif config.cluster.devices == 1:
            more_devices()
    memory_of(config, plans_of(plans.iloc[[row]])[0])
    st.caption(w("cluster.estimate" if config.cluster.devices > 1 else "cluster.estimate_one"))


if __name__ == "__main__":
    alone()
