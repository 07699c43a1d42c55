"""What charts draw is what they say: the rule by which a job fits, the law of a curve, numbers of layers, colours."""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from configurations import configured
from golden_files import csv_rows
from hypothesis import given
from hypothesis import strategies as st
from opened_app import charts, metrics, opened

from llmcalc import from_config
from llmcalc.bases import recipe_values
from llmcalc.catalog.recipes import PLAIN
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS
from llmcalc.quantity import Quantity, total
from llmcalc.transformer.breakdown import numbered_layers
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.units import GiB
from llmcalc.words import w
from pages.content.explore import moments_chart
from pages.ui.document.blocks import Chart
from pages.ui.figures.memory import Panel, memory_bars, memory_curves, share_bars, stacked_bars, stacked_shares
from pages.ui.figures.model import layer_bars
from pages.ui.figures.palette import COLOURS, MARK, by_component, component_of
from pages.ui.figures.plans import plan_points
from pages.ui.figures.steps import fits_map
from pages.ui.figures.techniques import plain_bars, sparsity_curves, waterfall
from pages.ui.figures.timeline import timeline_figure
from pages.ui.words.numbers import human

NAMES = {component: w(f"components.{component}") for component in COLOURS}
COMPONENT = {name: component for component, name in NAMES.items()}


def quantity(id: str, value: float) -> Quantity:
    return Quantity(id, value, "bytes", "M", meaning="A number of a test.")


def marked_at(figure, axis: str) -> float:
    """Where the one line in the colour of the reader's device is."""
    of = (MARK, light(MARK))
    ends = {s[f"{axis}{i}"] for s in figure["layout"]["shapes"] if s["line"]["color"] in of for i in (0, 1)}
    (place,) = ends
    return place


def light(colour: str) -> str:
    return colour.split("|")[0]


# Whether it fits: GPT-2 at 80 sequences, whose tensors an H100 has room for and whose process it has not

TIGHT = {"batch_size": "80", "accelerator": "H100 SXM"}


@cache
def tight(**more) -> Configuration:
    return Configuration(DEFAULTS | {"batch_size": 80, "accelerator": "H100 SXM"} | more)


def room_for_tensors() -> float:
    """Of 79.1 GiB or so that the driver reports: less 450 MiB of context, by 1.14 for fragmentation, less 17 MiB of
    workspaces."""
    return (tight().accelerator.memory - 450 * 2**20) / 1.14 - 17 * 2**20


def test_this_run_is_one_whose_tensors_have_room_and_whose_process_has_not():
    peak = tight().step.peak.value
    assert room_for_tensors() < peak < tight().accelerator.memory < 1.14 * (peak + 17 * 2**20) + 450 * 2**20


def test_the_timeline_marks_what_a_process_leaves_for_tensors():
    figure = charts(opened("training", TIGHT))[0]
    assert marked_at(figure, "y") == pytest.approx(room_for_tensors() / GiB)
    assert max(max(trace["y"]) for trace in figure["data"] if trace.get("customdata")) > marked_at(figure, "y")


def test_the_explore_page_marks_what_a_process_leaves_for_tensors():
    _, memory, growth = charts(opened("explore", TIGHT))
    assert marked_at(memory, "x") == pytest.approx(room_for_tensors() / GiB)
    factor = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "TiB": 2**40}
    unit = next(unit for unit in factor if unit in growth["layout"]["yaxis"]["title"]["text"])
    assert marked_at(growth, "y") * factor[unit] == pytest.approx(room_for_tensors())


def test_the_page_of_what_fits_judges_the_process():
    app = opened("fits", TIGHT)
    needed = 1.14 * (tight().step.peak.value + 17 * 2**20) + 450 * 2**20
    memory = tight().accelerator.memory
    assert int(metrics(app)[w("fits.batch_size", held="1,024")]) < 80
    assert any(f"{100 * needed / memory:.3g}%" in caption.value for caption in app.main.caption)
    (figure,) = charts(app)
    fill, _, outline, *_ = figure["data"]
    # between the devices that are drawn, by ratio: 1 at the first, 2 at the second
    row = np.abs(np.log(np.array(fill["y"]) / 80)).argmin()
    at_1024 = np.interp(np.log(1024), np.log(fill["x"]), fill["z"][row])
    assert outline["contours"]["start"] == outline["contours"]["end"] < at_1024


