"""Presenter mode and the short link, without a browser."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from opened_app import charts, metrics, opened

from pages.ui.app.shell import PAGES
from llmcalc.bases import base
from llmcalc.inputs import DEFAULTS, INPUTS, PASTED
from llmcalc.link_text import link_differences
from llmcalc.words import w
from pages.ui.app.stage import READ


@pytest.mark.parametrize("page", [page for page in PAGES if page not in READ])
def test_one_chart_of_a_page_is_on_stage_with_all_its_headline_numbers(page):
    whole, staged = opened(page), opened(page, {"present": "true"})
    titles = [figure["layout"]["title"]["text"] for figure in charts(whole)]
    assert [figure["layout"]["title"]["text"] for figure in charts(staged)] == titles[:1]
    assert metrics(staged) == metrics(whole)


@pytest.mark.parametrize(
    ("page", "link", "times"),
    [("training", {}, 0), ("fits", {}, 0), ("training", {"account": "article"}, 1), ("parameters", {}, 1)],
)
def test_a_room_is_told_once_why_a_number_is_an_estimate(page, link, times):
    """The verdict has its label, and all the room there is goes to the chart; what it does not say, a note does."""
    told = []
    for staged in ({}, {"present": "true"}):  # the page itself is behind the stage
        app = opened(page, {"n_devices": "4", **link, **staged})
        told.append([m.value for m in app.main.markdown if m.value.startswith(":orange-badge[estimate] :small[")])
    assert len(told[1]) - len(told[0]) == times


def test_the_lesson_is_read_as_it_is():
    whole, staged = (opened("learn", {"chapter": "6", **link}) for link in ({}, {"present": "true"}))
    assert charts(staged) == charts(whole) != []
    assert any(".st-key-backstage { display: flex" in element.proto.body for element in staged.get("html"))


def test_every_chart_has_its_turn_and_then_the_first_again():
    every = [figure["layout"]["title"]["text"] for figure in charts(opened())]
    app = opened(link={"present": "true"})
    seen = []
    for _ in range(len(every) + 1):
        seen += [figure["layout"]["title"]["text"] for figure in charts(app)]
        app.button(key="next").click().run()
    assert seen == [*every, every[0]]
    app.button(key="leave").click().run()
    assert len(charts(app)) == len(every)
    assert app.session_state["present"] is False


def test_knobs_on_stage_move_the_inputs():
    app = opened("training", {"present": "true", "n_heads": "10"})
    assert any("10" in warning.value for warning in app.main.warning)
    app.select_slider(key="n_heads_on_stage").set_value(16).run()
    assert not app.main.warning
    app.selectbox(key="model_twin").set_value("Llama 3 8B").run()
    assert not app.exception
    assert (app.session_state["d_model"], app.session_state["n_layers"]) == (4096, 32)


@pytest.mark.parametrize("model", ["GPT-2 124M", "Llama 3 8B", "T5 small"])
def test_the_short_link_means_the_same_and_leaves_out_what_is_as_by_default(model):
    start = DEFAULTS | {"model": model} | dict(base(model).values)
    values = start | {"lang": "id", "batch_size": 3, "n_layers": 7, "alpha": 0.05, "keep_logits": True}
    differences = link_differences(values, start)
    assert set(differences) <= {"v", "lang", "model", "batch_size", "n_layers", "alpha", "keep_logits"}
    app = opened(link=differences)
    assert not app.session_state["reader"].link_problems
    assert {key: app.session_state[key] for key in INPUTS} == values


def test_a_link_too_long_for_a_qr_code_says_what_to_do():
    layers = ["sliding_attention", "full_attention"] * 90
    app = opened(link={"model": PASTED, "config": json.dumps({"model_type": "gpt2", "n_layer": 2})})
    app.session_state["menu"] = "link"
    app.run()
    assert w("link.qr_too_long") not in [warning.value for warning in app.sidebar.warning]
    large = json.dumps({"model_type": "gemma3_text", "num_hidden_layers": len(layers), "layer_types": layers})
    app = opened(link={"model": PASTED, "config": large})
    app.session_state["menu"] = "link"
    app.run()
    assert not app.exception
    assert w("link.qr_too_long") in [warning.value for warning in app.sidebar.warning]


def test_the_short_link_is_not_presented():
    app = opened(link={"present": "true", "n_layers": "24"})
    app.session_state["menu"] = "link"
    app.run()
    (shown,) = [element.value for element in app.sidebar.caption if w("link.qr_open") in element.value]
    address = shown.rsplit("](", 1)[1].rstrip(")")
    assert parse_qs(address.partition("?")[2]).keys() == {"v", "lang", "model", "n_layers"}
