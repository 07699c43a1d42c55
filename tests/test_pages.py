"""Every page, run as Streamlit runs it: at the default, at both ends of every input, and with links of all kinds."""

from __future__ import annotations

import pytest
from kinds import KINDS, LIBRARY, kind, some_with_every_part
from laws import some_of
from opened_app import charts, copied_link, metrics, opened, taken_in
from read_inputs import inputs_of

from pages.ui.app.shell import PAGES
from llmcalc.bases import SHAPE, base, compact
from llmcalc.catalog.presets import ARTICLE_EXAMPLE, PRESETS
from llmcalc.configuration import Configuration
from llmcalc.errata import ERRATA
from llmcalc.inputs import DEFAULTS, INPUTS, PASTED, in_group
from llmcalc.link import read_link
from llmcalc.link_text import link_parameters
from llmcalc.words import w
from pages.content import explore
from pages.ui.words.titles import title_of

EVERY_PAGE = pytest.mark.parametrize("page", PAGES)
OF_THE_LIBRARY = ("model", "student")  # inputs with as many options as there are models


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "model"),
    [(page, model) for turn, page in enumerate(PAGES) for model in some_with_every_part(turn, len(PAGES))],
)
def test_every_page_stands_with_every_part_of_a_model(page, model):
    opened(page, {"model": model})


def test_every_model_is_of_a_kind_that_pages_are_run_with():
    assert {kind(model) for model in LIBRARY} == {kind(model) for model in KINDS}
    assert len(KINDS) < len(LIBRARY) / 4


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS)
def test_a_link_opens_every_kind_of_model(model):
    app = taken_in({"model": model})
    assert {key: app.session_state[key] for key in SHAPE} == base(model).values
    assert not app.session_state["reader"].link_problems


@pytest.mark.slow
@EVERY_PAGE
def test_every_page_stands_at_the_ends_of_inputs_that_it_looks_at(page, monkeypatch):
    """An end of an input is tried on every third page."""
    looked_at = {*inputs_of(page, monkeypatch)} - {*OF_THE_LIBRARY}
    app = opened(page)
    for id, value in [(id, end) for id, declared in INPUTS.items() for end in declared.ends][
        PAGES.index(page) % 3 :: 3
    ]:
        if id in looked_at:
            app.session_state[id] = value
            app.run()
            assert not app.exception, (id, value, [e.value for e in app.exception])
            app.session_state[id] = DEFAULTS[id]


def test_what_a_page_looks_at_is_found(monkeypatch):
    """Scaling draws laws for the model that was chosen, however that is run; beside them what its devices buy."""
    shape = {declared.id for group in ("base", "shape", "architecture") for declared in in_group(group)} - set(WITH)
    own = {"law", "train_tokens", "train_days", "alpha", "curve", "improvement", "lang", "present"}
    own |= {"served_tokens", "unique_tokens"}
    bought = {"accelerator", "utilization"}  # on as many devices as the layout takes, which a run must suit
    laid_out = {declared.id for group in ("devices", "run", "size", "fine_tuning") for declared in in_group(group)}
    told = {"seq_len", "compare"}  # beside controls on the page stands what is wrong with any
    found = set(inputs_of("scaling", monkeypatch))
    assert found >= shape | own | bought
    assert found <= shape | own | bought | laid_out | told


# Sizes that a plain decoder does not have, and models that have them
SEES = '{"model_type": "gemma3", "text_config": {"num_hidden_layers": 4}, "vision_config": {"num_hidden_layers": 2}}'
WITH = {
    "n_experts": {"model": "Mixtral 8x7B"},
    "top_k": {"model": "Mixtral 8x7B"},
    "d_expert": {"model": "DeepSeek-V3 671B"},
    "n_decoder_layers": {"model": "T5 small"},
    "mtp": {"model": "DeepSeek-V3.1 671B"},
    "towers": {"model": PASTED, "config": SEES},
}


EVERYWHERE = {id: declared.ends for id, declared in INPUTS.items() if id not in (*OF_THE_LIBRARY, *WITH)}
ALL_ENDS = [
    {id: ends[n % len(ends)] for id, ends in EVERYWHERE.items()} for n in range(max(map(len, EVERYWHERE.values())))
]