def test_a_plan_whose_tensors_have_room_and_whose_process_has_not_does_not_fit():
    config = tight(batch_size=64, n_devices=2, fragmentation=50.0)
    table, memory = config.plans, config.accelerator.memory
    needed = 1.5 * (table["peak"] + 17 * 2**20) + 450 * 2**20
    assert np.allclose(table["needed"], needed)
    assert (table["fits"] == (needed <= memory)).all()
    between = table[(table["peak"] <= memory) & (needed > memory)]
    assert len(between)
    assert not between["fits"].any()


def plan(needed, *, fits, time, traffic=1e9):
    layout = dict.fromkeys(
        ("tensor_parallel", "pipeline_parallel", "interleave", "context_parallel", "data_parallel"), 1
    ) | {
        "expert_parallel": 1,
        "zero_stage": 0,
        "sequence_parallel": False,
        "micro_batch": 1,
        "micro_batches": 1,
        "recompute": "none",
    }
    return layout | {"needed": float(needed) * GiB, "fits": fits, "time": time, "traffic": traffic}


def test_points_of_plans_are_told_apart_by_whether_they_fit_and_by_a_tenth_of_time():
    plans = pd.DataFrame([
        plan(90, fits=False, time=1.0), plan(70, fits=True, time=1.09),
        plan(60, fits=True, time=1.1), plan(50, fits=True, time=1.5), plan(91, fits=False, time=2.0),
    ])  # fmt: skip
    figure = plan_points("plans", plans, plans.iloc[1].to_dict(), ("GPU", 80 * GiB))
    drawn = {trace["name"]: (trace["y"], trace["marker"]["color"]) for trace in figure["data"]}
    assert drawn[w("cluster.too_large")] == ([90, 91], COLOURS["inputs"])
    assert drawn[w("cluster.slow")] == ([60, 50], COLOURS["attention"])
    assert drawn[w("cluster.fits")] == ([70], COLOURS["feed_forward"])
    assert drawn[w("cluster.here")][0] == [70]
    assert marked_at(figure, "y") == 80


def test_bands_of_the_map_are_those_of_the_devices():
    batches, lengths = np.array([1.0, 2.0]), np.array([1.0, 2.0, 4.0])
    memory = np.array([[8.0, 16.0, 32.0], [16.0, 32.0, 64.0]]) * GiB
    devices = {"16": 16 * GiB, "32": 32 * GiB}
    said = [[""] * 3] * 2
    figure = fits_map("map", (batches, lengths, memory), devices, ("32", 32 * GiB), ("run", 1, 1), {"end": (2, 2)},
                      said, ("batch", "length"))  # fmt: skip
    fill, under, outline, dotted, runs = figure["data"]
    assert fill["z"] == [[0, 1, 2], [1, 2, 3]]  # 1 is the first device's memory, 2 the second's
    assert [c["contours"]["start"] for c in (fill, under, outline)] == [1, 2, 2]
    assert (fill["x"], fill["y"]) == ([1, 2, 4], [1, 2])
    assert outline["line"]["color"] == dotted["line"]["color"] == MARK
    assert (runs["x"], runs["y"]) == ([1, 2], [1, 2])
    assert runs["marker"]["color"][0] == MARK
    assert [colour for _, colour in fill["colorscale"]][-1] == "#C9CCD1|#4A525C"  # grey: no device


# The scaling law


@pytest.mark.parametrize("row", csv_rows("ten_percent_rule.csv")[1:5], ids=lambda row: row["alpha"])
@pytest.mark.parametrize(
    ("curve", "column", "height"), [("loss", "loss_down_10_percent", 0.9), ("performance", "metric_up_10_percent", 1.1)]
)
def test_the_target_is_where_the_law_that_is_drawn_has_it(row, curve, column, height):
    figure = charts(opened("scaling", {"alpha": row["alpha"], "improvement": "10", "curve": curve}))[
        -1
    ]  # the last chart
    law, here, target = figure["data"]
    times, alpha = float(row[column]), float(row["alpha"])
    assert target["x"][0] / here["x"][0] == pytest.approx(times, rel=1e-9)
    assert target["y"][0] / here["y"][0] == pytest.approx(height, rel=1e-9)
    assert here["x"][0] == 12 * 12 * 768**2 + 12 * 13 * 768 + 2 * 768  # GPT-2 without its tables
    if curve == "loss":  # Kaplan et al. 2020, eq. 1.1
        assert here["y"][0] == pytest.approx((8.8e13 / here["x"][0]) ** alpha, rel=1e-9)
    else:
        assert here["y"][0] == pytest.approx(1)
    slope = np.diff(np.log(law["y"])) / np.diff(np.log(law["x"]))
    assert np.allclose(slope, -alpha if curve == "loss" else alpha)
    assert f"{times:.2f}" in target["text"][0]


