"""The question line: what it asks is read off the inputs, and every blank of it stands for one of them."""

from __future__ import annotations

import re

import pytest
from opened_app import opened

from llmcalc.accuracy import ESTIMATE, spread
from llmcalc.accuracy.reports import judged
from llmcalc.bases import recipe_values
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS
from llmcalc.question import ASKS, asked, asking, blanks, cheapest
from llmcalc.words import LANGUAGES, speak
from pages.content import question
from pages.ui.words.numbers import error_share
from pages.ui.words.verdict import verdict_words

# A link made before the question was there, and what it asks
BEFORE = [
    ({}, "full"),
    ({"purpose": "training", "lora_rank": 16}, "lora"),
    ({"lora_rank": 16, "lora_base": "NF4"}, "qlora"),
    ({"lora_base": "NF4"}, "full"),  # a format of nothing
    ({"purpose": "inference", "lora_rank": 16}, "serve"),
    ({"recipe": "torchtitan full"}, "pretrain"),
]


@pytest.mark.parametrize(("link", "ask"), BEFORE)
def test_a_link_made_before_asks_what_its_inputs_say(link, ask):
    recipe = recipe_values(link["recipe"]) if "recipe" in link else {}
    assert asked({**DEFAULTS, **recipe, **link}) == ask


@pytest.mark.parametrize("before", ASKS)
@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("recipe", ["PyTorch full", "TRL LoRA", "torchtune QLoRA", "torchtitan full"])
def test_what_is_asked_for_is_asked(before, ask, recipe):
    start = {**DEFAULTS, "recipe": recipe, **recipe_values(recipe)}
    values = {**start, **asking(before, start)}
    assert asked(values) == before
    assert asked({**values, **asking(ask, values)}) == ask
    assert {**values, **asking(before, values)} == values  # what is so already changes nothing


def test_the_readers_library_trains_with_adapters_as_it_does():
    trl = {**DEFAULTS, "recipe": "TRL full", **recipe_values("TRL full")}
    assert asking("qlora", trl) == {"purpose": "training", "recipe": "TRL QLoRA", **recipe_values("TRL QLoRA")}
    assert asking("lora", DEFAULTS)["recipe"] == "PEFT LoRA"  # a loop of one's own has none


def test_there_are_as_many_devices_to_serve_as_to_train_until_somebody_says_otherwise():
    four = {**DEFAULTS, "n_devices": 4}
    assert asking("serve", four)["serve_tensor"] == 4
    assert "serve_tensor" not in asking("serve", {**four, "serve_pipeline": 2})
    assert asking("full", {**DEFAULTS, "purpose": "inference", "serve_tensor": 8})["n_devices"] == 8
    assert "n_devices" not in asking("full", {**four, "purpose": "inference", "serve_tensor": 8})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("values", [{}, {"purpose": "inference"}, {"purpose": "inference", "engine": "llama.cpp"}])
def test_the_sentence_has_each_blank_once_in_every_language(language, values):
    speak(language)
    config = Configuration(values)
    names = [name for _, name in question.sentence(config) if name]
    speak("en")
    assert sorted(names) == sorted(["asked", "model", *blanks(config.values)])


@pytest.mark.parametrize(
    ("values", "each"),
    [
        ({}, ""),
        ({"n_devices": 4}, "per device"),
        ({"n_devices": 4, "tensor_parallel": 2}, "per copy of the model"),
        ({"n_devices": 4, "tensor_parallel": 4}, ""),
    ],
)
def test_the_sentence_says_of_what_the_sequences_are(values, each):
    line = " ".join(text for text, _ in question.sentence(Configuration(values)))
    assert ("per " in line, each in line) == (bool(each), True)


def test_a_button_that_sets_the_number_of_micro_batches_says_so():
    config = Configuration({"model": "Llama 3 8B", "accelerator": "A100 80GB SXM", "n_devices": 4, "seq_len": 8192})
    found = cheapest(config)
    told = [str(offer.line) for offer in question.cheaper(config, found)]
    sets = [change.values.get("gradient_accumulation") for change in found]
    assert 4 in sets
    assert all(("with 4 micro-batches" in label) == (number == 4) for label, number in zip(told, sets, strict=True))


BARS = [{}, {"model": "Llama 3 8B", "n_devices": 4}, {"purpose": "inference", "model": "Llama 3 8B"}]


