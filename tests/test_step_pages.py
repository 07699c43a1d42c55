"""The pages of what fits and of how accurate it is, run as Streamlit runs them."""

from __future__ import annotations

import pytest
from opened_app import charts, metrics, opened

from llmcalc.accuracy import all_compared
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.configuration import Configuration
from llmcalc.export.memory import devices
from llmcalc.inputs import DEFAULTS
from llmcalc.serving.job import runs_on
from llmcalc.sweeps import largest
from llmcalc.units import human
from llmcalc.words import w
from pages.content.fits import every_device
from pages.ui.words.numbers import error_share
from pages.ui.words.standing import badge, why

# What fits


def test_the_largest_batch_and_the_longest_sequence_are_shown_and_set_by_their_buttons():
    link = {"model": "Llama 3 8B", "precision": "bf16", "accelerator": "H200 SXM", "n_layers": "16"}
    app = opened("fits", link)
    for key, title, held in (("batch_size", "batch_size", "1,024"), ("seq_len", "seq_len", None)):
        held = held or f"{app.session_state['batch_size']:,}"
        most = int(metrics(app)[w(f"fits.{title}", held=held)].replace(",", ""))
        app.button(key=f"apply_{key}").click().run()
        assert not app.exception
        assert app.session_state[key] == most
        config = Configuration({id: app.session_state[id] for id in DEFAULTS})
        assert config.verdict.fits
        assert not Configuration({**config.values, key: most + 1}).verdict.fits
        assert app.button(key=f"apply_{key}").disabled


def test_no_sequence_is_offered_that_is_longer_than_the_table_of_positions():
    shown = metrics(opened("fits"))
    assert shown[w("fits.seq_len", held="8")] == "1,024"


@pytest.mark.parametrize(("model", "enough"), [("Llama 3 8B", "B200 (178 GiB)"), ("DeepSeek-V3 671B", None)])
def test_where_nothing_fits_the_page_says_what_would_do(model, enough):
    app = opened("fits", {"model": model})
    (said,) = [warning.value for warning in app.main.warning]
    assert f"**{enough}**" in said if enough else "more than any single device" in said
    assert metrics(app)[w("fits.batch_size", held="1,024")] == "–"
    assert not [button for button in app.button if button.key == "apply_batch_size"]
    assert bool(charts(app)) == bool(enough)


def test_training_and_inference_are_switched_on_the_page_and_the_link_knows():
    app = opened("fits", {"model": "Llama 3 8B", "purpose": "inference"})
    config = Configuration({id: app.session_state[id] for id in DEFAULTS})
    assert metrics(app)[w("fits.this_run")] == human(config.verdict_of_inference.needed.value, "bytes")
    app.main.button_group(key="purpose_here").set_value("training").run()
    assert app.session_state["purpose"] == "training"
    assert metrics(app)[w("fits.this_run")] == human(config.verdict.needed.value, "bytes")


def test_the_moment_of_the_terms_is_that_of_the_peak_until_the_reader_chooses():
    app = opened("training")

    def moment():
        return app.main.button_group(key="moment_step").value

    def with_batch(size):
        app.number_input(key="batch_size").set_value(size).run()
        assert not app.exception
        return Configuration({id: app.session_state[id] for id in DEFAULTS}).step.peak_phase

    assert moment() == with_batch(8) == "loss_backward"
    app.number_input(key="seq_len").set_value(16).run()
    assert moment() == with_batch(1) == "optimizer_step"
    app.main.button_group(key="moment_step").set_value("forward").run()
    assert with_batch(64) != "forward"
    assert moment() == "forward"
    app.main.button_group(key="moment_step").set_value(None).run()
    assert moment() == with_batch(64)


def test_the_map_marks_the_device_and_the_run_and_tells_every_cell():
    app = opened("fits", {"batch_size": "3", "seq_len": "500", "accelerator": "A100 40GB SXM"})
    (figure,) = charts(app)
    bands, runs = figure["data"][0], figure["data"][-1]
    assert (runs["x"][0], runs["y"][0]) == (500, 3)
    assert len(bands["text"]) == len(bands["y"])
    assert {len(row) for row in bands["text"]} == {len(bands["x"])}
    named = " ".join(note["text"] for note in figure["layout"]["annotations"])
    assert "24 GB RTX 4090" in named
    assert "A100 40GB SXM" in named
    assert "40 GB A100" not in named, "its name says so"


def test_every_device_stands_in_the_table_once():
    (table,) = [m.value for m in opened("fits").main.markdown if w("fits.devices") in m.value]
    named = [name for line in table.splitlines()[2:] for name in line.replace("*", "").split("|")[2].split(",")]
    assert sorted(name.strip() for name in named) == sorted(ACCELERATORS)


