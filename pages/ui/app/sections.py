"""Parts of the app that are drawn again by themselves: the page with the main knobs, groups of controls, menus.

A change of an input has Streamlit run the whole app, though most of what that draws is as it was. So the app is made of
fragments, as Streamlit calls them. One of them is *live*: the page, drawn again at every change. The others are
sections: each is drawn from its *face*, all that it depends on, and again only when that has become another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from llmcalc.words import speak
from pages.ui.app.session import session
from pages.ui.app.state import State, drawn_part, forget_refused, hear, mend_address, put, settle, state, values

# Seconds that the charts are ahead of what comes after them: the browser lays out at once all that has come
HEAD_START = 0.07
LIVE = "live"  # drawn first, for it is what the reader looks at
SEEN = "seen"  # drawn last, for it says that all before it is
_BEGUN = object()  # the face of what may have been drawn in part
_APP = "app"  # not a section: what every section and the navigation depend on
Face = TypeVar("Face")
_away: ContextVar[Callable[[], Any]] = ContextVar("away")
_ahead: ContextVar[bool] = ContextVar("ahead")
_waiting: ContextVar[list[tuple[Any, Callable[[], None]]]] = ContextVar("waiting")


def live(draw: Callable[[], None]) -> None:
    """Draw here what follows every change of an input: at once its charts, then what they do not wait for."""

    def drawn() -> None:
        now = state()
        _drawn()[LIVE] = (lambda state: state, now)
        waiting: list[tuple[Any, Callable[[], None]]] = []
        token, problem = _waiting.set(waiting), None
        _ahead.set(False)
        try:
            draw()
        except Exception as error:
            problem = error
        charts_first()
        for place, rest in waiting:
            with place:
                rest()
        _waiting.reset(token)
        if problem:
            raise problem

    _fragment(LIVE, drawn)


def after_charts(place: Any, draw: Callable[[], None]) -> None:
    """Draw something in ``place``, a container of what is live, once the browser has had time to draw the charts."""
    _waiting.get().append((place, draw))


def charts_first() -> None:
    """Wait, once in a run, until the browser has had time to draw the charts so far."""
    if not _ahead.get():
        _ahead.set(True)
        time.sleep(HEAD_START)


def section(key: str, face: Callable[[State], Face], draw: Callable[[Face], None]) -> None:
    """Draw a part of the app here, and again whenever ``face`` returns something else than it was drawn from.

    key: unique in the app.
    face: called in callbacks too, where no words can be looked up.
    draw: depends on nothing but the face and the language.
    """

    def drawn() -> None:
        present = face(state())
        _drawn()[key] = (face, _BEGUN)  # a run that is cut off leaves it to the next
        draw(present)
        _drawn()[key] = (face, present)

    _fragment(key, drawn)


def _fragment(key: str, draw: Callable[[], None]) -> None:
    """A fragment that speaks the reader's language and has a place of its own out of sight."""
    whole_app = True

    def drawn() -> None:
        speak(values()["lang"])
        # Streamlit reserves the place in a run of the whole app. Later it is made when something is drawn there: what
        # is sent ahead of the charts has the browser draw the page once more.
        place = cache(_place_of_its_own)
        if whole_app:
            place()
        token, part = _away.set(place), drawn_part.set(key)
        session().astray.discard(key)
        try:
            draw()
        finally:
            _away.reset(token)
            drawn_part.reset(part)

    st.fragment(drawn, key=key)()
    whole_app = False


def _place_of_its_own() -> Any:
    with session().unseen:
        return st.container()


def whole_app_from(face: Callable[[State], Any]) -> None:
    """First in a run of the whole app: say what everything depends on. What another page drew is no longer there."""
    _drawn().clear()
    _drawn()[_APP] = (face, face(state()))


def redraw() -> None:
    """Draw again what an input's change changes. The last call of a control's callback, for it may not return."""
    hear()
    _redraw()


def _redraw() -> None:
    before, now = values(), settle()
    if _all_is_drawn():
        return
    mend_address(before, now)
    stale = [key for key, (face, before) in _drawn().items() if key in session().astray or face(now) != before]
    if _APP in stale:
        st.rerun()
    if stale:
        rerun_fragments(sorted(stale, key=lambda key: (key != LIVE, key == SEEN)))


def _all_is_drawn() -> bool:
    """Whether the run that this callback is called in draws the whole app in any case. Another page's run does: the
    browser says with it what was typed last. What is drawn of the app instead would be the page that was left."""
    context = get_script_run_ctx()
    return context is not None and not context.fragment_ids_this_run


def rerun_fragments(keys: list[str]) -> None:
    """Run these and nothing else, in this order."""
    st.rerun(keys)


def set_inputs(values: Mapping[str, Any]) -> None:
    """Set inputs, and draw again what that changes. For a control's callback, of which it is the last call."""
    hear()
    for input_id, value in values.items():
        put(input_id, value)
    forget_refused(values)
    _redraw()


def _drawn() -> dict[str, tuple[Callable[[State], Any], Any]]:
    """Of each section its face: the function, and what it returned when the section was last drawn."""
    return session().drawn


def prepare_unseen() -> None:
    """First in a run of the whole app: a place out of sight, see `unseen`."""
    session().unseen = st.popover("·", key="unseen_controls")


@contextmanager
def unseen() -> Iterator[None]:
    """Draw controls that nobody needs to see at present, but whose values the link carries.

    They are in a popover that is never opened: the browser does not make what is in there, which a run of Streamlit's
    page would take time for even where style sheets hide it.
    """
    place = _away.get(None)
    with place() if place else session().unseen:
        yield
