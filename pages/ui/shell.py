"""What every page shares: which pages there are, the sidebar, the link and what is wrong with it."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from llmcalc.bases import base
from llmcalc.comparison import read_pinned
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.inputs import (
    DEFAULTS,
    INPUTS,
    LINK_VERSION,
    PASTED,
    LinkProblem,
    Text,
    check_link,
    in_group,
    link_parameters,
)
from pages.ui.ask import ask, chosen_language, defaults, values
from pages.ui.choose import coded_problem, config_reader, model_menu, problem_words
from pages.ui.download import download_menu
from pages.ui.numbers import exact
from pages.ui.pins import pin_problems
from pages.ui.report import report_menu
from pages.ui.share import qr_code
from pages.ui.show import title_of
from pages.ui.stage import presented
from pages.ui.words import speak, w

PAGES = (
    *("explore", "learn", "parameters", "training", "fits", "cluster", "techniques"),
    *("compare", "scaling", "article", "accuracy", "method"),
)
OPEN_GROUP = {"training": "run", "fits": "fits", "cluster": "cluster", "scaling": "scaling", "techniques": "techniques"}
HOST_KEYS = ("embed", "embed_options")
# Seconds that the page is ahead of the controls, so that it is sent, and its first chart drawn, before they come: a
# script that goes on keeps Streamlit's sending thread from its turn, and a browser lays out all that waits for it.
HEAD_START = 0.03


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
    says before anybody can leave the page; later their values are known, and the charts set out for the browser first.
    """
    st.session_state["in_app"] = True
    if st.session_state.setdefault("first_run", True):
        sidebar(page.url_path)
        st.session_state["first_run"] = False
        _content(page)
    else:
        try:
            _content(page)
            time.sleep(HEAD_START)
        finally:
            sidebar(page.url_path)


def _content(page: Any) -> None:
    """The page, and its data to take home; or what of it is presented to a room."""
    if not values()["present"]:
        page.run()
        download_menu(page.url_path or PAGES[0], configuration(), link)
        return
    config = configuration()
    with presented(page.url_path, title_of(config)) as stage:
        with stage.notes:
            for input_id in INPUTS:
                _problems_beside(input_id, config.problems, "stage_")
            if config.is_estimate:
                st.caption(w("training.estimate"))
        page.run()


def inside_app() -> None:
    """First call of every page. A process that has not run app.py yet runs a page alone when a link leads there:
    then hand over to app.py, which draws the shared inputs and comes back with all values of the link."""
    if not st.session_state.pop("in_app", False):
        st.navigation(pages(), position="hidden")
        st.rerun()


@st.cache_resource(show_spinner=False)
def tame_garbage_collector() -> None:
    """Streamlit collects all garbage after every run; what is imported by now is no garbage, so exempt it, once."""
    gc.collect()
    gc.freeze()


def read_link() -> None:
    """Once a session, before any control is drawn: find what the link says that cannot be used, and take it out."""
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


def sidebar(page: str) -> None:
    """All inputs on every page, so that every link holds them all, and the link.

    Controls must stay at the same place of the tree from page to page and from run to run: one that moves is mounted
    anew by the browser, and its value drops out of the address. So what comes and goes has a container of its own.
    """
    config = configuration()
    problems = (*config.problems, *pin_problems())
    with st.sidebar:
        ask("lang", label_visibility="collapsed")
        with st.container(key="unseen_lesson"):  # the lesson itself has the control that is seen
            for declared in in_group("lesson"):
                ask(declared.id)
        ask("present")
        model_menu(config)
        for declared in (*in_group("shape"), *in_group("size")):
            ask(declared.id)
            _problems_beside(declared.id, problems)
        for group in ("architecture", "run", "fits", "devices", "cluster", "techniques", "scaling", "comparison"):
            with st.expander(w(f"sidebar.{group}"), expanded=group == OPEN_GROUP.get(page)):
                for declared in in_group(group):
                    ask(declared.id, placeholder=_derived(declared.id, config))
                    _problems_beside(declared.id, problems)
        config_reader()
        with st.expander(w("link.copy"), key="copy_link", on_change="rerun") as copying:
            st.markdown(w("link.explained"))
            st.code(link(), language=None, wrap_lines=True)
            if copying.open:
                qr_code()
        report_menu(config, link)
    if st.session_state.get("link_repairs"):
        st.rerun()


def link() -> str:
    """The address of this page with every input in it, defaults included, and the version."""
    base = (st.context.url or "").split("?")[0]
    return f"{base}?{urlencode(link_parameters(values()))}"


def configuration() -> Configuration:
    """What the reader set, as a model and a run. Worked out once for all who look at the same."""
    return _configuration(tuple(values().items()))


@functools.lru_cache(maxsize=256)
def _configuration(items: tuple[tuple[str, Any], ...]) -> Configuration:
    return Configuration(dict(items))


def _derived(input_id: str, config: Configuration) -> str | None:
    """What an empty field stands for at present."""
    d = config.dimensions
    if input_id == "global_batch":
        return f"{config.cluster.global_batch:,}"
    if config.base.config is not None:
        return None
    derived = {"d_ff": d.ffn_width, "n_kv_heads": d.kv_heads, "d_head": d.head_width}
    return exact(derived[input_id]()) if input_id in derived else None


def _problems_beside(input_id: str, problems: Iterable[InputError], prefix: str = "") -> None:
    """What is wrong with this input, what is counted meanwhile, and a button for each value that would do."""
    with st.container():
        for problem in problems:
            if problem.input_id == input_id:
                st.warning(problem_words(problem))
                with st.container(horizontal=True):
                    for value in problem.suggestions:
                        st.button(
                            w("problems.use", value=exact(value)),
                            key=f"{prefix}use_{input_id}_{value}",
                            on_click=st.session_state.update,
                            args=({input_id: value},),
                        )
