"""Pinned models as a text, and the page that compares them."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opened_app import charts, opened
from test_inputs import a_value_of

from llmcalc.bases import base, compact
from llmcalc.beside import as_large, next_sizes
from llmcalc.comparison import MOST_PINNED, Pinned, pinned_of, read_pinned, write_pinned
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, INPUTS, MODELS, PASTED
from llmcalc.sweeps import side_by_side
from llmcalc.words import w
from pages.ui.words.problems import coded_problem
from pages.ui.words.titles import start_title

EXAMPLE = "Llama 3 8B|Mixtral 8x7B|DeepSeek-V3 671B"
LLAMA_LIKE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 99,
}


@st.composite
def pinned_models(draw) -> Pinned:
    """Any model of the menu, or a config with any characters in it, with any changes that it allows."""
    name = draw(st.sampled_from(MODELS))
    config = ""
    if name == PASTED:
        any_name = draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
        config = compact({"model_type": f"my {any_name}", **LLAMA_LIKE})
    start = base(name, config)
    may_change = [id for id in start.values if id not in start.fixed]
    chosen = draw(st.lists(st.sampled_from(may_change), unique=True, max_size=4))
    changes = {id: draw(a_value_of(INPUTS[id])) for id in chosen}
    return Pinned(name, config, start.changed({**start.values, **changes}))


@given(st.lists(pinned_models(), max_size=MOST_PINNED))
def test_what_was_pinned_is_read_back(models):
    assert read_pinned(write_pinned(models)) == models


@given(pinned_models())
def test_the_controls_set_to_a_pinned_model_describe_it(model):
    assert pinned_of(model.values()) == model
    assert Configuration(model.values()).base.id == model.base_id


@given(st.text(st.sampled_from('|;=\\ GPT-2124M{}"n_layers') | st.characters(), max_size=60))
def test_any_text_is_read_or_refused_with_its_reason(text):
    try:
        found, refused = read_pinned(text), None
    except InputError as error:
        found, refused = [], error
    assert len(found) <= MOST_PINNED
    if refused:
        assert refused.input_id == "compare"
        assert coded_problem(refused.code, **refused.details)


@pytest.mark.parametrize(
    ("text", "code", "piece"),
    [
        ("GPT-2 124M|GPT-17", "unknown_model", "GPT-17"),
        ("GPT-2 124M;seq_len=5", "unknown_key", "seq_len=5"),
        ("Llama 3 8B;n_layers=9999", "out_of_range", "n_layers=9999"),
        ("Llama 3 8B;n_layers=many", "not_a_number", "n_layers=many"),
        ("Llama 3 8B;n_layers", "not_a_number", "n_layers"),
        ("Llama 3 8B;norm=LayerNorm", "fixed_input", "norm=LayerNorm"),
        ("Llama 3 8B;n_layers=1;n_layers=2", "given_twice", "n_layers=2"),
        ("config.json", "config_not_json", PASTED),
        ("config.json;{}", "no_model_type", PASTED),
        ("|".join(["GPT-2 124M"] * 5), "too_many_pinned", None),
    ],
)
def test_what_is_wrong_is_said_with_the_piece_that_is(text, code, piece):
    with pytest.raises(InputError) as refused:
        read_pinned(text)
    assert (refused.value.code, refused.value.details.get("piece")) == (code, piece)


def test_spaces_and_empty_places_do_no_harm():
    assert read_pinned(" Llama 3 8B ; n_layers = 40 | | ") == [Pinned("Llama 3 8B", changes={"n_layers": 40})]
    assert read_pinned("") == read_pinned(" ") == []


def test_configs_that_are_too_long_for_a_link_are_refused():
    with pytest.raises(InputError) as refused:
        write_pinned([Pinned(PASTED, json.dumps({"model_type": "x" * 30_000}))])
    assert refused.value.code == "too_long"


def test_a_pinned_model_is_run_as_the_present_one_is():
    values = Pinned("Llama 3 8B", changes={"n_layers": 40}).values(DEFAULTS | {"batch_size": 3, "d_model": 64})
    assert (values["batch_size"], values["d_model"], values["n_layers"]) == (3, 4096, 40)


# The page


def names(app) -> list[str]:
    """The models in the order of the table's columns."""
    (table,) = [m.value for m in app.markdown if m.value.startswith("|  |")]
    return [cell.strip() for cell in table.splitlines()[0].strip("|").split("|")][1:]


