"""Draw an input from its declaration. Streamlit binds it to the link under its id; nobody writes link code by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from llmcalc.bases import Base, base
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, INPUTS, Choice, Input, Integer, Real, Switch, Text
from llmcalc.symbols import SYMBOLS
from pages.ui.words import w


def ask(input_id: str, *, placeholder: str | None = None, on_change: Callable[[], None] | None = None) -> Any:
    """The control of one input, and its value. What the base does not let change is shown, but not moved."""
    declared, start = INPUTS[input_id], starting_point()
    default = start.values.get(input_id, declared.default)
    common: dict[str, Any] = {
        "label": label(declared),
        "key": input_id,
        "help": w(f"inputs.{input_id}.help"),
        "bind": "query-params",
        "disabled": input_id in start.fixed,
    }
    match declared:
        case Integer(scale=()):
            bounds = {"min_value": declared.low, "max_value": declared.high}
            return st.number_input(value=default, placeholder=placeholder, **bounds, **common)
        case Integer():
            return _slider_and_number(declared, default, common)
        case Real():
            bounds = {"min_value": declared.low, "max_value": declared.high, "step": declared.step}
            return st.slider(value=default, format="%g", **bounds, **common)
        case Choice() if len(declared.options) <= 3:
            return st.segmented_control(options=declared.options, default=default, required=True, **common)
        case Choice():
            return st.selectbox(
                options=declared.options, index=declared.options.index(default), on_change=on_change, **common
            )
        case Switch():
            return st.toggle(value=default, **common)
        case Text():
            return st.text_input(value=default, max_chars=declared.longest, **common)


def starting_point() -> Base:
    """The base that the reader chose; where a config.json cannot be read, the plain decoder."""
    try:
        return base(_set("model", DEFAULTS["model"]), _set("config", DEFAULTS["config"]))
    except InputError:
        return base(DEFAULTS["model"])


def _set(input_id: str, default: Any) -> Any:
    """What an input was set to: on this page or before, else by the link, else its default."""
    if input_id in st.session_state:
        return st.session_state[input_id]
    if input_id in st.query_params:
        return INPUTS[input_id].read(st.query_params[input_id])
    return default


def values() -> dict[str, Any]:
    """The value of every input."""
    defaults = DEFAULTS | dict(starting_point().values)
    return {input_id: _set(input_id, defaults[input_id]) for input_id in INPUTS}


def label(declared: Input) -> str:
    """The input's name, with its symbol where formulas use one."""
    name = w(f"inputs.{declared.id}.label")
    return f"{name} ${SYMBOLS[declared.id].tex}$" if declared.id in SYMBOLS else name


def _slider_and_number(declared: Integer, default: int, common: dict[str, Any]) -> int:
    """A slider over round stops beside a field for any exact value: the field is the input, the slider moves it."""
    slider_key = f"{declared.id}_slider"
    slider, field = st.columns([3, 2], vertical_alignment="bottom", gap="small")
    with field:
        value = st.number_input(
            min_value=declared.low,
            max_value=declared.high,
            value=default,
            label_visibility="collapsed",
            **{**common, "help": None},
        )
    nearest = st.session_state[slider_key] = declared.nearest_stop(value)
    with slider:
        st.select_slider(
            common["label"],
            declared.scale,
            key=slider_key,
            help=common["help"],
            format_func=lambda stop: f"{value if stop == nearest else stop:,}",
            disabled=common["disabled"],
            on_change=_move,
            args=(declared.id, slider_key),
        )
    return value


def _move(input_id: str, slider_key: str) -> None:
    st.session_state[input_id] = st.session_state[slider_key]
