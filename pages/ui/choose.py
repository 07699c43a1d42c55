"""Choose what to start from: a model of the library, or a config.json that is pasted, uploaded or fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from llmcalc.bases import Base, base, compact
from llmcalc.errors import InputError
from llmcalc.hub import fetch_config
from llmcalc.huggingface import parse_config
from llmcalc.inputs import MODELS, PASTED
from pages.ui.ask import ask
from pages.ui.problems import as_text, notes_of, problem_words
from pages.ui.sections import set_inputs
from pages.ui.state import show, starting_point, state, values
from pages.ui.words import label_of, value_of, w


def about_model() -> None:
    """Where the present model is from, and what was noticed in its config."""
    start = state().start
    about = [text for text in (as_text(start.group), str(start.year or "")) if text]
    if start.source:
        about.append(f"[{w('working.source')}]({start.url})" if start.url else start.source)
    lines = [" · ".join(about)] if about else []
    st.caption("\n\n".join(lines + notes_of(start)))


def changes() -> None:
    """What was changed of the model, and a button that takes it back."""
    now = state()
    with st.container():
        if changed := now.start.changed(now.values):
            st.caption(changes_in_words(now.start, changed))
            st.button(w("sidebar.undo"), on_click=start_over)


def model_twin() -> None:
    """A second menu of the library, where the first is out of sight."""
    show("model_twin", values()["model"])
    st.selectbox(w("inputs.model.label"), MODELS, key="model_twin", on_change=_take_twin)


def _take_twin() -> None:
    start_from(st.session_state["model_twin"])


def config_reader() -> None:
    """Paste, upload or fetch a config.json. It ends up in the link, cut down to what shapes the model."""
    with st.container():
        if problem := st.session_state.get("config_problem"):
            st.error(problem_words(problem))
    ask("config")
    pasted = st.text_area(w("config.paste"), key="pasted", height=120, placeholder='{"model_type": "llama", …}')
    st.button(w("config.use"), on_click=use_config, args=(parse_config, pasted), disabled=not pasted.strip())
    st.file_uploader(w("config.upload"), type="json", key="uploaded", on_change=use_upload)
    repository = st.text_input(w("config.hub"), key="hub_id", placeholder="Qwen/Qwen3-8B", help=w("config.hub_help"))
    fetching = w("config.fetching", repository=repository)
    st.button(w("config.fetch"), on_click=fetch_and_use, args=(repository, fetching), disabled=not repository)


def use_config(read: Callable[[Any], Mapping[str, Any]], given: str | bytes) -> None:
    """Start from the config that ``read`` makes of what was given. Where that cannot be used, say why; all stays.

    For a control's callback.
    """
    try:
        short = compact(read(given))
        values = base(PASTED, short).values
    except InputError as error:
        st.session_state["config_problem"] = error
        return
    set_inputs({"config_problem": None, "config": short, "model": PASTED, **values})


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
    set_inputs({"model": model, **starting_point(model).values})


def start_over() -> None:
    """Set every input that the base decides to what it is there. For a control's callback."""
    set_inputs(starting_point().values)


def changes_in_words(start: Base, changed: Mapping[str, Any]) -> str:
    """What was changed of a base, and from what."""
    values = {id: (value_of(id, start.values[id]), value_of(id, value)) for id, value in changed.items()}
    return w("sidebar.changed", changes=", ".join(f"{label_of(id)} {was} → {now}" for id, (was, now) in values.items()))
