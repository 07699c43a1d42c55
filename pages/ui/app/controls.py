"""The sidebar: every input's control, and the menus.

All inputs are drawn on every page, so that every link holds them all, and stay at the same place of the tree: a control
that moves from page to page or from run to run is mounted anew by the browser. What is not looked at all the time has a
name to choose it by (pills): each block that folds would cost the browser as much at every step as two main knobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import streamlit as st

from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.inputs import in_group
from llmcalc.question import blanks
from llmcalc.version import VERSION
from llmcalc.words import w
from pages.ui.app.ask import Face, ask, face_of
from pages.ui.app.choose import Said, about_model, changes, config_reader, said_of_config, start_from_menu
from pages.ui.app.problems import problems_beside
from pages.ui.app.report import report_menu
from pages.ui.app.sections import redraw, section, unseen
from pages.ui.app.share import copy_button, link, link_menu
from pages.ui.app.state import State, state, values
from pages.ui.words.devices import memory_told

SHAPE = [declared.id for declared in in_group("shape")]
_SIZES = tuple(declared.id for declared in in_group("size"))
MAIN = [*_SIZES, "accelerator", "n_devices", *SHAPE]
# What is asked in groups, of which one is open at a time, and which groups of inputs each is made of
GROUPS: Mapping[str, tuple[str, ...]] = {
    "shape": ("architecture",),
    "training": ("run", "fine_tuning"),
    "serving": ("formats", "serving"),
    "devices": ("devices", "overhead", "speed"),
}
# What only one page reads is asked there
ON_PAGES = ("lesson", "fits", "techniques", "scaling", "cost", "comparison")
_STEP = ("shape", "training", "devices")
# Which of these groups a page reads beside what it asks itself, in the order in which they are offered; one that is not
# named reads no input
GROUPS_READ: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("explore", "learn", "training", "fits", "techniques"), tuple(GROUPS)),
    **dict.fromkeys(("cluster", "cost"), _STEP),
    **dict.fromkeys(("serving", "compare"), ("shape", "serving")),
    **{"parameters": ("shape",), "scaling": ("shape", "devices")},
}
# Of the main knobs those that do not move it
_UNMOVED: Mapping[str, tuple[str, ...]] = {
    **{"parameters": (*_SIZES, "accelerator", "n_devices")},
    **{"serving": (*_SIZES, "n_devices"), "compare": ("n_devices",), "scaling": _SIZES},
}
# And where it is served: how many users there are, and how long a context, is asked elsewhere
_UNMOVED_IN_SERVING: Mapping[str, tuple[str, ...]] = {"fits": _SIZES, "compare": ("batch_size",)}
OPEN_GROUP = {
    **{"training": "training", "serving": "serving", "cluster": "devices", "techniques": "devices"},
}
MENUS = {
    "config": (":material/upload:", "config.title"),
    "link": (":material/link:", "link.full"),
    "report": (":material/summarize:", "report.open"),
}


def main_knobs(page: str, values: Mapping[str, Any]) -> list[str]:
    """The main knobs that move a page, in their order."""
    unmoved = _UNMOVED.get(page, ())
    if values["purpose"] == "inference":
        unmoved += _UNMOVED_IN_SERVING.get(page, ())
    return [id for id in MAIN if page in GROUPS_READ and id not in unmoved]


def _knobs(page: str) -> None:
    """The main knobs that move the page, each a section, below what was changed of the model; those of the shape are
    folded where the model is one that somebody made."""
    section("changes", lambda now: now.start.changed(now.values), lambda _: changes())
    offered = main_knobs(page, values())
    for id in offered:
        if id not in SHAPE:
            _knob(id, page)
    if offered:
        is_made = state().start.config is not None
        with st.expander(w("sidebar.shape_of_model"), key="shape_knobs") if is_made else nullcontext():
            for id in SHAPE:
                _knob(id, page)


def _knob(id: str, page: str) -> None:
    section(
        f"knob_{id}",
        lambda now: (face_of(id, now), id not in _said_by(page, now)),
        lambda face: ask(id, problems_told=face[1]),
    )


def _said_by(page: str, now: State) -> set[str]:
    """The inputs of which the page itself says what is wrong with them."""
    of_page = {"serving": (), "explore": blanks(now.values).values()}
    refused = (problem.input_id for problem in now.configuration.serving.refused) if page in of_page else ()
    return {*of_page.get(page, ()), *refused}


def controls(page: str, above: Any, between: Any, below: Any) -> None:
    """All controls, and the menus: the main knobs between those above and below them."""
    with unseen():  # the page itself has the control that is seen
        for group in ON_PAGES:
            _unless_chosen(group, page)
        _unread(page)
    with above:
        ask("lang", label_visibility="collapsed")
        ask("present")
        ask("model", on_change=lambda: start_from_menu("model"))
        about_model()
    with between:
        _knobs(page)
    with below:
        _out_of_sight(page)
        _more_settings(page)
        copy_button()
        _menus()


def _unread(page: str) -> None:
    """The main knobs that the page does not read."""

    def face(now: State) -> dict[str, Any]:
        return {id: now.values[id] for id in MAIN if id not in main_knobs(page, now.values)}

    def draw(unread: dict[str, Any]) -> None:
        for id in unread:
            ask(id, told=False)

    section("unread", face, draw)


def _out_of_sight(page: str) -> None:
    """What is wrong with inputs whose controls are not to be seen at present."""

    def face(now: State) -> list[InputError]:
        in_sight = [*main_knobs(page, now.values), *_ids(_chosen(page))]
        return [problem for id, problems in now.contradictions.items() if id not in in_sight for problem in problems]

    section("out_of_sight", face, lambda problems: problems_beside(problems, "unseen_"))


def _more_settings(page: str) -> None:
    """All other controls that the page reads, a group at a time; those of the other groups are unseen."""
    offered = GROUPS_READ.get(page, ())
    names = {group: w(f"sidebar.{group}") for group in GROUPS}

    def face(now: State) -> tuple[str | None, list[tuple[Face, bool]], str]:
        chosen = _chosen(page)
        device = now.values["accelerator"] if chosen == "devices" else ""
        said = _said_by(page, now)
        return chosen, [(face_of(id, now), id not in said) for id in _ids(chosen)], device

    def draw(face: tuple[str | None, list[tuple[Face, bool]], str]) -> None:
        st.pills(
            w("sidebar.more"), offered, default=OPEN_GROUP.get(page), key=f"group_on_{page}",
            format_func=names.__getitem__, on_change=redraw,
        )  # fmt: skip
        if face[0] == "devices":
            st.caption(memory_told(state().configuration.accelerator))
        for id, (_, told) in zip(_ids(face[0]), face[1], strict=True):
            ask(id, problems_told=told)

    if offered:
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


def _chosen(page: str) -> str | None:
    chosen = st.session_state.get(f"group_on_{page}", OPEN_GROUP.get(page))
    return chosen if chosen in GROUPS_READ.get(page, ()) else None


def _ids(group: str | None) -> list[str]:
    """The inputs that are asked in a group."""
    if not group:
        return []
    return [i.id for part in GROUPS.get(group, (group,)) for i in in_group(part) if i.id not in MAIN]


def _menus() -> None:
    """Ways in and out, of which one is open at a time. The link and the report are written only while they are."""
    names = {menu: f"{icon} {w(key)}" for menu, (icon, key) in MENUS.items()}

    def face(now: State) -> tuple[str | None, Face, str | None, Configuration | None, Said | None]:
        chosen = st.session_state.get("menu")
        address = link() if chosen in ("link", "report") else None
        reported = now.configuration if chosen == "report" else None
        return chosen, face_of("config", now), address, reported, said_of_config()

    def draw(face: tuple[str | None, Face, str | None, Configuration | None, Said | None]) -> None:
        chosen, _, address, config, _ = face
        st.pills(
            w("sidebar.menus"), MENUS, key="menu", format_func=names.__getitem__, label_visibility="collapsed",
            on_change=redraw,
        )  # fmt: skip
        with nullcontext() if chosen == "config" else unseen():
            config_reader()
        if config and address:
            report_menu(config, address)
        elif address:
            link_menu(address)
        st.caption(w("app.version", version=VERSION))

    section("menus", face, draw)
