"""What is wrong, where it is wrong: a warning, and a button for each value that would do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import streamlit as st

from llmcalc.errors import InputError
from llmcalc.words import value_of, w
from pages.ui.app.sections import set_inputs
from pages.ui.words.numbers import exact
from pages.ui.words.problems import coded_problem, problem_words


def problems_beside(problems: Iterable[InputError], prefix: str = "") -> None:
    """What is wrong with an input, what is counted meanwhile, and a button for each value that would do."""
    for problem in problems:
        st.warning(problem_words(problem))
        _remedies(problem, prefix)


def _remedies(problem: InputError, prefix: str) -> None:
    with st.container(horizontal=True):
        for value in problem.suggestions:
            st.button(
                w("problems.use", value=value_of(problem.input_id, value)),
                key=f"{prefix}use_{problem.input_id}_{value}",
                on_click=set_inputs,
                args=({problem.input_id: value},),
            )


def typed_problem(text: str, problem: InputError, instead: Any, prefix: str = "") -> None:
    """What is wrong with what was typed, what is counted meanwhile, and a button for each value that would do."""
    said = coded_problem(problem.code, **{**problem.details, "piece": text})
    meanwhile = w("problems.meanwhile", value=exact(instead)) if instead is not None else ""
    st.warning(f"{said} {meanwhile}".strip())
    _remedies(problem, prefix)
