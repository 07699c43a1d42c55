"""Fine-tuning as libraries do it: adapters, quantised bases, padding, caches, own losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llmcalc.accuracy import measured_steps
from llmcalc.accuracy.compare import predict
from llmcalc.catalog.models import models
from llmcalc.errors import InputError
from llmcalc.huggingface import from_config
from llmcalc.step.masks import sdpa_kernel
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import peak_sweep, training_step

LLAMA_2_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
GROUPED = {**LLAMA_2_7B, "num_hidden_layers": 4, "num_key_value_heads": 8}
RUN = TrainingRun(batch_size=2, seq_len=512, precision="bf16")
LORA = replace(RUN, lora_rank=8)


def step_of(config, run, **changes):
    return training_step(from_config(config), replace(run, **changes))


# Measured on the real code of PEFT, bitsandbytes' way with packed weights, and transformers

GROUPS = ("lora", "lora real", "qlora", "qlora real", "mask", "real padded", "use_cache", "HF Trainer", "own loss")
GROUPS += ("bf16 under autocast", "offload", "encoder", "encoder real", "enc-dec", "enc-dec real", "fine-tuning")


def test_steps_of_fine_tuning_are_what_was_measured():
    # all but DeBERTa: on fakes the way back through `gather` is out of place, on a GPU it is in place
    found = [predict(row) for row in measured_steps() if row.group in GROUPS and row.family != "deberta-v2"]
    assert {c.row.group for c in found} >= {*GROUPS} - {"fine-tuning"}
    deberta = next(predict(row) for row in measured_steps() if row.family == "deberta-v2" and row.seen)
    assert abs(deberta.error("llmcalc", "saved")) < 1e-4
    spread_out = 2 * 6 * 384 * 2052 * 4  # a number for each sequence, head, token and relative position
    assert deberta.row.peak - deberta.predicted["llmcalc", "peak"] < spread_out
    far = {str(c.row): c.error("llmcalc", "peak") for c in found if abs(c.error("llmcalc", "peak")) > 0.002}
    assert far == {}


# Adapters


def test_adapters_beside_queries_and_values_alone_are_counted():
    # 32 layers, two products of 4,096 × 4,096 each: 8 · (4,096 + 4,096) numbers beside each; LitGPT prints 4,194,304
    assert step_of(LLAMA_2_7B, LORA, lora_targets=("q_proj", "v_proj")).trainable.value == 4_194_304
    assert step_of(LLAMA_2_7B, LORA, lora_targets="query_value").trainable.value == 4_194_304


def test_all_linear_is_every_linear_layer_but_the_head():
    # q, k, v, o of 4,096 × 4,096 and three of 4,096 × 11,008
    expected = 32 * 8 * (4 * (4096 + 4096) + 3 * (4096 + 11008))
    assert step_of(LLAMA_2_7B, LORA, lora_targets="all-linear").trainable.value == expected
    named = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert step_of(LLAMA_2_7B, LORA, lora_targets=named).trainable.value == expected


def test_a_module_that_no_family_has_is_told():
    step = step_of(GROUPED, LORA, lora_targets=("no_such_proj",))
    with pytest.raises(InputError, match="no_such_proj"):
        _ = step.trainable


def test_adapters_are_in_fp32_unless_they_are_as_the_weights():
    wide, narrow = (step_of(LLAMA_2_7B, LORA, lora_precision=precision) for precision in ("fp32", "same"))
    for step, each in ((wide, 4), (narrow, 2)):
        n = step.trainable.value
        assert step.gradients.value == each * n
        assert step.optimizer_state.value == 2 * each * n
    assert wide.weights.value - narrow.weights.value == 2 * wide.trainable.value
    assert wide.peak.value > narrow.peak.value


def test_a_module_that_is_saved_trains_as_a_copy_in_its_own_format():
    plain, saved = (step_of(LLAMA_2_7B, LORA, modules_to_save=modules) for modules in ((), ("embed_tokens", "lm_head")))
    copies = 2 * 32_000 * 4096
    assert saved.trainable.value - plain.trainable.value == copies
    assert saved.weights.value - plain.weights.value == 2 * copies  # the frozen ones stay
    assert saved.gradients.value - plain.gradients.value == 2 * copies
    assert saved.optimizer_state.value - plain.optimizer_state.value == 2 * 2 * copies


def test_what_is_not_quantised_is_brought_to_fp32_for_kbit_training():
    # embedding, head and norms: 2 more bytes each
    rest = 2 * 32_000 * 4096 + (2 * 32 + 1) * 4096
    qlora = replace(LORA, lora_base="NF4-double")
    before, after = (step_of(LLAMA_2_7B, qlora, kbit_prepared=prepared).weights.value for prepared in (False, True))
    assert after - before == 2 * rest


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("base", ["NF4", "NF4-double", "int8", "GPTQ-4"])
@pytest.mark.parametrize("tokens", [128, 1304])
def test_a_quantised_base_needs_less(base, recompute, tokens):
    run = replace(LORA, batch_size=1, seq_len=tokens, recompute=recompute)
    assert step_of(LLAMA_2_7B, run, lora_base=base).peak.value < step_of(LLAMA_2_7B, run).peak.value


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("base", ["NF4", "NF4-double", "GPTQ-4"])
@pytest.mark.parametrize("id", ["gpt2", "pythia-410m", "bert-base", "bart-base", "smollm2-135m"])
def test_in_four_bits_a_small_model_with_many_tokens_needs_less_too(id, base, recompute):
    model, run = from_config(models()[id].config), replace(LORA, batch_size=8, seq_len=512, recompute=recompute)
    plain = training_step(model, run)
    assert training_step(model, replace(run, lora_base=base)).peak.value < plain.peak.value


def test_in_int8_a_product_keeps_its_input_so_that_many_tokens_need_more_than_in_16_bits():
    """bitsandbytes 0.49, autograd/_functions.py, MatMul8bitLt.forward: ``ctx.tensors = (CAt, subA, A)``, where A is the
    input in 16 bits. What of it is kept anyway (of norms, of products whose input others keep) comes once."""
    gpt2 = {"model_type": "gpt2"}
    run = replace(LORA, batch_size=8, seq_len=1024)
    plain, packed = step_of(gpt2, run), step_of(gpt2, run, lora_base="int8")
    inputs = 12 * (768 + 768 + 768 + 4 * 768)  # of 12 layers: to attention, out of it, up, down
    more = packed.saved_bytes - plain.saved_bytes
    assert 0.5 < more / (2 * 8 * 1024 * inputs) <= 1
    assert packed.peak.value - plain.peak.value <= more
    few = replace(run, batch_size=1, seq_len=64)  # 85 M weights save a byte each; 64 tokens keep 8 MB at most
    assert step_of(gpt2, few, lora_base="int8").peak.value < step_of(gpt2, few).peak.value - 70e6


def test_nf4_keeps_no_unpacked_weight_for_the_way_back():
    run = replace(LORA, lora_base="NF4-double", lora_precision="same")
    kept = step_of(LLAMA_2_7B, run).saved_activations.value
    assert kept <= step_of(LLAMA_2_7B, replace(run, lora_base="same")).saved_activations.value


@pytest.mark.parametrize(
    "setting", [{"padding": True}, {"use_cache": True}, {"fp32_outputs": True, "keep_logits": True}]
)
@pytest.mark.parametrize("precision", ["fp32", "amp_bf16", "bf16", "bf16_amp"])
@pytest.mark.parametrize("family", ["gpt2", "qwen2", "mixtral", "gemma3_text"])
def test_a_setting_that_adds_memory_never_needs_less(family, precision, setting):
    model = from_config({"model_type": family})
    run = TrainingRun(batch_size=2, seq_len=256, precision=precision, keep_logits=bool(setting.get("keep_logits")))
    grouped_in_fp32 = precision == "fp32" and setting == {"padding": True}  # without a mask the matrix is stored there
    if not (grouped_in_fp32 and family != "gpt2"):
        assert training_step(model, replace(run, **setting)).peak.value >= training_step(model, run).peak.value


def test_an_optimizer_that_steps_in_backward_holds_no_gradients():
    for config in (GROUPED, {"model_type": "gpt2"}):
        for optimizer in ("sgd", "adamw_foreach"):
            run = replace(RUN, optimizer=optimizer)
            whole, at_once = (step_of(config, run, optimizer_in_backward=how) for how in (False, True))
            assert at_once.peak.value <= whole.peak.value
            assert (at_once.gradients.value, at_once.optimizer_temporary.value) == (0, 0)
            waiting = replace(run, gradient_accumulation=2)  # then gradients wait for the others
            assert (
                step_of(config, waiting, optimizer_in_backward=True).peak.value == step_of(config, waiting).peak.value
            )


def test_what_waits_in_the_hosts_memory_is_not_on_the_device():
    whole, away = (step_of(GROUPED, replace(RUN, optimizer="sgd"), activation_offload=how) for how in (False, True))
    assert away.saved_bytes < 0.01 * whole.saved_bytes
    assert away.peak_by_moment["loss_forward"] < whole.peak_by_moment["loss_forward"]


def test_selective_recomputation_lies_between_none_and_full():
    peaks = [step_of(GROUPED, RUN, recompute=kind).saved_bytes for kind in ("full", "selective_ops", "none")]
    assert peaks == sorted(peaks)
    # of each token and layer: queries, values, gate and what goes back to the stream; attention's output, and a number
    # in fp32 for each head. 4,096 + 1,024 + 11,008 + 4,096 + 4,096 numbers of two bytes
    more = (peaks[1] - peaks[0]) / (2 * 512 * 4)
    assert more == pytest.approx(2 * (4096 + 1024 + 11008 + 4096 + 4096) + 4 * 32, rel=1e-3)


def test_weight_decay_of_sgd_is_one_more_copy_of_the_gradients():
    sgd = replace(RUN, optimizer="sgd_momentum")
    plain, decayed = (step_of(GROUPED, sgd, weight_decay=decay) for decay in (0, 0.01))
    assert decayed.optimizer_temporary.value - plain.optimizer_temporary.value == plain.gradients.value
    adamw = [step_of(GROUPED, RUN, weight_decay=decay).optimizer_temporary.value for decay in (0, 0.01)]
    assert adamw[0] == adamw[1]


# Which kernel


@pytest.mark.parametrize(
    ("given", "kernel"),
    [
        ({}, "flash"),
        ({"head": 80, "value_head": 80}, "flash"),
        ({"head": 36, "value_head": 36}, "flash"),  # padded to 40
        ({"grouped": True}, "flash"),
        ({"masked": True}, "efficient"),
        ({"masked": True, "grouped": True}, "math"),
        ({"masked": True, "head": 36, "value_head": 36}, "math"),  # rows of 72 bytes
        ({"head": 320, "value_head": 320}, "efficient"),
        ({"value_head": 128}, "efficient"),
        ({"dtype": "fp32"}, "efficient"),
        ({"dtype": "fp32", "grouped": True}, "math"),
        ({"dtype": "fp32", "head": 36, "value_head": 36}, "efficient"),  # 144 bytes
        ({"dtype": "fp32", "head": 30, "value_head": 30}, "math"),
    ],
)
def test_the_kernel_is_the_one_that_pytorch_takes(given, kernel):
    usual = {"dtype": "bf16", "head": 64, "value_head": 64, "masked": False, "grouped": False}
    assert sdpa_kernel(**{**usual, **given}) == kernel


def test_a_sweep_of_padded_batches_is_the_same_one_by_one():
    model, lengths = from_config({**GROUPED, "num_hidden_layers": 2}), [128, 331, 512]
    run = TrainingRun(batch_size=2, precision="bf16", padding=True)
    together = peak_sweep(model, replace(run, seq_len=np.array(lengths)))
    assert list(together) == [training_step(model, replace(run, seq_len=n)).peak.value for n in lengths]
