"""The lesson as a reader goes through it: chapters, tasks, questions, and the link to each chapter."""

from __future__ import annotations

import pytest
from lesson_solutions import SOLUTIONS
from opened_app import charts, copied_link
from opened_app import opened as opened_on
from streamlit.testing.v1 import AppTest

from llmcalc.configuration import Configuration
from llmcalc.inputs import CHAPTERS as NUMBERS
from llmcalc.inputs import INPUTS
from llmcalc.lessons.chapters import CHAPTERS
from llmcalc.lessons.quiz import RIGHT
from llmcalc.link_text import link_parameters
from llmcalc.words import dictionary, speak
from pages.ui.app.lesson import key_of


def opened(**link: str) -> AppTest:
    return opened_on("learn", link)


def run(app: AppTest, **state: object) -> AppTest:
    for key, value in state.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception, [e.value for e in app.exception]
    return app


def present(app: AppTest) -> Configuration:
    return Configuration({key: app.session_state[key] for key in INPUTS})


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "id"])
def test_a_reader_who_goes_through_the_lesson_solves_every_task_and_answers_every_question(language):
    app, words = opened(lang=language), dictionary(language)
    for number, chapter in CHAPTERS.items():
        run(app, chapter=number)
        assert app.header[0].value == f"{number}. {words[f'learn.chapters.{chapter.id}.title']}"
        assert len(charts(app)) == (number != "1")
        if not chapter.task.is_at_start(present(app)):
            app.button(key="task_begin").click().run()
        assert not app.exception
        assert chapter.task.is_at_start(present(app))
        assert app.button(key="task_begin").disabled
        assert not app.success
        run(app, **SOLUTIONS[chapter.task.id])
        assert len(app.success) == 1
        _answer_all(app, chapter, words)
    done, questions = len(CHAPTERS), sum(len(chapter.questions) for chapter in CHAPTERS.values())
    progress = words["learn.progress"].format(
        chapter=done, chapters=done, solved=done, tasks=done, answered=questions, questions=questions
    )
    assert progress in [caption.value for caption in app.caption]
    speak("en")


def _answer_all(app: AppTest, chapter, words) -> None:
    """Give every wrong answer to every question, then the right one."""
    config = present(app)
    options = {q.id: [o.id for o in q.options(config) if o.id != RIGHT] for q in chapter.questions}
    for at in range(max(map(len, options.values()))):
        chosen = {id: mistakes[at] for id, mistakes in options.items() if at < len(mistakes)}
        run(app, **{f"question_{id}": mistake for id, mistake in chosen.items()})
        said = [warning.value for warning in app.main.warning]
        assert all(words[f"learn.mistakes.{mistake}"] in said for mistake in chosen.values())
    run(app, **{key_of(question): RIGHT for question in chapter.questions})
    assert not app.main.warning
    assert len(app.success) == 1 + len(chapter.questions)


def test_a_link_opens_a_chapter_and_one_that_is_not_there_is_said():
    app = opened(chapter="4")
    assert app.header[0].value.startswith("4. ")
    assert "chapter=4" in copied_link(app)
    app = opened(chapter="99", d_model="1600")
    assert app.header[0].value.startswith("1. ")
    assert "`chapter=99`" in app.warning[0].value
    assert app.session_state["d_model"] == 1600


def test_the_buttons_lead_from_chapter_to_chapter_and_keep_what_is_set():
    app = opened(n_layers="7")
    assert app.button(key="chapter_previous").disabled
    for number in NUMBERS[1:3]:
        app.button(key="chapter_next").click().run()
        assert (app.session_state["chapter"], app.session_state["n_layers"]) == (number, 7)
    app.button(key="chapter_previous").click().run()
    assert app.session_state["chapter"] == "2"
    run(app, chapter=NUMBERS[-1])
    assert app.button(key="chapter_next").disabled


def test_the_chapter_stays_on_another_page():
    app = opened(chapter="6")
    app.switch_page("pages/method.py").run()
    app.switch_page("pages/learn.py").run()
    assert app.header[0].value.startswith("6. ")


