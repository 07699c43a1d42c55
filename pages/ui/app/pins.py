"""The models that are pinned for the comparison: read from the input that the link carries, changed by buttons."""

from __future__ import annotations

import streamlit as st

from llmcalc.comparison import Pinned, read_each, write_pinned
from llmcalc.errors import InputError
from pages.ui.app.sections import redraw, set_inputs
from pages.ui.app.session import session
from pages.ui.app.state import put, state, touched, values


def pinned_models() -> list[Pinned]:
    """What is pinned, as far as the text can be read."""
    return read_each(values()["compare"])[0]


def pin_problems() -> tuple[InputError, ...]:
    """What of the text cannot be read, and why."""
    return state().problems("compare")


def refusal() -> InputError | None:
    """Why the last model could not be pinned, if so; said once."""
    problem, session().pin_problem = session().pin_problem, None
    return problem


def pin(*models: Pinned) -> None:
    """Add models to the comparison. For a control's callback."""
    _write([*pinned_models(), *models])


def unpin(at: int) -> None:
    """Take the model at that place out of the comparison. For a control's callback."""
    pinned = pinned_models()
    _write([*pinned[:at], *pinned[at + 1 :]])


def pin_chosen(key: str) -> None:
    """Add the model that was chosen in the menu with that key, and clear the menu. For its callback."""
    chosen = st.session_state[key]
    if chosen is not None and touched("compare", key, chosen, lambda _: None):
        put(key, None)
        pin(Pinned(chosen))
    else:
        redraw()


def load(model: Pinned) -> None:
    """Set the controls to a pinned model; how it is run stays. For a control's callback."""
    set_inputs(model.controls())


def _write(models: list[Pinned]) -> None:
    try:
        set_inputs({"compare": write_pinned(models)})
    except InputError as error:
        session().pin_problem = error
        redraw()
