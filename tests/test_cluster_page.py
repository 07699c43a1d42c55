"""The page that plans for a cluster: its answer, its filters, and a plan put to use."""

from __future__ import annotations

import pytest
from opened_app import charts
from opened_app import opened as opened_on
from streamlit.testing.v1 import AppTest

from llmcalc.configuration import Configuration
from llmcalc.devices.plans import settings
from llmcalc.inputs import DEFAULTS
from llmcalc.words import w
from pages.ui.words.plans import plan_name


def opened(**link: str) -> AppTest:
    return opened_on("cluster", link)


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.info, *app.subheader))


def points(app: AppTest) -> dict:
    return next(chart for chart in charts(app) if chart["layout"]["xaxis"].get("type") == "log")


def test_the_page_names_the_best_plan_and_says_that_it_is_an_estimate():
    app = opened(n_devices="8")
    plans = Configuration({**DEFAULTS, "n_devices": 8}).plans
    assert plan_name(plans.iloc[0]) in text(app)
    assert f"Of {len(plans):,} plans, {plans['fits'].sum():,} fit" in text(app)
    assert w("cluster.estimate") in [caption.value for caption in app.caption]
    assert len(app.dataframe[0].value) == len(plans)


def test_on_one_device_the_closing_note_speaks_of_one():
    captions = [caption.value for caption in opened(n_devices="1").caption]
    assert w("cluster.estimate_one") in captions
    assert w("cluster.estimate") not in captions


def test_a_plan_is_put_to_use_with_one_click_and_keeps_the_global_batch():
    app = opened()
    wanted = settings(Configuration(DEFAULTS).plans.iloc[0])
    next(button for button in app.button if button.key == "apply_plan").click().run()
    assert not app.exception
    assert {key: app.session_state[key] for key in wanted} == wanted
    assert w("cluster.applied") in [success.value for success in app.success]
    batch = wanted["batch_size"] * wanted["gradient_accumulation"] * wanted["data_parallel"]
    assert batch == DEFAULTS["batch_size"]


def test_filters_leave_the_plans_that_have_what_is_wanted():
    app = opened(n_devices="8")
    pills = next(group for group in app.get("button_group") if group.key == "plans_zero_stage")
    pills.set_value([3]).run()
    assert not app.exception
    assert set(app.dataframe[0].value["zero_stage"]) == {3}


def test_where_nothing_fits_the_page_says_what_is_nearest_and_what_would_help():
    app = opened(model="Llama 3.1 70B", n_devices="8", accelerator="A10")
    assert "None of" in text(app)
    assert w("cluster.change") in text(app)
    assert {trace["name"] for trace in points(app)["data"]} == {w("cluster.too_large"), w("cluster.here")}


def test_a_number_of_devices_without_any_plan_is_explained():
    app = opened(n_devices="10007", global_batch="8")
    assert [warning.value for warning in app.warning] == [w("problems.no_plan")]


@pytest.mark.slow
def test_the_page_stands_at_the_ends_of_its_own_inputs():
    for link in (
        {"n_devices": "1"},
        {"n_devices": "16384", "global_batch": "16384"},
        {"node_size": "1024", "n_devices": "1024"},
        {"global_batch": "1"},
        {"model": "Mixtral 8x7B", "global_batch": "1024"},
        {"tensor_parallel": "1024", "pipeline_parallel": "1000", "interleave": "7", "zero_stage": "3"},
        {"offload_optimizer": "true", "lora_rank": "8"},
    ):
        opened(**link)


def test_without_any_plan_the_page_says_why_and_keeps_its_controls():
    app = opened(n_devices="10007", global_batch="1")
    for _ in range(2):  # from the second run on the page comes before the controls
        assert not app.exception
        assert app.main.warning
        assert app.selectbox(key="model").value == "GPT-2 124M"
        app.run()
