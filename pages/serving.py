"""Serving: whether an engine's devices hold a model, for how many users, how fast, and at what price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.configuration import Configuration
from llmcalc.words import w
from pages.content import serving
from pages.ui.app.problems import problems_beside
from pages.ui.app.screen import draw
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration
from pages.ui.words.numbers import exact
from pages.ui.words.titles import title_of

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 200


def page() -> None:
    """The page."""
    config = configuration()
    model_header(w("serving.header", name=title_of(config), device=config.accelerator.id), config.base)
    problems_beside(config.serving.refused, "served_")
    draw(serving.serving(config))
    if config.served is not None and config.serving.batches is not None:
        every_offer(config)


def every_offer(config: Configuration) -> None:
    """Every device, so many of them, in every format: the rows that the reader wants, in the order that they want."""
    st.subheader(w("serving.offers"), anchor=False)
    st.caption(w("serving.offers_hint", users=config.values["concurrency"], context=config.serving.context))
    table = config.serving.offers
    wanted = filtered(table, config.values["weight_format"])
    if wanted.empty:
        st.info(w("serving.no_offer"))
        return
    shown = wanted.head(MOST_ROWS)
    written = {name: serving.written_offer(name) for name in serving.OFFERED}
    st.dataframe(
        shown.style.set_uuid("0").format({name: how for name, how in written.items() if how}),
        hide_index=True,
        column_order=serving.OFFERED,
        column_config={name: st.column_config.Column(w(f"serving.column_{name}")) for name in serving.OFFERED},
        key="offers",
        height=360,
        alt=w("serving.offers"),
    )
    st.caption(w("serving.offers_shown", shown=exact(len(shown)), count=exact(len(wanted)), all=exact(len(table))))


def filtered(table: pd.DataFrame, format: str) -> pd.DataFrame:
    """The rows that the reader wants to see: to begin with those in the format of the present weights that fit."""
    formats, devices = table["format"].unique().tolist(), table["device"].unique().tolist()
    counts = sorted(table["devices"].unique().tolist())
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom", key="offer_filters"):
        of_format = st.multiselect(
            w("serving.column_format"), formats, default=[format] if format in formats else [], key="offers_format",
            placeholder=w("serving.any"),
        )  # fmt: skip
        of_device = st.multiselect(
            w("serving.column_device"), devices, key="offers_device", placeholder=w("serving.any")
        )
        of_count = st.pills(
            w("serving.column_devices"), counts, selection_mode="multi", key="offers_count", format_func=exact
        )
        only = st.toggle(w("serving.only_fitting"), value=True, key="offers_fitting")
        orders = {column: w(f"serving.column_{column}") for column in serving.SORTED_BY}
        by = st.selectbox(w("serving.sorted_by"), list(orders), key="offers_by", format_func=orders.__getitem__)
    for column, wanted in (("format", of_format), ("device", of_device), ("devices", of_count)):
        if wanted:
            table = table[table[column].isin(wanted)]
    if only:
        table = table[table["fits"]]
    return table.sort_values(by, ascending=serving.SORTED_BY[by], kind="stable")


if __name__ == "__main__":
    alone()
