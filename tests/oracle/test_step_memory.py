"""The fake GPU against arithmetic, and our training step against what real code allocates on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import llmcalc

CONFIG = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
}
BATCH, LENGTH = 2, 256


@pytest.fixture(scope="module")
def row():
    if not shutil.which("g++"):
        pytest.skip("the fake GPU is compiled with g++")
    script = Path(__file__).with_name("step_memory.py")
    given = ["--model-type", "llama", "--config", json.dumps(CONFIG)]
    sizes = ["--batch-size", str(BATCH), "--seq-len", str(LENGTH)]
    done = subprocess.run([sys.executable, script, *given, *sizes], check=True, capture_output=True, text=True)
    row = json.loads(done.stdout)
    if row["instrument"] != "fake":
        pytest.skip("a real GPU's kernels take scratch memory of their own")
    return row


def test_a_layer_keeps_what_its_operators_keep(row):
    tokens, d, q, kv, f, heads = BATCH * LENGTH, 256, 256, 128, 512, 4
    norms = 2 * (4 + 4 * d + 4 * d)  # each: rstd, its input, the normalised copy, in fp32
    linears = 2 * (3 * d + 2 * d + f)  # a bf16 copy of the input of each, but for the output projection's
    attention = 2 * (q + 2 * kv + q) + 4 * heads  # rotated q and k, v, the output, the log-sum-exp in fp32
    gated = 2 * 3 * f  # gate, up and silu(gate) in bf16
    seeds = 2 * 512  # the two numbers of flash attention's random state
    assert row["saved"]["one_layer"] == tokens * (norms + linears + attention + gated) + seeds


def test_autocast_keeps_a_bf16_copy_of_every_matrix(row):
    d, kv, f, vocab = 256, 128, 512, 1000
    assert row["saved"]["weight_casts"] == 2 * (3 * (2 * d * d + 2 * d * kv + 3 * d * f) + vocab * d)


def test_gradients_that_are_there_already_lie_under_the_next_forward_pass(row):
    peaks = row["phase_peaks"]
    assert peaks["fwdA"] - peaks["fwd1"] == row["grad_bytes"]


def test_adamw_holds_five_numbers_a_parameter_at_its_peak(row):
    beside = row["phase_peaks"]["opt1"] - 20 * row["n_params"]
    assert 0 <= beside < 10_000  # token ids, the rotary frequencies


# Our training step against what real code allocates

SIZES = {"hidden_size": 512, "num_hidden_layers": 3, "num_attention_heads": 8, "vocab_size": 16_000}
GROUPED = SIZES | {"num_key_value_heads": 2, "intermediate_size": 1536, "tie_word_embeddings": False}
RUNS = [
    ({"model_type": "gpt2", "n_embd": 512, "n_layer": 3, "n_head": 8}, "amp_bf16", "eager", False),
    ({"model_type": "gpt_neox", **SIZES, "intermediate_size": 2048, "rotary_pct": 0.25}, "bf16", "sdpa", False),
    ({"model_type": "llama", **GROUPED}, "amp_bf16", "sdpa", False),
    ({"model_type": "llama", **GROUPED}, "amp_bf16", "sdpa", True),
    ({"model_type": "qwen3", **GROUPED}, "fp32", "sdpa", False),
    ({"model_type": "gemma", **GROUPED, "head_dim": 64, "tie_word_embeddings": True}, "bf16", "eager", False),
]


@pytest.mark.parametrize(("config", "recipe", "attn", "ckpt"), RUNS)
def test_a_step_of_ours_needs_what_the_real_one_allocates(config, recipe, attn, ckpt):
    if not shutil.which("g++"):
        pytest.skip("the fake GPU is compiled with g++")
    script = Path(__file__).with_name("step_memory.py")
    keys = {key: value for key, value in config.items() if key != "model_type"}
    given = ["--model-type", config["model_type"], "--config", json.dumps(keys), "--recipe", recipe, "--attn", attn]
    sizes = ["--batch-size", str(BATCH), "--seq-len", str(LENGTH), *["--ckpt"] * ckpt]
    done = subprocess.run([sys.executable, script, *given, *sizes], check=True, capture_output=True, text=True)
    real = json.loads(done.stdout)
    run = llmcalc.TrainingRun(
        batch_size=BATCH,
        seq_len=LENGTH,
        precision=recipe,
        attention=attn,
        recompute="full" if ckpt else "none",
    )
    step = llmcalc.training_step(llmcalc.from_config(config), run)
    assert step.peak.value + real["buffer_bytes"] == pytest.approx(real["peak_step"], rel=0.01)
    assert step.saved_activations.value == pytest.approx(real["saved"]["total"], rel=0.01)
    assert step.weight_casts.value == pytest.approx(real["saved"]["weight_casts"], rel=0.01)
