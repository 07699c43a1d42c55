"""The page on techniques: every section with every kind of model, its controls, what it says where nothing is saved."""

from __future__ import annotations

import pytest
from opened_app import charts, copied_link, metrics, opened

from llmcalc.bases import base
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS, INPUTS, TECHNIQUES
from llmcalc.link_text import written
from llmcalc.units import human
from llmcalc.words import w

KINDS = ("Llama 3 8B", "T5 small", "BERT base (encoder)", "DeepSeek-V3 671B", "Gemma 2 2B", "Falcon 7B", "OLMoE 7B")
RELEVANT = {
    "mix": ("utilization", "link_bandwidth", "host_bandwidth"),
    "quantization": ("weight_format", "cache_format"),
    "cache": ("cache_format",),
    "pruning": ("pruning", "pruned", "weight_format"),
    "distillation": ("loss", "precision", "weight_format"),
}


def text(app) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.info, *app.warning, *app.caption))


@pytest.mark.slow
@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("model", [name for name in KINDS if name in INPUTS["model"].options])
def test_every_section_stands_with_every_kind_of_model(technique, model):
    opened("techniques", {"technique": technique, "model": model})


@pytest.mark.slow
@pytest.mark.parametrize(("technique", "input_id"), [(t, id) for t, ids in RELEVANT.items() for id in ids])
def test_every_section_stands_at_the_ends_of_what_it_shows(technique, input_id):
    app = opened("techniques", {"technique": technique})
    for value in INPUTS[input_id].ends:
        app.session_state[input_id] = value
        app.run()
        assert not app.exception, (value, [e.value for e in app.exception])


def test_the_waterfalls_go_from_the_plain_step_to_the_present_one():
    app = opened("techniques", {"recompute": "full"})
    way = Configuration(DEFAULTS | {"recompute": "full"}).mix
    memory, time = charts(app)
    timed = [bar for bar in way.bars if bar.time]
    for figure, whole, unit, drawn in ((memory, way.memory, 2**30, way.bars), (time, way.time, 1e-3, timed)):
        bars, (first, *changes) = figure["data"][0], whole.parts
        assert bars["y"][1:-1] == [w(f"techniques.switch_{bar.id}") for bar in drawn]
        assert (bars["x"][0], bars["x"][-1]) == pytest.approx((first.value / unit, whole.value / unit))
        height = first.value  # each bar begins where the one before it ended
        for base_, length, part in zip(bars["base"][1:], bars["x"][1:], changes, strict=False):
            ends = sorted((height, height + part.value))
            assert (base_ * unit, (base_ + length) * unit) == pytest.approx(tuple(ends), abs=1e-6 * first.value)
            height += part.value
    shown = metrics(app)
    assert shown[w("techniques.plain")] == human(way.plain.peak.value, "bytes")
    assert shown[w("techniques.mixed")] == human(way.result.peak.value, "bytes")


def test_a_control_on_the_page_moves_the_input_and_the_input_moves_it():
    app = opened("techniques")
    app.selectbox(key="precision_beside").set_value("bf16").run()
    assert not app.exception
    assert app.session_state["precision"] == "bf16"
    app.session_state["precision"] = "fp32"
    app.run()
    assert app.selectbox(key="precision_beside").value == "fp32"


def test_one_button_leads_back_to_the_plain_step_and_keeps_the_batch():
    link = {"batch_size": "2", "data_parallel": "4", "zero_stage": "3", "recompute": "full", "lora_rank": "8"}
    app = opened("techniques", link)
    assert app.session_state["zero_stage"] == 3
    app.button(key="all_plain").click().run()
    assert not app.exception
    assert w("techniques.nothing_thrown") in [info.value for info in app.info]
    assert app.session_state["batch_size"] == 2
    assert app.button(key="all_plain").disabled


def test_the_working_of_a_switch_is_opened_by_its_name():
    app = opened("techniques", {"recompute": "full"})
    app.session_state["mix_working"] = "recompute"
    app.run()
    assert not app.exception
    assert "M_\\text{after}" in text(app)


def test_where_there_is_no_time_the_page_says_why():
    assert w("techniques.no_operations") in text(opened("techniques", {"model": "BERT base (encoder)"}))
    said = w("techniques.no_rate", device="TPU v5e", format="fp32")
    assert said in text(opened("techniques", {"accelerator": "TPU v5e"}))


def test_zeros_stored_as_usual_are_said_to_save_nothing():
    shown = metrics(opened("techniques", {"technique": "pruning", "pruned": "90"}))
    (dense,) = [label for label in shown if label.startswith(w("techniques.storage_dense"))]
    assert dense.endswith(w("techniques.nothing_saved"))
    assert shown[dense] == "237 MiB"


def test_what_pruning_leaves_whole_is_said():
    link = {"technique": "pruning", "pruning": "structured"}
    told = text(opened("techniques", {**link, "model": "Jamba 1.5 Mini 52B"}))
    assert w("techniques.stays_whole", parts="Mamba") in told
    assert w("techniques.stays_whole", parts="")[:20] not in text(opened("techniques", link))


def test_the_explore_page_counts_quantised_weights_like_the_techniques_page():
    link = {"model": "Llama 3 8B", "weight_format": "NF4"}
    config = Configuration(DEFAULTS | {"model": "Llama 3 8B", "weight_format": "NF4"} | dict(base("Llama 3 8B").values))
    amount = human(config.inference.inputs["weights"].value, "bytes")
    assert metrics(opened("explore", link))[w("explore.weights", format="NF4")] == amount
    assert metrics(opened("techniques", link | {"technique": "quantization"}))[
        w("techniques.weights_in", format="NF4")
    ] == amount  # fmt: skip


def test_a_student_of_another_family_is_warned_of():
    told = text(opened("techniques", {"technique": "distillation", "model": "Llama 3 8B"}))
    assert w("techniques.other_vocabulary", teacher="Llama 3 8B", student=DEFAULTS["student"]) in told
    same = text(opened("techniques", {"technique": "distillation"}))
    assert w("techniques.other_vocabulary", teacher="GPT-2 124M", student=DEFAULTS["student"]) not in same


def test_a_section_is_in_the_link():
    for technique in TECHNIQUES:
        app = opened("techniques", {"technique": technique})
        assert app.session_state["technique"] == technique
        copied = copied_link(app)
        assert f"technique={written(technique)}" in copied
