"""Streamlit made lighter, where it does for every control, message or run what need not be done each time.

With a room of readers a step's time is mostly Streamlit's. What is replaced here does the same with less; each says
what it replaces and what that cost, and `tests/test_lighter.py` holds it to what it replaces.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from streamlit.cursor import SparseList
from streamlit.elements import arrow
from streamlit.proto.ArrowData_pb2 import ArrowData
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.state.safe_session_state import SafeSessionState
from streamlit.runtime.state.session_state import SessionState

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

# What is replaced; kept, for a session that began before is still on its way through it
_copied = SafeSessionState.filtered_state
_waking_for_each = AppSession._on_scriptrunner_event
_populate_theme = app_session._populate_theme_msg
_marshalled = arrow.marshall_styler
_WRITTEN = "_written"  # where a table keeps it


def make_lighter() -> None:
    """Once in a process."""
    SafeSessionState.filtered_state = property(Looked)  # type: ignore[assignment]
    AppSession._on_scriptrunner_event = _in_one_go  # type: ignore[assignment, method-assign]
    app_session._populate_theme_msg = _populate  # type: ignore[assignment]
    SparseList.__deepcopy__ = _copied_list  # type: ignore[attr-defined]
    arrow.marshall_styler = _marshall_styler  # type: ignore[assignment]


class Looked(Mapping[str, Any]):
    """What a session remembers, of which a key is looked up.

    Every field and select box has Streamlit copy it all, to look a single key up in the copy: with two hundred controls
    a sixth of the time of a step.
    """

    def __init__(self, of: SafeSessionState) -> None:
        self._of = of

    def __getitem__(self, key: str) -> Any:
        with self._of._lock:
            state: SessionState = self._of._state
            return state[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> dict[str, Any]:
        found: dict[str, Any] = _copied.__get__(self._of)
        return found


def _in_one_go(session: AppSession, *event: Any, **named: Any) -> None:
    """`AppSession._on_scriptrunner_event`: hand what a run says over to the thread that sends it.

    Streamlit wakes that thread for each message. Here it is woken once, and takes all there are by then, in order.
    """
    handed = session.__dict__.setdefault("_handed_over", deque())
    handed.append((event, named))
    if not session.__dict__.get("_is_woken"):
        _wake(session, handed)


def _wake(session: AppSession, handed: deque[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    session.__dict__["_is_woken"] = True

    def take() -> None:
        session.__dict__["_is_woken"] = False  # first, for what is handed over from here on may come too late
        while handed:
            event, named = handed.popleft()
            try:
                session._handle_scriptrunner_event_on_event_loop(*event, **named)
            except BaseException:
                _wake(session, handed)
                raise

    session._call_soon_on_event_loop(take)


@cache
def _theme(section: str) -> CustomThemeConfig:
    found = CustomThemeConfig()
    _populate_theme(found, section)
    return found


def _populate(message: CustomThemeConfig, section: str = "theme") -> None:
    """`app_session._populate_theme_msg`: the theme goes with every run, six sections of it, and is the same always."""
    if (found := _theme(section)).ByteSize():
        message.MergeFrom(found)


def _copied_list(elements: SparseList[Any], _: dict[int, Any]) -> SparseList[Any]:
    """A list within every place of the tree. Each fragment that is drawn copies all places above it, and these, mostly
    empty, take most of that: by what Python goes through to copy the name of their type."""
    copied: SparseList[Any] = SparseList()
    copied._data = dict(elements._data)
    return copied


def _marshall_styler(written: ArrowData, styled: Styler, default_uuid: str) -> None:
    """`arrow.marshall_styler`: a table that pandas styled is written once, and then the same for all who are shown it.
    With a few hundred rows that takes as long as all else of a step."""
    kept = vars(styled)
    if _WRITTEN not in kept:
        _marshalled(written, styled, default_uuid)
        kept[_WRITTEN] = written.styler.SerializeToString()
    else:
        written.styler.ParseFromString(kept[_WRITTEN])
