"""Charts and tables as they are written: nothing under a line, numbers as the language writes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opened_app import opened
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df

from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS
from llmcalc.lessons.questions import QUESTIONS
from llmcalc.lessons.savings import peaks
from llmcalc.units import GiB
from llmcalc.words import LANGUAGES, speak, w
from pages.ui.app.lesson import option_words
from pages.ui.figures.axes import wrapped
from pages.ui.figures.memory import Panel, memory_bars, memory_curves
from pages.ui.words.numbers import percent

PHONE = 170  # pixels that the bars of a chart have on a phone 390 wide, where rows have long names
LETTER = 7  # pixels of a letter, on average, in a chart's type


@given(
    sums=st.lists(st.floats(1, 1000), min_size=1, max_size=11).map(lambda gib: [round(x, 1) for x in gib]),
    memory=st.floats(1, 1000),
)
@example(sums=[89.7, 113.0, 120.0, 150.0, 15.1], memory=69.1)
@example(sums=[10.0, 20.0], memory=10.0)
def test_a_devices_line_goes_down_every_row_but_where_its_sum_is_written(sums, memory):
    rows = {f"row {n}": {"weights": gib * GiB} for n, gib in enumerate(sums)}
    figure = memory_bars("", rows, {"weights": ""}, ("device", memory * GiB), "{unit}")
    layout = figure["layout"]
    written = figure["data"][-1]
    if not layout.get("shapes"):  # the device has so much more that an arrow points to it
        return
    axis, height = layout["xaxis"]["range"][1], layout["yaxis"]["range"]
    assert height == [-0.5, len(sums) - 0.5], "a row is as high as the others"
    pieces = sorted((line["y0"] * len(sums), line["y1"] * len(sums)) for line in layout["shapes"])
    at = layout["shapes"][0]["x0"]
    assert (pieces[0][0], pieces[-1][1]) == (0, len(sums))
    for row, (begins, text) in enumerate(zip(written["x"], written["text"], strict=True)):
        ends = begins + LETTER * len(text) / PHONE * axis
        crossed = any(low < row + 0.6 and high > row + 0.4 for low, high in pieces)
        if begins <= at < ends:
            assert not crossed
        elif at < begins:
            assert crossed


@pytest.mark.parametrize(
    ("language", "share", "said"),
    [("en", 38_400 / 124e6, "<0.1%"), ("id", 38_400 / 124e6, "<0,1%"), ("id", 0, "0,0%"), ("en", 0.0006, "0.1%")],
)
def test_a_share_that_is_there_is_not_said_to_be_none(language, share, said):
    speak(language)
    assert percent(share) == said


@pytest.mark.parametrize(
    "question", [question for question in QUESTIONS.values() if question.unit == "×"], ids=lambda question: question.id
)
def test_no_answer_of_a_question_is_told_by_how_it_is_written(question):
    """A layer twice as wide has 3.9996 times the parameters: 4.00 beside 2, 8 and 16 would say which is right."""
    speak("en")
    said = [option_words(option, question) for option in question.options(Configuration(DEFAULTS))]
    assert len(said) == 4
    for text in said:
        digits = re.sub(r"\D", "", text.lstrip("× 0.").split(" × 10")[0])
        assert len(digits) == 3, text


@pytest.mark.parametrize(("language", "mark"), [("id", ","), ("en", ".")])
def test_the_table_of_plans_writes_numbers_as_the_language_does(language, mark):
    app = opened("cluster", {"lang": language, "n_devices": "8", "model": "Llama 3 8B"})
    shown = convert_arrow_bytes_to_pandas_df(app.dataframe[0].proto.arrow_data.styler.display_values)
    for column, decimals in (("needed", 1), ("time", 2)):
        assert all(re.fullmatch(rf"\d{{1,3}}(?:[.,]\d{{3}})*\{mark}\d{{{decimals}}}", text) for text in shown[column])
    assert all(re.fullmatch(r"\d+%", text) for text in shown["bubble"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_change_that_a_lesson_draws_has_a_name_of_more_than_two_lines_beside_its_bar(language):
    speak(language)
    drawn = [id for id in peaks(Configuration(DEFAULTS)) if not id.startswith("zero")]
    rows = {id: wrapped(w(f"advice.{id}")).split("<br>") for id in drawn}
    speak("en")
    assert "half_batch" in rows
    assert {id: lines for id, lines in rows.items() if len(lines) > 2} == {}


def test_titles_of_panels_side_by_side_are_as_narrow_as_a_phone_needs():
    panel = Panel([1, 2], [("training", [1 * GiB, 2 * GiB], "#000")], 2, "Sequence length (tokens)")
    titles = [
        [axis["title"]["text"] for key, axis in memory_curves("", panels, ("GPU", GiB), "{unit}")["layout"].items()
         if key.startswith("xaxis")]
        for panels in ([panel], [panel, panel])
    ]  # fmt: skip
    assert titles == [["Sequence length (tokens)"], 2 * ["Sequence length<br>(tokens)"]]
