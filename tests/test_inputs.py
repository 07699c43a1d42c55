"""One declaration of each input: its default, its ends, what a link may say of it."""

from __future__ import annotations

import math
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcalc.catalog.presets import PRESETS, SHAPE, name_of
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, INPUTS, Choice, Integer, Real, check_link, link_parameters

EVERY_INPUT = pytest.mark.parametrize("declared", INPUTS.values(), ids=INPUTS)


def a_value_of(declared):
    match declared:
        case Integer():
            numbers = st.integers(declared.low, declared.high)
            return numbers | st.none() if declared.default is None else numbers
        case Real():
            steps = round((declared.high - declared.low) / declared.step)
            return st.integers(0, steps).map(lambda n: round(declared.low + n * declared.step, 6))
        case Choice():
            return st.sampled_from(declared.options)
    return st.booleans()


CONFIGURATIONS = st.fixed_dictionaries({key: a_value_of(declared) for key, declared in INPUTS.items()})


@given(CONFIGURATIONS)
def test_a_copied_link_brings_back_every_value(values):
    query = parse_qs(urlencode(link_parameters(values)), keep_blank_values=True)
    assert check_link(query) == []
    assert {key: INPUTS[key].read(query[key][0]) for key in INPUTS} == values


@EVERY_INPUT
def test_both_ends_and_the_default_are_allowed_in_a_link(declared):
    for value in (*declared.ends, declared.default):
        text = link_parameters(DEFAULTS | {declared.id: value})[declared.id]
        assert declared.read(text) == value


@EVERY_INPUT
@pytest.mark.parametrize("text", ["nonsense", "nan", "inf", "-1", "1e99", "0.5.5", "0x10", "None", "[]"])
def test_nonsense_in_a_link_is_refused_under_its_own_name(declared, text):
    with pytest.raises(InputError) as refused:
        declared.read(text)
    assert refused.value.input_id == declared.id
    assert refused.value.code


@given(st.dictionaries(st.sampled_from([*INPUTS, "v", "foo", "embed"]), st.lists(st.text(), min_size=1, max_size=2)))
def test_any_link_is_read_without_an_exception_and_each_problem_names_its_key(parameters):
    problems = check_link(parameters, also_known=("embed",))
    assert {p.key for p in problems} <= set(parameters)
    for problem in problems:
        assert problem.used == (DEFAULTS | {"v": 1}).get(problem.key)


def test_a_link_says_what_is_unknown_twice_or_of_another_version():
    found = check_link({"d_modle": ["768"], "n_layers": ["1", "2"], "v": ["99"], "embed": ["true"]}, ("embed",))
    assert {p.key: p.code for p in found} == {
        "d_modle": "unknown_key",
        "n_layers": "given_twice",
        "v": "other_version",
    }


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_each_preset_lies_on_the_sliders_stops_and_is_named_by_its_dimensions(preset):
    values = DEFAULTS | preset.values()
    for key in ("d_model", "n_layers", "n_heads", "vocab_size"):
        assert values[key] in INPUTS[key].scale, f"{key} = {values[key]} is no stop of its slider"
    twins = [other.id for other in PRESETS.values() if other.values() == preset.values()]
    assert name_of(values) == twins[0]
    assert len(twins) == 1


def test_a_preset_leaves_batch_and_sequence_alone():
    assert not {"batch_size", "seq_len"} & set(SHAPE)


@EVERY_INPUT
def test_the_scale_of_a_slider_climbs_within_its_range_and_holds_the_default(declared):
    scale = getattr(declared, "scale", ())
    assert list(scale) == sorted(set(scale))
    if scale:
        assert declared.low <= scale[0]
        assert scale[-1] <= declared.high
        assert declared.default in scale


@given(CONFIGURATIONS)
def test_every_configuration_has_finite_memory_and_parameters(values):
    config = Configuration(values)
    numbers = [config.model.parameters().value, config.training.peak.value, config.inference.value]
    assert all(math.isfinite(n) and n > 0 for n in numbers)
    for problem in config.problems:
        assert problem.code
        assert problem.input_id in INPUTS
        for suggestion in problem.suggestions:
            assert INPUTS[problem.input_id].read(str(suggestion)) == suggestion


def test_heads_that_do_not_divide_the_width_are_said_with_heads_that_do():
    (problem,) = Configuration(DEFAULTS | {"n_heads": 10}).problems
    assert problem.input_id == "n_heads"
    assert problem.suggestions == (8, 12)
    assert Configuration(DEFAULTS | {"n_heads": 10}).dimensions.head_width() == 76


def test_a_step_that_no_cluster_holds_is_said():
    values = DEFAULTS | {"batch_size": 65_536, "seq_len": 1_048_576, "attention": "eager", "n_positions": 2_000_000}
    assert [p.code for p in Configuration(values).problems] == ["beyond_any_machine"]
