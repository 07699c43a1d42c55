"""Scaling law: loss against parameters, where the reader's model stands, and what "10% better" costs."""

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.words import w
from pages.content.scaling import scaling
from pages.ui.app.screen import draw
from pages.ui.app.state import configuration


def page() -> None:
    """The page."""
    st.header(w("scaling.header"), anchor=False)
    draw(scaling(configuration()))


if __name__ == "__main__":
    alone()
