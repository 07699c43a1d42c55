"""Explore: one model, where its parameters are, what fills its memory, and how that grows."""

from functools import partial

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.words import w
from pages.content import explore
from pages.ui.app.question import answer
from pages.ui.app.screen import draw
from pages.ui.app.sections import after_charts, charts_first
from pages.ui.app.show import model_header, one_of
from pages.ui.app.state import configuration
from pages.ui.words.titles import title_of


def page() -> None:
    """The page."""
    config = configuration()
    answer(config)
    first = explore.parameters_chart(config)
    model_header(w("explore.header", name=title_of(config)), config.base)
    draw([explore.headlines(config)])
    with st.container(key="charts"):
        said = st.container()  # shown below what it is about, and drawn after the charts
        draw([first])
        draw(make(config) for make in (explore.moments_chart, explore.growth_chart))
    after_charts(said, lambda: draw(explore.what_is_shown(config)))
    charts_first()
    one_of({name: partial(draw, said(config)) for name, said in explore.MORE.items()}, "more_of_explore")


if __name__ == "__main__":
    alone()