def test_a_link_says_every_option_and_both_ends_of_every_input():
    for values in ALL_ENDS:
        texts = link_parameters(DEFAULTS | values)
        link = read_link({key: [texts[key]] for key in ("v", *values)})
        assert {key: link.values.get(key, DEFAULTS[key]) for key in values} == values
        assert not link.problems


@pytest.mark.parametrize("values", [ALL_ENDS[1], *some_of(ALL_ENDS, 8)])
def test_a_link_takes_every_option_and_both_ends_of_every_input(values):
    link_takes(values, {})


@pytest.mark.parametrize(("id", "model"), WITH.items())
def test_a_link_takes_both_ends_of_a_size_that_only_some_models_have(id, model):
    for value in INPUTS[id].ends:
        link_takes({id: value}, model)


def link_takes(values, model):
    texts = link_parameters(DEFAULTS | values)
    app = taken_in(model | {key: texts[key] for key in ("v", *values)})
    assert {key: app.session_state[key] for key in values} == values
    assert not app.session_state["reader"].link_problems


@pytest.mark.slow
@EVERY_PAGE
def test_every_page_stands_where_everything_is_at_one_end(page):
    for end in (0, -1):
        values = {key: declared.ends[end] for key, declared in INPUTS.items()} | {"model": "GPT-2 124M"}
        values |= {key: DEFAULTS[key] for key in WITH}
        app = opened(page, link_parameters(values))
        assert {key: app.session_state[key] for key in INPUTS} == values


def test_a_link_sets_every_input_and_a_page_shows_its_numbers():
    values = (
        DEFAULTS
        | dict(base("GPT-3 175B").values)
        | {"model": "GPT-3 175B"}
        | {"batch_size": 2, "seq_len": 2048, "alpha": 0.07}
    )
    app = opened(link=link_parameters(values))
    assert {key: app.session_state[key] for key in INPUTS} == values
    assert app.header[0].value == "GPT-3 175B"
    assert metrics(app)[w("explore.parameters")] == "175 B"
    bars = charts(app)[0]["data"][0]
    drawn = dict(zip(bars["y"], bars["x"], strict=True))
    assert drawn[w("components.feed_forward")] == 96 * (8 * 12_288**2 + 5 * 12_288)
    assert sum(drawn.values()) == 174_604_259_328


@pytest.mark.parametrize(
    "model", [*some_of(PRESETS, 6), "Llama 3.1 405B", "DeepSeek-V3 671B", "T5 small", "BERT base (encoder)"]
)
def test_a_model_that_is_chosen_sets_the_controls_and_keeps_batch_and_sequence(model):
    app = opened(link={"model": "Yi 6B", "batch_size": "3", "seq_len": "777", "n_layers": "5"})
    app.selectbox(key="model").set_value(model).run()
    assert not app.exception
    assert app.header[0].value == model
    assert {key: app.session_state[key] for key in SHAPE} == base(model).values
    # BERT's table of positions has 512 rows: no step of 777 tokens can be run
    length = 512 if model.startswith("BERT") else 777
    assert (app.session_state["batch_size"], app.session_state["seq_len"]) == (3, length)


def test_a_library_model_is_edited_and_the_changes_can_be_undone():
    app = opened(link={"model": "Llama 3 8B", "n_layers": "16"})
    assert app.header[0].value == w("sidebar.custom", base="Llama 3 8B")
    assert metrics(app)[w("explore.parameters")] == "4.54 B"
    next(b for b in app.button if b.label == w("sidebar.undo")).click().run()
    assert app.header[0].value == "Llama 3 8B"
    assert metrics(app)[w("explore.parameters")] == "8.03 B"


