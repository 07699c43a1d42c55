"""The data of each page as files: the menu below it. What they have is told in `pages.content.pages`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from llmcalc.configuration import Configuration
from llmcalc.export import as_csv, as_json, model_name, slug
from llmcalc.export.rows import Rows
from llmcalc.words import w
from pages.ui.app.share import link


def download_menu(page: str, config: Configuration) -> None:
    """A menu of the page's tables, each a CSV file, and all of them as JSON; made when they are asked for."""
    about = f"llmcalc-{page}-{slug(model_name(config))}"
    menu = st.popover(
        w("download.open"), icon=":material/download:", type="tertiary", key="download", on_change="rerun"
    )
    with menu, st.container(gap="xsmall"):
        if menu.open:
            from pages.content.pages import EVERY_PAGE  # what all pages say, which to draw one takes time to load

            st.caption(w("download.explained"))
            tables = EVERY_PAGE[page].data(config)
            for name, rows in tables.items():
                make, file = partial(_csv, rows), f"{about}-{slug(name)}.csv"
                _button(w("download.csv", table=w(f"download.{name}")), make, file, "text/csv", ":material/table:")
            whole = partial(as_json, tables, config, link())
            _button(w("download.json"), whole, f"{about}.json", "application/json", ":material/data_object:")


def _csv(rows: Callable[[], Rows]) -> str:
    return as_csv(rows())


def _button(label: str, make: partial[str], file: str, kind: str, icon: str) -> None:
    st.download_button(label, make, file, kind, key=file, on_click="ignore", type="tertiary", icon=icon)
