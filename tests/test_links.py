"""A link is read once, by the inputs' own declarations: what it says is used, or told with what is used instead."""

from __future__ import annotations

import json

import pytest
from hostile_links import CONFIGS, MARKUP, NUMBERS, OTHER, PINNED, ends
from hypothesis import given
from hypothesis import strategies as st
from laws import some_of
from opened_app import opened, taken_in
from test_comparison import names
from test_inputs import EVERY_INPUT, a_value_of, read_or_none

from llmcalc.bases import base
from llmcalc.comparison import read_pinned
from llmcalc.configuration import Configuration
from llmcalc.errors import MOST_TOLD
from llmcalc.inputs import DEFAULTS, INPUTS, PASTED
from llmcalc.kinds import Real
from llmcalc.link import read_link
from llmcalc.link_text import LINK_VERSION, read_parameters, written
from pages.ui.words.problems import as_text, coded_problem, unmarked, verbatim

LONG = "x" * 5_000


def message(app) -> str:
    """What is told of the link."""
    return "\n".join(warning.value for warning in app.main.warning if "`" in warning.value)


# What is no number at all no input takes but those that are text: one of each kind is tried always
NO_NUMBERS = [*MARKUP, *OTHER]
OF_EACH = [
    *NO_NUMBERS[::6],
    *(pytest.param(value, marks=pytest.mark.slow) for value in NO_NUMBERS if value not in NO_NUMBERS[::6]),
]


@pytest.mark.parametrize("value", [*NUMBERS, *OF_EACH])
def test_the_app_uses_what_the_check_of_the_link_says(value):
    """One value in every input at once; a model and a config of their own decide what the others are."""
    value = value if value.isascii() else value[:500]  # Streamlit reads half a million characters
    given = {key: value for key in INPUTS if key not in ("model", "config")}
    problems = {problem.key: problem for problem in read_parameters({key: [value] for key in given})[1]}
    app = taken_in(given | {"v": str(LINK_VERSION)})
    start = base(DEFAULTS["model"])
    for key in given:
        expected = DEFAULTS[key] if (read := read_or_none(key, value)) is None else read
        if key in problems:
            assert problems[key].used == expected
        if key in start.fixed:
            expected = start.values[key]
        used = app.session_state[key]
        if key == "compare":
            assert read_pinned(used) == []  # none of these is a model
        else:
            assert used == expected, key
        told = {problem.key for problem in app.session_state["reader"].link_problems}
        assert key in told or used == read or (value == "" and INPUTS[key].default is None), f"{key} is not told"


@EVERY_INPUT
def test_of_several_values_the_last_that_can_be_read_is_used_and_told(declared):
    low, high = declared.ends[0], declared.ends[-1]
    texts = [written(low), written(high), "\0" * 30_000]
    (problem,) = read_parameters({declared.id: texts})[1]
    assert (problem.code, problem.used) == ("given_twice", high)
    assert len(problem.given) <= MOST_TOLD


def test_a_size_that_is_given_twice_is_told_as_it_is_used():
    app = opened(link={"d_model": ["64", "128"]})
    assert app.session_state["d_model"] == 128
    assert "`d_model=64, 128`" in message(app)
    assert "`128`." in message(app)


def test_a_module_of_two_devices_that_a_link_names_is_one_of_them_and_that_is_told():
    app = opened(link={"accelerator": "MI250X", "n_devices": "4", "n_layers": "24"})
    assert [app.session_state[key] for key in ("accelerator", "n_devices", "n_layers")] == ["MI250X per GCD", 4, 24]
    assert "`accelerator=MI250X`: software sees several devices in it" in message(app)
    assert "Used instead: `MI250X per GCD`" in message(app)


def test_the_same_twice_is_no_problem():
    assert not read_parameters({"d_model": ["64", "64"]})[1]


@given(st.data())
def test_a_number_in_a_link_keeps_all_its_digits(data):
    for declared in INPUTS.values():
        if isinstance(declared, Real):
            value = data.draw(st.floats(declared.low, declared.high) | a_value_of(declared))
            assert declared.read(written(value)) == value


def test_unknown_keys_are_told_in_one_message():
    (problem,) = read_parameters({f"x{i}": ["1"] for i in range(1_200)})[1]
    assert problem.details["number"] == 1_200
    assert len(problem.given) <= MOST_TOLD
    app = opened(link={f"x{i}": "1" for i in range(900)} | {"n_layers": "24"})
    assert app.session_state["n_layers"] == 24
    assert len(app.session_state["reader"].link_problems) == 1
    assert "900" in message(app)