def test_a_pasted_config_becomes_the_model_and_a_broken_one_changes_nothing():
    app = opened(link={"batch_size": "2"})
    title = w("config.nameless", kind="gpt2", parameters=53_561_088)  # 124,439,808 − 10 × 7,087,872 a layer
    for text, problem in (
        ('{"model_type": "gpt2", "n_layer": 2}', None),
        ('{"model_type": ', "JSON"),
        ("{}", "model_type"),
    ):
        app.text_area(key="pasted").set_value(text).run()
        assert not app.exception
        assert app.header[0].value == title
        assert app.session_state["n_layers"] == 2
        assert app.session_state["batch_size"] == 2
        shown = [error.value for error in app.error]
        assert not shown if problem is None else problem in shown[0]
        assert [message.value for message in app.success] == ([] if problem else [w("config.used", name=title)])
    app.text_area(key="pasted").set_value("").run()
    assert not app.error
    assert app.header[0].value == title
    again = opened(link={"model": PASTED, "config": app.session_state["config"]})
    assert metrics(again)[w("explore.parameters")] == metrics(app)[w("explore.parameters")]


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ("meta-llama/Meta-Llama-3-8B", "meta-llama/Meta-Llama-3-8B"),
        ("gpt2", "gpt2"),
        ("/home/someone/runs/my_model-7b/", "my_model-7b"),
        ("C:\\models\\tiny", "tiny"),
        *((given, None) for given in (".", "", 7, None, "<b>x</b>", "a" * 97, "www.example.org", "[a](b)", "né")),
    ],
)
def test_a_pasted_config_is_called_what_it_says_if_that_is_a_name(given, called):
    text = compact({"model_type": "gpt2", "n_layer": 2, "_name_or_path": given})
    title = w("config.named", name=called) if called else w("config.nameless", kind="gpt2", parameters=53_561_088)
    values = DEFAULTS | {"model": PASTED, "config": text} | dict(base(PASTED, text).values)
    assert title_of(Configuration(values)) == title
    assert title_of(Configuration(values | {"n_layers": 3})) == w("sidebar.custom", base=title)
    assert "/home" not in text


def test_a_link_whose_config_cannot_be_read_says_so_and_keeps_the_rest():
    app = opened(link={"model": PASTED, "config": "{nonsense", "batch_size": "2"})
    assert "config=" in app.warning[0].value
    assert app.header[0].value == DEFAULTS["model"]
    assert (app.session_state["model"], app.session_state["config"]) == (DEFAULTS["model"], "")
    assert app.session_state["batch_size"] == 2


def test_a_slider_moves_its_field_and_a_field_its_slider():
    app = opened()
    app.select_slider(key="d_model_slider").set_value(1600).run()
    assert app.number_input(key="d_model").value == 1600
    app.number_input(key="d_model").set_value(5140).run()
    assert app.select_slider(key="d_model_slider").value == 5120
    assert app.session_state["d_model"] == 5140


def test_a_broken_link_is_told_key_by_key_keeps_the_rest_and_can_be_dismissed():
    link = {"d_model": "1536", "n_layers": "9999", "foo": "1", "tied_head": "maybe", "v": "99", "d_ff": ""}
    app = opened(link=link)
    (message,) = [warning.value for warning in app.warning]
    for key in ("n_layers", "foo", "tied_head", "v"):
        assert f"`{key}={link[key]}`" in message
    assert "d_model" not in message
    assert app.session_state["d_model"] == 1536
    assert app.session_state["n_layers"] == DEFAULTS["n_layers"]
    next(b for b in app.button if b.label == w("link.dismiss")).click().run()
    assert not app.warning
    assert app.session_state["d_model"] == 1536


def test_heads_that_do_not_divide_are_said_beside_the_control_and_mended_by_one_button():
    app = opened(link={"n_heads": "10", "batch_size": "5"})
    (message,) = [warning.value for warning in app.sidebar.warning]
    assert "10" in message
    assert "768" in message
    assert charts(app), "the charts go on with the nearest sound model"
    app.button(key="use_n_heads_12").click().run()
    assert not app.warning
    assert (app.session_state["n_heads"], app.session_state["batch_size"]) == (12, 5)


@pytest.mark.parametrize("page", some_of(PAGES, 5))
def test_the_copied_link_holds_every_value_on_every_page(page):
    link = {"d_model": "1600", "alpha": "0.05", "account": "article", "d_ff": "9000"}
    app = opened(page, link)
    copied = copied_link(app)
    for key, text in link_parameters(DEFAULTS | {"d_model": 1600, "alpha": 0.05, "account": "article"}).items():
        assert f"{key}={link.get(key, text)}".replace(" ", "+") in copied.replace("%2C", ",").replace("%20", "+")


def test_the_training_page_draws_the_articles_account_where_that_was_chosen():
    app = opened("training", {"account": "article"})
    config = Configuration(DEFAULTS | {"account": "article"})
    bars = [trace for trace in charts(app)[0]["data"] if trace["type"] == "bar"]
    drawn = {row: sum(t["x"][i] for t in bars) for i, row in enumerate(bars[0]["y"])}
    expected = {w(f"phases.{moment}"): q.value / 2**30 for moment, q in config.training.moments.items()}
    assert drawn == pytest.approx(expected)


