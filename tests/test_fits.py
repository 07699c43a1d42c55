"""The largest batch and the longest sequence that fit: exactly, whatever the model and however it is run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmcalc
from llmcalc.bases import base
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.configuration import Configuration
from llmcalc.fits import MOST, largest_batch, largest_that_fits, longest_sequence
from llmcalc.inputs import DEFAULTS, PURPOSES
from llmcalc.step.run import ATTENTIONS, LORA_BASES, LORA_TARGETS, LOSSES, RECOMPUTATIONS, TrainingRun
from llmcalc.transformer.dimensions import Dimensions

# Code of many kinds: windows, mixtures, multi-query, parallel blocks, Python's own activation
FAMILIES = {
    "gpt2": {},
    "llama": {"num_key_value_heads": 2, "num_attention_heads": 8},
    "mistral": {"sliding_window": 300, "num_hidden_layers": 4},
    "gemma3_text": {"sliding_window": 100, "num_hidden_layers": 7},
    "mixtral": {"num_hidden_layers": 3, "num_local_experts": 4},
    "qwen3_moe": {"num_hidden_layers": 2, "num_experts": 8},
    "gpt_neox": {"num_hidden_layers": 2},
    "phi": {"num_hidden_layers": 2},
    "opt": {"num_hidden_layers": 2},
    "olmo2": {"num_hidden_layers": 2},
}
plain = st.builds(
    lambda heads, width, **sizes: Dimensions(n_heads=heads, d_model=heads * width, **sizes).model(),
    heads=st.integers(1, 8),
    width=st.integers(1, 40).map(lambda n: 2 * n),
    n_layers=st.integers(1, 6),
    vocab_size=st.integers(1, 50_000),
    gated=st.booleans(),
    tied_head=st.booleans(),
    norm=st.sampled_from(["LayerNorm", "RMSNorm"]),
)
read = st.sampled_from([llmcalc.from_config({"model_type": family, **sizes}) for family, sizes in FAMILIES.items()])
runs = st.builds(
    TrainingRun,
    batch_size=st.integers(1, 64),
    seq_len=st.integers(1, 4096),
    precision=st.sampled_from(list(PRECISIONS)),
    optimizer=st.sampled_from(list(OPTIMIZERS)),
    attention=st.sampled_from(ATTENTIONS),
    recompute=st.sampled_from(RECOMPUTATIONS),
    loss=st.sampled_from(LOSSES),
    dropout=st.sampled_from([0.0, 0.1]),
    keep_logits=st.booleans(),
    gradient_accumulation=st.sampled_from([1, 2]),
    lora_rank=st.sampled_from([0, 8]),
    lora_targets=st.sampled_from(LORA_TARGETS),
    lora_base=st.sampled_from(LORA_BASES),
)
knobs = pytest.mark.parametrize(("knob", "solve"), [("batch_size", largest_batch), ("seq_len", longest_sequence)])


def peaks(model, run, knob, sizes):
    return llmcalc.peak_sweep(model, replace(run, **{knob: np.array(sizes, float)}))


@settings(max_examples=60, deadline=None)
@given(model=plain | read, run=runs, sizes=st.lists(st.integers(1, 5000), min_size=12, max_size=24, unique=True))
@pytest.mark.parametrize("knob", ["batch_size", "seq_len"])
def test_more_sequences_or_longer_ones_never_peak_lower(knob, model, run, sizes):
    assert np.all(np.diff(peaks(model, run, knob, sorted({*sizes, *(n + 1 for n in sizes)}))) >= 0)


@settings(max_examples=40, deadline=None)
@given(model=plain | read, run=runs, memories=st.lists(st.floats(1e5, 1e12), min_size=1, max_size=5))
@knobs
def test_what_is_found_fits_and_one_more_does_not(knob, solve, model, run, memories):
    for memory, n in zip(memories, solve(model, run, np.array(memories)), strict=True):
        if n > 0:
            assert peaks(model, run, knob, [n])[0] <= memory
        if n < MOST:
            assert peaks(model, run, knob, [n + 1])[0] > memory


@knobs
def test_one_step_at_a_time_finds_the_same(knob, solve):
    model, run = Dimensions(d_model=64, n_layers=2, n_heads=4, vocab_size=500).model(), TrainingRun(seq_len=64)
    for memory in (1e6, 2**24, 30_000_001.0):
        n = 0
        while llmcalc.training_step(model, replace(run, **{knob: n + 1})).peak.value <= memory:
            n += 1
        assert solve(model, run, memory) == n


@knobs
def test_nothing_fits_where_the_weights_alone_do_not(knob, solve):
    assert solve(Dimensions().model(), TrainingRun(), [1.0, 12 * 124_439_808]).tolist() == [0, 0]


def test_the_search_finds_the_last_of_any_rising_steps_and_ends_where_nothing_rises():
    jumps = np.cumsum([3, 1, 1, 50, 1, 1, 1, 400])  # what 1, 2, … 8 need
    found = largest_that_fits(lambda n: jumps[n.astype(int) - 1], np.arange(0, 500), most=8)
    assert found.tolist() == [sum(jumps <= memory) for memory in range(500)]
    assert largest_that_fits(lambda n: np.full(n.shape, 7.0), np.array([6, 7]), most=1000).tolist() == [0, 1000]


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("model", ["GPT-2 124M", "Llama 3 8B", "Gemma 3 1B", "DeepSeek-V3 671B", "BERT base (encoder)"])
@pytest.mark.parametrize("account", ["corrected", "article"])
def test_a_configuration_answers_for_training_and_inference(model, purpose, account):
    config = Configuration(DEFAULTS | {"model": model, "account": account} | dict(base(model).values))
    for memory in {device.memory for device in ACCELERATORS.values()}:
        n = largest_that_fits(lambda n: config.memory_of(purpose, n, 512), memory, most=65_536)
        assert n == 0 or config.memory_of(purpose, np.array([float(n)]), 512)[0] <= memory
        assert n == 65_536 or config.memory_of(purpose, np.array([n + 1.0]), 512)[0] > memory
