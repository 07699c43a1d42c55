"""Scaling laws: where the model stands by each, what budgets buy; below them the article's own reading."""

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.words import w
from pages.content.laws import laws
from pages.content.scaling import scaling
from pages.ui.app.screen import draw
from pages.ui.app.state import configuration


def page() -> None:
    """The page."""
    st.header(w("scaling.header"), anchor=False)
    config = configuration()
    draw(laws(config))
    st.subheader(w("scaling.own_header"), anchor=False)
    draw(scaling(config))


if __name__ == "__main__":
    alone()
