"""What is done in place of Streamlit's own code does the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy

import pandas as pd
import pytest
from opened_app import opened
from pandas.io.formats.style import Styler
from streamlit.cursor import SparseList
from streamlit.elements import arrow
from streamlit.proto.ArrowData_pb2 import ArrowData
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.state.safe_session_state import SafeSessionState

from pages.ui.app import lighter


@pytest.fixture(scope="module", autouse=True)
def lightened():
    """As the app's first run has it."""
    lighter.make_lighter()


def test_keys_are_looked_up_as_in_a_copy_of_all_that_a_session_remembers():
    remembered: SafeSessionState = opened("explore", {"d_model": "1024"}).session_state._state
    copied = lighter._copied.__get__(remembered)
    looked = remembered.filtered_state
    assert isinstance(looked, lighter.Looked)
    assert looked["d_model"] == 1024
    assert dict(looked) == copied
    assert len(looked) == len(copied) > 100
    assert "no_such_key" not in looked
    with pytest.raises(KeyError):
        looked["no_such_key"]


class Session:
    """Of `AppSession` what hands over; it notes what it handles, and fails where it is told to."""

    def __init__(self, fails: int | None = None) -> None:
        self.handled: list[int] = []
        self.wakings: list[Callable[[], None]] = []
        self.fails = fails

    def _call_soon_on_event_loop(self, waking: Callable[[], None]) -> None:
        self.wakings.append(waking)

    def _handle_scriptrunner_event_on_event_loop(self, event: int) -> None:
        self.handled.append(event)
        if event == 10:
            lighter._in_one_go(self, 11)
        if event == self.fails:
            raise ValueError("the browser has gone")

    def woken(self) -> int:
        """Let what waits be handled; how often that took a waking."""
        times = 0
        while self.wakings:
            times += 1
            with suppress(ValueError):
                self.wakings.pop(0)()
        return times


def test_all_that_a_run_says_is_handled_in_order_with_one_waking():
    session = Session()
    for last in (5, 6):
        for event in range(last):
            lighter._in_one_go(session, event)
        assert session.woken() == 1
        assert session.handled == list(range(last))
        session.handled.clear()


def test_what_comes_while_others_are_handled_is_handled_too():
    session = Session()
    for event in (10, 12):
        lighter._in_one_go(session, event)
    session.woken()
    assert session.handled == [10, 12, 11]


def test_what_fails_keeps_nothing_from_being_handled():
    session = Session(fails=1)
    for event in range(3):
        lighter._in_one_go(session, event)
    assert session.woken() == 2
    assert session.handled == [0, 1, 2]


def test_every_session_of_streamlit_hands_over_so():
    assert AppSession._on_scriptrunner_event is lighter._in_one_go
    assert lighter._waking_for_each is not lighter._in_one_go


@pytest.mark.parametrize("section", ["theme", "theme.light", "theme.dark", "theme.sidebar", "theme.dark.sidebar"])
def test_the_theme_is_the_one_that_streamlit_sends(section):
    theirs, ours = CustomThemeConfig(), CustomThemeConfig()
    lighter._populate_theme(theirs, section)
    for _ in range(2):
        ours.Clear()
        app_session._populate_theme_msg(ours, section)
        assert ours == theirs


def test_a_list_is_copied_with_what_is_in_it_and_apart_from_it():
    elements: SparseList[str] = SparseList()
    elements[3] = "three"
    copied = deepcopy(elements)
    copied[4] = "four"
    assert (list(elements), list(copied)) == (["three"], ["three", "four"])


def test_a_table_is_written_once_and_then_as_it_was():
    rows = pd.DataFrame({"device": ["A", "B"], "bytes": [2.0, 1.0]})
    calls = []

    def in_words(value: float) -> str:
        calls.append(value)
        return f"{value} GiB"

    def styled() -> Styler:
        return rows.style.set_uuid("0").format({"bytes": in_words})

    whole, first, again = ArrowData(), ArrowData(), ArrowData()
    lighter._marshalled(whole, styled(), "1")
    calls.clear()
    table = styled()
    for written in (first, again):
        arrow.marshall(written, table, "1")
    assert whole.styler == first.styler == again.styler
    assert first.data == again.data != b""
    assert whole.styler.uuid == "0"
    assert len(calls) == len(rows)


def test_tables_are_written_so_where_streamlit_writes_them(monkeypatch):
    written = []
    monkeypatch.setattr(lighter, "_marshalled", lambda *given: written.append(given))
    opened("serving", {"model": "GPT-2 124M"})
    assert len(written) == 1
