"""What every page shares: which pages there are, how they are drawn, and what is wrong with the link."""

from __future__ import annotations

import functools
import gc
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import streamlit as st

from llmcalc.bases import base
from llmcalc.comparison import read_pinned
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, INPUTS, LINK_VERSION, PASTED, LinkProblem, Text, check_link
from pages.ui.controls import knobs, other_controls
from pages.ui.download import download_menu
from pages.ui.problems import coded_problem, problems_beside
from pages.ui.sections import after_charts, charts_first, led_by_history, live, whole_app_from
from pages.ui.show import title_of
from pages.ui.stage import presented
from pages.ui.state import chosen_language, configuration, defaults, note_link, take_in, values
from pages.ui.style import style_stage
from pages.ui.turns import share
from pages.ui.words import speak, w

PAGES = (
    *("explore", "learn", "parameters", "training", "fits", "cluster", "techniques"),
    *("compare", "scaling", "article", "accuracy", "method"),
)
FOLDER = Path(__file__).parent.parent
HOST_KEYS = ("embed", "embed_options")


def pages() -> list:
    """Every page with its translated title; the first is the one that opens at the bare address."""
    return [
        st.Page(f"pages/{name}.py", title=w(f"pages.{name}.title"), url_path=name, default=name == PAGES[0])
        for name in PAGES
    ]


def speak_to_reader() -> None:
    """First of all in a run: write in the language that the reader chose, the link says or the browser asks for."""
    speak(chosen_language())


def draw(page: Any) -> None:
    """The page and the controls. On a session's first run the controls come first, so that they take up what the link
    says before anybody can leave the page; later their values are known, and what the reader looks at comes first. Back
    in the browser's history it is the address again that they take up, after the page was drawn: so draw it once more.
    """
    name = page.url_path or PAGES[0]
    present = take_in().values["present"]
    whole_app_from(lambda now: (now.start, now.values["lang"], now.values["present"]))
    if present:
        style_stage()
    with st.sidebar:
        above, between, below = st.container(), st.container(), st.container()
    first_run = st.session_state.setdefault("first_run", True)
    if first_run:
        other_controls(name, above, below)
    try:
        live(partial(_page_and_knobs, name, between))
    finally:
        st.session_state["first_run"] = False
        if not first_run:
            other_controls(name, above, below)
    if st.session_state.get("link_repairs"):
        st.rerun()
    if led_by_history():
        st.rerun()


def _page_and_knobs(name: str, place: Any) -> None:
    """The page and what moves it, in the order that `draw` tells."""
    first_run = st.session_state["first_run"]
    if first_run:
        with place:
            knobs()
    else:
        after_charts(place, knobs)
    _page(name)


def _page(name: str) -> None:
    """The page, and its data to take home; or what of it is presented to a room."""
    st.session_state["in_app"] = True
    if not values()["present"]:
        _run(name)
        charts_first()
        download_menu(name, configuration())
        return
    config = configuration()
    with presented(name, title_of(config)) as stage:
        with stage.notes:
            problems_beside(config.problems, "stage_")
            if config.is_estimate:
                st.caption(w("training.estimate"))
        _run(name)


def _run(name: str) -> None:
    exec(_code(name), {"__name__": f"pages.{name}"})


@functools.cache
def _code(name: str) -> CodeType:
    """A page's script. Streamlit itself would run it but once for each run of the whole app."""
    file = FOLDER / f"{name}.py"
    return compile(file.read_text(encoding="utf-8"), file, "exec", dont_inherit=True)


def inside_app() -> None:
    """First call of every page. A process that has not run app.py yet runs a page alone when a link leads there:
    then hand over to app.py, which draws the shared inputs and comes back with all values of the link."""
    if not st.session_state.pop("in_app", False):
        st.navigation(pages(), position="hidden")
        st.rerun()


@st.cache_resource(show_spinner=False)
def tame_python() -> None:
    """Once: what is imported by now is no garbage, so exempt it from what is collected; and share the interpreter."""
    gc.collect()
    gc.freeze()
    share()


def read_link() -> None:
    """Once a session, before any control is drawn: find what the link says that cannot be used, and take it out."""
    note_link()
    if "link_problems" in st.session_state:
        _repair()
        return
    given = {key: st.query_params.get_all(key) for key in st.query_params}
    repairs: dict[str, Any] = {}
    problems = check_link({key: values for key, values in given.items() if key in ("model", "config")})
    _take_out(problems)
    if st.query_params.get("model") == PASTED:
        try:
            base(PASTED, st.query_params.get("config", ""))
        except InputError as error:
            code, details = error.code or "config_refused", {"reason": error, **error.details}
            problems.append(LinkProblem("config", given.get("config", [""])[0][:200], code, "", details))
            del st.query_params["model"]
            repairs["model"] = DEFAULTS["model"]
    rest = {key: values for key, values in given.items() if key not in ("model", "config")}
    problems += check_link(rest, HOST_KEYS, defaults())
    _take_out(problems)
    try:
        read_pinned(pinned := st.query_params.get("compare", ""))
    except InputError as error:
        problems.append(LinkProblem("compare", pinned[:200], error.code, "", error.details))
        _take_out(problems)
    if "v" in st.query_params:
        del st.query_params["v"]
    st.session_state["link_problems"] = problems
    repairs |= {p.key: p.used for p in problems if isinstance(INPUTS.get(p.key), Text)}
    st.session_state["link_repairs"] = repairs


def _take_out(problems: list[LinkProblem]) -> None:
    for problem in problems:
        if problem.key in st.query_params:
            del st.query_params[problem.key]


def _repair() -> None:
    """A control takes from the link what Streamlit finds nothing wrong with, such as any text, though it is taken out;
    only once it has been drawn does it take another value."""
    st.session_state.update(st.session_state.pop("link_repairs", {}))


def link_messages() -> None:
    """A message for each thing in the link that could not be used, until the reader dismisses it."""
    problems = st.session_state.get("link_problems")
    if not problems:
        return
    with st.container(key="link_problems"):
        lines = [w("link.problems")]
        for p in problems:
            reason = coded_problem(p.code, given=p.given, **{**p.details, "version": LINK_VERSION})
            used = w("link.left_out") if p.code == "unknown_key" else w("link.used", value=_shown(p.used))
            lines.append(f"- `{p.key}={p.given}`: {reason} {used}")
        st.warning("\n".join(lines), icon=":material/link_off:")
        st.button(w("link.dismiss"), on_click=lambda: st.session_state.update(link_problems=[]))


def _shown(value: object) -> str:
    return w("link.empty") if value is None else w("link.nothing") if value == "" else f"`{value}`"
