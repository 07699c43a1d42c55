"""The address: what of it is taken in, and what the reader is told of the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext
from streamlit.runtime.state.query_params import CLIENT_STATE_QUERY_STRING_MAX_FIELDS, EMBED_QUERY_PARAMS_KEYS

from llmcalc.errors import shortened
from llmcalc.inputs import DEFAULTS, INPUTS
from llmcalc.link import read_link
from llmcalc.link_text import LINK_VERSION, LinkProblem, written
from llmcalc.words import value_of, w
from pages.ui.app.session import session
from pages.ui.app.state import browser_language, note_link, start_from_address, take_in
from pages.ui.words.problems import coded_problem, verbatim

_LEFT_OUT = ("unknown_key", "unknown_keys", "no_such_part")
_AS_MANY_AS_READ = (
    Path(__file__)
    .with_name("address.js")
    .read_text("utf-8")
    .replace("MOST", str(CLIENT_STATE_QUERY_STRING_MAX_FIELDS))
    .replace("INPUTS", json.dumps(list(INPUTS)))
)
# Has the browser open as much of a link as can be read, where that is longer than Streamlit takes
SHORTEN_ADDRESS = f"{{{_AS_MANY_AS_READ}}}"


def take_in_address() -> None:
    """First of all in a run of the whole app: where the address decides the inputs, which a link does, and the way back
    in the browser's history, have them be what it says."""
    context = _context()
    first = session().link_problems is None  # the session's first run: what is given is a link
    if not first and not context.is_history_navigation:
        return
    parameters = parse_qs(context.query_string, keep_blank_values=True)
    given = {key: texts for key, texts in parameters.items() if key.lower() not in EMBED_QUERY_PARAMS_KEYS}
    link = read_link(given, (), DEFAULTS | {"lang": browser_language()})
    session().link_problems = [*(session().link_problems or ()), *link.problems]
    if not first:
        start_from_address(link.values)
        return
    session().first_link = link
    if given != {key: [text] for key, text in link.parameters.items()}:
        _rewrite(link.parameters)


def write_address(page: str) -> None:
    """Once the page is known, and before any control is drawn: have the address say what the inputs are.

    A link of an earlier version is what it meant on that page. Streamlit's controls would read the address in a way of
    their own, which can fail, and would leave out of it what they are at where the browser has not made them. So they
    get to see nothing but what the inputs have read, as they write it.
    """
    link, session().first_link = session().first_link, None
    if link:
        if (now := link.on_page(page)) != link:
            _rewrite(now.parameters)
    else:
        _rewrite({id: written(value) for id, value in take_in().changed.items()})
    note_link()


def _rewrite(parameters: Mapping[str, str]) -> None:
    """Have the address, in the browser and for the controls, say this and nothing else.

    `st.query_params` alone would not do: the controls read the address as it was when the run began.
    """
    context = _context()
    with context.session_state.query_params() as address:
        address.clear_with_no_forward_msg(preserve_embed=True)
        for key, text in parameters.items():
            address.set_with_no_forward_msg(key, text)
        address.set_initial_query_params_from_current()
        address._send_query_param_msg()


def _context() -> ScriptRunContext:
    context = get_script_run_ctx()
    assert context is not None
    return context


def address_messages() -> None:
    """A message for each thing in the link that could not be used, until the reader dismisses it."""
    problems = session().link_problems
    if not problems:
        return
    with st.container(key="link_problems"):
        st.warning("\n".join([w("link.problems"), *map(_told, problems)]), icon=":material/link_off:")
        st.button(w("link.dismiss"), on_click=_dismiss)


def _dismiss() -> None:
    session().link_problems = []


def _told(problem: LinkProblem) -> str:
    given = problem.given if problem.code == "unknown_keys" else f"{problem.key}={problem.given}"
    reason = coded_problem(problem.code, given=problem.given, **{**problem.details, "version": LINK_VERSION})
    used = w("link.left_out") if problem.code in _LEFT_OUT else w("link.used", value=_shown(problem))
    return f"- {verbatim(shortened(given))}: {reason} {used}"


def _shown(problem: LinkProblem) -> str:
    used = problem.used
    if used in (None, ""):
        return value_of(problem.key, used)
    is_number = isinstance(used, (int, float)) and not isinstance(used, bool)
    return verbatim(value_of(problem.key, used) if is_number else shortened(written(used)))
