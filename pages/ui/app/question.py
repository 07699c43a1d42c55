"""The question line: a sentence whose blanks are controls of the same inputs as in the sidebar, and what answers it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import streamlit as st

from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.inputs import INPUTS
from llmcalc.phrase import LONGEST, Phrase, read_phrase
from llmcalc.question import SERVE, asked, blanks, cheapest, other_devices
from llmcalc.words import w
from pages.content import question
from pages.content.question import Bar, Typed
from pages.ui.app.ask import blank, blank_problems, face_of
from pages.ui.app.choose import model_twin, purpose_twin
from pages.ui.app.problems import problems_beside
from pages.ui.app.screen import draw, place_of_verdict, verdict
from pages.ui.app.sections import after_charts, section, set_inputs
from pages.ui.app.session import session
from pages.ui.app.state import State, configuration, put, starting_point, values
from pages.ui.figures.palette import MARK
from pages.ui.figures.svg import both
from pages.ui.words.numbers import human

WIDTHS = {"asked": 214, "model": 250, "many": 84, "length": 112, "devices": 72, "device": 200}


def ask_question() -> None:
    """The sentence, a section."""
    section("question", _face, lambda _: _sentence(configuration()))


def _face(now: State) -> tuple[Any, ...]:
    values, ids = now.values, blanks(now.values).values()
    long = now.configuration.serving.context if asked(values) == SERVE else 0
    layout = now.configuration.layout
    copies = (layout.data_parallel, layout.devices)
    of_sentence = (asked(values), values["model"], other_devices(values), long, copies, session().typed)
    return *of_sentence, *(face_of(id, now) for id in ids)


def _sentence(config: Configuration) -> None:
    ids = blanks(config.values)
    with st.container(key="question", horizontal=True, gap="xsmall", vertical_alignment="center"):
        for text, name in question.sentence(config):
            if text:
                st.markdown(text, width="content")
            elif name == "asked":
                purpose_twin("asked", label_visibility="collapsed", width=WIDTHS[name])
            elif name == "model":
                model_twin("model_asked", label_visibility="collapsed", width=WIDTHS[name])
            else:
                blank(ids[name], w(f"question.{name}"), WIDTHS[name])
    blank_problems(ids.values())
    st.text_input(
        w("question.typed"), key="question_typed", placeholder=w("question.example"), on_change=_take_phrase,
        max_chars=LONGEST, label_visibility="collapsed",
    )  # fmt: skip
    if typed := session().typed:
        _notes(typed, config)


def _notes(typed: Typed, config: Configuration) -> None:
    """What is to be said of what was typed, each with buttons for what could be meant instead."""
    with st.container(key="typed_notes", horizontal=True, gap="small", vertical_alignment="center"):
        for number, (told, others) in enumerate(question.typed_notes(typed, config.values)):
            st.caption(told, width="content")
            for name, phrase in others.items():
                st.button(name, key=f"typed_{number}_{name}", type="tertiary", on_click=_set_phrase, args=(phrase,))
    if typed.phrase.asks_cost:
        page, name = ("serving", "to_price") if asked(config.values) == SERVE else ("cost", "to_cost")
        st.page_link(f"pages/{page}.py", label=w(f"question.{name}"), icon=":material/payments:")


def _take_phrase() -> None:
    """A question was typed: set what it says, and empty the field. For its callback."""
    phrase = read_phrase(st.session_state["question_typed"])
    put("question_typed", "")
    _set_phrase(phrase)


def _set_phrase(phrase: Phrase) -> None:
    """Set what a question says. The last call of a callback."""
    of_model = {"model": phrase.model, **starting_point(phrase.model).values} if phrase.model else {}
    given = {**values(), **of_model}
    device = phrase.device or given["accelerator"]
    session().typed = Typed(phrase, phrase.cut(given), phrase.read_formats(given), given["model"], device)
    set_inputs({**of_model, **phrase.inputs(given)})


def answer(config: Configuration) -> None:
    """Whether it fits, the bar, and below them, once they are drawn, what would change it and how sure that is."""
    serves = asked(config.values) == SERVE
    with place_of_verdict():
        if serves:
            problems_beside(_refused_besides(config), "refused_")
            draw(question.served_verdict(config))
        else:
            verdict(config)
    if found := question.bar(config):
        st.html(_drawn(found))
    if numbers := question.numbers(config):
        with st.container(key="answered", horizontal=True, gap="medium"):
            for label, number in numbers:
                st.markdown(f"{label} **{number}**", width="content")
    after_charts(st.container(key="cheaper"), lambda: _changes(config))
    if not serves:
        after_charts(st.container(key="how_sure"), lambda: _how_sure(config))


def _refused_besides(config: Configuration) -> Iterator[InputError]:
    """What the engine refuses, but for what is said below the blanks."""
    for problem in config.serving.refused:
        if problem.input_id not in blanks(config.values).values() or INPUTS[problem.input_id].group != "serving":
            yield problem


def _changes(config: Configuration) -> None:
    if found := cheapest(config):
        st.markdown(f"**{w('question.cheapest')}**")
        with st.container(key="cheaper_three"):
            draw(question.cheaper(config, found))


def _how_sure(config: Configuration) -> None:
    st.page_link("pages/accuracy.py", label=question.how_sure(config), icon=":material/verified:")


def _drawn(bar: Bar) -> str:
    """One bar, the device's line in front of it, and a key to its parts with what each takes."""
    whole = max(bar.needed, bar.limit)
    parts = "".join(_coloured("span", part.colour, 100 * part.value / whole) for part in bar.stretches)
    left = bar.limit - bar.needed
    rest = w("question.free" if left >= 0 else "question.over", difference=human(abs(left), "bytes"))
    keys = [*((part.colour, part.value, part.name) for part in bar.stretches), (MARK, bar.limit, bar.limit_name)]
    told = "".join(
        f"<span>{_coloured('i', colour)}<b>{human(value, 'bytes')}</b> {html.escape(name)}</span>"
        for colour, value, name in keys
    )
    return (
        f'<div class="device-bar" role="img" aria-label="{html.escape(question.bar_told(bar))}">'
        f'<div class="device-room" style="width: {100 * bar.limit / whole:.3f}%"></div>'
        f'<div class="device-parts">{parts}</div>'
        f'<div class="device-line" style="left: {100 * bar.limit / whole:.3f}%"></div></div>'
        f'<div class="device-key">{told}<span>{html.escape(rest)}</span></div>'
    )


def _coloured(tag: str, colour: str, width: float = 0) -> str:
    wide = f" width: {width:.3f}%;" if width else ""
    return f'<{tag} style="background: {both(colour)};{wide}"></{tag}>'
