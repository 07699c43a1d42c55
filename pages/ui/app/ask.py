"""Draw an input from its declaration. Streamlit binds it to the link under its id; nobody writes link code by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import streamlit as st

from llmcalc import units
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.inputs import INPUTS
from llmcalc.kinds import Choice, Input, Integer, Real, Switch, Text
from llmcalc.symbols import SYMBOLS
from llmcalc.units import Locale
from llmcalc.words import language, locale, w, words
from pages.ui.app.problems import problems_beside, typed_problem
from pages.ui.app.sections import redraw, set_inputs, unseen
from pages.ui.app.state import (
    Refused,
    State,
    is_in_link,
    keep_in_address,
    note_drawn,
    put,
    refuse,
    show,
    state,
    touched,
    values,
)
from pages.ui.words.numbers import exact


@dataclass(frozen=True)
class Face:
    """All that the control of an input shows, but for the language.

    ``derived`` is what an empty field stands for at present. What the base does not let change is ``fixed``: shown, and
    not moved.
    """

    value: Any
    default: Any
    fixed: bool
    derived: int | None
    problems: tuple[InputError, ...]
    refused: Refused | None


def face_of(input_id: str, now: State) -> Face:
    """The control of an input as it should be."""
    return Face(
        now.values[input_id],
        now.defaults[input_id],
        input_id in now.start.fixed,
        _derived(input_id, now.configuration),
        now.problems(input_id),
        now.refused.get(input_id),
    )


def _derived(input_id: str, config: Configuration) -> int | None:
    if input_id == "context":
        return config.serving.usual_context
    d = config.dimensions
    if input_id == "global_batch":
        return config.cluster.global_batch
    if input_id == "n_devices":
        return config.n_devices
    if input_id == "data_parallel":
        return int(config.layout.data_parallel)
    if config.base.config is not None:
        return None
    derived = {"d_ff": d.ffn_width, "n_kv_heads": d.kv_heads, "d_head": d.head_width}
    return derived[input_id]() if input_id in derived else None


def ask(
    input_id: str,
    *,
    on_change: Callable[[], None] = redraw,
    label_visibility: Literal["visible", "collapsed"] = "visible",
    told: bool = True,
    problems_told: bool = True,
) -> None:
    """The control of an input, and with ``told`` what is wrong with its value: without ``problems_told`` only what was
    typed that is none, for the page says the rest."""
    face = face_of(input_id, state())
    _control(INPUTS[input_id], face, {"label_visibility": label_visibility, "on_change": on_change}, told)
    keep_in_address(input_id)
    # In a place that is always there, for a control that moves is mounted anew by the browser
    with st.container():
        if told and face.refused:
            typed_problem(face.refused.text, face.refused.problem, face.refused.instead, "typed_")
        if told and problems_told:
            problems_beside(face.problems)


def _control(declared: Input, face: Face, seen: dict[str, Any], told: bool) -> None:
    common: dict[str, Any] = {
        "label": label(declared),
        "key": declared.id,
        "help": w(f"inputs.{declared.id}.help"),
        "bind": "query-params",
        "disabled": face.fixed,
        **seen,
    }
    if face.value != face.default or is_in_link(declared.id):
        # Streamlit would take it from where the link came in again, or not know that it is in the address by now
        put(declared.id, face.value)
    note_drawn(declared.id, face.value)
    match declared:
        case Integer() | Real(default=None):
            with unseen():
                st.number_input(value=face.default, min_value=declared.low, max_value=declared.high, **common)
            if told:
                _slider_and_field(declared, face, common)
        case Real():
            with unseen():
                st.slider(
                    value=face.default, min_value=declared.low, max_value=declared.high, step=declared.step, **common
                )  # fmt: skip
            if told:
                _seen_slider(declared, face.value, common)
        case Choice() if f"options.{declared.id}.{declared.default}" in words():
            _named_choice(declared, face, common)
        case Choice() if len(declared.options) <= 3:
            st.segmented_control(options=declared.options, default=face.default, required=True, wrap=True, **common)
        case Choice():
            st.selectbox(options=declared.options, index=declared.options.index(face.default), **common)
        case Switch():
            st.toggle(value=face.default, **common)
        case Text():
            st.text_input(value=face.default, max_chars=declared.longest, **common)


def label(declared: Input) -> str:
    """The input's name, with its symbol where formulas use one."""
    name = w(f"inputs.{declared.id}.label")
    return f"{name} ${SYMBOLS[declared.id].tex}$" if declared.id in SYMBOLS else name


def twin(input_id: str, place: str = "beside") -> None:
    """A second control of an input, to stand beside the chart that it moves: it shows the value and moves the input."""
    declared, key, value = INPUTS[input_id], f"{input_id}_{place}", values()[input_id]
    common: dict[str, Any] = {"label": label(declared), "key": key, "help": w(f"inputs.{input_id}.help")}
    common |= {"disabled": input_id in state().start.fixed, "on_change": _move, "args": (input_id, key)}
    match declared:
        case Integer() if declared.scale:
            _stops_slider(declared, value, common)
        case Integer() | Real(default=None):
            face = face_of(input_id, state())
            _field(declared, key, face, {name: common[name] for name in ("label", "help", "disabled")})
            if face.refused:
                typed_problem(face.refused.text, face.refused.problem, face.refused.instead, f"{place}_")
        case Real():
            _stops_slider(declared, value, common)
        case Choice():
            show(key, value)
            named = f"options.{input_id}.{declared.default}" in words()
            names = {o: w(f"options.{input_id}.{o}") if named else o for o in declared.options}
            if len(names) <= 5:
                st.segmented_control(options=names, format_func=names.__getitem__, required=True, wrap=True, **common)
            else:
                st.selectbox(options=names, format_func=names.__getitem__, **common)
        case Switch():
            show(key, value)
            st.toggle(**common)
        case Text():
            raise TypeError(f"{input_id} is a text")


