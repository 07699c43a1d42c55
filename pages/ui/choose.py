"""Choose what to start from: a model of the library, or a config.json that is pasted, uploaded or fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from llmcalc.bases import base, compact
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.hub import fetch_config
from llmcalc.huggingface import parse_config
from llmcalc.inputs import MODELS, PASTED
from pages.ui.ask import ask, starting_point, values
from pages.ui.numbers import exact
from pages.ui.words import w, words


def model_menu(config: Configuration) -> None:
    """The library; where the present model is from, what was noticed in its config, and what was changed of it."""
    ask("model", on_change=start_over)
    with st.container():
        start = config.base
        about = [text for text in (start.group, str(start.year or "")) if text]
        if start.source:
            about.append(f"[{w('working.source')}]({start.url})" if start.url else start.source)
        lines = [" · ".join(about)] if about else []
        if start.note:
            lines.append(w(f"presets.{start.note}"))
        lines += [notice_words(notice.id, notice.text, notice.details) for notice in start.notices]
        st.caption("\n\n".join(lines))
    with st.container():
        if start.changed(config.values):
            st.caption(changes_in_words(config))
            st.button(w("sidebar.undo"), on_click=start_over)


def model_twin() -> None:
    """A second menu of the library, where the first is out of sight."""
    st.session_state["model_twin"] = values()["model"]
    st.selectbox(w("inputs.model.label"), MODELS, key="model_twin", on_change=_take_twin)


def _take_twin() -> None:
    start_from(st.session_state["model_twin"])


def config_reader() -> None:
    """Paste, upload or fetch a config.json. It ends up in the link, cut down to what shapes the model."""
    with st.expander(w("config.title")):
        with st.container():
            if problem := st.session_state.get("config_problem"):
                st.error(problem_words(problem))
        ask("config")
        pasted = st.text_area(w("config.paste"), key="pasted", height=120, placeholder='{"model_type": "llama", …}')
        st.button(w("config.use"), on_click=use_config, args=(parse_config, pasted), disabled=not pasted.strip())
        st.file_uploader(w("config.upload"), type="json", key="uploaded", on_change=use_upload)
        repository = st.text_input(
            w("config.hub"), key="hub_id", placeholder="Qwen/Qwen3-8B", help=w("config.hub_help")
        )
        fetching = w("config.fetching", repository=repository)
        st.button(w("config.fetch"), on_click=fetch_and_use, args=(repository, fetching), disabled=not repository)


def use_config(read: Callable[[Any], Mapping[str, Any]], given: str | bytes) -> None:
    """Start from the config that ``read`` makes of what was given. Where that cannot be used, say why; all stays."""
    try:
        short = compact(read(given))
        values = base(PASTED, short).values
    except InputError as error:
        st.session_state["config_problem"] = error
        return
    st.session_state.update({"config_problem": None, "config": short, "model": PASTED, **values})


def use_upload() -> None:
    """Start from the file that was uploaded, if it was not just taken away."""
    if file := st.session_state["uploaded"]:
        use_config(parse_config, file.getvalue())


def fetch_and_use(repository: str, meanwhile: str) -> None:
    """Start from a repository's config.json; say something meanwhile."""
    with st.spinner(meanwhile):
        use_config(fetch_config, repository)


def start_from(model: str) -> None:
    """Start from another model: its name, and every input that it decides. For a control's callback."""
    st.session_state["model"] = model
    start_over()


def start_over() -> None:
    """Set every input that the base decides to what it is there."""
    st.session_state.update(starting_point().values)


def changes_in_words(config: Configuration) -> str:
    """What was changed of the base, and from what."""
    start = config.base
    changed = start.changed(config.values).items()
    was = ", ".join(f"{id} {_plain(start.values[id])} → {_plain(value)}" for id, value in changed)
    return w("sidebar.changed", changes=was)


def problem_words(error: InputError) -> str:
    """What is wrong, in the reader's words where the error has a code."""
    return coded_problem(error.code or "config_refused", **{"reason": error, "key": error.input_id, **error.details})


def coded_problem(code: str, **details: Any) -> str:
    """What is wrong, by its code; where it is a piece of a longer text, with that piece."""
    details = {name: _told(detail) for name, detail in details.items()}
    if f"reasons.{code}" in words():
        code, details["reason"] = "config_refused", w(f"reasons.{code}", **details)
    text = w(f"problems.{code}", **details)
    return w("problems.in_piece", piece=details["piece"], problem=text) if "piece" in details else text


def notice_words(id: str, text: str, details: Mapping[str, Any]) -> str:
    """What was noticed in a config, in the reader's words where there are any."""
    key = f"notices.{id}"
    return w(key, **details) if key in words() else text


def _told(detail: Any) -> Any:
    """A detail of a problem: what kind of thing was found, in words; another problem, why it is one."""
    if isinstance(detail, str):
        return words().get(f"phrases.{detail}", detail)
    if not isinstance(detail, InputError):
        return detail
    details = {name: _told(value) for name, value in detail.details.items()}
    keys = (f"{section}.{detail.code}" for section in ("reasons", "problems"))
    return next((w(key, **details).removesuffix(".") for key in keys if key in words()), str(detail))


def _plain(value: Any) -> str:
    return exact(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
