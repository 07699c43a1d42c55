"""The verdict on the screen, and below it whose memory the page shows."""

from __future__ import annotations

from typing import Any

import streamlit as st

from llmcalc.accuracy import PROCESS
from llmcalc.configuration import Configuration
from pages.ui.app.ask import twin
from pages.ui.app.stage import on_stage
from pages.ui.words.standing import why
from pages.ui.words.verdict import counted_where, verdict_words

KEY = "verdict"


def verdict_place() -> Any:
    """Where the verdict stands: here, or, where the page is presented, on stage with the headline numbers."""
    stage = on_stage()
    return stage.verdict if stage else st.container(key=KEY)


def draw_verdict(config: Configuration, place: Any) -> None:
    """The verdict, in its `verdict_place`."""
    with place:
        st.markdown(verdict_words(config), help=f"{why(config.verdict_standing)} {why(PROCESS)}")


def choose_counted() -> None:
    """Whose memory is drawn, where there are several devices: what each holds, or the step as on one."""
    twin("counted_on")


def draw_counted(config: Configuration, rest: str = "") -> None:
    """Whose memory the page shows, a control for that, and what the rest of it is of."""
    if shown := counted_where(config):
        if config.values["account"] != "article":
            choose_counted()
        st.caption(f"{shown} {rest}".strip())
