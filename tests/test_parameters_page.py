"""The parameters page: what the models' own classes were counted to have, on tiles, in bars and in the table."""

from __future__ import annotations

from contextvars import copy_context

import pytest
from configurations import configured
from laws import for_each
from opened_app import charts, metrics, opened

from llmcalc import from_config
from llmcalc.accuracy.counted_models import counted_models
from llmcalc.catalog.models import model, models
from llmcalc.transformer.breakdown import breakdown, invoice
from llmcalc.words import LANGUAGES, speak, w
from llmcalc.words.names import name
from pages.content.parameters import parameters
from pages.content.pieces import component_names
from pages.ui.document.blocks import Paragraph
from pages.ui.figures.model import parameter_map, plain
from pages.ui.figures.palette import COLOURS
from pages.ui.words.numbers import human

GOLDEN = counted_models()


@pytest.mark.parametrize(
    ("id", "menu", "total", "active"),
    [
        ("gpt2", "GPT-2 124M", 124_439_808, 124_439_808),
        ("mixtral-8x7b", model("mixtral-8x7b").name, 46_702_792_704, 12_879_925_248),
        ("deepseek-v3", model("deepseek-v3").name, 671_026_404_352, 37_552_282_624),
    ],
)
def test_the_page_shows_the_total_and_what_is_active(id, menu, total, active):
    assert (GOLDEN[id].total, GOLDEN[id].active) == (total, active)
    app = opened("parameters", {"model": menu})
    (table,) = [text.value for text in app.markdown if w("parameters.column_formula") in text.value]
    *rows, last = table.splitlines()
    assert f"{total:,}" in last
    assert f"{active:,}" in last
    for component, count in GOLDEN[id].components.items():
        (row,) = [row for row in rows if row.startswith(f"| **{w(f'components.{component}')}** |")]
        assert f"| {count:,} |" in row

    tiles, bars = (figure["data"] for figure in charts(app))
    assert tiles[0]["values"][0] == total
    outside = sum(GOLDEN[id].components.get(name, 0) for name in ("embedding", "positions", "head"))
    in_layers = sum(sum(trace["y"]) for trace in bars if trace.get("yaxis") != "y2")
    width = app.session_state["d_model"]
    final_norm = 2 * width if id == "gpt2" else width  # LayerNorm has a bias, RMSNorm has none
    assert in_layers == total - outside - final_norm


def test_active_parameters_are_shown_only_where_they_differ():
    assert w("parameters.active") not in metrics(opened("parameters"))
    shown = metrics(opened("parameters", {"model": model("mixtral-8x7b").name}))
    assert shown[w("parameters.active")] == "12.9 B"


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("llama-3.1-8b", "every token goes through every parameter"),
        ("qwen3-vl-8b", "of text goes through every parameter of the language model, **8.19 B**, **93.4"),
        ("mixtral-8x7b", "without them 12.6 B parameters are active"),
        ("qwen3.8-flash-next", "without them 6.04 B parameters are active"),  # 51.2 B are tables of n-grams
    ],
)
def test_what_a_token_goes_through_is_told_of_models_with_towers_and_tables_too(id, said):
    shown = " ".join(text.value for text in opened("parameters", {"model": model(id).name}).markdown)
    assert said in shown


def test_the_working_opens_on_demand():
    app = opened("parameters", {"model": "T5 small"})
    closed = len(app.markdown)
    app.session_state["parameters_working"] = True
    app.run()
    assert not app.exception
    assert len(app.markdown) > closed


@pytest.mark.parametrize("menu", ["T5 small", "Switch base 8", "Llama 4 Maverick 400B (text)"])
def test_kinds_of_layers_are_told_apart_under_the_bars(menu):
    app = opened("parameters", {"model": menu})
    strip = [trace for trace in charts(app)[1]["data"] if trace.get("yaxis") == "y2"]
    layers = sorted(at for trace in strip for at in trace["x"])
    assert len(strip) > 1
    assert layers == list(range(len(layers)))
    assert len({trace["name"] for trace in strip}) == len(strip)


@for_each("id", models())
def test_every_piece_of_every_model_has_a_name_and_a_formula_that_a_label_can_write(id):
    counted = from_config(model(id).config)
    (tiles,) = parameter_map("title", breakdown(counted), id, dict.fromkeys(COLOURS, "component"))["data"]
    assert all(tiles["labels"])
    assert not [text for text in tiles["customdata"] if set(text) & set("\\{}_^$")]
    assert all(name(line.id) for line in invoice(counted))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_tiles_name_is_in_short_lines_and_not_that_of_the_tile_it_is_in(language):
    """Names longer than a tile is wide are left out: of four projections one had none."""
    copy_context().run(_tiles_have_short_names, language)


def _tiles_have_short_names(language: str) -> None:
    speak(language)
    names = component_names()
    (tiles,) = parameter_map("title", breakdown(from_config(model("gpt2").config)), "GPT-2", names)["data"]
    for id, label, text in zip(tiles["ids"], tiles["labels"], tiles["text"], strict=True):
        path, lines = id.split("/"), text.split("<br>")
        assert len(lines) <= 4
        assert all(len(line) <= 14 or " " not in line for line in lines[:-1])
        if len(path) > 2 and label.lower() != names[path[1]].lower():
            assert names[path[1]].lower() not in " ".join(lines[:-1]).lower()


def test_a_label_writes_subscripts_and_powers():
    assert plain(r"2 \cdot d_\text{ff} + r_q \cdot \left(d_n + 1\right) + d^{2}") == (
        "2 · d<sub>ff</sub> + r<sub>q</sub> · (d<sub>n</sub> + 1) + d<sup>2</sup>"
    )


@pytest.mark.parametrize(("menu", "id"), [("GPT-2 XL 1.5B", "gpt2-xl"), (model("deepseek-v3").name, "deepseek-v3")])
def test_a_model_as_published_says_what_its_own_class_was_counted_to_have(menu, id):
    said = w(
        "parameters.checked",
        by=f"`transformers {GOLDEN[id].transformers}: {GOLDEN[id].class_name}`",
        count=f"{GOLDEN[id].total:,}",
        difference="0",
    )
    assert said in [caption.value for caption in opened("parameters", {"model": menu}).caption]
    changed = opened("parameters", {"model": menu, "n_layers": "4"})
    assert not [caption for caption in changed.caption if GOLDEN[id].class_name in caption.value]


def test_what_the_parameters_are_adds_up_where_parts_are_beside_the_language_model():
    config = configured("Qwen2.5-VL 7B")
    model = config.model
    beside = sum(part.parameters().value for part in model.beside)
    amounts = [model.embedding_parameters().value, model.non_embedding_parameters().value, beside]
    assert sum(amounts) == model.parameters().value
    told = page_words(config)
    assert f"{' + '.join(human(n, 'parameters') for n in amounts)} = {human(sum(amounts), 'parameters')}" in told
    assert "In neither" not in page_words(configured("Llama 3 8B"))


def page_words(config):
    return " ".join(
        "".join(span.text for span in block.line) for block in parameters(config) if isinstance(block, Paragraph)
    )
