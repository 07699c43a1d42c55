"""What a reader has done of the lesson: kept in the session, and by the browser in its own storage for the next one."""

from __future__ import annotations

import secrets
from pathlib import Path

import streamlit as st

from llmcalc.lessons.notes import Notes, read_notes
from pages.ui.app.session import session

_COMPONENT = "lesson_storage"
_component = st.components.v2.component(
    "llmcalc_notes", js=Path(__file__).with_name("notes.js").read_text("utf-8"), isolate_styles=False
)


def notes() -> Notes:
    """What was done so far."""
    return session().notes


def note(now: Notes) -> None:
    """Remember what was done."""
    session().notes = now


def forget() -> None:
    """Nothing was done. For a control's callback."""
    session().notes = Notes()


def keep_notes() -> None:
    """Last of the page: have the browser tell what it keeps, and from then on keep what there is."""
    now = session()
    now.notes_of = now.notes_of or secrets.token_hex(4)
    written = now.notes.written() if now.has_stored_notes else None
    with st.container(key="unseen_storage"):
        _component(key=_COMPONENT, data={"session": now.notes_of, "written": written}, on_stored_change=_take_in)


def _take_in() -> None:
    """The browser has told what it keeps of earlier sessions."""
    told = st.session_state[_COMPONENT]["stored"]
    session().has_stored_notes = True
    note(notes().after(read_notes(told if isinstance(told, str) else "")))