def test_the_scaling_pages_headlines_are_each_of_its_own_law():
    shown = metrics(opened("scaling", {"alpha": "0.076", "improvement": "10"}))
    row = next(row for row in csv_rows("ten_percent_rule.csv") if row["alpha"] == "0.076")
    assert shown[w("scaling.metric_better", percent="10")] == f"{float(row['metric_up_10_percent']):.2f}"
    assert shown[w("scaling.loss_lower", percent="10")] == f"{float(row['loss_down_10_percent']):.2f}"


# Layers


def test_layers_are_counted_from_one_as_everywhere_else():
    """GPT-2's 12 are 1 to 12, as in the timeline and in what is downloaded; of DeepSeek-V3's 61 the first three are
    dense; T5's stacks each begin anew."""
    figure = layer_bars("layers", numbered_layers(Dimensions().model()), NAMES, ("layer", "parameters"))
    for trace in figure["data"]:
        assert trace["x"] == list(range(12))
        assert [said.partition(":")[0] for said in trace["customdata"]] == [f"Layer {i}" for i in range(1, 13)]
    axis = figure["layout"]["xaxis"]
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True)) == {i: str(i + 1) for i in range(12)}

    shape = {"model_type": "deepseek_v3", "num_hidden_layers": 61, "first_k_dense_replace": 3}
    figure = layer_bars("layers", numbered_layers(from_config(shape)), NAMES, ("layer", "parameters"))
    at = {trace["name"]: trace["x"] for trace in figure["data"]}
    assert at[NAMES["feed_forward"]] == [0, 1, 2]
    assert at[NAMES["router"]] == at[NAMES["experts"]] == list(range(3, 61))
    strip = [trace for trace in figure["data"] if trace.get("yaxis") == "y2"]
    assert [trace["x"] for trace in strip] == [[0, 1, 2], list(range(3, 61))]
    axis = figure["layout"]["xaxis"]
    assert all(str(at + 1) == text for at, text in zip(axis["tickvals"], axis["ticktext"], strict=True))

    t5 = from_config({"model_type": "t5"})
    figure = layer_bars("layers", numbered_layers(t5), NAMES, ("layer", "parameters"))
    axis = figure["layout"]["xaxis"]
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True)) == {i: str(i % 6 + 1) for i in range(12)}


def test_a_layer_is_as_high_as_its_parameters():
    figure = layer_bars("layers", numbered_layers(Dimensions().model()), NAMES, ("layer", "parameters"))
    heights = {trace["name"]: set(trace["y"]) for trace in figure["data"]}
    assert heights == {
        NAMES["attention"]: {4 * 768**2 + 4 * 768},
        NAMES["feed_forward"]: {8 * 768**2 + 5 * 768},
        NAMES["norm"]: {4 * 768},
    }


PROFILE = pd.DataFrame(
    {
        "phase": ["forward", "forward", "forward", "loss", "backward", "backward", "backward", "optimizer"],
        "layer": ["front", 0, 1, "back", "back", 1, 0, "back"],
        "live_weights": [4, 4, 4, 4, 4, 4, 4, 4],
        "live_activations_attention": [0, 1, 2, 2, 2, 1, 0, 0],
        "live_saved_logits": [0, 0, 0, 3, 1, 0, 0, 0],
        "live": [4, 5, 6, 9, 7, 5, 4, 4],
    }
).astype({name: float for name in ("live_weights", "live_activations_attention", "live_saved_logits", "live")})