def test_the_training_page_draws_the_step_up_to_its_peak():
    app = opened("training", {"batch_size": "4"})
    step = Configuration(DEFAULTS | {"batch_size": 4}).step
    traces = charts(app)[0]["data"]
    line = next(t for t in traces if t.get("customdata"))
    areas = [t for t in traces if t.get("stackgroup")]
    assert max(line["y"]) * 2**30 == pytest.approx(step.peak.value, rel=1e-4)
    for i, height in enumerate(line["y"]):
        assert sum(area["y"][i] for area in areas) == pytest.approx(height, abs=0.01)


def test_a_step_that_does_not_fit_is_told_the_smallest_change_and_a_button_makes_it():
    link = {"model": "Llama 3 8B", "batch_size": "2", "precision": "bf16", "accelerator": "A100 80GB SXM"}
    app = opened("training", link)
    advice = [button for button in app.button if button.key and button.key.startswith("advice_")]
    assert advice
    advice[0].click().run()
    assert not app.exception
    assert not [button for button in app.button if button.key and button.key.startswith("advice_")]


def test_the_scaling_page_answers_what_ten_per_cent_better_costs():
    shown = metrics(opened("scaling", {"alpha": "0.07"}))
    assert shown[w("scaling.metric_better", percent="10")] == "3.90"
    assert shown[w("scaling.loss_lower", percent="10")] == "4.50"


def test_the_article_page_shows_every_erratum_with_its_reason_whatever_the_sliders_say():
    shown = "\n".join(element.value for element in opened("article", {"d_model": "1600"}).markdown)
    for id, erratum in ERRATA.items():
        (row,) = [line for line in shown.splitlines() if w(f"errata.{id}.why") in line and w(f"figures.{id}") in line]
        right = erratum.right()
        if right.unit in ("parameters", "bytes"):
            assert f"| {erratum.printed:,} | **{int(right.value):,}** |" in row
    for complete in ("124,242,432", "162,642,432", "174,604,259,328"):
        assert f"**{complete}**" in shown


@pytest.mark.slow
@pytest.mark.parametrize("letter", "bcdefgi")
def test_every_section_of_the_article_that_computes_opens_its_working(letter):
    app = opened("article")
    before = len(app.markdown)
    app.session_state[f"working_{letter}"] = True
    app.run()
    assert not app.exception
    assert len(app.markdown) > before


def test_the_article_page_sets_the_sliders_to_its_example_and_keeps_batch_and_sequence():
    app = opened("article", {"d_model": "1600", "batch_size": "3"})
    app.button(key="use_example").click().run()
    assert not app.exception
    assert app.selectbox(key="model").value == ARTICLE_EXAMPLE
    assert app.session_state["batch_size"] == 3
    assert app.button(key="use_example").disabled


def test_a_chart_on_the_screen_is_said_in_the_words_that_the_page_has_for_it():
    app, config = opened(), Configuration(DEFAULTS)
    shown = [element.proto.alt for element in app.get("plotly_chart")]
    drawn = (explore.parameters_chart, explore.moments_chart, explore.growth_chart)
    assert shown == [chart(config).alt for chart in drawn]


def test_the_method_page_finds_formulas_and_says_when_there_are_none():
    app = opened("method")
    everything = len(app.expander)
    app.text_input(key="method_search").set_value("kaplan").run()
    assert 0 < len(app.expander) < everything
    app.text_input(key="method_search").set_value("no such formula").run()
    assert [info.value for info in app.info] == [w("method.nothing", wanted="no such formula")]


def test_an_uploaded_config_becomes_the_model():
    app = opened()
    app.file_uploader(key="uploaded").upload("config.json", b'{"model_type": "gpt2", "n_layer": 3}')
    app.run()
    assert not app.exception
    assert app.header[0].value == w("config.nameless", kind="gpt2", parameters=60_648_960)
    assert app.session_state["n_layers"] == 3
    assert [message.value for message in app.success] == [w("config.used", name=app.header[0].value)]


def test_a_hub_that_cannot_be_reached_is_said_and_the_app_stays_as_it_was(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    app = opened(link={"model": "Yi 6B"})
    app.text_input(key="hub_id").set_value("owner/name").run()
    next(b for b in app.button if b.label == w("config.fetch")).click().run()
    assert not app.exception
    assert "No connection" in app.error[0].value
    assert app.header[0].value == "Yi 6B"
