"""Learn: the article as a lesson and a chapter on serving, each with the reader's own numbers, a task and questions."""

from typing import Any

import streamlit as st

from pages.ui.app.shell import alone
from llmcalc.configuration import Configuration
from llmcalc.lessons.anatomy import PARTS, one_layer_of
from llmcalc.lessons.chapters import CHAPTERS, Chapter
from llmcalc.words import w
from pages.content.lesson import calculators, of_the_article
from pages.content.lesson_charts import lesson_chart
from pages.ui.app.choose import start_from
from pages.ui.app.lesson import (
    diagram,
    formulas,
    from_the_top,
    glossary,
    knobs,
    moving,
    neighbours,
    progress,
    quiz,
    take_note,
    told,
    try_it,
)
from pages.ui.app.notes import keep_notes
from pages.ui.app.screen import draw
from pages.ui.app.state import configuration

# What chapter 1 starts from on demand: the encoder and decoder of 2017, and a GPT
SHOWN_MODELS = ("Transformer base", "GPT-2 124M", "BERT base (encoder)")


def page() -> None:
    """The page."""
    config = configuration()
    chapter = CHAPTERS[config.values["chapter"]]
    take_note(chapter, config)
    progress()
    st.header(f"{chapter.number}. {w(f'learn.chapters.{chapter.id}.title')}", anchor=False)
    told(chapter, config)
    if chapter.id == "parts":
        parts_and_drawing(chapter, config)
    elif chapter.id == "parameters":
        formulas_and_drawing(chapter, config)
    else:
        chart_and_formulas(chapter, config)
    if chapter.id == "calculators":
        draw(calculators(config))
    if chapter.id == "techniques":
        st.page_link("pages/techniques.py", label=w("article.h.link"), icon=":material/compress:")
    if chapter.id in ("serving", "time"):
        st.page_link("pages/serving.py", label=w("learn.to_serving"), icon=":material/dns:")
    draw(of_the_article(chapter))
    left, right = st.columns(2, gap="medium")
    with left:
        try_it(chapter.task, config)
    with right:
        quiz(chapter, config)
    neighbours(chapter)
    glossary(config)
    keep_notes()
    from_the_top(chapter)


def chosen_part(parts: tuple[str, ...], key: str, start: str) -> str:
    """The part of the drawing that the reader asks about."""
    names = {part: w(f"learn.part.{part}.label") for part in parts}
    choice: dict[str, Any] = {"default": start, "required": True, "wrap": True, "format_func": names.__getitem__}
    return st.pills(w("learn.diagram.choose"), parts, key=key, **choice)


def parts_and_drawing(chapter: Chapter, config: Configuration) -> None:
    """Chapter 1: the drawing, and what the part under discussion is for."""
    part = chosen_part(tuple(PARTS), "lesson_part", "attention")
    drawn, said = st.columns([6, 5], gap="large")
    with drawn:
        diagram(config.model, part)
    with said:
        st.markdown(w(f"learn.part.{part}.text"))
        st.caption(w("learn.diagram.others"))
        with st.container(horizontal=True):
            for model in SHOWN_MODELS:
                st.button(model, key=f"show_{model}", on_click=start_from, args=(model,), disabled=config.name == model)
        knobs(chapter)


def formulas_and_drawing(chapter: Chapter, config: Configuration) -> None:
    """Chapter 2: the drawing, and the count of one layer's parts."""
    drawn, counted = st.columns(2, gap="large")
    with drawn:
        part = chosen_part((*PARTS, "layer", "model"), "lesson_counted", "layer")
        diagram(config.model, part)
    with counted:
        if (quantity := one_layer_of(config.model, part)).value:
            formulas(quantity)
        else:
            st.markdown(w("learn.no_part"))
        draw(lesson_chart(chapter.id, config))
        knobs(chapter)


def chart_and_formulas(chapter: Chapter, config: Configuration) -> None:
    """The chart with its controls, and beside them the formulas with the reader's values."""
    drawn, said = st.columns([7, 5], gap="large")
    with drawn:
        if chapter.id == "time":
            moving(config)
        draw(lesson_chart(chapter.id, config))
        knobs(chapter)
    with said:
        formulas(*chapter.formulas(config))


if __name__ == "__main__":
    alone()
