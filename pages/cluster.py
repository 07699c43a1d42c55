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
from pages.ui.app.screen import draw
from pages.ui.app.sections import set_inputs
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration
from pages.ui.document.blocks import Verdict
from pages.ui.figures.plans import plans_of
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.plans import plan_name, plan_sentence
from pages.ui.words.problems import problem_words
from pages.ui.words.standing import badge, why
from pages.ui.words.titles import title_of

if TYPE_CHECKING:
    import pandas as pd

FILTERS = ("tensor_parallel", "pipeline_parallel", "context_parallel", "zero_stage", "recompute")
COLUMNS = ("fits", "needed", "time", "plan", "recompute", "traffic", "bubble")
MOST_ROWS = 1_000
NUMBERS = (8, 64, 512)  # of devices, to begin with


def page() -> None:
    """The page."""
    config = configuration()
    of = {"devices": config.cluster.devices, "device": config.accelerator.id}
    model_header(w("cluster.header", name=title_of(config), **of), config.base)
    draw([Verdict(config)])
    try:
        plans = config.plans
    except InputError as error:
        st.warning(problem_words(error))
        return
    draw(cluster.answer(config, plans))
    what_it_is(config, plans)
    wanted = filtered(plans)
    if wanted.empty:
        st.info(w("cluster.nothing_left"))
    else:
        to_choose_from(config, wanted)


def what_it_is(config: Configuration, plans: pd.DataFrame) -> None:
    """What the best plan's numbers may be called, and how much it goes through in a step."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="cluster_estimate"):
        standing = config.standing_of_plan(plans_of(plans.head(1))[0])
        st.markdown(badge(standing), help=why(standing), width="content")
        st.caption(w("cluster.batch", batch=config.cluster.global_batch, length=config.values["seq_len"]))


def filtered(plans: pd.DataFrame) -> pd.DataFrame:
    """The plans that the reader wants to see."""
    left = plans
    with st.container(horizontal=True, gap="medium", key="plan_filters"):
        for column in FILTERS:
            options = sorted(plans[column].unique().tolist())
            if len(options) > 1:
                label = w(f"cluster.filter_{column}")
                said = {n: w(f"options.recompute.{n}") if column == "recompute" else exact(n) for n in options}
                wanted = st.pills(
                    label, options, selection_mode="multi", key=f"plans_{column}", format_func=said.__getitem__
                )
                left = left[left[column].isin(wanted or options)]
    return left


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


def to_choose_from(config: Configuration, wanted: pd.DataFrame) -> None:
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
            draw([cluster.points(config, wanted, plan)])
        elif config.cluster.devices == 1:
            more_devices()
    memory_of(config, plan)
    st.caption(w("cluster.estimate"))


if __name__ == "__main__":
    alone()
