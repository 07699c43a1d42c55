"""What the app remembers of a reader beside what controls are at: one object, under one key of Streamlit's session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from llmcalc.errors import InputError
from llmcalc.lessons.notes import Notes
from llmcalc.link_text import LinkProblem

if TYPE_CHECKING:
    from llmcalc.link import Link
    from pages.content.question import Typed
    from pages.ui.app.choose import Said
    from pages.ui.app.state import Refused, State

KEY = "reader"  # of no control, so that no link can reach it


@dataclass
class Session:
    """All of it; each field is set where it is told of."""

    # inputs, and what the browser was shown of them: `state`
    present: State | None = None
    refused: Mapping[str, Refused] = field(default_factory=dict)
    shown: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # the values in each drawing, by its number
    places: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)  # from which drawing on a control is at what
    controls: dict[str, tuple[str, Any]] = field(default_factory=dict)  # the part each was last drawn in, and at what
    astray: set[str] = field(default_factory=set)  # parts with a control that says something else than it was drawn at
    # the link that the session began with, and what was wrong with any: `address`
    first_link: Link | None = None
    link_problems: list[LinkProblem] | None = None  # None before the first run
    named: frozenset[str] = frozenset()  # the inputs that the address has ever named
    # what is drawn: `sections`, `shell`
    first_run: bool = True
    drawn: dict[str, tuple[Callable[[State], Any], Any]] = field(default_factory=dict)
    unseen: Any = None
    opened_number: str = ""  # the headline number whose working opens
    moments: dict[str, str | None] = field(default_factory=dict)  # of Training, by account
    # what came of what the reader gave: `choose`, `pins`
    said_of_config: Said | None = None
    typed: Typed | None = None  # the question
    machine_log: str = ""  # what was pasted on Serving
    pin_problem: InputError | None = None
    # the lesson: `lesson`, `notes`
    notes: Notes = field(default_factory=Notes)
    notes_of: str = ""  # this session, as the browser is told
    has_stored_notes: bool = False  # the browser has told what it keeps
    before_task: Mapping[str, Any] | None = None


def session() -> Session:
    """That of this run's reader."""
    try:
        found: Session = st.session_state[KEY]
    except KeyError:
        found = st.session_state[KEY] = Session()
    return found
