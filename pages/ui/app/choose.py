"""Choose what to start from: a model of the library, or a config.json that is pasted, uploaded or fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from llmcalc.adapters import inputs_of_adapter, is_adapter
from llmcalc.bases import Base, base, compact, named
from llmcalc.errors import InputError
from llmcalc.hub import fetch_config, repo_and_revision
from llmcalc.huggingface import parse_config
from llmcalc.inputs import MODELS, PASTED
from llmcalc.question import ASKS, asked, asking
from llmcalc.words import label_of, value_of, w
from pages.ui.app.ask import ask
from pages.ui.app.sections import redraw, set_inputs
from pages.ui.app.session import session
from pages.ui.app.state import show, starting_point, state, touched, values
from pages.ui.words.problems import as_text, notes_of, problem_words
from pages.ui.words.titles import start_title


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


def model_twin(key: str = "model_twin", **seen: Any) -> None:
    """A second menu of the library, where the first is out of sight."""
    show(key, values()["model"])
    st.selectbox(w("inputs.model.label"), MODELS, key=key, on_change=start_from_menu, args=(key,), **seen)


def purpose_twin(place: str, **seen: Any) -> None:
    """What is to be done with the model: it stands for several inputs."""
    names, key = {ask: w(f"question.{ask}") for ask in ASKS}, f"purpose_{place}"
    show(key, asked(values()))
    st.selectbox(
        w("question.purpose"), ASKS, key=key, format_func=names.__getitem__, on_change=_take_purpose, args=(key,),
        **seen,
    )  # fmt: skip


def _take_purpose(key: str) -> None:
    ask = st.session_state[key]
    if touched("purpose", key, ask, lambda _: asked(values())):
        set_inputs(asking(ask, values()))


@dataclass(frozen=True, eq=False)
class Said:
    """What came of a config.json that was given in one of three ways: it is in use, or why it cannot be.

    Each is another one, so that what says it is drawn anew.
    """

    way: str
    config: str = ""
    problem: InputError | None = None


def said_of_config() -> Said | None:
    """What there is to say of the config.json that was given last."""
    return session().said_of_config


def config_reader() -> None:
    """Paste, upload or fetch a config.json. It ends up in the link, cut down to what shapes the model."""
    ask("config")
    st.text_area(
        w("config.paste"), key="pasted", height=120, placeholder='{"model_type": "llama", …}', on_change=use_pasted
    )
    _outcome("pasted")
    # Never disabled: what is being typed is said to us only as the button is pressed
    st.button(w("config.use"), key="use_pasted", on_click=use_pasted)
    st.file_uploader(w("config.upload"), type="json", key="uploaded", on_change=use_upload)
    _outcome("uploaded")
    hub: dict[str, Any] = {"placeholder": "Qwen/Qwen3-8B", "help": w("config.hub_help"), "on_change": forget_said}
    st.text_input(w("config.hub"), key="hub_id", **hub)
    _outcome("hub_id")
    st.button(w("config.fetch"), key="fetch_config", on_click=fetch_and_use, args=(w("config.fetching"),))


def _outcome(way: str) -> None:
    """Beside where a config.json was given: that it is in use, or why it cannot be."""
    with st.container():
        said, now = said_of_config(), values()
        if not said or said.way != way:
            return
        if said.problem:
            st.error(problem_words(said.problem))
        elif (now["model"], now["config"]) == (PASTED, said.config):
            st.success(w("config.used", name=start_title(state().start)), icon=":material/check:")


def use_config(way: str, read: Callable[[], Mapping[str, Any]]) -> None:
    """Start from the config that ``read`` returns. Where that cannot be used, say why; all stays.

    For a control's callback.
    """
    try:
        given = read()
        if is_adapter(given):
            decided = inputs_of_adapter(given)
            session().said_of_config = Said(way)
            start = base(decided["model"])
            set_inputs({**start.values, **start.within_reach({**values(), **decided}), **decided})
            return
        short = compact(given)
        start = base(PASTED, short)
    except InputError as error:
        session().said_of_config = Said(way, problem=error)
        return
    session().said_of_config = Said(way, short)
    set_inputs({"config": short, "model": PASTED, **start.values, **start.also, **start.within_reach(values())})


def forget_said() -> None:
    """What was given is another: what was said of it is over. For a control's callback."""
    session().said_of_config = None


def use_pasted() -> None:
    """Start from what is in the box; from an empty one nothing follows."""
    if text := st.session_state["pasted"].strip():
        use_config("pasted", lambda: parse_config(text))
    else:
        forget_said()


def use_upload() -> None:
    """Start from the file that was uploaded, if it was not just taken away."""
    if file := st.session_state["uploaded"]:
        use_config("uploaded", lambda: parse_config(file.getvalue()))
    else:
        forget_said()


def fetch_and_use(meanwhile: str) -> None:
    """Start from a repository's config.json; say something meanwhile."""
    if repository := st.session_state["hub_id"].strip():
        with st.spinner(meanwhile):
            use_config("hub_id", lambda: named(fetch_config(repository), repo_and_revision(repository)[0]))


def start_from(model: str) -> None:
    """Start from another model: its name, and every input that it decides. For a control's callback."""
    start = starting_point(model)
    set_inputs({"model": model, **start.values, **start.within_reach(values())})


def start_from_menu(menu: str) -> None:
    """Start from the model that the reader chose in a menu. For its callback."""
    model = st.session_state[menu]
    if touched("model", menu, model):
        start_from(model)
    else:
        redraw()


def start_over() -> None:
    """Set every input that the base decides to what it is there. For a control's callback."""
    set_inputs(starting_point().values)


def changes_in_words(start: Base, changed: Mapping[str, Any]) -> str:
    """What was changed of a base, and from what."""
    values = {id: (value_of(id, start.values[id]), value_of(id, value)) for id, value in changed.items()}
    return w("sidebar.changed", changes=", ".join(f"{label_of(id)} {was} → {now}" for id, (was, now) in values.items()))
