"""What every chapter of the lesson has: where the reader is, its text, formulas, controls, a task, questions, words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import streamlit as st

from llmcalc.configuration import Configuration
from llmcalc.inputs import CHAPTERS as NUMBERS
from llmcalc.lessons.chapters import CHAPTERS, Chapter
from llmcalc.lessons.facts import facts
from llmcalc.lessons.glossary import GLOSSARY
from llmcalc.lessons.notes import Notes
from llmcalc.lessons.passage import Passage
from llmcalc.lessons.quiz import RIGHT, Option, Question
from llmcalc.lessons.tasks import Task
from llmcalc.quantity import Quantity
from llmcalc.tex import localized
from llmcalc.transformer.breakdown import in_symbols, in_values
from llmcalc.transformer.model import Model
from llmcalc.words import locale, w
from llmcalc.words.names import name, unit_name
from pages.ui.app.ask import twin
from pages.ui.app.notes import forget, note, notes
from pages.ui.app.sections import redraw, set_inputs
from pages.ui.app.session import session
from pages.ui.app.show import working
from pages.ui.app.state import show, touched, values
from pages.ui.figures import passage
from pages.ui.figures.diagram import drawing
from pages.ui.words.numbers import exact, human, marked

_ALL_QUESTIONS = sum(len(chapter.questions) for chapter in CHAPTERS.values())


def key_of(question: Question) -> str:
    """The key of a question's control."""
    return f"question_{question.id}"


# Where the reader is


def take_note(chapter: Chapter, config: Configuration) -> None:
    """Remember that the task is solved, and what was chosen."""
    now = notes()
    if chapter.task.is_solved(config):
        now = now.with_solved(chapter.task.id)
    for question in chapter.questions:
        if chosen := st.session_state.get(key_of(question)):
            now = now.with_option(question.id, chosen)
    note(now)


def progress() -> None:
    """The chapters to choose from, those that are done ticked, and how much is solved and answered."""
    solved, answered = notes().solved, notes().answered
    done = {
        number
        for number, chapter in CHAPTERS.items()
        if chapter.task.id in solved and answered >= {question.id for question in chapter.questions}
    }
    show("chapter_beside", values()["chapter"])
    st.segmented_control(
        w("inputs.chapter.label"),
        NUMBERS,
        wrap=True,
        key="chapter_beside",
        format_func=lambda number: f"{number} ✓" if number in done else number,
        required=True,
        on_change=_open_chosen,
        label_visibility="collapsed",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            w(
                "learn.progress",
                chapter=values()["chapter"],
                chapters=len(NUMBERS),
                solved=len(solved),
                tasks=len(CHAPTERS),
                answered=len(answered),
                questions=_ALL_QUESTIONS,
            ),
            width="content",
        )
        if notes() != Notes():
            st.button(
                w("learn.forget"), key="lesson_forget", type="tertiary", on_click=_forget, help=w("learn.forget_help")
            )


def neighbours(chapter: Chapter) -> None:
    """Buttons to the chapters before and after."""
    at = NUMBERS.index(chapter.number)
    with st.container(horizontal=True, horizontal_alignment="distribute", key="neighbours"):
        for step, icon, shortcut, key in (
            (-1, ":material/arrow_back:", "Alt+P", "previous"),
            (1, ":material/arrow_forward:", "Alt+N", "next"),
        ):
            there = NUMBERS[at + step] if 0 <= at + step < len(NUMBERS) else None
            st.button(
                f"{there}. {w(f'learn.chapters.{CHAPTERS[there].id}.title')}" if there else w(f"learn.no_{key}"),
                key=f"chapter_{key}",
                icon=icon,
                icon_position="left" if step < 0 else "right",
                shortcut=shortcut,
                disabled=there is None,
                type="primary" if step > 0 else "secondary",
                on_click=_open,
                args=(there,),
            )


def from_the_top(chapter: Chapter) -> None:
    """Show a chapter that was just opened from its beginning."""
    with st.container(key="unseen_scroll"):
        script = f"/* {chapter.number} */ document.querySelector('[data-testid=\"stMain\"]')?.scrollTo(0, 0)"
        st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def _open(number: str | None) -> None:
    set_inputs({"chapter": number})


def _open_chosen() -> None:
    chosen = st.session_state["chapter_beside"]
    if touched("chapter", "chapter_beside", chosen):
        _open(chosen)
    else:
        redraw()


def _forget() -> None:
    """Begin the lesson anew: another reader, or once more."""
    for chapter in CHAPTERS.values():
        for question in chapter.questions:
            st.session_state[key_of(question)] = None
    forget()


# What a chapter shows


def told(chapter: Chapter, config: Configuration) -> None:
    """The chapter's text; a word of the glossary leads there, and says what it means when it is pointed at."""
    meant = facts(config)

    def with_meaning(link: re.Match[str]) -> str:
        meaning = w(f"learn.glossary.{link[1]}", **meant).replace('"', "'")
        return f'](#{link[1]} "{meaning}")'

    st.markdown(re.sub(r"\]\(#(\w+)\)", with_meaning, w(f"learn.chapters.{chapter.id}.text", **meant)))


def glossary(config: Configuration) -> None:
    """Every word that the lesson explains, each with an address of its own on the page."""
    meant = facts(config)
    entries = "".join(
        f'<div id="{id}"><dt>{escape(w(f"learn.glossary_names.{id}"))}</dt>'
        f"<dd>{escape(w(f'learn.glossary.{id}', **meant))}</dd></div>"
        for id in GLOSSARY
    )
    st.markdown(f"##### :material/dictionary: {w('learn.glossary.title')}")
    st.html(f'<dl class="glossary">{entries}</dl>')


