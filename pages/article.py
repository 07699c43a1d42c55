"""The article: its sections A to I retold, and every figure that it prints beside the right one."""

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.catalog.presets import ARTICLE_EXAMPLE
from llmcalc.words import w
from pages.content.article import intro, sections
from pages.ui.app.choose import start_from
from pages.ui.app.screen import draw
from pages.ui.app.state import configuration


def page() -> None:
    """The page."""
    st.header(w("article.header"), anchor=False)
    draw(intro())
    st.button(
        w("article.use_example"), key="use_example", icon=":material/tune:", on_click=start_from,
        args=(ARTICLE_EXAMPLE,), disabled=configuration().name == ARTICLE_EXAMPLE,
    )  # fmt: skip
    draw(sections("abcdefg"))
    st.page_link("pages/scaling.py", label=w("article.g.link"), icon=":material/trending_down:")
    draw(sections("h"))
    st.page_link("pages/techniques.py", label=w("article.h.link"), icon=":material/compress:")
    draw(sections("i"))


if __name__ == "__main__":
    alone()
