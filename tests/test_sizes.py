"""Sizes are exact whatever a reader asks for: Python's integers, never NumPy's of 64 bits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import llmcalc
from llmcalc.bases import base
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import Layout
from llmcalc.inputs import DEFAULTS
from llmcalc.step.inference import InferenceRun
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import training_step

PLAIN = llmcalc.Dimensions(n_layers=1, d_model=64, n_heads=1024, d_head=1, vocab_size=100)
MOST = TrainingRun(batch_size=65_536, seq_len=1_048_576, attention="eager", loss="plain")
SCORES = 65_536 * 1024 * 1_048_576**2 * 2  # of one layer, in 16 bits: more than 64 bits can count


@pytest.mark.parametrize("in_backward", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimizer_makes_a_step_overflow(optimizer, in_backward):
    run = replace(MOST, optimizer=optimizer, optimizer_in_backward=in_backward)
    peak = training_step(PLAIN.model(), run).peak.value
    assert SCORES > 2**63
    assert SCORES < peak < 100 * SCORES
    assert not isinstance(peak, np.generic)


@pytest.mark.parametrize("model", ["DeepSeek-V3.2 672B", "Qwen3 Next 80B A3B", "Mixtral 8x7B"])
def test_no_kind_of_layer_does(model):
    counted = Configuration({**DEFAULTS, **base(model).values, "model": model}).model
    peak = training_step(counted, MOST).peak.value
    assert peak > 2**63
    assert not isinstance(peak, np.generic)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.5, True, "8", None, 0, -1, [8, math.nan], np.array([True])])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TrainingRun, "batch_size"),
        (TrainingRun, "seq_len"),
        (TrainingRun, "gradient_accumulation"),
        (InferenceRun, "seq_len"),
        (Layout, "tensor_parallel"),
    ],
)
def test_what_is_no_size_is_refused_by_the_name_of_the_field(kind, name, value):
    with pytest.raises(llmcalc.InputError) as refused:
        kind(**{name: value})
    assert refused.value.input_id == name


@pytest.mark.parametrize(
    "value", [1, 10**400, np.int64(8), np.array([1, 2]), np.array([1.0, 2.5]), np.linspace(1, 9, 3)]
)
def test_whole_numbers_and_arrays_for_a_sweep_are_sizes(value):
    assert TrainingRun(batch_size=value).batch_size is value