def row(app, label: str) -> list[str]:
    """The cells of a row, without what each number may be called."""
    (table,) = [m.value for m in app.markdown if m.value.startswith("|  |")]
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {label} |")]
    return [re.split(r":\w+-badge\[", cell)[0].strip() for cell in line.strip("|").split("|")][1:]


@pytest.mark.parametrize("name", ["GPT-2 124M", "Llama 3 8B", "T5 base", "Mixtral 8x7B", "GPT-3 175B"])
def test_a_model_is_offered_the_next_sizes_of_its_family_and_others_about_as_large(name):
    config = Configuration({"model": name})
    family, others = next_sizes(config), as_large(config)
    assert family
    assert {base(other).group for other in family} == {config.base.group}
    size = config.model.parameters().value
    assert sorted(base(other).parameters < size for other in family) in ([True], [False], [False, True])
    for other in others:
        assert base(other).group != config.base.group
        assert 1 / 1.3 < base(other).parameters / size < 1.3
    for other in (*family, *others):
        assert Configuration({"model": other}).serving.writes == config.serving.writes


def test_with_nothing_pinned_the_present_model_stands_there_with_others_to_put_beside_it():
    app = opened("compare", {"model": "Llama 3 8B"})
    assert row(app, w("compare.parameters")) == ["8.03 B"]
    app.button(key="compare_next_sizes").click().run()
    assert app.session_state["compare"] == "Llama 3.2 3B|Llama 3.1 70B"
    assert row(app, w("compare.parameters")) == ["8.03 B", "3.21 B", "70.6 B"]


def test_an_empty_comparison_says_what_to_do_and_shows_an_example_on_request():
    app = opened("compare")
    assert [info.value for info in app.info] == [w("compare.empty")]
    app.button(key="compare_example").click().run()
    assert app.session_state["compare"] == EXAMPLE
    assert names(app) == ["GPT-2 124M (present)", *EXAMPLE.split("|")]
    assert not app.info


def test_the_table_has_the_published_numbers():
    app = opened("compare", {"compare": EXAMPLE, "seq_len": "1024"})
    assert row(app, w("compare.parameters")) == ["124 M", "8.03 B", "46.7 B", "671 B"]
    assert row(app, w("compare.active")) == ["124 M", "8.03 B", "12.9 B", "37.6 B"]
    # 2 · 32 layers · 8 heads · 128 · 2 bytes = 128 KiB; (512 + 64) · 61 layers · 2 bytes = 68.6 KiB
    assert row(app, w("compare.cache", format="bf16")) == ["36.0 KiB", "128 KiB", "128 KiB", "68.6 KiB"]
    assert row(app, w("compare.heads"))[-1] == f"128 / {w('compare.latent')}"
    bars = [trace for trace in charts(app)[0]["data"] if trace["type"] == "bar"]
    drawn = [sum(trace["x"][at] for trace in bars) for at in range(4)]
    assert drawn == pytest.approx([671.026404352, 46.702792704, 8.030261248, 0.124439808])


def test_a_model_is_pinned_changed_pinned_again_loaded_and_removed():
    app = opened("compare", {"model": "Llama 3 8B", "batch_size": "2"})
    app.button(key="pin").click().run()
    assert app.session_state["compare"] == "Llama 3 8B"
    assert app.button(key="pin").disabled
    app.number_input(key="n_layers").set_value(16).run()
    app.button(key="pin").click().run()
    assert app.session_state["compare"] == "Llama 3 8B|Llama 3 8B;n_layers=16"
    app.button(key="load_0").click().run()
    assert (app.session_state["n_layers"], app.session_state["batch_size"]) == (32, 2)
    app.button(key="unpin_0").click().run()
    assert app.session_state["compare"] == "Llama 3 8B;n_layers=16"
    assert names(app) == ["Llama 3 8B (present)", w("sidebar.custom", base="Llama 3 8B")]


