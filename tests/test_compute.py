"""Operations of a token and of a training run, against printed figures and arithmetic done here."""

from __future__ import annotations

import pytest
from golden_files import csv_rows
from hypothesis import given
from hypothesis import strategies as st
from laws import for_each

from llmcalc import from_config
from llmcalc.bases import base
from llmcalc.inputs import MODELS, PASTED
from llmcalc.rates.flops import forward_flops, weight_flops
from llmcalc.transformer.dimensions import Dimensions

NAMED = [name for name in MODELS if name != PASTED]


def model_of(name: str):
    return base(name).model(base(name).values)


def terms(model, seq_len: int) -> dict[str, float]:
    return {part.id: part.value for part in forward_flops(model, seq_len=seq_len).parts}


@pytest.mark.parametrize("row", csv_rows("gpt3_table_D1.csv"), ids=lambda row: row["model"])
def test_training_compute_is_that_of_table_d1(row):
    # printed to three digits from parameters rounded to millions; T5 sends a token through half of its parameters
    active = float(row["parameters_millions"]) * 1e6 * int(row["flops_per_parameter_and_token"]) / 6
    computed = 3 * weight_flops(parameters=active).value * float(row["tokens_billions"]) * 1e9  # twice that backward
    assert computed == pytest.approx(float(row["flops"]), rel=0.004)


def test_the_forward_pass_of_gpt2_is_kaplans_sum():
    layer = 12 * 768**2 + 13 * 768  # four square matrices and two of 4 × 768, their biases, two norms
    assert terms(Dimensions().model(), seq_len=1024) == {
        "weight_flops": 2 * (12 * layer + 2 * 768),
        "logits_flops": 2 * 50_257 * 768,
        "all_attention_flops": 2 * 12 * 1024 * 768,  # 2 n_layer n_ctx d_attn
    }


def test_a_mixture_of_experts_multiplies_only_by_the_experts_that_are_chosen():
    # Mixtral 8x7B: 2 of 8 experts of 3 × 4096 × 14336, attention 2 · 4096 · 128 · (32 + 8), router, two norms, 32 times
    layer = 2 * 3 * 4096 * 14_336 + 2 * 4096 * 128 * 40 + 4096 * 8 + 2 * 4096
    assert terms(model_of("Mixtral 8x7B"), 1)["weight_flops"] == 2 * (32 * layer + 4096)


def test_latent_attention_has_keys_and_values_of_different_width():
    # DeepSeek-V3: 61 layers, 128 heads, keys of 128 + 64, values of 128, over half of 4,096 tokens
    expected = 61 * 128 * (2 * (128 + 64) + 2 * 128) * 4096 / 2
    assert terms(model_of("DeepSeek-V3 671B"), 4096)["all_attention_flops"] == expected


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_window_fills_up_and_then_stays_full(seq_len, window):
    config = {"model_type": "mistral", "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1}
    config |= {"hidden_size": 8, "head_dim": 4, "intermediate_size": 8, "vocab_size": 9, "sliding_window": window}
    # by continuous position, as in Kaplan's half of the sequence: the mean of min(position, window), midway between
    seen = sum(min(i + 0.5, window) for i in range(seq_len)) / seq_len
    assert terms(from_config(config), seq_len)["all_attention_flops"] == pytest.approx(3 * 4 * 2 * 4 * seen)


@for_each("name", NAMED)
def test_operations_are_counted_for_every_decoder_and_for_nothing_else(name):
    model = model_of(name)
    sees = {part.sees for block, _ in model.blocks for part in block.caches()}
    flops = forward_flops(model, seq_len=2048)
    assert (flops is not None) == (sees == {"past"})
    if flops:
        n = model.active_non_embedding_parameters().value
        assert flops.value > 2 * n
        assert forward_flops(model, seq_len=4096).value > flops.value
