"""Every model_type of transformers' map of causal language models that is exact, against what its class was counted to
have, and what hybrids keep of a sequence, against arithmetic."""

from __future__ import annotations

import json

import pytest
from golden_files import jsonl_rows
from laws import for_each

from llmcalc import from_config, read_config
from llmcalc.accuracy import every_step
from llmcalc.bases import base
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS, PASTED
from llmcalc.lessons.anatomy import stacks
from llmcalc.rates.flops import forward_flops
from llmcalc.serving.held import inference_memory

ROWS = {row["config"]["model_type"]: row for row in jsonl_rows("causal_models.jsonl")}


@for_each("model_type", ROWS)
def test_a_class_has_as_many_parameters_in_all_and_by_component(model_type):
    row = ROWS[model_type]
    model = from_config(row["config"])
    assert model.parameters().value == row["total"]
    assert {name: q.value for name, q in model.components().items() if q.value} == {
        name: n for name, n in row["components"].items() if n
    }


@for_each("model_type", ROWS)
def test_a_sweep_is_the_same_numbers_one_by_one_and_longer_never_needs_less(model_type):
    model = from_config(ROWS[model_type]["config"])
    sizes = [model.kv_cache_elements(seq_len=length).value for length in (1, 100, 5_000)]
    assert sizes == sorted(sizes)
    assert forward_flops(model, seq_len=128) is None or forward_flops(model, seq_len=128).value > 0
    memory = inference_memory(model, batch_size=3, seq_len=50)
    assert memory.value == sum(part.value for part in memory.parts)


# Qwen3-Next 80B-A3B as published: 36 of 48 layers are delta nets of 16 heads of queries and keys and 32 of values, 128
# wide, with a convolution over 4 tokens; 12 are attention of 2 key/value heads, 256 wide
STATE = 36 * 32 * 128 * 128
WINDOW = 36 * 4 * (2 * 16 * 128 + 32 * 128)


def test_a_hybrid_has_two_numbers_what_a_token_adds_and_what_a_sequence_holds():
    model = from_config({"model_type": "qwen3_next"})
    assert model.kv_elements_per_token().value == 12 * 2 * 2 * 256
    assert model.state_elements(fp32=True).value == STATE
    assert model.state_elements(fp32=False).value == WINDOW
    assert model.state_elements().value == STATE + WINDOW


@pytest.mark.parametrize(("cache_format", "bytes_of_window"), [("bf16", 2), ("fp8", 2), ("fp32", 4)])
def test_states_are_counted_for_each_sequence_whatever_its_length(cache_format, bytes_of_window):
    model = from_config({"model_type": "qwen3_next"})
    for length in (1, 10_000):
        memory = inference_memory(model, batch_size=3, seq_len=length, cache_format=cache_format)
        assert memory.inputs["states"].value == 3 * (4 * STATE + bytes_of_window * WINDOW)


def test_layers_that_borrow_keys_and_values_keep_none():
    """Gemma 3n: the last 15 of 35 layers read those of layers 18 and 19; of the first 20 four see everything."""
    model = from_config({"model_type": "gemma3n_text"})
    assert model.kv_elements_per_token().value == 20 * 2 * 2 * 256
    assert model.kv_cache_elements(seq_len=10_000).value == 2 * 2 * 256 * (4 * 10_000 + 16 * 512)


def test_a_shared_block_is_counted_once_and_worked_as_often_as_it_runs():
    """Zamba2: one block of attention and network, run in nine layers, each with a cache of its own."""
    model = from_config({"model_type": "zamba2"})
    assert model.kv_elements_per_token().value == 9 * 2 * 32 * 160
    once = 2 * 2560 * 4 * 32 * 160 - 2560 * 32 * 160 + 3 * 2560 * 10_240 + 2 * 2560 + 2560
    assert model.reused_parameters().value == 8 * once


def test_multi_token_prediction_is_said_to_be_left_out():
    notes = read_config({"model_type": "deepseek_v32", "num_nextn_predict_layers": 1}).notes
    assert any(note.id == "mtp_left_out" and note.details == {"layers": 1} for note in notes)
    notes = read_config({"model_type": "glm4_moe", "num_nextn_predict_layers": 1}).notes
    assert any(note.id == "mtp_left_out" for note in notes)


WINDOWED = {
    "model_type": "not_known_yet",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 100,
    "vocab_size": 100,
    "sliding_window": 32,
}


@pytest.mark.parametrize(
    ("more", "windows"),
    [
        ({}, [32] * 4),
        ({"use_sliding_window": False}, [None] * 4),
        ({"layer_types": ["sliding_attention"] * 3 + ["full_attention"]}, [32, 32, 32, None]),
    ],
)
def test_a_guess_sees_the_windows_that_its_config_names(more, windows):
    model = from_config({**WINDOWED, **more})
    assert [part.cache_window for block in model.layers() for part in block.caches()] == windows


def test_published_code_of_its_own():
    """Qwen 72B: its feed-forward network is half of intermediate_size wide, and c_attn has a bias."""
    sizes = {"hidden_size": 8192, "intermediate_size": 49_152, "num_hidden_layers": 80, "num_attention_heads": 64}
    qwen = from_config({"model_type": "qwen", **sizes, "vocab_size": 152_064})
    layer = 4 * 8192**2 + 3 * 8192 + 3 * 8192 * 24_576 + 2 * 8192
    assert qwen.parameters().value == 80 * layer + 2 * 152_064 * 8192 + 8192 == 72_287_920_128
    # ChatGLM2-6B: 6,243,584,000 (modeling_chatglm.py)
    chatglm = {
        "model_type": "chatglm", "hidden_size": 4096, "num_layers": 28, "num_attention_heads": 32, "kv_channels": 128,
        "multi_query_attention": True, "multi_query_group_num": 2, "ffn_hidden_size": 13_696, "add_qkv_bias": True,
        "padded_vocab_size": 65_024,
    }  # fmt: skip
    assert from_config(chatglm).parameters().value == 6_243_584_000


@for_each("model_type", ROWS)
def test_the_drawing_of_the_lesson_has_a_box_for_every_part(model_type):
    assert stacks(from_config(ROWS[model_type]["config"]))


@pytest.mark.parametrize("model_type", ["mamba", "nemotron_h", "rwkv", "deepseek_v4", "zamba2"])
def test_a_pasted_hybrid_has_a_number_for_every_main_control_and_a_verdict(model_type):
    text = json.dumps({"model_type": model_type})
    values = DEFAULTS | {"model": PASTED, "config": text} | dict(base(PASTED, text).values)
    assert all(isinstance(values[name], int) for name in ("d_model", "n_layers", "n_heads", "vocab_size"))
    config = Configuration(values)
    assert config.verdict.devices
    measured = any(row.family == model_type and not row.seen for row in every_step())
    assert config.standing.label == ("measured" if measured else "estimate")
