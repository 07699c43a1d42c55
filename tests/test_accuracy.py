"""What a number may be called is decided by the measured rows: more than they bear out is never said."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opened_app import opened
from test_models import WITHOUT_DEFAULTS

from llmcalc import TrainingRun, from_config
from llmcalc.accuracy import (
    ESTIMATE,
    MEASURED,
    SIMULATED,
    compared,
    covered,
    every_step,
    measured_inference,
    measured_steps,
    standing_of,
    standing_of_inference,
    without_prediction,
)
from llmcalc.accuracy.compare import as_kept, key_of_step, predict
from llmcalc.accuracy.inference import WHAT, predict_peaks, predicted
from llmcalc.accuracy.kept import PASSES, REPORTS, STEPS, kept
from llmcalc.accuracy.reports import reports
from llmcalc.accuracy.standing import FAR, ran
from llmcalc.bases import base
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.huggingface.families import FAMILIES
from llmcalc.inputs import DEFAULTS, MODELS, PASTED
from llmcalc.step.run import ATTENTIONS, LORA_BASES, LORA_TARGETS, LOSSES, RECOMPUTATIONS
from llmcalc.words import dictionary, speak, w
from pages.ui.words.standing import badge, label, setting_name, why

IN_BOTH_LANGUAGES = pytest.mark.parametrize("language", ["en", "id"])
LLAMA = from_config({"model_type": "llama"})


@pytest.fixture(autouse=True)
def _in_english():
    yield
    speak("en")


def configured(model, **changes):
    return Configuration({**DEFAULTS, "model": model, **base(model).values, **changes})


# Steps


def test_a_family_whose_held_back_rows_are_taken_away_is_no_longer_measured():
    run = TrainingRun(precision="bf16", recompute="full")
    assert standing_of(LLAMA, "llama", run).label == MEASURED
    looked_at = [row for row in every_step() if row.family != "llama" or row.seen]
    found = standing_of(LLAMA, "llama", run, rows=looked_at)
    assert (found.label, found.reason) == (SIMULATED, "read")
    assert found.errors
    assert {row.family for row in found.rows} == {"llama"}
    nobodys = [row for row in every_step() if row.run["recompute"] != "full"]
    found = standing_of(LLAMA, "llama", run, rows=nobodys)
    assert (found.label, found.missing) == (ESTIMATE, (("recompute", "full"),))


def test_rows_that_were_looked_at_measure_nothing():
    rows = [row for row in every_step() if row.seen]
    assert not [id for id in MODELS if id != PASTED and _of(id, rows).label == MEASURED]


def _of(id, rows):
    config = configured(id)
    return standing_of(config.model, config.family, config.run, rows=rows)


ways_to_run = st.fixed_dictionaries(
    {
        "model": st.sampled_from([id for id in MODELS if id != PASTED]),
        "precision": st.sampled_from(list(PRECISIONS)),
        "attention": st.sampled_from(ATTENTIONS),
        "recompute": st.sampled_from(RECOMPUTATIONS),
        "optimizer": st.sampled_from(list(OPTIMIZERS)),
        "loss": st.sampled_from(LOSSES),
        "dropout": st.sampled_from([0.0, 0.1]),
        "gradient_accumulation": st.sampled_from([1, 4]),
        "lora_rank": st.sampled_from([0, 0, 16]),
        "lora_targets": st.sampled_from(LORA_TARGETS),
        "lora_base": st.sampled_from(LORA_BASES),
        "data_parallel": st.sampled_from([1, 1, 2]),
    }
)
OF_THE_FAMILY = ("precision", "recompute", "dropout", "lora_rank", "lora_targets", "lora_base")


def of_family(run):
    """What goes through the family's code, attention apart: a dropout and adapters as whether they are."""
    told = {name: run.get(name, DEFAULTS[name]) for name in OF_THE_FAMILY}
    told["dropout"], told["lora_rank"] = bool(told["dropout"]), bool(told["lora_rank"])
    return told if told["lora_rank"] else {**told, "lora_targets": "", "lora_base": ""}


