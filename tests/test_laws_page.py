"""The pages on scaling laws and on cost: what the charts draw is what the laws say."""

from __future__ import annotations

import numpy as np
import pytest
from configurations import configured
from opened_app import charts, metrics, opened

from llmcalc.inputs import LAWS_WITH_LOSS
from llmcalc.scaling.published import TRAINED
from llmcalc.words import LANGUAGES, dictionary, w
from pages.content import cost, laws
from pages.ui.document.blocks import Notice
from pages.ui.figures.palette import MARK


def drawn(chart) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for trace in chart.figure["data"]:
        found.setdefault(trace["name"], []).append(trace)
    return found


def test_thirty_and_more_published_models_are_on_the_map():
    assert len(TRAINED) >= 30
    assert len({row.name for row in TRAINED}) == len(TRAINED)
    assert all(row.source.place and 1e7 < row.parameters < 1e13 and 1e9 < row.tokens < 1e14 for row in TRAINED)


def test_the_model_is_marked_where_its_parameters_and_tokens_are():
    config = configured("Llama 3 8B", train_tokens=15_000)
    star = [trace for trace in laws.the_map(config).figure["data"] if trace.get("marker", {}).get("color") == MARK]
    assert [(trace["x"], trace["y"]) for trace in star] == [([8_030_261_248], [15e12])]
    # 6ND: 6 × 8,030,261,248 × 15e12 FLOP
    assert config.laws.compute.value == 6 * 8_030_261_248 * 15 * 10**12


@pytest.mark.parametrize("law", LAWS_WITH_LOSS)
def test_equal_losses_are_equal_and_beyond_the_fit_is_dotted(law):
    config = configured("GPT-2 124M", law=law)
    chosen, found = config.laws.law, drawn(laws.the_map(config))
    for line in found[w("laws.equal_loss")]:
        if len(line["x"]) > 5:
            losses = chosen.loss(parameters=np.array(line["x"]), tokens=np.array(line["y"])).value
            assert np.allclose(losses, losses[0], rtol=2e-4)  # read off a grid
    for line in found[w("laws.best_split")]:
        inside = [(n, d) for n, d in zip(line["x"], line["y"], strict=True) if d is not None]
        if line["line"]["dash"] == "solid":
            sizes, tokens = map(np.array, zip(*inside, strict=True))
            assert not np.any(chosen.extrapolates(parameters=sizes, compute=6 * sizes * tokens * (1 + 1e-12)))


def test_a_valley_is_lowest_where_its_diamond_stands():
    found = drawn(laws.valleys(configured("GPT-2 124M")))
    (diamonds,) = found[w("laws.best_split")]
    valleys = [name for name in found if name.endswith("FLOP")]
    assert len(valleys) == len(diamonds["x"]) == 7
    for name, bottom in zip(valleys, diamonds["y"], strict=True):
        losses = [y for trace in found[name] for y in trace["y"] if y is not None]
        assert min(losses) == pytest.approx(bottom, rel=1e-4)
        assert min(losses) >= bottom * (1 - 1e-12)


def test_what_devices_and_days_buy_is_their_rate_times_the_time():
    config = configured("GPT-2 124M", n_devices=64, train_days=10, utilization=50.0)
    assert config.laws.bought.value == pytest.approx(64 * 989e12 * 0.5 * 10 * 86_400)
    line = drawn(laws.the_map(config))[w("laws.your_budget")][0]
    bought = 6 * np.array(line["x"]) * np.array(line["y"])
    assert np.allclose(bought, config.laws.bought.value)


def test_the_page_on_cost_shows_the_run_that_the_controls_say():
    inputs = {"model": "Llama 3 8B", "train_tokens": "100", "n_devices": "16", "price_per_hour": "2", "grid": "SWE"}
    app = opened("cost", inputs)
    shown = metrics(app)
    config = configured("Llama 3 8B", train_tokens=100, n_devices=16, price_per_hour=2.0, grid="SWE")
    hours = config.laws.cost.device_hours.value
    assert config.laws.cost.money.value == pytest.approx(2 * hours)
    assert config.laws.cost.carbon.value == pytest.approx(hours * 0.7 * 1.2 * 0.03582)  # 700 W, PUE 1.2, kg/kWh
    assert {w("cost.money"), w("cost.carbon"), w("cost.mfu")} <= set(shown)
    bars = charts(app)[0]["data"][0]
    assert sum(bars["x"]) == pytest.approx(config.laws.cost.token_flops.value / 1e9, rel=1e-9)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_money_is_told_until_the_reader_gives_a_price(language):
    words = dictionary(language)
    app = opened("cost", {"lang": language})
    field = app.text_input(key="price_per_hour_beside")
    assert (field.value, field.placeholder) == ("", words["inputs.price_per_hour.empty"])
    asked = words["cost.no_price"].format(price=words["inputs.price_per_hour.label"])
    assert asked in [caption.value for caption in app.caption]
    assert words["cost.device_hours"] in metrics(app)
    assert words["cost.money"] not in metrics(app)
    assert not any(f"| {words['cost.money']} |" in element.value for element in app.markdown)
    field.set_value("0").run()
    assert metrics(app)[words["cost.money"]] == "0"
    assert asked not in [caption.value for caption in app.caption]
    assert any(f"| {words['cost.money']} |" in element.value for element in app.markdown)


@pytest.mark.parametrize(
    "changes", [{"model": "BERT base (encoder)"}, {"model": "GPT-2 124M", "accelerator": "M4 Max"}]
)
def test_what_is_not_known_is_said(changes):
    model = changes.pop("model")
    assert any(isinstance(block, Notice) for block in cost.cost(configured(model, **changes)))
    assert list(laws.laws(configured(model, **changes)))


@pytest.mark.parametrize(
    ("model", "is_decoder"), [("BERT base (encoder)", False), ("T5 small", False), ("GPT-2 124M", True)]
)
def test_cost_and_laws_agree_of_which_models_they_know_anything(model, is_decoder):
    config = configured(model)
    warned = [any(isinstance(b, Notice) for b in blocks) for blocks in (cost.cost(config), laws.laws(config))]
    assert warned == [not is_decoder, not is_decoder]