def test_a_task_gives_back_what_the_reader_had():
    app = opened(chapter="9", model="Llama 3 8B", n_layers="20", batch_size="3", alpha="0.05")
    before = {key: app.session_state[key] for key in INPUTS}
    app.button(key="task_begin").click().run()
    assert app.session_state["model"] == "GPT-2 Large 774M"
    run(app, chapter="3")
    app.button(key="task_begin").click().run()
    assert app.session_state["model"] == "Llama 2 13B"
    app.button(key="task_back").click().run()
    assert not app.exception
    assert {key: app.session_state[key] for key in INPUTS} == before | {"chapter": "3"}
    assert "task_back" not in [button.key for button in app.button]


def test_a_control_beside_the_chart_moves_the_input_and_follows_it():
    app = opened(chapter="4")
    app.main.select_slider(key="batch_size_beside").set_value(64).run()
    assert app.session_state["batch_size"] == 64
    assert app.number_input(key="batch_size").value == 64
    app.number_input(key="batch_size").set_value(97).run()
    assert app.main.select_slider(key="batch_size_beside").value == 96
    assert app.session_state["batch_size"] == 97


@pytest.mark.parametrize("number", NUMBERS)
def test_every_chapter_has_its_controls_beside_it(number):
    app = opened(chapter=number)
    for input_id in CHAPTERS[number].knobs:
        app.session_state[f"{input_id}_beside"]


def test_a_control_that_the_model_does_not_let_move_is_shown_as_such():
    app = opened(chapter="2", model="OPT 350M")
    fixed = {id for id in CHAPTERS["2"].knobs if app.number_input(key=id).disabled}
    assert {id for id in CHAPTERS["2"].knobs if app.main.select_slider(key=f"{id}_beside").disabled} == fixed


def test_an_answer_follows_the_model_and_a_mistake_that_no_longer_differs_is_taken_back():
    app = opened(chapter="6")
    run(app, question_attention_matrix="all_layers")
    assert len(app.main.warning) == 1
    run(app, n_layers=1)
    assert app.radio(key="question_attention_matrix").value is None
    assert not app.main.warning


def test_the_drawing_lights_up_what_is_chosen():
    app = opened()
    drawn = {}
    for part in ("embedding", "norm"):
        run(app, lesson_part=part)
        (drawn[part],) = [m.value for m in app.markdown if m.value.startswith("<div><svg")]
    assert drawn["embedding"] != drawn["norm"]
    assert dictionary("en")["learn.part.norm.text"] in [m.value for m in app.markdown]
    next(b for b in app.button if b.label == "Transformer base").click().run()
    (pair,) = [m.value for m in app.markdown if m.value.startswith("<div><svg")]
    assert dictionary("en")["learn.diagram.no_encoder"] not in pair


@pytest.mark.slow
def test_the_lesson_stands_for_a_model_of_another_kind():
    for model in ("T5 small", "DeepSeek-V3 671B", "BERT base (encoder)", "ALBERT base v2 (encoder)"):
        app = opened(model=model)
        for number in NUMBERS[1:]:
            run(app, chapter=number)


@pytest.mark.slow
@pytest.mark.parametrize("end", [0, -1])
def test_every_chapter_stands_where_everything_is_at_one_end(end):
    values = {key: declared.ends[end] for key, declared in INPUTS.items()} | {"model": "GPT-2 124M", "chapter": "1"}
    app = opened_on("learn", link_parameters(values))
    for number in NUMBERS[1:]:
        run(app, chapter=number)


def test_every_chart_says_in_words_what_it_shows():
    app = opened()
    for number in NUMBERS[1:]:
        run(app, chapter=number)
        (element,), (figure,) = app.get("plotly_chart"), charts(app)
        title, _, told = element.proto.alt.partition(": ")
        assert title == figure["layout"]["title"]["text"].partition(": ")[0]
        assert told
