"""Serving: whether an engine's devices hold a model, for how many users, how fast, and at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.bases import NAME_OF_ROW
from llmcalc.catalog.models import models
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.facets.serving import inputs_of
from llmcalc.huggingface import from_config
from llmcalc.serving.pasted import Pasted, beside, read_pasted, receipt_of
from llmcalc.snippets import hub_name
from llmcalc.words import w
from pages.content import serving
from pages.content.pasted import beside_predicted, invitation, to_start_it, what_was_read
from pages.content.serving import Wanted
from pages.ui.app.problems import problems_beside
from pages.ui.app.screen import draw
from pages.ui.app.sections import redraw, set_inputs
from pages.ui.app.session import session
from pages.ui.app.show import model_header
from pages.ui.app.state import configuration, show, starting_point
from pages.ui.document.blocks import said_once
from pages.ui.words.numbers import exact
from pages.ui.words.problems import problem_words
from pages.ui.words.titles import title_of

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler

MOST_ROWS = 200
LOG = "machine_log"  # the key of its text area


def page() -> None:
    """The page."""
    config = configuration()
    model_header(w("serving.header", name=title_of(config), device=config.accelerator.id), config.base)
    problems_beside(config.serving.refused, "served_")
    draw(serving.serving(config))
    if config.served is not None and config.serving.batches is not None:
        every_offer(config, config.served.job.concurrency)
    if config.served is not None:
        draw(to_start_it(hub_name(config), config.served.job))
    what_was_printed(config)


def every_offer(config: Configuration, users: int) -> None:
    """Every device, so many of them, in every format: the rows that the reader wants, in the order that they want."""
    st.subheader(w("serving.offers"), anchor=False)
    st.caption(w("serving.offers_hint", users=users, context=config.serving.context))
    offered = serving.offered(config)
    wanted = choice(config.serving.offers, config.values["weight_format"], offered)
    if not (count := len(serving.wanted_offers(config, wanted))):
        st.info(w("serving.no_offer"))
        return
    st.dataframe(
        written(config, wanted),
        hide_index=True,
        column_order=offered,
        column_config={name: st.column_config.Column(w(f"serving.column_{name}")) for name in offered},
        key="offers",
        height=360,
        placeholder="–",
        alt=w("serving.offers"),
    )
    shown, all_of = min(MOST_ROWS, count), len(config.serving.offers)
    st.caption(w("serving.offers_shown", shown=exact(shown), count=exact(count), all=exact(all_of)))


@said_once
def written(config: Configuration, wanted: Wanted) -> Styler:
    """The first of them as the table writes them."""
    columns = {name: how for name in serving.offered(config) if (how := serving.written_offer(name))}
    return serving.wanted_offers(config, wanted).head(MOST_ROWS).style.set_uuid("0").format(columns)


def choice(table: pd.DataFrame, format: str, offered: Sequence[str]) -> Wanted:
    """Which rows the reader wants to see, and by what they are sorted: to begin with those in the format of the present
    weights that fit."""
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
        orders = {column: w(f"serving.column_{column}") for column in serving.SORTED_BY if column in offered}
        by = st.selectbox(w("serving.sorted_by"), list(orders), key="offers_by", format_func=orders.__getitem__)
    return Wanted(tuple(of_format), tuple(of_device), tuple(of_count), only, by)


# What the reader's own machine printed


def what_was_printed(config: Configuration) -> None:
    """A log to paste, what was read of it, and its figures beside what is predicted."""
    draw(invitation())
    show(LOG, session().machine_log)  # a page that is left and come back to has it still
    st.text_area(w("pasted.log"), key=LOG, height=160, placeholder=w("pasted.example"), on_change=keep_log)
    if not session().machine_log.strip():
        return
    try:
        pasted = read_pasted(session().machine_log)
        draw(what_was_read(pasted))
        if pasted.figures:
            compare(config, pasted, chosen_model(config, pasted.library_id))
    except InputError as error:
        st.error(problem_words(error), icon=":material/error:")


def keep_log() -> None:
    """Keep what was pasted while another page is open."""
    session().machine_log = st.session_state[LOG]
    redraw()


def chosen_model(config: Configuration, read: str) -> str:
    """The library's id of the model that the log is of: the one that it names, unless the reader says that it is the
    one that is set up here, which is ""; that too where it names none of the library."""
    here = config.base.library_id
    if not read or read == here:
        st.caption(w("pasted.of_model", model=title_of(config)))
        return ""
    names = {read: NAME_OF_ROW[read], "": title_of(config)}
    return st.segmented_control(
        w("pasted.which_model"), list(names), default=read, key="log_model", required=True,
        format_func=names.__getitem__,
    )  # fmt: skip


def compare(config: Configuration, pasted: Pasted, library_id: str) -> None:
    """The printed figures beside the predicted, as a receipt too, and the settings to be taken over."""
    assert config.served is not None
    model = from_config(models()[library_id].config) if library_id else config.model
    compared = beside(pasted, model, config.served.job)
    draw(beside_predicted(compared))
    values = inputs_of(compared.job, compared.told)
    values |= {"model": NAME_OF_ROW[library_id]} if library_id else {}
    with st.container(horizontal=True):
        if values:
            st.button(w("pasted.take"), key="take_log", on_click=take_over, args=(values,))
        if (its_config := config_of(config, library_id)) is not None:
            receipt = receipt_of(compared, model=pasted.model_name or title_of(config), config=its_config)
            st.download_button(
                w("pasted.receipt"), receipt.written, "llmcalc-serving-receipt.json", "application/json",
                key="serving_receipt", on_click="ignore", icon=":material/receipt_long:",
            )  # fmt: skip


def config_of(config: Configuration, library_id: str) -> Mapping[str, Any] | None:
    """The config.json of the model that the log is of; None for a shape that has none, or is no longer its own."""
    if library_id:
        return models()[library_id].config
    if config.base.changed(config.values):
        return None
    row = models().get(config.base.library_id)
    return row.config if row else config.base.config


def take_over(values: Mapping[str, Any]) -> None:
    """Set up what was printed: the model with all that it decides, then the settings."""
    decided = starting_point(values["model"]).values if "model" in values else {}
    set_inputs({**decided, **values})


if __name__ == "__main__":
    alone()