@settings(max_examples=150, deadline=None)
@given(asked=ways_to_run)
def test_nothing_is_measured_that_no_held_back_row_was_run_like(asked):
    config = configured(**asked)
    found = config.verdict_standing
    alike = [
        row
        for row in every_step()
        if not row.seen and row.can_be_said and row.family == config.family and of_family(row.run) == of_family(asked)
    ]
    kernels = {row.run["attention"] for row in alike}
    if found.label == MEASURED:
        assert asked["attention"] in kernels or not config.model.code.sdpa
        assert config.layout == Layout()
        assert found.errors
        assert found.errors.largest <= FAR
        for name in ("optimizer", "loss", "gradient_accumulation"):
            same = [row for row in every_step() if row.run["precision"] == asked["precision"] and not row.seen]
            usual = asked[name] == DEFAULTS[name]
            assert usual or any(bool(row.run.get(name, 1) != DEFAULTS[name]) for row in same)
    if found.label == SIMULATED:
        assert config.layout == Layout()
        assert found.errors is None or found.errors.largest <= FAR


def test_rows_that_are_far_off_are_no_support():
    # rows as they were measured, but for a peak that is a tenth larger
    run = TrainingRun(precision="bf16", recompute="full")
    wrong = [replace(row, peak=int(1.1 * row.peak)) if row.family == "llama" else row for row in every_step()]
    found = standing_of(LLAMA, "llama", run, rows=wrong)
    assert (found.label, found.reason) == (ESTIMATE, "far_off")
    assert found.errors
    assert found.errors.largest > 0.05


@pytest.mark.parametrize(
    "changes", [{"data_parallel": 4}, {"tensor_parallel": 2}, {"precision": "amp_fp8"}, {"optimizer": "adamw_8bit"}]
)
def test_what_no_row_was_run_with_is_an_estimate_that_names_it(changes):
    found = configured("Llama 3 8B", **changes).standing
    assert (found.label, found.reason) == (ESTIMATE, "no_row")
    assert changes.keys() <= dict(found.missing).keys()
    assert all(setting_name(setting) in why(found) for setting in found.missing)


def test_every_family_whose_code_was_read_was_measured_but_one_that_transformers_has_no_class_of():
    held_back = {row.family for row in every_step() if not row.seen}
    left = {}
    for family in sorted(FAMILIES.keys() - held_back - WITHOUT_DEFAULTS.keys()):
        standing = standing_of(from_config({"model_type": family}), family, TrainingRun())
        left |= {family: standing.label} if standing.reason not in ("unread", "beside") else {}
    assert left == {"kimi_k2": SIMULATED}


def test_layers_whose_code_was_not_read_are_an_estimate():
    family = "rembert"
    assert standing_of(from_config({"model_type": family}), family, TrainingRun()).reason == "unread"


def test_a_guess_is_never_counted_nor_measured():
    pasted = (
        '{"model_type": "never-heard-of", "hidden_size": 512, "num_hidden_layers": 2, "num_attention_heads": 8, '
        '"intermediate_size": 1024, "vocab_size": 1000}'
    )
    values = {**DEFAULTS, "model": PASTED, "config": pasted, **base(PASTED, pasted).values}
    config = Configuration(values)
    found = (config.count_standing, config.standing, config.inference_standing)
    assert {standing.label for standing in found} == {ESTIMATE}
    assert "never-heard-of" not in "".join(map(why, found))


def test_a_count_is_called_counted_only_of_the_very_model_that_was():
    assert configured("Llama 3 8B").count_standing.reason == "counted"
    assert configured("Llama 3 8B", n_layers=31).count_standing.reason == "by_formula"


# Inference


def test_inference_is_measured_by_held_back_runs_of_the_family_in_these_formats():
    assert standing_of_inference("llama", "bf16", "bf16").label == MEASURED
    looked_at = [row for row in measured_inference() if row.seen]
    assert standing_of_inference("llama", "bf16", "bf16", looked_at).label == SIMULATED
    assert standing_of_inference("llama", "NF4", "bf16").missing == (("weight_format", "NF4"),)


# What is shown


@IN_BOTH_LANGUAGES
@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("explore", {"model": "Kimi K2 1T"}),
        ("training", {"model": "BERT base (encoder)"}),
        ("training", {"model": "Llama 3 8B", "data_parallel": "8", "zero_stage": "3"}),
        ("techniques", {"model": "Llama 3 8B", "lora_rank": "16", "precision": "bf16", "lora_base": "int8"}),
        ("cluster", {"model": "Llama 3 8B", "n_devices": "8"}),
        ("fits", {"model": "Llama 3 8B", "optimizer": "adamw_8bit"}),
    ],
)
def test_no_page_calls_measured_what_is_not(page, link, language):
    app = opened(page, {**link, "lang": language})
    speak(language)
    config = Configuration({id: app.session_state[id] for id in DEFAULTS})
    measured = f"badge[{dictionary(language)['standing.held_out']}]"
    shown = [button.label for button in app.button] + [m.value for m in (*app.main.markdown, *app.main.caption)]
    steps = [text for text in shown if "badge[" in text and "bf16" not in text]
    assert config.standing.label != MEASURED
    assert badge(config.standing) in "".join(shown)
    told = [text for text in steps if measured in text and w("explore.inference") not in text]
    assert page == "techniques" or not told  # there the plain step is measured