@pytest.mark.parametrize("engine", ["tensorrt-llm", "llama.cpp"])
def test_of_inference_those_devices_stand_in_the_table_that_the_engine_runs_on(engine):
    config = Configuration({"model": "Llama 3.1 8B", "purpose": "inference", "engine": engine})
    rows = every_device(config, "inference", largest(config, "inference")).rows
    named = {name for row in rows for span in row[1] for name in span.text.split(", ")}
    assert named == {id for id in ACCELERATORS if runs_on(engine, id)} < set(ACCELERATORS)
    assert named == {row["device"] for row in devices(config)}


@pytest.mark.parametrize("id", ["H200 SXM", "RTX 4090", "B300"])
def test_pages_say_who_printed_what_a_device_has_or_that_it_is_nominal(id):
    device = ACCELERATORS[id]
    on_page = opened("fits", {"accelerator": id}).main.caption
    explore = opened("explore", {"accelerator": id})
    explore.session_state["group_on_explore"] = "devices"
    in_sidebar = explore.run().sidebar.caption
    for captions in (on_page, in_sidebar):
        (told,) = [caption.value for caption in captions if "maker" in caption.value]
        assert human(device.memory, "bytes") in told
        assert ("nominal" in told) == (device.memory_source is None)
        assert device.memory_source is None or device.memory_source.work.url in told


# Accuracy


def test_every_measured_step_is_shown_with_both_errors():
    app = opened("accuracy")
    table = app.dataframe[0].value
    rows = all_compared()
    assert len(table) == len(rows)
    error = table[w("accuracy.column_error", what=w("accuracy.peak_short"))]
    assert list(error) == pytest.approx([100 * row.error("llmcalc", "peak") for row in rows], abs=6e-4)
    assert metrics(app)[w("accuracy.steps")] == f"{len(rows):,}"
    for figure in charts(app):
        assert len(rows) in {len(trace["x"]) for trace in figure["data"]}


@pytest.mark.parametrize("figure", ["saved", "peak"])
def test_filters_narrow_everything_down_and_may_leave_nothing(figure):
    app = opened("accuracy")
    app.main.button_group(key="accuracy_figure").set_value(figure).run()
    app.multiselect(key="accuracy_recompute").set_value(["none"]).run()
    app.multiselect(key="accuracy_precision").set_value(["bf16", "fp32"]).run()
    assert not app.exception
    table = app.dataframe[0].value
    assert set(table[w("accuracy.filter_recompute")]) == {"none"}
    assert set(table[w("accuracy.filter_precision")]) == {"bf16", "fp32"}
    app.multiselect(key="accuracy_model").set_value(["nanogpt"]).run()
    app.multiselect(key="accuracy_loss").set_value(["fused"]).run()
    assert not app.exception
    assert [info.value for info in app.main.info] == [w("accuracy.nothing")]


def test_the_page_says_that_no_gpu_was_read():
    said = "\n".join(m.value for m in opened("accuracy").main.markdown)
    assert "No figure was read off a GPU" in said


@pytest.mark.parametrize(
    ("link", "family"),
    [({}, "nanogpt"), ({"model": "Llama 3 8B"}, "llama"), ({"norm": "RMSNorm"}, ""), ({"model": "T5 small"}, "t5")],
)
def test_the_training_page_says_what_its_figures_rest_on_and_how_far_off_that_is(link, family):
    app = opened("training", link)
    standing = Configuration({id: app.session_state[id] for id in DEFAULTS}).standing
    said = [text.value for text in app.main.markdown if ":small[" in text.value]
    assert said == [f"{badge(standing)} :small[{why(standing)}]"]
    assert (standing.label == "measured") == bool(family)
    assert not standing.errors or error_share(standing.errors.largest) in said[0]


@pytest.mark.parametrize("link", [{}, {"batch_size": "64"}, {"model": "Mixtral 8x7B", "batch_size": "1"}])
def test_the_areas_of_a_step_add_up_to_all_that_is_alive(link):
    (figure,) = [figure for figure in charts(opened("training", link)) if "stackgroup" in figure["data"][0]]
    areas = [trace["y"] for trace in figure["data"] if "stackgroup" in trace]
    (live,) = [trace["y"] for trace in figure["data"] if trace["mode"] == "lines" and "stackgroup" not in trace]
    for *parts, whole in zip(*areas, live, strict=True):
        assert sum(parts) == pytest.approx(whole, abs=5e-5 * (len(parts) + 1))  # each is rounded
