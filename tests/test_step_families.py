"""Every family's training step: its code creates the weights that are counted, and runs however it is told to."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from configurations import configured
from kinds import is_run
from laws import for_each

from llmcalc import InputError, TrainingRun, from_config, training_step
from llmcalc.catalog.models import model, models
from llmcalc.catalog.precisions import BYTES
from llmcalc.huggingface.decoders import DECODERS
from llmcalc.huggingface.families import FAMILIES
from llmcalc.huggingface.mixtures import MIXTURES
from llmcalc.step import timeline
from llmcalc.step import weights as step_weights
from llmcalc.step.activations import ACTIVATIONS
from llmcalc.step.experts import EXPERTS
from llmcalc.step.norms import NORMS
from llmcalc.step.run import ATTENTIONS, LOSSES, RECOMPUTATIONS
from llmcalc.step.simulation import trace
from llmcalc.step.weights import weights_of

SIZES = {
    "d_model": 96,
    "n_layers": 4,
    "n_heads": 4,
    "n_kv_heads": 2,
    "d_head": 24,
    "d_ff": 160,
    "vocab_size": 320,
    "n_positions": 64,
    "n_experts": 4,
    "top_k": 2,
    "d_expert": 80,
}
LATENT = {
    "kv_lora_rank": 40,
    "q_lora_rank": 56,
    "qk_rope_head_dim": 12,
    "qk_nope_head_dim": 20,
    "v_head_dim": 24,
    "head_dim": 12,
}
DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 12,
    "linear_value_head_dim": 20,
    "shared_expert_intermediate_size": 64,
}
INDEXED = LATENT | {
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "index_topk": 8,
    "index_head_dim": 16,
    "index_n_heads": 2,
}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 48, "mamba_d_state": 16, "mamba_n_groups": 2, "mamba_chunk_size": 8}
PER_LAYER = {
    "hidden_size_per_layer_input": 12,
    "vocab_size_per_layer_input": 320,
    "num_kv_shared_layers": 2,
    "global_head_dim": 48,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
STREAMS = {
    "hidden_size_per_layer_input": 12,
    "vocab_size_per_layer_input": 320,
    "num_kv_shared_layers": 1,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "intermediate_size": 160,
    "altup_num_inputs": 3,
    "laurel_rank": 8,
    "activation_sparsity_pattern": [0.95, 0.0, 0.95, 0.0],
}
NEMOTRON = {
    "layers_block_type": ["mamba", "attention", "mlp", "mamba"],
    "mamba_num_heads": 4,
    "mamba_head_dim": 24,
    "ssm_state_size": 16,
    "n_groups": 2,
    "chunk_size": 8,
}
LATENT_EXPERTS = {
    "layers_block_type": ["mamba", "attention", "moe", "mlp"],
    "moe_shared_expert_intermediate_size": 48,
    "n_group": 1,
    "topk_group": 1,
}
MORE = {
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 8},
    "gptj": {"rotary_dim": 12},
    "codegen": {"rotary_dim": 12},
    "dots1": {"n_shared_experts": 1},
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "kimi_k2", "minicpm3", "youtu", "glm4_moe_lite"), LATENT),
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), DELTA),
    "qwen3_next alike": DELTA | {"linear_num_value_heads": 2},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2 biased": {"layer_types": ["conv", "full_attention"] * 2, "conv_bias": True},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "gemma4_text": PER_LAYER,
    "gemma4_text sparse": PER_LAYER | {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2},
    "gemma3n_text": STREAMS,
    "gemma4_text alike": PER_LAYER | {"attention_k_eq_v": True, "num_kv_shared_layers": 0},
    "gemma4_text plain": {"hidden_size_per_layer_input": 0, "global_head_dim": 48},
    "deepseek_v32": INDEXED,
    "glm_moe_dsa": INDEXED | {"indexer_types": ["full", "shared", "full", "shared"]},
    "granitemoehybrid": MAMBA | {"layer_types": ["mamba", "attention"] * 2, "shared_intermediate_size": 96},
    "granitemoehybrid dense": MAMBA
    | {"layer_types": ["mamba", "attention"] * 2, "num_local_experts": 0, "num_experts_per_tok": 0},
    "bamba": MAMBA | {"attn_layer_indices": [1]},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 0,
        "mamba_dt_rank": 8,
    },
    "falcon_h1": MAMBA | {"mamba_d_ssm": 192},
    "falcon_h1 normed": MAMBA | {"mamba_d_ssm": 192, "mamba_rms_norm": True},
    "falcon_h1 gated": MAMBA | {"mamba_d_ssm": 192, "mamba_rms_norm": True, "mamba_norm_before_gate": False},
    "nemotron_h": NEMOTRON,
    "nemotron_h sparse": NEMOTRON | LATENT_EXPERTS | {"moe_latent_size": 32, "mlp_bias": True},
    "nemotron_h sparse whole": NEMOTRON | LATENT_EXPERTS,
    # the other ways in which a family's layers may run
    "falcon new": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon alibi": {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True, "num_kv_heads": 4},
    "opt after": {"do_layer_norm_before": False, "word_embed_proj_dim": 48},
    "gpt_neox sequential": {"use_parallel_residual": False},
    "gpt2 upcast": {"reorder_and_upcast_attn": True},
    "cohere qk": {"use_qk_norm": True},
    "stablelm qk": {"qk_layernorm": True, "use_parallel_residual": True},
    "phi qk": {"qk_layernorm": True},
    "phi3 partial": {"partial_rotary_factor": 0.5},
    "olmo clamped": {"clip_qkv": 8.0},
}
# Families of the other tables of which the code was read
READ = (
    *("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "lfm2", "lfm2_moe", "gemma4_text", "gemma3n_text"),
    *("deepseek_v32", "glm_moe_dsa", "granitemoehybrid", "bamba", "falcon_h1", "jamba", "nemotron_h"),
)
STACKS = {**DECODERS, **MIXTURES, **dict.fromkeys(READ)}
CASES = [*STACKS, *(name for name in MORE if name not in STACKS)]
every_case = for_each("case", CASES)


def small(case):
    family = case.split()[0]
    sizes = {key: SIZES[name] for name, key in FAMILIES[family].names.items() if name in SIZES}
    return from_config({"model_type": family, **sizes, **MORE.get(case, {})})


@every_case
def test_the_code_creates_as_many_weights_as_are_counted(case):
    made = small(case)
    assert weights_of(made, TrainingRun()).everything == made.parameters().value


@pytest.mark.slow
@every_case
@pytest.mark.parametrize(("attention", "recompute"), list(itertools.product(ATTENTIONS, RECOMPUTATIONS)))
def test_a_step_runs_however_it_is_told_to(case, attention, recompute):
    run = TrainingRun(batch_size=2, seq_len=20, attention=attention, recompute=recompute, dropout=0.1)
    step = training_step(small(case), run)
    assert 0 < step.saved_activations.value < step.peak.value


@every_case
@pytest.mark.parametrize("adapters", [{}, {"lora_rank": 4, "lora_targets": "all"}], ids=["whole", "LoRA"])
def test_what_trains_gets_a_gradient_and_nothing_else(case, adapters):
    """Each family with one loss and one kind of attention: a loss sees no layers, and attention none."""
    made, turn = small(case), CASES.index(case)
    loss, attention = LOSSES[turn % len(LOSSES)], ATTENTIONS[turn // len(LOSSES) % len(ATTENTIONS)]
    run = TrainingRun(batch_size=2, seq_len=16, loss=loss, attention=attention, precision="bf16", **adapters)
    traced, step = trace(made, run, made.layers()), training_step(made, run)
    assert [weight.trains for _, weight in traced.weights] == [w.grad is not None for _, w in traced.weights]
    left = Counter()
    for event in traced.events:
        left[event.kind] += event.sign * (event.kind.category == "gradients")
    assert sum(n * kind.elements for kind, n in left.items()) == step.trainable.value
    assert sum(n * kind.elements * BYTES[kind.dtype] for kind, n in left.items()) == step.gradients.value


# The parameters of the models above whose requires_grad is false in transformers 5.23: in the three layers of 4 experts
# one number for each, and the sinusoids of encoder and decoder, 64 positions of 96 channels each. Through an indexer no
# gradient goes: its queries, key, weights of its heads, and the norm of its key
_INDEXER = 56 * 2 * 16 + 96 * 16 + 96 * 2 + 2 * 16
FIXED = {"afmoe": 3 * 4, "ernie4_5_moe": 3 * 4, "pegasus": 2 * 64 * 96, "marian": 2 * 64 * 96}
FIXED |= {"deepseek_v32": 4 * _INDEXER, "glm_moe_dsa": 2 * _INDEXER}


@for_each("case", [*CASES, "pegasus", "marian"])
def test_all_parameters_train_but_those_that_the_models_code_sets(case):
    made = small(case)
    assert made.parameters().value - made.trainable_parameters().value == FIXED.get(case, 0)


@for_each("id", models())
def test_a_published_models_code_creates_as_many_weights_as_are_counted(id):
    published = from_config(model(id).config)
    if is_run(published):
        assert weights_of(published, TrainingRun()).everything == published.language.parameters().value


def test_every_published_decoder_of_a_family_that_was_read_is_simulated():
    unread = {model(id).config["model_type"] for id in models() if from_config(model(id).config).code is None}
    assert not unread & set(STACKS)


@every_case
def test_a_code_names_what_there_is(case):
    code = small(case).code
    if code is not None:
        assert {code.norm, code.qk_norm} <= set(NORMS)
        assert code.activation in ACTIVATIONS
        assert code.experts in EXPERTS


def test_a_nonlinearity_that_was_not_read_is_refused_in_a_step_only():
    made = from_config({"model_type": "llama", "hidden_act": "snake"})
    assert made.parameters().value
    with pytest.raises(InputError, match="snake"):
        weights_of(made, TrainingRun())


@pytest.mark.parametrize("targets", ["query_value", "all"])
@pytest.mark.parametrize("model", ["Qwen3.5 27B (text)", "Gemma 3 1B", "Llama 3 8B"])
def test_one_layer_of_each_kind_stands_for_all_whatever_adapters_stand_in(model, targets, monkeypatch):
    """Where only some layers have adapters, nothing goes back through those before, and all through those after."""
    config = configured(model, n_layers=8)
    run = TrainingRun(batch_size=1, seq_len=64, lora_rank=4, lora_targets=targets)
    found = training_step(config.model, run)
    told = (found.peak.value, found.saved_activations.value)
    for module in (timeline, step_weights):
        monkeypatch.setattr(module, "representatives", lambda order: (list(order), [[i] for i in range(len(order))]))
    alone = training_step(replace(config.model), run)
    assert told == (alone.peak.value, alone.saved_activations.value)


def test_adapters_that_find_no_module_are_told_and_others_stand_in():
    # its first layer of four has no queries, keys and values of attention
    config = configured("Qwen3.5 27B (text)", n_layers=1, lora_rank=4, lora_targets="query_value")
    assert [(problem.input_id, problem.code) for problem in config.problems] == [("lora_targets", "nothing_trains")]
    assert config.training.peak.value > 0
    with pytest.raises(InputError, match="nothing would train"):
        training_step(config.model, TrainingRun(lora_rank=4, lora_targets="query_value")).peak  # noqa: B018
    staged = configured("Qwen3.5 27B (text)", n_layers=8, lora_rank=4, lora_targets="query_value", pipeline_parallel=4)
    assert not staged.problems
    assert staged.training.peak.value > 0