@pytest.mark.parametrize("values", BARS)
def test_the_bar_comes_to_what_the_verdict_says(values):
    config = Configuration(values)
    bar, serves = question.bar(config), "purpose" in values
    assert bar.needed == pytest.approx(config.served.needed.value if serves else config.verdict.needed.value)
    assert bar.limit == pytest.approx(config.served.limit.value if serves else config.verdict.available.value)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model": "Llama 3 8B"},
        {"model": "Llama 3 8B", "accelerator": "A100 80GB SXM", "n_devices": 4, "seq_len": 8192},
        {"purpose": "inference", "model": "Qwen3 235B A22B", "concurrency": 32, "context": 32768},
    ],
)
def test_a_button_does_what_it_says(values):
    config = Configuration(values)
    found = cheapest(config)
    assert len(found) == 3
    serves = "purpose" in values
    for change in found:
        changed = Configuration({**config.values, **change.values, "fragmentation": config.values["fragmentation"]})
        before, after = (
            (c.served.needed.value, c.served.fits) if serves else (c.verdict.allocated.value, c.verdict.fits)
            for c in (config, changed)
        )
        assert before[0] - after[0] == pytest.approx(change.saved)
        assert after[1] or not change.fits or not serves  # of training the fragmentation goes with what is recomputed
    costs = [(not change.fits, change.cost) for change in found]
    assert costs == sorted(costs)


def test_the_blanks_move_the_inputs_and_the_inputs_move_the_blanks():
    app = opened()
    app.text_input(key="batch_size_asked").set_value("16").run()
    app.selectbox(key="accelerator_asked").set_value("A100 80GB SXM").run()
    app.text_input(key="n_devices_asked").set_value("4").run()
    assert [app.session_state[id] for id in ("batch_size", "accelerator", "n_devices")] == [16, "A100 80GB SXM", 4]
    app.text_input(key="seq_len_typed").set_value("2,048").run()
    assert app.text_input(key="seq_len_asked").value == "2,048"
    app.selectbox(key="purpose_asked").set_value("qlora").run()
    assert (app.session_state["recipe"], app.session_state["lora_rank"]) == ("PEFT QLoRA", 16)
    config = Configuration({id: app.session_state[id] for id in DEFAULTS})
    assert verdict_words(config) in [element.value for element in app.main.markdown]
    app.selectbox(key="purpose_asked").set_value("serve").run()
    assert (app.session_state["purpose"], app.session_state["serve_tensor"]) == ("inference", 4)
    assert app.text_input(key="serve_tensor_asked").value == "4"
    app.selectbox(key="purpose_asked").set_value("qlora").run()
    assert app.session_state["purpose"] == "training"
    assert not app.exception


def test_the_first_page_quotes_how_far_off_measured_steps_are():
    from llmcalc.accuracy import all_compared

    errors = sorted(abs(found.error("llmcalc", "peak")) for found in all_compared() if not found.row.seen)
    said = question.how_sure(Configuration({}))
    assert f"{len(errors):,}" in said
    largest = float(re.search(r"largest ([\d.]+)%", said)[1])
    assert largest == pytest.approx(100 * errors[-1], rel=0.01)


@pytest.mark.parametrize("language", LANGUAGES)
def test_of_an_estimate_the_first_page_quotes_what_people_printed(language):
    config = Configuration({"model": "Llama 3 8B", "accelerator": "A100 80GB SXM", "n_devices": 4, "recipe": "TRL PPO"})
    config = Configuration({**config.values, **recipe_values("TRL PPO")})
    assert config.verdict_standing.label == ESTIMATE
    off = spread(report.error(figure) for report, figure in judged())
    speak(language)
    said = question.how_sure(config)
    told = [error_share(off.median), error_share(off.p95)]
    speak("en")
    assert str(off.count) in said
    assert all(share in said for share in told)


@pytest.mark.parametrize("values", [{"model": "DeepSeek-V3 671B"}, {"model": "Llama 3.1 405B", "purpose": "inference"}])
def test_what_saves_hardly_anything_of_far_too_much_is_no_change(values):
    config = Configuration(values)
    needed = (config.served if "purpose" in values else config.verdict).needed.value
    assert cheapest(config)
    assert all(change.fits or change.saved > 0.001 * needed for change in cheapest(config))
