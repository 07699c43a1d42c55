"""What every page shares: which pages there are, and how they are drawn."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import streamlit as st

from llmcalc.accuracy import ESTIMATE
from llmcalc.words import speak, w
from pages.ui.app.controls import controls, main_knobs
from pages.ui.app.download import download_menu
from pages.ui.app.lighter import make_lighter
from pages.ui.app.problems import problems_beside
from pages.ui.app.question import ask_question
from pages.ui.app.sections import SEEN, charts_first, live, section, whole_app_from
from pages.ui.app.session import session
from pages.ui.app.show import standing_note
from pages.ui.app.stage import presented
from pages.ui.app.state import acknowledged, chosen_language, configuration, take_in, values
from pages.ui.app.style import style_stage
from pages.ui.words.problems import caveats_of
from pages.ui.words.titles import title_of

# The pages, in sections
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "costs": ("explore", "parameters", "training", "fits", "serving"),
    "plan": ("cluster", "techniques", "compare", "scaling", "cost"),
    "learn": ("learn", "article"),
    "known": ("accuracy", "method"),
}
PAGES = tuple(name for names in SECTIONS.values() for name in names)
# What a page begins with, before what is live of it
AHEAD: Mapping[str, Callable[[], None]] = {"explore": ask_question}
# New objects before Python looks for garbage among them, and looks before it looks among older ones: a simulated step
# makes tens of thousands, of which hardly any is in a circle
_UNCOLLECTED = (20_000, 10, 10)
_loading = threading.Lock()  # for what two threads load at once, each can wait for the other


def pages() -> dict[str, list]:
    """Every page with its translated title, in sections; the first is the one that opens at the bare address."""
    return {
        w(f"sections.{section}"): [
            st.Page(f"pages/{name}.py", title=w(f"pages.{name}.title"), url_path=name, default=name == PAGES[0])
            for name in names
        ]
        for section, names in SECTIONS.items()
    }


def speak_to_reader() -> None:
    """First of all in a run: write in the language that the reader chose, the link says or the browser asks for."""
    speak(chosen_language())


def draw(page: Any) -> None:
    """The page and the controls. On a session's first run the controls come first, so that they take up what the link
    says before anybody can leave the page; later their values are known, and what the reader looks at comes first.
    """
    name = page.url_path or PAGES[0]
    present = take_in().values["present"]
    whole_app_from(lambda now: (now.start, now.values["lang"], now.values["present"], main_knobs(name, now.values)))
    if present:
        style_stage()
    with st.sidebar:
        places = st.container(), st.container(), st.container()
    first_run = session().first_run
    if first_run:
        controls(name, *places)
    if name in AHEAD and not present:
        AHEAD[name]()
    try:
        live(partial(_page, name))
    finally:
        session().first_run = False
        if not first_run:
            controls(name, *places)
        with places[-1]:
            section(SEEN, lambda now: now.values, lambda _: acknowledged())


def _page(name: str) -> None:
    """The page, and its data to take home; or what of it is presented to a room."""
    if not values()["present"]:
        _run(name)
        charts_first()
        download_menu(name, configuration())
        return
    config = configuration()
    with presented(name, title_of(config)) as stage:
        with stage.notes:
            if caveats := caveats_of(config.base):
                st.caption(" ".join(caveats))
            problems_beside(config.problems, "stage_")
        _run(name)
        told = stage.tells_verdict and config.standing == config.verdict_standing  # there, with its label
        if config.standing.label == ESTIMATE and not told:
            with stage.notes:
                standing_note(config.standing)


def _run(name: str) -> None:
    with _loading:
        page = import_module(f"pages.{name}")
    page.page()


def alone() -> None:
    """What a page's file does as a script. A process that has not run app.py yet runs it alone when a link leads there:
    then hand over to app.py, which draws the shared inputs and the page, with all values of the link."""
    st.navigation(pages(), position="hidden")
    st.rerun()


@st.cache_resource(show_spinner=False)
def tame_python() -> None:
    """Once: make Streamlit lighter; and what is imported by now is no garbage, so exempt it from what is collected."""
    make_lighter()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_UNCOLLECTED)
