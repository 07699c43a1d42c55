"""What is written says no more and no less than is so: laws over every page, report and working, in both languages."""

from __future__ import annotations

from datetime import date

import pytest
from configurations import CONFIGURATIONS
from opened_app import openers
from test_languages import lines_of, opened

from llmcalc.export.rows import working as rows_of
from pages.ui import words
from pages.ui.document import Working
from pages.ui.report import report
from pages.ui.show import latex_steps

LANGUAGES = ("en", "id")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_level_of_a_working_repeats_its_only_part(name):
    config = CONFIGURATIONS[name]
    roots = [config.model.parameters(), config.inference, config.training.peak, *config.model.components().values()]
    roots += [config.training.saved_activations, config.rank.peak, config.rank.traffic]
    for root in roots:
        for _, q in root.collapsed.walk():
            parts = [part for part in q.inputs.values() if not part.is_given]
            assert not (len(q.inputs) == len(parts) == 1 and parts[0].working.result == q.working.values), q.id
            steps = latex_steps(q)
            assert len(set(steps)) == len(steps), (q.id, steps)
        assert root.collapsed.value == root.value
        assert [row["depth"] for row in rows_of(root)] == [depth for depth, _ in root.collapsed.walk()]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_working_in_a_report_says_one_number_twice_in_a_row(name, language):
    words.speak(language)
    document = report(CONFIGURATIONS[name], "http://localhost/", date(2031, 2, 3))
    words.speak("en")
    workings = [block for section in document.sections for block in section.blocks if isinstance(block, Working)]
    assert len(workings) > 10
    for block in workings:
        said = [step[0].text for step in block.steps]
        assert len(set(said)) == len(said), said


def test_the_working_of_inference_goes_down_to_the_heads_of_a_layer():
    app = opened("explore", {"lang": "en", "model": "Llama 3 8B", "seq_len": "1024", "batch_size": "2"}, {})
    (inference,) = (button for label, button in openers(app).items() if label == "Inference, full cache")
    inference.click().run()
    told = "\n".join(markdown.value for markdown in app.get("dialog")[0].markdown)
    # Llama 3 8B: 8 key/value heads of 128, so 2·8·128 = 2,048 numbers a token and layer; 1,024 tokens, 32 layers
    assert r"$= 2 \cdot 8 \cdot 128$" in told
    assert r"$= 1{,}024 \cdot 2{,}048$" in told
    assert rf"$= {f'{1024 * 2048 * 32:,}'.replace(',', '{,}')}$" in told
