"""One declaration of each input: its default, its ends, what a link may say of it."""

from __future__ import annotations

import math
from urllib.parse import parse_qs, urlencode

import pytest
from configurations import configured
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import for_each

from llmcalc.bases import SHAPE, base, compact
from llmcalc.catalog.presets import PRESETS
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, INPUTS, MODELS, PASTED, integer
from llmcalc.kinds import Choice, Integer, Real, Text
from llmcalc.link_text import LINK_VERSION, link_parameters, read_parameters

EVERY_INPUT = for_each("declared", INPUTS.values(), ids=lambda declared: declared.id)


def a_value_of(declared):
    match declared:
        case Integer():
            numbers = st.integers(declared.low, declared.high)
            return numbers | st.none() if declared.default is None else numbers
        case Real():
            steps = round((declared.high - declared.low) / declared.step)
            numbers = st.integers(0, steps).map(lambda n: round(declared.low + n * declared.step, 6))
            return numbers | st.none() if declared.default is None else numbers
        case Choice():
            return st.sampled_from(declared.options)
        case Text():
            return st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=50)
    return st.booleans()


def test_a_whole_number_is_asked_for_by_its_name():
    assert integer("batch_size") is INPUTS["batch_size"]
    with pytest.raises(TypeError, match="optimizer"):
        integer("optimizer")


CONFIGURATIONS = st.fixed_dictionaries({key: a_value_of(declared) for key, declared in INPUTS.items()})


@given(CONFIGURATIONS)
def test_a_copied_link_brings_back_every_value(values):
    query = parse_qs(urlencode(link_parameters(values)), keep_blank_values=True)
    assert read_parameters(query)[1] == []
    assert {key: INPUTS[key].read(query[key][0]) for key in INPUTS} == values


@EVERY_INPUT
def test_both_ends_and_the_default_are_allowed_in_a_link(declared):
    for value in (*declared.ends, declared.default):
        text = link_parameters(DEFAULTS | {declared.id: value})[declared.id]
        assert declared.read(text) == value


@for_each("declared", [i for i in INPUTS.values() if not isinstance(i, Text)], ids=lambda declared: declared.id)
@pytest.mark.parametrize("text", ["nonsense", "nan", "inf", "-1", "1e99", "0.5.5", "0x10", "None", "[]"])
def test_nonsense_in_a_link_is_refused_under_its_own_name(declared, text):
    with pytest.raises(InputError) as refused:
        declared.read(text)
    assert refused.value.input_id == declared.id
    assert refused.value.code


@given(st.dictionaries(st.sampled_from([*INPUTS, "v", "foo", "embed"]), st.lists(st.text(), min_size=1, max_size=2)))
def test_any_link_is_read_without_an_exception_and_each_problem_names_its_key(parameters):
    problems = read_parameters(parameters, also_known=("embed",))[1]
    assert {p.key for p in problems} <= set(parameters)
    for problem in problems:
        readable = [value for text in parameters[problem.key] if (value := read_or_none(problem.key, text)) is not None]
        assert problem.used == [(DEFAULTS | {"v": LINK_VERSION}).get(problem.key), *readable][-1]


def read_or_none(key, text):
    """The value that an input reads of a text; None where it reads none."""
    try:
        return INPUTS[key].read(text) if key in INPUTS else None
    except InputError:
        return None


def test_a_link_says_what_is_unknown_twice_or_of_another_version():
    found = read_parameters({"d_modle": ["768"], "n_layers": ["1", "2"], "v": ["99"], "embed": ["true"]}, ("embed",))[1]
    assert {p.key: p.code for p in found} == {
        "d_modle": "unknown_key",
        "n_layers": "given_twice",
        "v": "other_version",
    }


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_each_preset_lies_on_the_sliders_stops_and_is_named_by_its_dimensions(preset):
    values = DEFAULTS | dict(base(preset.id).values) | {"model": preset.id}
    for key in ("d_model", "n_layers", "n_heads", "vocab_size"):
        assert values[key] in INPUTS[key].scale, f"{key} = {values[key]} is no stop of its slider"
    assert Configuration(values).name == preset.id
    # the same dimensions reached from another start have the same name
    assert Configuration(values | {"model": "GPT-2 124M"}).name == preset.id


def test_the_defaults_are_the_default_base():
    assert {id: DEFAULTS[id] for id in SHAPE} == base(DEFAULTS["model"]).values


@for_each("model", [model for model in MODELS if model != PASTED])
def test_every_model_of_the_menu_can_be_drawn_and_edited(model):
    start = base(model)
    values = DEFAULTS | dict(start.values) | {"model": model}
    config = Configuration(values)
    assert config.name == model
    assert not config.problems or all(p.input_id == "seq_len" for p in config.problems)
    linked = link_parameters(values)
    for id, value in start.values.items():
        assert value is None or INPUTS[id].read(linked[id]) == value
    wider = Configuration(values | {"vocab_size": 2 * values["vocab_size"]})
    assert wider.model.parameters().value > config.model.parameters().value
    assert wider.name != model


def test_a_model_of_the_library_is_counted_by_its_config_and_by_what_was_changed_of_it():
    values = DEFAULTS | dict(base("Llama 3 8B").values) | {"model": "Llama 3 8B"}
    assert Configuration(values).model.parameters().value == 8_030_261_248
    # a layer: attention 2·4096·128·(32 + 8), three matrices of 4096 × 14336, two norms
    layer = 2 * 4096 * 128 * 40 + 3 * 4096 * 14_336 + 2 * 4096
    assert Configuration(values | {"n_layers": 33}).model.parameters().value == 8_030_261_248 + layer


