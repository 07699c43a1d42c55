"""The text of a config.json, whatever a reader pastes: an object or our own error that says where it goes wrong."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcalc import InputError, read_config
from llmcalc.adapters import inputs_of_adapter
from llmcalc.huggingface import parse_config
from llmcalc.words import speak, w
from pages.ui.words.problems import problem_words, unmarked


def refused(text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_config(text)
    error = caught.value
    assert error.input_id == "config"
    assert w(f"problems.{error.code}", **error.details)
    return error


@pytest.mark.parametrize("text", ['\ufeff{"a": 1}', b'\xef\xbb\xbf{"a": 1}', ' {"a": 1}\n', b'{"a": 2, "a": 1}'])
def test_a_byte_order_mark_and_a_key_given_twice_are_read(text):
    assert parse_config(text) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, 1),
        ("{'a': 1}", 1, 2),
        ('{\n "a": 1,\n b}', 3, 2),
        ('{"a": 1} x', 1, 10),
        ('{"a": 1e999}', 1, 7),
        ('{"a":\n' + "9" * 5000 + "}", 2, 1),
        (b'{"a":\n "\xff"}', 2, 3),
        ('{"a": 1}'.encode("utf-16"), 1, 1),
    ],
)
def test_what_is_not_json_is_refused_where_it_goes_wrong(text, line, column):
    error = refused(text)
    assert (error.code, error.details["line"], error.details["column"]) == ("config_not_json", line, column)
    assert f"line {line}, column {column}" in str(error)


def test_numbers_that_python_writes_and_json_lacks_are_read_and_are_no_sizes():
    # as in the config.json of Nemotron-H, whose class takes the longest step of Mamba from it
    text = '{"model_type": "nemotron_h", "time_step_limit": [0.0, Infinity], "x": NaN, "y": -Infinity}'
    config = parse_config(text)
    assert config["time_step_limit"] == [0.0, "Infinity"]
    assert read_config(config).model == read_config({"model_type": "nemotron_h"}).model
    with pytest.raises(InputError, match="'hidden_size' must be a whole number, not 'NaN'"):
        read_config(parse_config('{"model_type": "llama", "hidden_size": NaN}'))


@pytest.mark.parametrize(("text", "found"), [("[]", "a list"), ('"a"', "a text"), ("null", "null"), ("1", "single")])
def test_json_that_is_no_object_is_refused(text, found):
    error = refused(text)
    assert error.code == "config_not_object"
    assert found in str(error)


def test_a_config_may_have_four_million_bytes_and_no_more():
    largest = '{"é": "' + "x" * (4_000_000 - 10) + '"}'
    assert len(largest.encode()) == 4_000_000
    assert len(parse_config(largest)["é"]) == 3_999_990
    assert refused(largest + " ").code == refused((largest + " ").encode()).code == "config_too_large"


@pytest.mark.parametrize("depth", [101, 1_000, 150_000])
def test_nesting_beyond_any_config_is_refused(depth):
    assert refused('{"a":' * depth + "1" + "}" * depth).code == "config_too_deep"
    assert parse_config('{"a":' * 100 + "1" + "}" * 100)


@pytest.mark.parametrize("text", ['{"a": "' + '\\"' * 499_000, '{"a": [' + "[]," * 300_000 + "nan]}", '"' * 999_999])
def test_a_hostile_text_is_refused_soon(text):
    begun = time.process_time()  # our own work, whatever else the machine does meanwhile
    assert refused(text).code == "config_not_json"
    assert time.process_time() - begun < 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.text() | st.binary() | VALUES.map(json.dumps) | VALUES.map(lambda v: json.dumps(v).encode("utf-16")))
def test_any_text_is_an_object_or_refused(text):
    with suppress(InputError):
        config = parse_config(text)
        assert type(config) is dict
        assert json.loads(json.dumps(config, allow_nan=False)) == config
        read_config(config)


@given(st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)))
def test_every_object_comes_back_as_it_was(config):
    assert parse_config(json.dumps(config)) == config


# adapter_config.json of PEFT 0.19 (LoraConfig.save_pretrained), the keys that tell what it is
ADAPTER = {"peft_type": "LORA", "r": 16, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


@pytest.mark.parametrize("base", ["meta-llama/Meta-Llama-3-8B", None, "", 7])
@pytest.mark.parametrize("language", ["en", "id"])
def test_the_file_of_an_adapter_is_told_from_that_of_a_model(base, language):
    with pytest.raises(InputError) as caught:
        read_config({**ADAPTER, "base_model_name_or_path": base})
    speak(language)
    said = unmarked(problem_words(caught.value))
    speak("en")
    assert "adapter_config.json" in said
    assert "model_type" not in said
    assert ("meta-llama/Meta-Llama-3-8B" in said) == (base == "meta-llama/Meta-Llama-3-8B")


@pytest.mark.parametrize("rank", [-5, 0, 1.5, "16", True])
def test_an_adapter_of_no_rank_that_there_is_is_refused_by_that_key(rank):
    with pytest.raises(InputError) as caught:
        inputs_of_adapter({**ADAPTER, "base_model_name_or_path": "meta-llama/Meta-Llama-3-8B", "r": rank})
    assert caught.value.input_id == "r"
