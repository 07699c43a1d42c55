"""Compare: the present model beside up to four pinned ones, in charts and in a table, all of it in the link."""

from __future__ import annotations

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.beside import as_large, next_sizes
from llmcalc.comparison import MOST_PINNED, Pinned, pinned_of
from llmcalc.configuration import Configuration
from llmcalc.inputs import MODELS, PASTED
from llmcalc.words import w
from pages.content.compare import Models, charts, counted, named, side_by_side
from pages.ui.app.choose import changes_in_words
from pages.ui.app.pins import load, pin, pin_chosen, pin_problems, pinned_models, refusal, unpin
from pages.ui.app.screen import draw
from pages.ui.app.state import configuration
from pages.ui.document.blocks import Rests, Worked, heading
from pages.ui.words.problems import as_text, caveats_of, problem_words

EXAMPLE = ("Llama 3 8B", "Mixtral 8x7B", "DeepSeek-V3 671B")


def page() -> None:
    """The page."""
    present, pinned = configuration(), pinned_models()
    full = len(pinned) >= MOST_PINNED
    st.header(w("compare.header"), anchor=False)
    for problem in (*pin_problems(), *filter(None, [refusal()])):
        st.warning(problem_words(problem))
    models = named(present, pinned)
    if not pinned:
        to_begin_with(present)
    (name, _), *others = models.items()
    with st.container(key="compared"):
        present_card(name, present, pinned)
        for place, (name, config) in enumerate(others):
            pinned_card(place, name, config, pinned[place])
    st.selectbox(
        w("compare.library"), [model for model in MODELS if model != PASTED], index=None, key="compare_library",
        placeholder=w("compare.search"), on_change=pin_chosen, args=("compare_library",), disabled=full,
        help=w("compare.full") if full else None, width=420,
    )  # fmt: skip
    draw(charts(models))
    draw([heading(w("compare.table_header"))])
    draw(side_by_side(models))
    one_row(models)


def to_begin_with(present: Configuration) -> None:
    """Where nothing is pinned yet: what the page is for, and a button for each few models to begin with."""
    st.info(w("compare.empty"))
    offers = {"next_sizes": next_sizes(present), "as_large": as_large(present), "example": EXAMPLE}
    with st.container(key="compare_offers", gap="small"):
        for offer, models in offers.items():
            if models:
                told = w(f"compare.{offer}", models=", ".join(models))
                st.button(told, key=f"compare_{offer}", on_click=pin, args=tuple(map(Pinned, models)))


def card(name: str, config: Configuration) -> None:
    """What a model is, and what was changed of it."""
    base = config.base
    st.markdown(f"**{name}**")
    about = " · ".join(text for text in (as_text(base.group), str(base.year or "")) if text)
    changed = base.changed(config.values)
    st.caption(changes_in_words(base, changed) if changed else about)
    if caveats := caveats_of(base):
        st.caption(" ".join(caveats))


def present_card(name: str, present: Configuration, pinned: list[Pinned]) -> None:
    """The model in the controls, and a button that pins it."""
    model, full = pinned_of(present.values), len(pinned) >= MOST_PINNED
    reason = "full" if full else "pinned_already" if model in pinned else "pin_help"
    with st.container(border=True):
        card(name, present)
        st.button(
            w("compare.pin"), key="pin", on_click=pin, args=(model,),
            disabled=reason != "pin_help", help=w(f"compare.{reason}"),
        )  # fmt: skip


def pinned_card(place: int, name: str, config: Configuration, model: Pinned) -> None:
    """A pinned model, with buttons that load it into the controls and remove it."""
    with st.container(border=True):
        card(name, config)
        refused = config.serving.refused if config.requests.are_users else ()
        for problem in (*config.problems, *(error for error in refused if error.input_id == "context")):
            st.warning(problem_words(problem))
        with st.container(horizontal=True, gap="small"):
            st.button(
                w("compare.load"), key=f"load_{place}", on_click=load, args=(model,), help=w("compare.load_help"),
                type="tertiary",
            )  # fmt: skip
            st.button(w("compare.remove"), key=f"unpin_{place}", on_click=unpin, args=(place,), type="tertiary")


def one_row(models: Models) -> None:
    """The working of a row of the table, on demand."""
    quantities = {name: counted(config) for name, config in models.items()}
    rows = list(next(iter(quantities.values())))
    chosen = st.pills(w("compare.working"), range(len(rows)), format_func=rows.__getitem__, key="compare_working")
    if chosen is None:
        return
    for name, of in quantities.items():
        if (quantity := of[rows[chosen]].quantity) is not None:
            with st.container(border=True):
                st.caption(name)
                draw([Rests(of[rows[chosen]].standing), Worked([quantity])])


if __name__ == "__main__":
    alone()