def test_the_timeline_counts_layers_from_one_and_names_what_is_alive():
    profile = PROFILE.copy()
    profile[[c for c in profile if c.startswith("live")]] *= GiB
    figure = timeline_figure("step", profile, NAMES, ("GPU", 12 * GiB))
    *areas, line, labels = figure["data"]
    told = [said.split("<br>")[0] for said in line["customdata"]]
    numbers = [next((word for word in said.replace(":", "").split() if word.isdigit()), None) for said in told]
    # the layers' own numbers come first in what is said, before the bytes
    assert [n for n, layer in zip(numbers, profile["layer"], strict=True) if layer == 0] == ["1", "1"]
    assert [n for n, layer in zip(numbers, profile["layer"], strict=True) if layer == 1] == ["2", "2"]
    drawn = {area["name"]: (area["y"], area["fillcolor"], area["line"]["color"]) for area in areas}
    assert drawn == {
        NAMES["weights"]: ([4] * 8, COLOURS["weights"], COLOURS["weights"]),
        NAMES["attention"]: ([0, 1, 2, 2, 2, 1, 0, 0], COLOURS["attention"], COLOURS["attention"]),
        NAMES["logits"]: ([0, 0, 0, 3, 1, 0, 0, 0], COLOURS["logits"], COLOURS["logits"]),
    }
    assert line["y"] == [4, 5, 6, 9, 7, 5, 4, 4]
    assert (labels["x"][0], labels["y"][0]) == (line["x"][3], 9)
    assert marked_at(figure, "y") == 12
    # forward, loss, backward and optimizer one after the other; the head's backward belongs to the loss
    assert line["x"] == sorted(line["x"])
    assert [at <= 40 for at in line["x"]] == [True] * 3 + [False] * 5
    assert [40 < at <= 54 for at in line["x"]] == [False] * 3 + [True] * 2 + [False] * 3


@pytest.mark.parametrize(("device", "written_at"), [(12, 9), (9.5, 9.5), (9, 9), (8, 9)])
def test_no_line_runs_through_what_is_written_at_the_peak_of_the_timeline(device, written_at):
    """The axis ends at 1.15 × 9.5 or more, so letters a tenth as high reach from 9 to above 10."""
    profile = PROFILE.copy()
    profile[[c for c in profile if c.startswith("live")]] *= GiB
    figure = timeline_figure("step", profile, NAMES, ("GPU", device * GiB))
    assert (figure["data"][-1]["y"][0], marked_at(figure, "y")) == (written_at, device)


# Colours


def colours_of(trace) -> dict[str, str]:
    """The colour of each component that a trace draws, by the words of its name or rows."""
    marker, line = trace.get("marker", {}).get("color"), trace.get("line", {}).get("color")
    if isinstance(marker, list):
        rows = trace.get("labels", trace.get("y", []))
        return {row: colour for row, colour in zip(rows, marker, strict=False) if row in COMPONENT}
    name = trace.get("name")
    return {name: trace.get("fillcolor") or marker or line} if name in COMPONENT else {}


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("explore", {"model": "Mixtral 8x7B"}),
        ("parameters", {"model": "Mixtral 8x7B"}),
        ("parameters", {}),
        ("training", {}),
        ("training", {"account": "article"}),
        ("cluster", {"n_devices": "8"}),
        ("compare", {"compare": "Llama 3 8B|Mixtral 8x7B"}),
        ("techniques", {"technique": "distillation"}),
    ],
    ids=str,
)
def test_a_component_has_its_own_colour_in_every_chart(page, link):
    seen = {}
    for figure in charts(opened(page, link)):
        for trace in figure["data"]:
            if trace["type"] == "treemap":
                continue
            seen |= (found := colours_of(trace))
            assert found == {name: light(COLOURS[COMPONENT[name]]) for name in found}, figure["layout"]["title"]
    assert len(seen) >= 3
    assert len(set(seen.values())) == len(seen)


