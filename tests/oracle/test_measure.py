"""A reader's own measurement, run on the fake GPU, finds what the oracle's own instrument and the simulation find."""

from __future__ import annotations

import fake_cuda  # isort: skip  # before torch

import contextlib
from unittest import mock

import pytest
from allocations import Allocations
from step_memory import _converted
from torch import nn

from llmcalc import from_config
from llmcalc.measure import real
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import training_step

pytestmark = pytest.mark.skipif(fake_cuda.REAL, reason="there is a GPU")

LLAMA = {
    **{"model_type": "llama", "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 3},
    **{"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 2048, "tie_word_embeddings": False},
}
SIZES = {"batch_size": 2, "seq_len": 256}
RUNS = (
    TrainingRun(**SIZES),
    TrainingRun(**SIZES, precision="bf16", recompute="full", optimizer="adamw_fused"),
    TrainingRun(**SIZES, precision="fp32", attention="eager", loss="shift_float", optimizer="sgd_momentum"),
    TrainingRun(**SIZES, precision="bf16", keep_logits=True, gradient_accumulation=2),
    TrainingRun(**SIZES, precision="bf16", lora_rank=8, lora_targets=("q_proj", "v_proj"), lora_dropout=0.05),
    TrainingRun(**SIZES, precision="bf16_amp", lora_rank=8, lora_targets="all-linear", input_require_grads=True),
)


class FakeMeter:
    """Adds up what is allocated on the fake GPU."""

    def __init__(self) -> None:
        self.allocations = Allocations(nn.Module())

    def reset(self) -> None:
        self.allocations.reset_peak()

    def now(self) -> int:
        return self.allocations.current

    def peaks(self) -> dict[str, int]:
        return {"allocated": self.allocations.peak, "reserved": self.allocations.peak}


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_what_is_measured_is_what_is_predicted(run):
    meter = FakeMeter()
    with (
        fake_cuda.device(),
        meter.allocations,
        mock.patch.object(nn.Module, "_apply", _converted) if run.lora_rank else contextlib.nullcontext(),
    ):
        found = real.measured(LLAMA, run, meter)
    step = training_step(from_config(LLAMA), run)
    assert found["allocated"] == pytest.approx(step.peak.value, rel=0.01)
    assert found["optimizer_state"] == pytest.approx(step.optimizer_state.value, rel=0.01)
    kept = step.saved_activations.value + step.weight_casts.value
    assert found["saved_activations"] == pytest.approx(kept, rel=0.05)
