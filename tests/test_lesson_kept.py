"""What was answered and solved stays: over a change of language, and in the browser's own storage over a reload."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lesson_solutions import SOLUTIONS
from opened_app import opened
from playwright.sync_api import expect
from real_browser import settled

from llmcalc.configuration import Configuration
from llmcalc.lessons.chapters import CHAPTERS
from llmcalc.lessons.notes import Notes, read_notes
from llmcalc.lessons.questions import QUESTIONS
from llmcalc.lessons.quiz import RIGHT
from llmcalc.lessons.tasks import TASKS
from llmcalc.words import dictionary

CHOSEN = st.fixed_dictionaries(
    {}, optional={id: st.sampled_from([RIGHT, *question.wrong]) for id, question in QUESTIONS.items()}
)
NOTES = st.builds(Notes, st.frozensets(st.sampled_from([*TASKS])), st.frozensets(st.sampled_from([*QUESTIONS])), CHOSEN)
SCALARS = st.none() | st.booleans() | st.floats() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
SHAPED = st.fixed_dictionaries({key: JSON for key in ("solved", "answered", "chosen")})
PLACE = "llmcalc.lesson"


@given(NOTES)
def test_notes_are_read_as_they_were_written(notes):
    assert read_notes(notes.written()) == notes


@given(st.text() | (JSON | SHAPED).map(json.dumps))
def test_nonsense_is_nothing(text):
    assert read_notes(text) == Notes()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "7", "null", '{"chosen": {"attention_matrix": ["right"]}}'])
def test_what_cannot_be_read_is_nothing(text):
    assert read_notes(text) == Notes()


def test_what_is_not_of_this_lesson_is_left_out():
    given = {
        "solved": ["table", "no such task", 7, ["table"]],
        "answered": ["attention_matrix", "no such question"],
        "chosen": {"attention_matrix": "no such option", "twice_the_batch": RIGHT, "no such question": RIGHT},
        "more": 1,
    }
    kept = Notes(frozenset({"table"}), frozenset({"attention_matrix"}), {"twice_the_batch": RIGHT})
    assert read_notes(json.dumps(given)) == kept


def test_an_answer_stays_in_another_language_and_comes_back_with_the_option_that_it_was():
    app = opened("learn", {"chapter": "6"})
    app.radio(key="question_attention_matrix").set_value("all_layers").run()
    app.session_state["lang"] = "id"
    app.run()
    assert app.radio(key="question_attention_matrix").value == "all_layers"
    assert dictionary("id")["learn.mistakes.all_layers"] in [warning.value for warning in app.main.warning]
    for n_layers, value in ((1, None), (12, "all_layers")):
        app.session_state["n_layers"] = n_layers
        app.run()
        assert app.radio(key="question_attention_matrix").value == value


def done(page, solved: int, answered: int) -> None:
    """Wait until the lesson says that so much is done."""
    expect(
        page.get_by_text(f"tasks solved: {solved} of {len(CHAPTERS)} · questions answered: {answered} of")
    ).to_be_visible()


def test_a_reload_shows_what_was_chosen_and_done_to_whoever_did_it_and_to_nobody_else(page, browser, address):
    task, questions = CHAPTERS["6"].task, CHAPTERS["6"].questions
    link = "&".join(f"{key}={value}" for key, value in {**task.changes, **SOLUTIONS[task.id]}.items())
    here = f"{address}/learn?chapter=6&model={task.model.replace(' ', '+')}&{link}"
    page.goto(here)
    done(page, 1, 0)
    radios = page.get_by_test_id("stRadio")
    config = Configuration({**task.start.values, **SOLUTIONS[task.id]})
    for at, question in enumerate(questions):
        right = [option.id for option in question.options(config)].index(RIGHT)
        radios.nth(at).locator("label:has(input)").nth(right).click()
        done(page, 1, at + 1)
    expect(page.get_by_role("radio", name="6 ✓")).to_be_visible()
    chosen = [radios.nth(at).locator("label:has(input:checked)").inner_text() for at in range(2)]
    assert all(chosen)

    for again in (lambda: page.reload(), lambda: page.goto(f"{here}&lang=en")):
        again()
        done(page, 1, 2)
        expect(page.get_by_role("radio", name="6 ✓")).to_be_visible()
        expect(page.get_by_test_id("stAlert").filter(has_text="check")).to_have_count(2)
        assert [radios.nth(at).locator("label:has(input:checked)").inner_text() for at in range(2)] == chosen
    page.goto(f"{here}&lang=id")
    expect(page.get_by_text(f"tugas selesai: 1 dari {len(CHAPTERS)} · soal terjawab: 2 dari")).to_be_visible()
    expect(radios.locator("label:has(input:checked)")).to_have_count(2)

    other = browser.new_context()
    another = other.new_page()
    another.goto(f"{address}/learn?chapter=6")
    done(another, 0, 0)
    settled(another)
    done(another, 0, 0)
    other.close()

    page.goto(f"{address}/learn?chapter=6&lang=en")
    page.get_by_role("button", name="Start over").click()
    done(page, 0, 0)
    page.reload()
    settled(page)
    done(page, 0, 0)
    expect(radios.locator("label:has(input:checked)")).to_have_count(0)


@pytest.mark.parametrize(
    "text", ["{nonsense", '{"chosen": {"attention_matrix": 7}, "solved": "table"}', "x" * 1_000_000]
)
def test_a_storage_that_somebody_broke_is_ignored_and_mended(page, address, text):
    page.goto(f"{address}/learn?chapter=6")
    done(page, 0, 0)
    page.evaluate(f"text => localStorage.setItem('{PLACE}', text)", text)
    page.reload()
    done(page, 0, 0)
    settled(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    page.wait_for_function(f"localStorage.getItem('{PLACE}').startsWith('{{\"solved\": []')")
