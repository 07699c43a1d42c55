"""What a reader has done of the lesson: kept in the session, and by the browser in its own storage for the next one."""

from __future__ import annotations

import secrets
from pathlib import Path

import streamlit as st

from llmcalc.lessons.notes import Notes, read_notes

_NOTES, _TOLD, _SESSION, _COMPONENT = "lesson_notes", "lesson_notes_told", "lesson_session", "lesson_storage"
_component = st.components.v2.component(
    "llmcalc_notes", js=Path(__file__).with_name("notes.js").read_text("utf-8"), isolate_styles=False
)


def notes() -> Notes:
    """What was done so far."""
    return st.session_state.get(_NOTES, Notes())


def note(now: Notes) -> None:
    """Remember what was done."""
    st.session_state[_NOTES] = now


def forget() -> None:
    """Nothing was done. For a control's callback."""
    st.session_state[_NOTES] = Notes()


def keep_notes() -> None:
    """Last of the page: have the browser tell what it keeps, and from then on keep what there is."""
    session = st.session_state.setdefault(_SESSION, secrets.token_hex(4))
    written = notes().written() if st.session_state.get(_TOLD) else None
    with st.container(key="unseen_storage"):
        _component(key=_COMPONENT, data={"session": session, "written": written}, on_stored_change=_take_in)


def _take_in() -> None:
    """The browser has told what it keeps of earlier sessions."""
    told = st.session_state[_COMPONENT]["stored"]
    st.session_state[_TOLD] = True
    note(notes().after(read_notes(told if isinstance(told, str) else "")))