def test_figures_draw_what_they_are_given_in_its_colours():
    values = {"attention": 3.0 * GiB, "weights": 1.0 * GiB, "logits": 2.0 * GiB}
    bars, ends = share_bars("shares", values, NAMES, "bytes", "axis")["data"]
    assert dict(zip(bars["y"], bars["x"], strict=True)) == {NAMES[c]: value for c, value in values.items()}
    assert bars["y"] == [NAMES[c] for c in ("weights", "logits", "attention")]  # the largest on top
    assert bars["marker"]["color"] == [COLOURS[c] for c in ("weights", "logits", "attention")]
    assert [text.strip().split(" · ")[1] for text in ends["text"]] == ["16.7%", "33.3%", "50.0%"]

    rows = {"first": values, "second": {"attention": 1.0 * GiB}}
    for figure, shown in (
        (stacked_bars("stack", rows, NAMES, "bytes", "{unit}"), GiB),
        (stacked_shares("stack", rows, NAMES, "bytes", "axis"), 1),
    ):
        drawn = {t["name"]: (t["y"], t["x"], t["marker"]["color"]) for t in figure["data"] if t["type"] == "bar"}
        assert drawn == {
            NAMES[c]: (["second", "first"], [rows["second"].get(c, 0) / shown, value / shown], COLOURS[c])
            for c, value in values.items()
        }
    figure = memory_bars("memory", rows, NAMES, ("GPU", 8 * GiB), "{unit}")
    assert marked_at(figure, "x") == 8
    assert [ends["x"] for ends in figure["data"] if ends["type"] == "scatter"] == [[1, 6]]


def test_a_legend_names_every_colour_that_can_be_seen_in_a_chart_that_relies_on_it():
    # a tenth of its own bar, which is a hundredth of the longest: a thousandth of that, less than a pixel
    rows = {"large": {"weights": 1000 * GiB}, "small": {"weights": 9 * GiB, "attention": 1 * GiB}}
    charts = {
        "bars alone": stacked_bars("bars", rows, NAMES, "bytes", "{unit}"),
        "bars with shares": stacked_bars("bars", rows, NAMES, "bytes", "{unit}", with_shares=True),
        "shares": stacked_shares("shares", rows, NAMES, "bytes", "axis"),
    }
    named = {
        chart: {t["name"] for t in figure["data"] if t["type"] == "bar" and t["showlegend"]}
        for chart, figure in charts.items()
    }
    both = {NAMES["weights"], NAMES["attention"]}
    assert named == {"bars alone": {NAMES["weights"]}, "bars with shares": both, "shares": both}


def test_the_comparison_names_every_part_that_its_shares_show():
    app = opened("compare", {"model": "Llama 3.1 8B", "compare": "DeepSeek-V3 671B|Mixtral 8x7B|Qwen3.5 35B A3B"})
    bars, shares = charts(app)[:2]
    named = {t["name"] for t in bars["data"] if t["type"] == "bar" and t.get("showlegend", True)}
    sums = [sum(amounts) for amounts in zip(*(trace["x"] for trace in shares["data"]), strict=True)]
    shown = {
        trace["name"]
        for trace in shares["data"]
        if any(amount > 0.01 * whole for amount, whole in zip(trace["x"], sums, strict=True))
    }
    assert shown <= named


def test_curves_go_through_their_points_in_their_colours():
    panels = [
        Panel([1, 2], [("training", [1 * GiB, 2 * GiB], COLOURS["weights"])], 2, "batch"),
        Panel([4, 8], [("training", [3 * GiB, 5 * GiB], COLOURS["weights"])], 4, "length"),
    ]
    figure = memory_curves("growth", panels, ("GPU", 4 * GiB), "{unit}")
    assert [(t["x"], t["y"], t["line"]["color"]) for t in figure["data"]] == [
        ([1, 2], [1, 2], COLOURS["weights"]),
        ([4, 8], [3, 5], COLOURS["weights"]),
    ]
    here = [shape for shape in figure["layout"]["shapes"] if shape["line"]["color"] != MARK]
    assert [(shape["x0"], shape["x1"]) for shape in here] == [(2, 2), (4, 4)]
    assert marked_at(figure, "y") == 4


def test_a_waterfall_is_red_upwards_and_green_downwards():
    parts = [quantity(id, value * GiB) for id, value in (("a", 8), ("b", 4), ("c", -6))]
    figure = waterfall("way", total("all", "M", *parts), {n: n for n in ("a", "b", "c", "all")}, "{unit}")
    bars = figure["data"][0]
    assert (bars["base"], bars["x"]) == ([0, 8, 6, 0], [8, 4, 6, 6])
    whole, more, less, again = bars["marker"]["color"]
    assert whole == again
    red, green = (tuple(bytes.fromhex(light(colour)[1:])) for colour in (more, less))
    assert red[0] > red[1]
    assert green[1] > green[0]


