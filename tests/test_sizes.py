"""Sizes are exact whatever a reader asks for: Python's integers, never NumPy's of 64 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import llmcalc
from llmcalc.bases import base
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS
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
