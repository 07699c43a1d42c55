"""The report's two files to download."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import date

import streamlit as st

from llmcalc.configuration import Configuration
from llmcalc.export import model_name, slug
from llmcalc.words import in_this_language, w
from pages.content.report import report
from pages.ui.document.blocks import Document
from pages.ui.document.html import html
from pages.ui.document.markdown import markdown

_WRITERS: dict[str, tuple[Callable[[Document], str], str, str]] = {
    "html": (html, "html", "text/html"),
    "markdown": (markdown, "md", "text/markdown"),
}


def report_menu(config: Configuration, address: str) -> None:
    """The report's two files to download, each made when it is asked for."""
    st.caption(w("report.explained"))
    with st.container(horizontal=True, gap="small"):
        for form, (_, ending, kind) in _WRITERS.items():
            st.download_button(
                w(f"report.{form}"),
                in_this_language(functools.partial(_written, form, config, address)),
                f"llmcalc-report-{slug(model_name(config))}.{ending}",
                kind,
                key=f"report_{form}",
                on_click="ignore",
                icon=":material/download:",
            )


def _written(form: str, config: Configuration, link: str) -> str:
    return _WRITERS[form][0](report(config, link, date.today()))
