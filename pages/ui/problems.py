"""What is wrong, and what was noticed, in the reader's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import streamlit as st

from llmcalc.errors import InputError
from pages.ui.numbers import exact
from pages.ui.sections import set_inputs
from pages.ui.words import w, words


def problems_beside(problems: Iterable[InputError], prefix: str = "") -> None:
    """What is wrong with an input, what is counted meanwhile, and a button for each value that would do."""
    for problem in problems:
        st.warning(problem_words(problem))
        with st.container(horizontal=True):
            for value in problem.suggestions:
                st.button(
                    w("problems.use", value=exact(value)),
                    key=f"{prefix}use_{problem.input_id}_{value}",
                    on_click=set_inputs,
                    args=({problem.input_id: value},),
                )


def problem_words(error: InputError) -> str:
    """What is wrong, in the reader's words where the error has a code."""
    return coded_problem(error.code or "config_refused", **{"reason": error, "key": error.input_id, **error.details})


def coded_problem(code: str, **details: Any) -> str:
    """What is wrong, by its code; where it is a piece of a longer text, with that piece."""
    details = {name: _told(detail) for name, detail in details.items()}
    if f"reasons.{code}" in words():
        code, details["reason"] = "config_refused", w(f"reasons.{code}", **details)
    text = w(f"problems.{code}", **details)
    return w("problems.in_piece", piece=details["piece"], problem=text) if "piece" in details else text


def notice_words(id: str, text: str, details: Mapping[str, Any]) -> str:
    """What was noticed in a config, in the reader's words where there are any."""
    key = f"notices.{id}"
    return w(key, **details) if key in words() else text


def _told(detail: Any) -> Any:
    """A detail of a problem: what kind of thing was found, in words; another problem, why it is one."""
    if isinstance(detail, str):
        return words().get(f"phrases.{detail}", detail)
    if not isinstance(detail, InputError):
        return detail
    details = {name: _told(value) for name, value in detail.details.items()}
    keys = (f"{section}.{detail.code}" for section in ("reasons", "problems"))
    return next((w(key, **details).removesuffix(".") for key in keys if key in words()), str(detail))
