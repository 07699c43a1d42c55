"""The sidebar: every input's control, and the menus.

All inputs are drawn on every page, so that every link holds them all, and stay at the same place of the tree: a control
that moves from page to page or from run to run is mounted anew by the browser.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from llmcalc.errors import InputError
from llmcalc.inputs import in_group
from pages.ui.ask import ask, face_of
from pages.ui.choose import about_model, changes, config_reader, start_over
from pages.ui.problems import problems_beside
from pages.ui.report import report_menu
from pages.ui.sections import folded, is_unfolded, redraw, section, unseen
from pages.ui.share import link_menu
from pages.ui.state import State
from pages.ui.words import w

MAIN = [declared.id for group in ("shape", "size") for declared in in_group(group)]
GROUPS = ("architecture", "run", "fits", "devices", "cluster", "techniques", "scaling", "comparison")
OPEN_GROUP = {"training": "run", "fits": "fits", "cluster": "cluster", "scaling": "scaling", "techniques": "techniques"}


def knobs() -> None:
    """The main knobs, below what they changed of the model."""
    changes()
    for id in MAIN:
        ask(id)


def other_controls(page: str, above: Any, below: Any) -> None:
    """The controls above and below the main knobs, and the menus."""
    with unseen():  # the lesson itself has the control that is seen
        _unless_chosen("lesson", page)
    with above:
        ask("lang", label_visibility="collapsed")
        ask("present")
        ask("model", on_change=start_over)
        about_model()
    with below:
        _out_of_sight(page)
        _more_settings(page)
        config_reader()
        link_menu()
        report_menu()


def _out_of_sight(page: str) -> None:
    """What is wrong with inputs whose controls are not to be seen at present."""

    def face(now: State) -> list[InputError]:
        in_sight = [*MAIN, *(_ids(_chosen(page)) if is_unfolded(**_expander(page)) else ())]
        return [problem for id, problems in now.problems.items() if id not in in_sight for problem in problems]

    section("out_of_sight", face, lambda problems: problems_beside(problems, "unseen_"))


def _more_settings(page: str) -> None:
    """All other controls behind one expander, a group at a time; those of the other groups are unseen."""
    expander, names = _expander(page), {group: w(f"sidebar.{group}") for group in GROUPS}

    def face(now: State) -> tuple[str, list[Any]]:
        ids = _ids(_chosen(page))
        return _chosen(page), [face_of(id, now) if is_unfolded(**expander) else now.values[id] for id in ids]

    def draw(_: object) -> None:
        with folded(w("sidebar.more"), **expander):
            st.pills(
                w("sidebar.group"), GROUPS, default=_first(page), required=True, key=f"group_on_{page}",
                format_func=names.__getitem__, label_visibility="collapsed", on_change=redraw,
            )  # fmt: skip
            for id in _ids(_chosen(page)):
                ask(id, told=is_unfolded(**expander))

    section("more", face, draw)
    with unseen():
        for group in GROUPS:
            _unless_chosen(group, page)


def _unless_chosen(group: str, page: str) -> None:
    """The controls of a group that is not the chosen one."""

    def draw(values: list[Any] | None) -> None:
        for id in _ids(group) if values is not None else ():
            ask(id, told=False)

    section(group, lambda now: None if _chosen(page) == group else [now.values[id] for id in _ids(group)], draw)


def _expander(page: str) -> dict[str, Any]:
    return {"key": f"more_on_{page}", "expanded": page in OPEN_GROUP}


def _chosen(page: str) -> str:
    return st.session_state.get(f"group_on_{page}", _first(page))


def _first(page: str) -> str:
    return OPEN_GROUP.get(page, GROUPS[0])


def _ids(group: str) -> list[str]:
    return [declared.id for declared in in_group(group)]
