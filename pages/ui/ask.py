"""Draw an input from its declaration. Streamlit binds it to the link under its id; nobody writes link code by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

from llmcalc.bases import Base, base
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, INPUTS, Choice, Input, Integer, Real, Switch, Text
from llmcalc.symbols import SYMBOLS
from pages.ui.numbers import exact
from pages.ui.words import browser_language, w, words


def ask(
    input_id: str,
    *,
    placeholder: str | None = None,
    on_change: Callable[[], None] | None = None,
    label_visibility: Literal["visible", "collapsed"] = "visible",
) -> Any:
    """The control of one input, and its value. What the base does not let change is shown, but not moved."""
    declared, start = INPUTS[input_id], starting_point()
    default = defaults()[input_id]
    common: dict[str, Any] = {
        "label": label(declared),
        "key": input_id,
        "help": w(f"inputs.{input_id}.help"),
        "bind": "query-params",
        "disabled": input_id in start.fixed,
        "label_visibility": label_visibility,
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
        case Choice() if f"options.{input_id}.{declared.default}" in words():
            return _named_choice(declared, default, common)
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
    return {input_id: _set(input_id, default) for input_id, default in defaults().items()}


def defaults() -> dict[str, Any]:
    """The value of every input that neither the reader nor the link gave: the base's, and the browser's language."""
    return DEFAULTS | dict(starting_point().values) | {"lang": browser_language()}


def chosen_language() -> str:
    """The language that the reader or the link chose, else the browser's."""
    try:
        return str(_set("lang", browser_language()))
    except InputError:
        return browser_language()


def label(declared: Input) -> str:
    """The input's name, with its symbol where formulas use one."""
    name = w(f"inputs.{declared.id}.label")
    return f"{name} ${SYMBOLS[declared.id].tex}$" if declared.id in SYMBOLS else name


def twin(input_id: str, place: str = "beside") -> None:
    """A second control of an input, to stand beside the chart that it moves: it shows the value and moves the input."""
    declared, key, value = INPUTS[input_id], f"{input_id}_{place}", values()[input_id]
    start = starting_point()
    common: dict[str, Any] = {"label": label(declared), "key": key, "help": w(f"inputs.{input_id}.help")}
    common |= {"disabled": input_id in start.fixed, "on_change": _move, "args": (input_id, key)}
    match declared:
        case Integer() if declared.scale:
            _stops_slider(declared, value, common)
            return
        case Integer():
            st.session_state[key] = value
            st.number_input(min_value=declared.low, max_value=declared.high, **common)
        case Real():
            st.session_state[key] = value
            bounds = {"min_value": declared.low, "max_value": declared.high, "step": declared.step}
            st.slider(format="%g", **bounds, **common)
        case Choice():
            st.session_state[key] = value
            named = f"options.{input_id}.{declared.default}" in words()
            names = {o: w(f"options.{input_id}.{o}") if named else o for o in declared.options}
            if len(names) <= 5:
                st.segmented_control(options=names, format_func=names.__getitem__, required=True, **common)
            else:
                st.selectbox(options=names, format_func=names.__getitem__, **common)
        case Switch():
            st.session_state[key] = value
            st.toggle(**common)
        case Text():
            raise TypeError(f"{input_id} is a text")


def _stops_slider(declared: Integer, value: int, common: dict[str, Any]) -> None:
    """A slider over round stops; the nearest one stands for a value between two, and says it exactly."""
    nearest = st.session_state[common["key"]] = declared.nearest_stop(value)
    stops = {stop: exact(value if stop == nearest else stop) for stop in declared.scale}
    st.select_slider(options=declared.scale, format_func=stops.__getitem__, **common)


def _slider_and_number(declared: Integer, default: int, common: dict[str, Any]) -> int:
    """A slider over round stops beside a field for any exact value: the field is the input, the slider moves it."""
    slider_key = f"{declared.id}_slider"
    slider, field = st.columns([3, 2], vertical_alignment="bottom", gap="small")
    with field:
        value = st.number_input(
            min_value=declared.low,
            max_value=declared.high,
            value=default,
            **{**common, "help": None, "label_visibility": "collapsed"},
        )
    with slider:
        seen = {key: common[key] for key in ("label", "help", "disabled")}
        _stops_slider(
            declared, value, {**seen, "key": slider_key, "on_change": _move, "args": (declared.id, slider_key)}
        )
    return value


def _named_choice(declared: Choice, default: str, common: dict[str, Any]) -> str:
    """Options under the reader's words for them. Streamlit writes into the link what a control shows, so the input
    shows its options as they are, out of sight, and the control that is seen moves it."""
    seen_key = f"{declared.id}_seen"
    with st.container(key=f"unseen_{declared.id}"):
        value = st.segmented_control(options=declared.options, default=default, required=True, **common)
    st.session_state[seen_key] = value
    names = {option: w(f"options.{declared.id}.{option}") for option in declared.options}
    seen = {key: common[key] for key in ("label", "help", "disabled", "label_visibility")}
    st.segmented_control(
        options=declared.options,
        format_func=names.__getitem__,
        key=seen_key,
        required=True,
        on_change=_move,
        args=(declared.id, seen_key),
        **seen,
    )
    return value


def _move(input_id: str, seen_key: str) -> None:
    """The control that is seen was moved: so is the input."""
    st.session_state[input_id] = st.session_state[seen_key]