@IN_BOTH_LANGUAGES
def test_every_setting_and_every_reason_has_words(language):
    speak(language)
    for one in covered():
        assert one.setting is None or setting_name(one.setting)
    for reason in (key.removeprefix("standing.") for key in dictionary(language) if key.startswith("standing.")):
        assert f"standing_why.{reason}" in dictionary(language)
    assert label(configured("Llama 3 8B").standing) == w("standing.held_out")


def test_every_measured_row_is_counted_on_the_settings_list_once_for_each_setting():
    every = covered()
    assert {len(one.held_back) + len(one.seen) + len(one.unpredicted) for one in every if one.setting is None} != {0}
    unpredicted = {row for one in every for row in one.unpredicted}
    assert unpredicted == set(without_prediction())
    asked = {f.name for f in (*fields(TrainingRun), *fields(Layout))} | {"lora"}
    assert {one.setting[0] for one in every if one.setting and one.can_be_said} <= asked


def test_the_accuracy_page_names_the_settings_without_a_row_and_those_without_a_prediction():
    said = "\n".join(m.value for m in opened("accuracy").main.markdown)
    for setting in (("tensor_parallel", True), ("optimizer", "adamw_8bit"), ("precision", "mixed_bf16")):
        assert setting_name(setting) in said.split(w("accuracy.without_rows", settings="")[:12])[1]
    assert f"{setting_name(('experts', 'batched_mm'))} (" in said
    assert f"| {w('accuracy.called_estimate')}: {w('accuracy.held_back')} |" in said
    assert f"| {w('accuracy.called_measured')}: {w('accuracy.looked_at')} |" in said


# What is predicted is kept beside the rows, for to simulate all of them takes a while


PEAKS = [what for what in WHAT if what != "held"]


def sample():
    """A step of each family, and of each setting."""
    found = {row.family: row for row in measured_steps()}
    found |= {setting: one.row for one in map(ran, measured_steps()) for setting in one.all}
    return dict.fromkeys(found.values())


def test_what_is_kept_is_what_is_predicted_now():
    """Where this fails: ``python -m llmcalc.accuracy``."""
    assert {row.family for row in sample()} == {row.family for row in measured_steps()}
    assert {str(row): compared(row) for row in sample()} == {str(row): predict(row) for row in sample()}
    passes = measured_inference()[::5]
    assert [predicted(row, what) for row in passes for what in PEAKS] == [
        predict_peaks(row)[what] for row in passes for what in PEAKS
    ]
    every_fifth = reports()[::5]
    assert [report.predicted for report in every_fifth] == [report.predict() for report in every_fifth]


@pytest.mark.slow
def test_all_that_is_kept_is_what_is_predicted_now_and_nothing_else_is_kept():
    assert kept(STEPS) == {key_of_step(row): as_kept(predict(row)) for row in measured_steps()}
    assert kept(PASSES) == {row.key: predict_peaks(row) for row in measured_inference()}
    assert kept(REPORTS) == {report.key: report.predict() for report in reports()}


def test_every_step_and_report_is_kept_and_another_is_simulated():
    assert {key_of_step(row) for row in measured_steps()} == kept(STEPS).keys()
    assert {row.key for row in measured_inference()} == kept(PASSES).keys()
    assert {report.key for report in reports()} == kept(REPORTS).keys()
    row = next(row for row in measured_steps() if row.family == "gpt2")
    longer = replace(row, run={**row.run, "seq_len": row.run["seq_len"] + 8})
    assert key_of_step(longer) not in kept(STEPS)
    assert compared(longer).predicted["llmcalc", "peak"] > compared(row).predicted["llmcalc", "peak"]
    report = replace(reports()[0], run={**reports()[0].run, "batch_size": 999})
    assert report.predicted["allocated"] > reports()[0].predicted["allocated"]