def test_a_size_of_a_part_that_the_model_does_not_have_is_told():
    app = opened(link={"n_experts": "8", "n_layers": "24"})
    assert "`n_experts=8`: GPT-2 124M has no such part." in message(app)
    assert (app.session_state["n_experts"], app.session_state["n_layers"]) == (None, 24)


def test_a_trait_that_the_model_does_not_let_change_is_told_with_what_it_is():
    app = opened(link={"model": "Llama 3 8B", "gated": "false"})
    assert "`gated=false`" in message(app)
    assert "Used instead: `true`" in message(app)
    assert app.session_state["gated"] is True
    assert not opened(link={"model": "Llama 3 8B", "gated": "true"}).session_state["reader"].link_problems


FAR = {"batch_size": 65_535, "seq_len": 1_048_575, "d_model": 65_535, "n_layers": 999, "n_positions": 1_048_576}
ENDS = [FAR | {"attention": "eager", "tensor_parallel": 3, "data_parallel": 5}, *ends(20_260_102, 25)]


@pytest.mark.parametrize("given", ENDS, ids=range(len(ENDS)))
def test_what_the_inputs_take_can_be_counted_however_far_they_go(given):
    link = read_link({key: [written(value)] for key, value in given.items()})
    start = base(link.values.get("model", DEFAULTS["model"]))
    config = Configuration({**DEFAULTS, **start.values, **link.values})
    for step in (config.step, config.on_each):
        assert sum(part.value for part in step.peak.parts) == pytest.approx(max(step.peak_by_moment.values()))
    assert config.verdict.needed.value >= config.verdict.allocated.value
    needed = config.verdict_of_inference.needed
    assert needed.value == pytest.approx(sum(part.value for part in needed.parts))
    assert 0 < needed.value < float("inf")


def test_an_unknown_model_is_dropped_from_the_comparison_alone():
    app = opened("compare", {"compare": "Llama 3 8B|No such model|Mixtral 8x7B"})
    assert app.session_state["compare"] == "Llama 3 8B|Mixtral 8x7B"
    assert names(app)[1:] == ["Llama 3 8B", "Mixtral 8x7B"]
    assert "`No such model`: there is no such model." in message(app)


def test_more_models_than_are_compared_leave_the_first():
    link = read_link({"compare": ["|".join(["GPT-2 124M", "Llama 3 8B"] * 3)]})
    assert [pinned.base_id for pinned in read_pinned(link.values["compare"])] == ["GPT-2 124M", "Llama 3 8B"] * 2
    assert [problem.code for problem in link.problems] == ["too_many_pinned"]


@pytest.mark.parametrize("text", PINNED)
def test_whatever_is_pinned_what_is_kept_can_be_read(text):
    link = read_link({"compare": [text]})
    assert len(read_pinned(link.values.get("compare", ""))) <= 4
    for problem in link.problems:
        assert coded_problem(problem.code, **problem.details)


@pytest.mark.parametrize("config", some_of(CONFIGS, 2))
def test_a_config_in_a_link_is_used_or_told_and_the_rest_kept(config):
    app = taken_in({"model": PASTED, "config": config, "batch_size": "3"})
    told = {problem.key for problem in app.session_state["reader"].link_problems}
    assert app.session_state["batch_size"] == 3
    if told:
        assert told == {"config", "model"}
        assert (app.session_state["model"], app.session_state["config"]) == (DEFAULTS["model"], "")
    else:
        assert (app.session_state["model"], app.session_state["config"]) == (PASTED, config)


def test_half_a_character_in_a_config_is_refused_where_it_stands():
    for text, column in (('{"model_type": "\\ud800"}', 16), ('{"a": "\\ud83e\\uddee", "\\udc00": 1}', 23)):
        (problem, _) = read_link({"model": [PASTED], "config": [text]}).problems
        assert (problem.code, problem.details["column"]) == ("config_not_json", column)


@pytest.mark.parametrize("link", [{LONG: LONG}, {"d_model": LONG}, {"optimizer": LONG}, {"compare": LONG}])
@pytest.mark.parametrize("number", [1, 3])
def test_nothing_long_is_told_back(link, number):
    given = {f"{key}{i}" if key == LONG else key: value for key, value in link.items() for i in range(number)}
    assert LONG[: MOST_TOLD + 1] not in message(taken_in(given))
    config = json.dumps({"model_type": "llama", "hidden_size": LONG, LONG: 1})
    assert LONG[: MOST_TOLD + 1] not in message(taken_in({"model": PASTED, "config": config}))