def blank(input_id: str, name: str, width: int) -> None:
    """A control of an input within a sentence: its ``name`` is for those who hear it. It shows what stands for an empty
    one too."""
    declared, key, face = INPUTS[input_id], f"{input_id}_asked", face_of(input_id, state())
    seen: dict[str, Any] = {"label": name, "label_visibility": "collapsed", "width": width}
    seen["disabled"] = face.fixed
    match declared:
        case Integer():
            _field(declared, key, face, seen, face.derived)
        case Choice():
            show(key, face.value)
            st.selectbox(options=declared.options, key=key, on_change=_move, args=(input_id, key), **seen)
        case _:
            raise TypeError(f"{input_id} has no place in a sentence")


def blank_problems(input_ids: Iterable[str]) -> None:
    """Below a sentence: what is wrong with what was filled in."""
    with st.container():
        for input_id in input_ids:
            face = face_of(input_id, state())
            if face.refused:
                typed_problem(face.refused.text, face.refused.problem, face.refused.instead, "asked_typed_")
            problems_beside(face.problems, "asked_")


def _stops_slider(declared: Integer | Real, value: float, common: dict[str, Any]) -> None:
    """A slider over round stops; the nearest one stands for a value between two, and says it exactly. Streamlit's own
    for numbers writes the browser's marks or those of English, whatever the reader's language."""
    nearest = declared.nearest_stop(cast(Any, value))
    show(common["key"], nearest)
    stops = _stops(declared.id, language()) | {nearest: exact(value)}  # read later too, in no language
    st.select_slider(options=declared.scale, format_func=stops.__getitem__, **common)


@cache
def _stops(input_id: str, language: str) -> dict[float, str]:
    """The stops of a slider as numbers of a language."""
    declared = INPUTS[input_id]
    assert isinstance(declared, Integer | Real)
    return {stop: exact(stop) for stop in declared.scale}


def _slider_and_field(declared: Integer | Real, face: Face, common: dict[str, Any]) -> None:
    """A field for any exact value, below a slider over round stops where there are any; both move the input."""
    seen = {key: common[key] for key in ("label", "help", "disabled", "label_visibility")}
    if isinstance(declared, Integer) and declared.scale:
        _seen_slider(declared, face.value, common)
        seen |= {"help": None, "label_visibility": "collapsed"}
    _field(declared, f"{declared.id}_typed", face, seen)


def _seen_slider(declared: Integer | Real, value: float, common: dict[str, Any]) -> None:
    """The slider that is seen of an input, and moves it."""
    key = f"{declared.id}_slider"
    seen = {name: common[name] for name in ("label", "help", "disabled")}
    _stops_slider(declared, value, seen | {"key": key, "on_change": _move, "args": (declared.id, key)})


def _field(declared: Integer | Real, key: str, face: Face, seen: dict[str, Any], instead: int | None = None) -> None:
    """A number as the reader's language writes it. Streamlit's own field for numbers takes 1e3 for 1 and 3.7 for 3.

    instead: what is shown of an input that is left empty.
    """
    value = instead if face.value is None else face.value
    text = _written(value, locale())
    show(key, face.refused.text if face.refused else text)
    empty = words().get(f"inputs.{declared.id}.empty")
    placeholder = empty if face.derived is None else exact(face.derived)
    st.text_input(
        key=key, placeholder=placeholder, on_change=_take_number, args=(declared.id, key, locale()), **seen
    )  # fmt: skip


def _take_number(input_id: str, key: str, locale: Locale) -> None:
    """Something was typed into a field: so is the input, where it is a value of it. An empty one is as at first."""
    declared, text = INPUTS[input_id], st.session_state[key]
    assert isinstance(declared, Integer | Real)
    try:
        value = declared.typed(text, locale) if text.strip() else state().defaults[input_id]
    except InputError as problem:
        refuse(input_id, text, problem)
        redraw()
        return
    if touched(input_id, key, text, lambda shown: _written(shown, locale)):
        set_inputs({input_id: value})


def _written(value: float | None, locale: Locale) -> str:
    """A number as a field shows it."""
    return "" if value is None else units.whole(value, locale)


def _named_choice(declared: Choice, face: Face, common: dict[str, Any]) -> None:
    """Options under the reader's words for them. Streamlit writes into the link what a control shows, so the input
    shows its options as they are, out of sight, and the control that is seen moves it."""
    seen_key = f"{declared.id}_seen"
    with unseen():
        st.segmented_control(options=declared.options, default=face.default, required=True, **common)
    show(seen_key, face.value)
    names = {option: w(f"options.{declared.id}.{option}") for option in declared.options}
    seen = {key: common[key] for key in ("label", "help", "disabled", "label_visibility")}
    st.segmented_control(
        options=declared.options,
        format_func=names.__getitem__,
        key=seen_key,
        required=True,
        wrap=True,
        on_change=_move,
        args=(declared.id, seen_key),
        **seen,
    )


def _move(input_id: str, seen_key: str) -> None:
    """The control that is seen was moved: so is the input."""
    declared, said = INPUTS[input_id], st.session_state[seen_key]
    shows: Callable[[Any], Any] = lambda value: value  # noqa: E731
    if isinstance(declared, Integer | Real) and declared.scale:
        shows = declared.nearest_stop
    if touched(input_id, seen_key, said, shows):
        set_inputs({input_id: said})