def formulas(*quantities: Quantity) -> None:
    """Each with the reader's values put in; a sum term by term."""
    for quantity in quantities:
        with st.container(border=True):
            if quantity.parts:
                st.markdown("\n".join(_terms(quantity)))
            else:
                working(quantity, depth=0)


def _terms(whole: Quantity) -> Iterator[str]:
    """A sum, and a line for each of its terms in symbols and in numbers; parameters down to what a reader can set."""
    result = localized(whole.working.result, locale())
    yield f"**{name(whole.id)}**\n\n${whole.symbol} = {result}$ {unit_name(whole.unit, whole.value)} {_short(whole)}\n"
    for part in whole.parts:
        shown, counted = part.working, part.unit == "parameters"
        written = (in_symbols(part), in_values(part)) if counted else (shown.symbols, shown.values)
        steps = dict.fromkeys((*written, shown.result))
        yield f"- {name(part.id)}: ${localized(' = '.join(steps), locale())}$"


def _short(quantity: Quantity) -> str:
    return f"≈ {human(quantity.value, quantity.unit)}"


def knobs(chapter: Chapter) -> None:
    """The chapter's controls, side by side where there is room."""
    for column, input_id in zip(st.columns(len(chapter.knobs)), chapter.knobs, strict=True):
        with column:
            twin(input_id)


# Try it


def try_it(task: Task, config: Configuration) -> None:
    """What to do, a button that sets it up, the conditions as they hold at present, and why it worked once it did."""
    numbers, checklist = task.numbers(config), task.checklist(config)
    with st.container(border=True, key="task"):
        st.markdown(f"##### :material/experiment: {w(f'learn.tasks.{task.id}.title')}")
        st.markdown(w(f"learn.tasks.{task.id}.text", **numbers))
        with st.container(horizontal=True):
            st.button(
                w("learn.begin"), key="task_begin", icon=":material/flag:", on_click=_begin, args=(task.settings,),
                disabled=task.is_at_start(config), help=w("learn.begin_help"),
            )  # fmt: skip
            if session().before_task is not None:
                st.button(w("learn.back"), key="task_back", icon=":material/undo:", on_click=_back)
            with st.popover(w("learn.hint"), icon=":material/lightbulb:"):
                st.markdown(w(f"learn.tasks.{task.id}.hint", **numbers))
        lines = [
            f"{':green[:material/check_box:]' if holds else ':material/check_box_outline_blank:'} "
            + w(f"learn.conditions.{id}", **numbers)
            for id, holds in checklist.items()
        ]
        st.markdown("  \n".join(lines))
        if all(checklist.values()):
            st.success(w(f"learn.tasks.{task.id}.solved", **numbers), icon=":material/celebration:")


def _begin(settings: Mapping[str, Any]) -> None:
    """Set the controls to where a task starts, and remember what the reader had."""
    now = values()
    if session().before_task is None:
        session().before_task = {id: now[id] for id in settings}
    set_inputs(settings)


def _back() -> None:
    """Set the controls to what the reader had before the first task."""
    before, session().before_task = session().before_task or {}, None
    set_inputs(before)


# Questions


def quiz(chapter: Chapter, config: Configuration) -> None:
    """The questions, each with what is right, or what led to the wrong answer."""
    numbers = facts(config)
    with st.container(border=True, key="quiz"):
        st.markdown(f"##### :material/quiz: {w('learn.quiz')}")
        for question in chapter.questions:
            ask_question(question, config, numbers)


def ask_question(question: Question, config: Configuration, numbers: Mapping[str, Any]) -> None:
    """One question. Its options move with the configuration; a choice stays with the mistake that it stands for."""
    key = key_of(question)
    options = {option.id: option_words(option, question) for option in question.options(config)}
    if st.session_state.get(key) not in options:
        chosen_before = notes().chosen.get(question.id)
        st.session_state[key] = chosen_before if chosen_before in options else None
    chosen = st.radio(
        w(f"learn.questions.{question.id}.text", **numbers),
        list(options),
        index=None,
        key=key,
        format_func=options.__getitem__,
        persist_state="session",
    )
    if chosen == RIGHT:
        said = w(f"learn.questions.{question.id}.right", right=options[RIGHT], **numbers)
        st.success(said, icon=":material/check:")
        answer = question.right(config)
        if isinstance(answer, Quantity):
            with st.popover(w("working.open"), type="tertiary"):
                working(answer)
    elif chosen:
        st.warning(w(f"learn.mistakes.{chosen}"), icon=":material/replay:")


def option_words(option: Option, question: Question) -> str:
    """An answer with its unit."""
    amount = human(option.value, question.unit)
    match question.unit:
        case "%":
            return f"{amount}{w('numbers.per_cent')}"
        case "×":
            # three digits of each, or 2 and 8 would stand beside a 4.00 that is right
            return f"× {marked(f'{option.value:#.3g}') if option.value < 999.5 else amount}"
        case "":
            return exact(option.value)
        case "bytes" | "FLOP":
            return amount
    return f"{amount} {unit_name(question.unit, option.value)}"


def diagram(model: Model, lit: str) -> None:
    """Draw ``model`` with one part lit: a key of `PARTS`, "layer" for all of a layer, "model" for everything."""
    st.markdown(f"<div>{drawing(model, lit)}</div>", unsafe_allow_html=True)


def moving(config: Configuration) -> None:
    """Draw tokens on their way through the layers."""
    found = Passage(config)
    st.html(f"<style>{passage.motion(found)}</style>")
    st.markdown(f"<div>{passage.drawing(found)}</div>", unsafe_allow_html=True)
    if config.model.active_parameters().value < config.model.parameters().value:
        st.caption(w("learn.all_experts"))