@given(st.text())
def test_what_is_given_is_told_as_text(given):
    readable = "".join(character if character.isprintable() else " " for character in given)
    assert unmarked(as_text(given)) == readable
    code = verbatim(given)
    fence = code[: len(code) - len(code.lstrip("`"))]
    assert "\n" not in code
    assert code.endswith(fence)
    assert fence not in code.removeprefix(fence).removesuffix(fence) or not given.strip("`")


def test_an_emptied_size_is_as_the_model_has_it():
    app = opened(link={"model": "Llama 3 8B", "d_ff": ""})
    assert app.session_state["d_ff"] == base("Llama 3 8B").values["d_ff"] == 14_336
    assert not app.session_state["reader"].link_problems


@pytest.mark.parametrize(
    ("language", "typed", "value"),
    [
        ("en", "1e3", 1_000),
        ("en", "1,000", 1_000),
        ("en", " 7 ", 7),
        ("en", "24.0", 24),
        ("en", "٢٤", 24),
        ("id", "1.000", 1_000),
        ("id", "24,0", 24),
        ("id", "1e3", 1_000),
        ("id", "0,5e2", 50),
    ],
)
def test_a_field_reads_a_number_as_the_reader_writes_it(language, typed, value):
    app = opened(link={"lang": language, "n_layers": "5"})
    app.text_input(key="n_layers_typed").set_value(typed).run()
    assert app.session_state["n_layers"] == value
    assert not app.sidebar.warning
    assert (
        app.text_input(key="n_layers_typed").value
        == {1_000: {"en": "1,000", "id": "1.000"}}.get(value, {"en": str(value), "id": str(value)})[language]
    )


@pytest.mark.parametrize(
    ("typed", "said", "offered"),
    [
        ("3.7", "not a whole number", [3, 4]),
        ("0", "not between 1 and 1,000", [1]),
        ("1001", "not between 1 and 1,000", [1_000]),
        ("1e400", "not between 1 and 1,000", [1_000]),
        ("-5", "not between 1 and 1,000", [1]),
        ("twelve", "not a number", []),
        ("1,00", "not a number", []),
        ("<b>`x`", "not a number", []),
    ],
)
def test_what_is_no_number_in_range_is_told_beside_its_field_and_nothing_else_is_lost(typed, said, offered):
    app = opened(link={"n_layers": "5", "batch_size": "3"})
    app.text_input(key="n_layers_typed").set_value(typed).run()
    (warning,) = [warning.value for warning in app.sidebar.warning]
    assert said in warning
    assert verbatim(typed) in warning
    assert app.text_input(key="n_layers_typed").value == typed
    assert (app.session_state["n_layers"], app.session_state["batch_size"]) == (5, 3)
    app.select_slider(key="batch_size_slider").set_value(16).run()
    assert app.text_input(key="n_layers_typed").value == typed, "another control was moved meanwhile"
    for value in offered[-1:]:
        app.button(key=f"typed_use_n_layers_{value}").click().run()
        assert (app.session_state["n_layers"], app.text_input(key="n_layers_typed").value) == (value, f"{value:,}")
        assert not app.sidebar.warning
    app.text_input(key="n_layers_typed").set_value("").run()
    assert app.session_state["n_layers"] == DEFAULTS["n_layers"]


def test_a_slider_that_is_moved_ends_what_was_typed_beside_it():
    app = opened(link={"n_layers": "5"})
    app.text_input(key="n_layers_typed").set_value("3.7").run()
    app.select_slider(key="n_layers_slider").set_value(24).run()
    assert (app.text_input(key="n_layers_typed").value, app.session_state["n_layers"]) == ("24", 24)
    assert not app.sidebar.warning


def test_a_field_without_a_slider_does_the_same():
    app = opened("fits", {"d_ff": "3000"})
    app.session_state["group_on_fits"] = "shape"
    app.run()
    app.text_input(key="d_ff_typed").set_value("4,096").run()
    assert Configuration(app.session_state["reader"].present.values).dimensions.ffn_width() == 4_096
    app.text_input(key="d_ff_typed").set_value("2.5").run()
    assert app.session_state["d_ff"] == 4_096
    assert "`2.5`: not a whole number." in app.sidebar.warning[0].value
    app.text_input(key="d_ff_typed").set_value("").run()
    assert app.session_state["d_ff"] is None
    assert app.text_input(key="d_ff_typed").placeholder == "3,072"