def test_a_change_that_a_config_cannot_take_is_said_and_the_other_changes_stay():
    values = DEFAULTS | dict(base("Llama 3 8B").values) | {"model": "Llama 3 8B"}
    config = Configuration(values | {"n_heads": 30, "n_layers": 16})
    assert [(p.input_id, p.code) for p in config.problems] == [("n_heads", "config_refuses")]
    assert config.model.n_layers == 16


def test_a_pasted_config_travels_in_the_link_and_is_read_back():
    text = compact({"model_type": "mixtral", "num_hidden_layers": 4, "torch_dtype": "bfloat16", "bos_token_id": 1})
    assert "torch_dtype" not in text
    values = DEFAULTS | {"model": PASTED, "config": text} | dict(base(PASTED, text).values)
    query = parse_qs(urlencode(link_parameters(values)), keep_blank_values=True)
    back = DEFAULTS | {key: INPUTS[key].read(query[key][0]) for key in query if key in INPUTS}
    # Mixtral's own defaults, 4 of its 32 layers
    assert Configuration(back).model.parameters().value == 46_702_792_704 - 28 * 1_451_270_144
    assert Configuration(back).name == PASTED


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"model_type": "llama", "hidden_size": -1}', "null"])
def test_a_pasted_config_that_cannot_be_read_is_refused_and_the_plain_decoder_counted(text):
    with pytest.raises(InputError):
        base(PASTED, text)
    assert Configuration(DEFAULTS | {"model": PASTED, "config": text}).model.parameters().value == 124_439_808


@EVERY_INPUT
def test_the_scale_of_a_slider_climbs_within_its_range_and_holds_the_default(declared):
    scale = getattr(declared, "scale", ())
    assert list(scale) == sorted(set(scale))
    if scale:
        assert declared.low <= scale[0]
        assert scale[-1] <= declared.high
        assert declared.default in scale


@settings(max_examples=25)  # a step on several devices each
@given(CONFIGURATIONS)
def test_every_configuration_has_finite_memory_and_parameters(values):
    has_finite_memory_and_parameters(values)


@pytest.mark.slow
@settings(max_examples=150)
@given(CONFIGURATIONS)
def test_very_many_configurations_have_finite_memory_and_parameters(values):
    has_finite_memory_and_parameters(values)


def has_finite_memory_and_parameters(values):
    config = Configuration(values)
    numbers = [config.model.parameters().value, config.training.peak.value, config.inference.value]
    assert all(math.isfinite(n) and n > 0 for n in numbers)
    for problem in config.problems:
        assert problem.code
        assert problem.input_id in INPUTS
        for suggestion in problem.suggestions:
            assert INPUTS[problem.input_id].read(str(suggestion)) == suggestion


def test_more_stretches_of_layers_than_layers_are_said_and_counted_without():
    config = Configuration(DEFAULTS | {"interleave": 64})
    assert {problem.input_id for problem in config.problems} == {"interleave"}
    assert config.layout.devices == 1


def test_heads_that_do_not_divide_the_width_are_said_with_heads_that_do():
    (problem,) = Configuration(DEFAULTS | {"n_heads": 10}).problems
    assert problem.input_id == "n_heads"
    assert problem.suggestions == (8, 12)
    assert Configuration(DEFAULTS | {"n_heads": 10}).dimensions.head_width() == 76


def test_a_step_that_no_cluster_holds_is_said():
    values = DEFAULTS | {"batch_size": 65_536, "seq_len": 1_048_576, "attention": "eager", "n_positions": 2_000_000}
    assert [p.code for p in Configuration(values).problems] == ["beyond_any_machine"]


@pytest.mark.parametrize(
    ("model", "longest"),
    [
        ("GPT-2 124M", 1_024),
        ("OPT 1.3B", 2_048),  # 2 of its 2,050 rows stand ahead of the first token's
        ("BERT base (encoder)", 512),
        ("RoBERTa base (encoder)", 512),  # of 514 rows it counts from the padding token's on
        ("BART base", 1_024),
        ("Llama 3 8B", None),
        ("BLOOM 560M", None),
    ],
)
def test_no_sequence_is_longer_than_the_table_of_learned_positions(model, longest):
    config = configured(model, seq_len=8_192)
    assert config.longest_position == longest
    told = [p.suggestions for p in config.contradictions if p.code == "beyond_positions"]
    assert told == ([(longest,)] if longest else [])
    for purpose in ("training", "inference"):
        most = config.largest_that_fits(purpose, "seq_len", [10**15])
        assert longest is None or int(most[0]) == longest


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ('{"model_type": "whisper"}', 448),  # rows of its decoder's table
        ('{"model_type": "longformer", "max_position_embeddings": 4098}', 4_096),  # it counts from the padding token's
    ],
)
def test_a_pasted_model_is_no_longer_than_its_table_either(config, longest):
    found = Configuration(DEFAULTS | {"model": PASTED, "config": config} | dict(base(PASTED, config).values))
    assert (found.longest_position, found.serving.made_for) == (longest, longest)


def test_a_model_that_is_taken_up_shortens_what_it_cannot_read():
    assert base("BERT base (encoder)").within_reach({"seq_len": 1_024}) == {"seq_len": 512}
    assert base("BERT base (encoder)").within_reach({"seq_len": 500}) == {}
    assert base("Llama 3 8B").within_reach({"seq_len": 1_024}) == {}
