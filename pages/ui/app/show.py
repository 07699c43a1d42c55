"""Show a quantity: its value for people, and its working on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import streamlit as st

from llmcalc.accuracy import Standing
from llmcalc.bases import Base
from llmcalc.quantity import Quantity
from llmcalc.words import w
from pages.ui.app.sections import after_charts
from pages.ui.app.session import session
from pages.ui.app.stage import at_the_front
from pages.ui.words.numbers import human
from pages.ui.words.problems import caveats_of
from pages.ui.words.standing import Headline, badge, why
from pages.ui.words.working import working_text


def model_header(text: str, start: Base) -> None:
    """The title of a page that tells of a model; below it what is left out of that, or that it is a guess."""
    st.header(text, anchor=False)
    if caveats := caveats_of(start):
        st.caption(" ".join(caveats))


@contextmanager
def headline_row() -> Iterator[Any]:
    """Frames of headline numbers go side by side in it, wrapping where there is no room."""
    with at_the_front():
        row = st.container(key="headlines")
    with row:
        yield row


def headlines(quantities: Callable[[], Iterable[Headline]]) -> None:
    """Headline numbers side by side, wrapping where there is no room; (label, quantity, what it may be called) each.

    They are worked out after the charts. Each is a button that opens its working. Once a page.
    """

    def numbers() -> dict[str, Headline]:
        return {f"number_{place}": number for place, number in enumerate(quantities())}

    def draw() -> None:
        for id, (label, quantity, standing) in numbers().items():
            number = human(quantity.value, quantity.unit)
            said = f"{label} {badge(standing)} **{number}** :small[{w('working.open')}]"
            st.button(
                said, key=id, width="stretch", help=why(standing),
                on_click=_open, args=(id,),
            )  # fmt: skip

    with headline_row() as row:
        after_charts(row, draw)
    if session().opened_number and (number := numbers().get(session().opened_number)):
        session().opened_number = ""
        label, quantity, standing = number
        st.dialog(label, width="medium")(_opened)(quantity, standing)


def _open(id: str) -> None:
    session().opened_number = id


def _opened(quantity: Quantity, standing: Standing) -> None:
    standing_note(standing)
    working(quantity, depth=3)


def one_of(parts: Mapping[str, Callable[[], None]], key: str) -> None:
    """Things to read, of which one is drawn once its name is chosen; they go by the keys of their names in words."""
    chosen = st.pills(w("app.more"), parts, format_func=w, key=key, label_visibility="collapsed")
    if chosen:
        parts[chosen]()


def working(quantity: Quantity, depth: int = 1) -> None:
    """The `working_text` of a quantity."""
    st.markdown(working_text(quantity, depth))


def standing_note(standing: Standing) -> None:
    """The word and what it means, in small print."""
    st.markdown(f"{badge(standing)} :small[{why(standing)}]")
