"""Presenter mode: one chart at a time, large, below the headline numbers and above the main knobs.

A page is drawn as always, but out of sight; its headline numbers and charts come on stage. What is to be read, and any
page without charts, stays in sight as it is, in large type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import streamlit as st

from llmcalc.question import SERVE, asked, blanks
from llmcalc.words import w
from pages.ui.app.ask import twin
from pages.ui.app.choose import model_twin, purpose_twin
from pages.ui.app.sections import set_inputs
from pages.ui.app.share import qr_popover
from pages.ui.app.state import values

_ICONS = {"before": ":material/chevron_left:", "next": ":material/chevron_right:"}
_KEYS = {"before": "PageUp", "next": "PageDown"}
READ = ("learn",)
_SHAPE = ("d_model", "n_layers", "n_heads")
KNOBS = (*_SHAPE, "batch_size", "seq_len", "accelerator", "n_devices", "precision")
# Else `KNOBS`; none where nothing that is presented moves with them
KNOBS_OF: Mapping[str, tuple[str, ...]] = {
    "serving": ("accelerator", "serve_tensor", "concurrency", "context", "weight_format", "cache_format"),
    "parameters": _SHAPE,
    "scaling": (*_SHAPE, "accelerator", "n_devices"),
    "cost": (*_SHAPE, "seq_len", "accelerator", "n_devices", "precision"),
    "accuracy": (),
    "method": (),
}
PURPOSEFUL = ("explore", "training", "techniques")  # where what is done with the model can be switched


class Stage:
    """What of a page is on stage in this run."""

    def __init__(self, page: str):
        self.choice = f"presented_{page}"
        self.page = page
        self.charts: dict[str, tuple[str, Callable[[], None]]] = {}
        self.tells_verdict = False
        with st.container(key="stage"):
            self._bar = st.container(key="stage_bar", horizontal=True, gap="small", vertical_alignment="center")
            self.notes = st.container(gap=None)
            self.verdict = st.container(key="verdict")
            self.numbers = st.container()
            self._chart = st.container()
            self._knobs = st.container(key="stage_knobs")
        self.rest = st.container(key="backstage")

    def offer(self, key: str, title: str, draw: Callable[[], None]) -> None:
        """Have a chart among those to choose from."""
        self.charts[key] = (title, draw)

    def draw(self, title: str) -> None:
        """What the page does not draw itself, once it has been drawn: the bar, the chosen chart, the knobs."""
        if self.charts and st.session_state.get(self.choice) not in self.charts:
            st.session_state[self.choice] = next(iter(self.charts))
        knobs = self._moving() if self.charts else ()
        with self._bar:
            if knobs:
                model_twin(label_visibility="collapsed", width=190)
                if self.page in PURPOSEFUL:
                    purpose_twin("on_stage", label_visibility="collapsed", width=200)
            else:
                st.markdown(f"**{title}**", width="content")
            if len(self.charts) > 1:
                self._choose()
            qr_popover()
            st.button(
                w("stage.leave"), key="leave", icon=":material/close:", shortcut="Esc",
                help=w("stage.leave_help"), on_click=leave,
            )  # fmt: skip
        if self.charts:
            with self._chart:
                self.charts[st.session_state[self.choice]][1]()
        else:
            st.html("<style>.st-key-backstage { display: flex !important; }</style>")
        with self._knobs:
            for knob in knobs:
                twin(knob, "on_stage")

    def _moving(self) -> tuple[str, ...]:
        """The knobs of what is presented: on the first page those of the question."""
        if self.page == PURPOSEFUL[0] and asked(values()) == SERVE:
            return (*blanks(values()).values(), "weight_format", "cache_format")
        return KNOBS_OF.get(self.page, KNOBS)

    def _choose(self) -> None:
        """The chart before, any chart, the next one."""
        keys = list(self.charts)
        at = keys.index(st.session_state[self.choice])
        self._turn_to("before", keys[at - 1])
        st.selectbox(
            w("stage.chart"), keys, key=self.choice, format_func=lambda key: self.charts[key][0],
            label_visibility="collapsed",
        )  # fmt: skip
        self._turn_to("next", keys[(at + 1) % len(keys)])

    def _turn_to(self, id: str, key: str) -> None:
        """A button to another chart, and the key that a presenter's remote control sends."""
        st.button(
            w(f"stage.{id}"), key=id, icon=_ICONS[id], help=w(f"stage.{id}"), shortcut=_KEYS[id],
            on_click=st.session_state.update, args=({self.choice: key},),
        )  # fmt: skip


_on_stage: ContextVar[Stage | None] = ContextVar("on_stage", default=None)


def on_stage() -> Stage | None:
    """The stage of this run; None where nothing is presented."""
    return _on_stage.get()


@contextmanager
def presented(page: str, title: str) -> Iterator[Stage]:
    """Whatever is drawn meanwhile is presented; ``title`` stands on stage."""
    stage = Stage(page)
    token = _on_stage.set(None if page in READ else stage)
    try:
        with stage.rest:
            yield stage
    finally:
        _on_stage.reset(token)
        stage.draw(title)


def at_the_front() -> AbstractContextManager[object]:
    """Where headline numbers are drawn: on stage, else where the page has them."""
    stage = on_stage()
    return nullcontext() if stage is None else stage.numbers


def leave() -> None:
    """End presenter mode. For a control's callback."""
    set_inputs({"present": False})
