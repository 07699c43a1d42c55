"""Draw an input from its declaration. Streamlit binds it to the link under its id; nobody writes link code by hand."""

from __future__ import annotations

from typing import Any

import streamlit as st

from llmcalc.inputs import INPUTS, Choice, Input, Integer, Real, Switch, in_group
from llmcalc.symbols import SYMBOLS
from pages.ui.words import w


def ask(input_id: str, placeholder: str | None = None) -> Any:
    """The control of one input, and its value."""
    declared = INPUTS[input_id]
    common: dict[str, Any] = {
        "label": label(declared),
        "key": input_id,
        "help": w(f"inputs.{input_id}.help"),
        "bind": "query-params",
    }
    match declared:
        case Integer(scale=()):
            return st.number_input(
                min_value=declared.low,
                max_value=declared.high,
                value=declared.default,
                placeholder=placeholder,
                **common,
            )
        case Integer():
            return _slider_and_number(declared, common)
        case Real():
            return st.slider(
                min_value=declared.low,
                max_value=declared.high,
                value=declared.default,
                step=declared.step,
                format="%g",
                **common,
            )
        case Choice() if len(declared.options) <= 3:
            return st.segmented_control(
                options=declared.options,
                default=declared.default,
                required=True,
                format_func=None,
                **common,
            )
        case Choice():
            return st.selectbox(options=declared.options, index=declared.options.index(declared.default), **common)
        case Switch():
            return st.toggle(value=declared.default, **common)


def label(declared: Input) -> str:
    """The input's name, with its symbol where formulas use one."""
    name = w(f"inputs.{declared.id}.label")
    return f"{name} ${SYMBOLS[declared.id].tex}$" if declared.id in SYMBOLS else name


def values() -> dict[str, Any]:
    """The value of every input: as set on this page or before, else as the link says, else its default."""
    found = {}
    for input_id, declared in INPUTS.items():
        if input_id in st.session_state:
            found[input_id] = st.session_state[input_id]
        elif input_id in st.query_params:
            found[input_id] = declared.read(st.query_params[input_id])
        else:
            found[input_id] = declared.default
    return found


def ask_group(group: str) -> None:
    """All controls of one group, in order."""
    for declared in in_group(group):
        ask(declared.id)


def _slider_and_number(declared: Integer, common: dict[str, Any]) -> int:
    """A slider over round stops beside a field for any exact value: the field is the input, the slider moves it."""
    slider_key = f"{declared.id}_slider"
    slider, field = st.columns([3, 2], vertical_alignment="bottom", gap="small")
    with field:
        value = st.number_input(
            min_value=declared.low,
            max_value=declared.high,
            value=declared.default,
            label_visibility="collapsed",
            **{**common, "help": None},
        )
    st.session_state[slider_key] = declared.nearest_stop(value)
    with slider:
        st.select_slider(
            common["label"],
            declared.scale,
            key=slider_key,
            help=common["help"],
            format_func=lambda stop: f"{stop:,}",
            on_change=_move,
            args=(declared.id, slider_key),
        )
    return value


def _move(input_id: str, slider_key: str) -> None:
    st.session_state[input_id] = st.session_state[slider_key]