def test_five_models_stand_side_by_side_and_there_is_no_room_for_a_sixth():
    app = opened("compare")
    for model in ("Llama 3 8B", "T5 base", "ALBERT base v2 (encoder)", "Llama 3 8B"):
        app.selectbox(key="compare_library").set_value(model).run()
        assert not app.exception
    assert names(app)[1:] == ["Llama 3 8B", "T5 base", "ALBERT base v2 (encoder)", "Llama 3 8B (2)"]
    assert len(charts(app)) == 4
    assert app.selectbox(key="compare_library").disabled
    assert app.button(key="pin").disabled
    flops = row(app, w("compare.flops", length="1,024"))
    assert [cell == w("compare.none") for cell in flops] == [False, False, True, True, False]


def test_a_link_brings_back_the_comparison_with_what_was_pasted():
    config = compact({"model_type": "odd|one;\\", **LLAMA_LIKE})
    text = write_pinned([Pinned(PASTED, config, {"n_layers": 3}), Pinned("Yi 6B")])
    app = opened("compare", {"compare": text})
    assert names(app) == ["GPT-2 124M (present)", w("sidebar.custom", base=start_title(base(PASTED, config))), "Yi 6B"]
    app.button(key="load_0").click().run()
    assert app.session_state["config"] == config
    assert (app.session_state["model"], app.session_state["n_layers"]) == (PASTED, 3)


def test_a_bad_text_in_a_link_is_reported_and_the_rest_is_kept():
    app = opened(link={"compare": "Llama 3 8B;n_layers=9999", "n_layers": "7"})
    (message,) = [warning.value for warning in app.warning]
    assert "`compare=Llama 3 8B;n_layers=9999`" in message
    assert "`n_layers=9999`" in message
    assert app.session_state["n_layers"] == 7
    assert app.session_state["compare"] == ""


def test_a_bad_text_in_the_field_is_said_beside_it_and_on_the_page():
    app = opened("compare")
    app.text_input(key="compare").set_value("GPT-17").run()
    assert len(app.sidebar.warning) == 1
    assert all("`GPT-17`" in warning.value for warning in app.warning)
    assert len(app.warning) == 2


def test_every_row_of_the_table_opens_to_its_working_and_stays_open_as_a_knob_turns():
    app = opened("compare", {"compare": f"{EXAMPLE}|T5 base"})
    rows = app.pills(key="compare_working").options
    assert len(rows) == 7
    for at, shown in enumerate(rows):
        app.session_state["compare_working"] = at
        app.run()
        assert not app.exception
        assert any("$=" in m.value for m in app.main.markdown), shown
    app.number_input(key="seq_len").set_value(2048).run()
    assert any("C_" in m.value for m in app.main.markdown)


@pytest.mark.parametrize(("chosen", "counted"), [({}, "fp8 128×128"), ({"weight_format": "int8"}, "int8")])
def test_a_pinned_model_is_counted_as_it_would_be_once_loaded(chosen, counted):
    """DeepSeek-V3 is published in fp8, by blocks: that stays, unless the reader chose a format for all."""
    present = Configuration({"model": "Llama 3 8B", **chosen})
    _, pinned = side_by_side(present, [Pinned("DeepSeek-V3 671B")])
    assert pinned.values["weight_format"] == counted
    app = opened("compare", {"model": "Llama 3 8B", "compare": "DeepSeek-V3 671B", **chosen})
    app.button(key="load_0").click().run()
    assert app.session_state["weight_format"] == counted
    back, *_ = side_by_side(Configuration({"model": "DeepSeek-V3 671B"}), [])
    assert back.values["weight_format"] == "fp8 128×128"
    _, plain = side_by_side(back, [Pinned("Llama 3 8B")])
    assert plain.values["weight_format"] == "bf16"