def test_sparsity_and_plain_bars_mark_what_is_the_readers():
    curves = {"dense": [4.0 * GiB] * 2, "bitmask": [5.0 * GiB, 1.0 * GiB], "semi_structured": [3.0 * GiB]}
    shares = {"dense": [0, 90], "bitmask": [0, 90], "semi_structured": [50]}
    figure = sparsity_curves("zeros", shares, curves, 30)
    drawn = {trace["name"]: (trace["x"], trace["y"]) for trace in figure["data"]}
    assert drawn == {
        w("techniques.storage_dense"): ([0, 90], [4, 4]),
        w("techniques.storage_bitmask"): ([0, 90], [5, 1]),
        w("techniques.storage_semi_structured"): ([50], [3]),
    }
    assert [(shape["x0"], shape["x1"]) for shape in figure["layout"]["shapes"]] == [(30, 30)]
    bars = plain_bars("cache", {"a": 1.0 * GiB, "b": 2.0 * GiB}, "bytes", "{unit}", marked="b")["data"][0]
    assert bars["x"] == [1, 2]
    assert bars["marker"]["color"][1] == COLOURS["kv_cache"] != bars["marker"]["color"][0]


def test_terms_are_drawn_as_the_component_that_they_belong_to():
    """What a step's account is made of, by hand: a weight is a weight, whatever keeps a matrix of scores is attention,
    whatever is as wide as the vocabulary and no weight is logits."""
    expected = {
        "weights": "weights", "optimizer_state": "optimizer_state", "optimizer_temporary": "optimizer_state",
        "model_buffers": "weights", "attention_matrix": "attention", "activations_attention": "attention",
        "activations_feed_forward": "feed_forward", "saved_logits": "logits", "held_logits": "logits",
        "logits_gradient": "logits", "teacher_logits": "logits", "soft_targets": "logits", "teacher_layer": "teacher",
        "teacher_weights": "teacher", "stored_embedding": "embedding", "stored_head": "head", "kv_cache": "kv_cache",
        "stored_layers": "weights", "gradients": "gradients", "in_flight": "in_flight",
    }  # fmt: skip
    assert {term: component_of(term) for term in expected} == expected
    terms = [quantity(term, 1) for term in ("optimizer_temporary", "weights", "optimizer_state", "kv_cache")]
    assert by_component(terms) == {"weights": 1, "optimizer_state": 2, "kv_cache": 1}


@given(st.floats() | st.integers(-(10**20), 10**20))
def test_numbers_reach_the_browser_as_exact_as_single_precision_has_them(number):
    figure = {"data": [{"x": (number, None), "name": "±"}], "layout": {"title": {"text": "t"}}}
    (written, none), *_ = (trace["x"] for trace in json.loads(Chart(figure, "key", "alt").json)["data"])
    assert none is None
    if isinstance(number, int) or (math.isfinite(number) and number.is_integer() and abs(number) < 10**7):
        assert written == number
    elif math.isfinite(number):
        assert math.isclose(written, number, rel_tol=5.01e-7, abs_tol=0)
        assert len(f"{written}".split("e")[0].strip("-").replace(".", "").lstrip("0").rstrip("0")) <= 7
    else:
        assert written is None


@pytest.mark.parametrize("changes", [{}, {"recipe": "TRL QLoRA", "batch_size": 1}, {"account": "article"}], ids=str)
@pytest.mark.parametrize("model", ["GPT-2 124M", "Mixtral 8x7B"])
def test_the_moments_that_are_drawn_have_the_peak_among_them(model, changes):
    config = configured(model, **{**recipe_values(changes.get("recipe", PLAIN)), **changes})
    figure, peak = moments_chart(config).figure, config.training.peak.value
    ends = next(trace for trace in figure["data"] if trace["type"] == "scatter")
    at = ends["y"].index(w(f"phases.{config.training.peak_phase}"))
    assert human(peak, "bytes") == ends["text"][at].strip()
